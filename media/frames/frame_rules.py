"""Which frames of a video are taken, as a person writes it: auto, uniform:8, every:2.5, keyframes or all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, cast

DEFAULT_FRAMES: Final = "auto"
DEFAULT_MAX_FRAMES: Final = 64
MAX_FRAMES_LIMIT: Final = 1_000
"""Largest `max_frames`: what one video may cost in memory, some 700 MB of frames shrunk for an encoder."""

AUTO_MIN_FRAMES: Final = 8
"""Frames that `auto` may always take, however short the video."""

SECONDS_PER_FRAME: Final = 5.0
"""Seconds of video for which `auto` may take one frame more."""

FrameRuleKind = Literal["auto", "uniform", "every", "keyframes", "all"]


@dataclass(frozen=True)
class FrameRule:
    """Which frames of a video are taken.

    - auto: of each shot the frames that differ, without black and flat ones; see `choosing`.
    - uniform: `count` frames at the centres of equal stretches.
    - every: the frame shown at 0 s, `seconds`, 2 `seconds`, and so on.
    - keyframes: those that can be decoded without others.
    - all: every one.

    No rule takes more than `max_frames`. Where every, keyframes or all would, those taken are spread evenly over all
    that would have been.
    """

    kind: FrameRuleKind = "auto"
    count: int = 0  # of uniform, 1 to max_frames
    seconds: float = 0.0  # of every, above 0
    max_frames: int = DEFAULT_MAX_FRAMES  # 1 to MAX_FRAMES_LIMIT

    @classmethod
    def parse(cls, text: str, *, max_frames: int = DEFAULT_MAX_FRAMES) -> FrameRule:
        """Read a rule.

        Raises:
            ValueError: one sentence that names the text and what it may be.
        """
        if not 1 <= max_frames <= MAX_FRAMES_LIMIT:
            raise ValueError(f"max frames is {max_frames}; it may be 1 to {MAX_FRAMES_LIMIT}")
        name, colon, value = text.partition(":")
        if name in ("auto", "keyframes", "all") and not colon:
            return cls(cast(FrameRuleKind, name), max_frames=max_frames)
        if name == "uniform" and value.isascii() and value.isdigit() and int(value):
            count = int(value)
            if count > max_frames:
                raise ValueError(f"uniform:{count} is more than max frames, {max_frames}; raise that, or ask for fewer")
            return cls("uniform", count=count, max_frames=max_frames)
        if name == "every" and (seconds := _seconds(value)):
            return cls("every", seconds=seconds, max_frames=max_frames)
        raise ValueError(
            f"frames is {text!r}; it may be auto, uniform:N with N 1 or more, every:SECONDS with SECONDS above 0, "
            "keyframes or all"
        )

    def __str__(self) -> str:
        """The text that `parse` reads."""
        values = {"uniform": f":{self.count}", "every": f":{self.seconds!r}".removesuffix(".0")}
        return self.kind + values.get(self.kind, "")

    @property
    def frame_limit(self) -> int:
        """Most frames that it takes of any video."""
        return self.count if self.kind == "uniform" else self.max_frames

    def auto_frame_limit(self, duration_s: float) -> int:
        """Most frames that `auto` takes of a video this long: 8, and one more for every 5 s, up to `max_frames`."""
        return min(self.max_frames, AUTO_MIN_FRAMES + int(min(duration_s, 1e9) / SECONDS_PER_FRAME))


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if seconds > 0 and math.isfinite(seconds) else None
