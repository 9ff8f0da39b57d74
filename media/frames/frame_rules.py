"""Rules that select frames of a video, written as text: auto, uniform:8, every:2.5, keyframes or all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, cast

DEFAULT_FRAMES: Final = "auto"
DEFAULT_MAX_FRAMES: Final = 512
"""A safety limit. Ten minutes of shots of 1.2 s stay below it, and 30 minutes of one moving shot."""

MAX_FRAMES_LIMIT: Final = 1_000
"""Largest `max_frames`. It bounds the memory of one video: about 700 MB of frames shrunk for an encoder."""

FrameRuleKind = Literal["auto", "uniform", "every", "keyframes", "all"]


@dataclass(frozen=True)
class FrameRule:
    """A rule that selects frames of a video.

    - auto: different frames of each shot, without black and flat frames; see `shot_selection`.
    - uniform: `count` frames at the centres of equal segments.
    - every: the frames shown at 0 s, `seconds`, 2 `seconds`, and so on.
    - keyframes: frames that can be decoded without others.
    - all: every frame.

    No rule selects more than `max_frames`. If every, keyframes or all gives more, an even subset is selected.
    """

    kind: FrameRuleKind = "auto"
    count: int = 0  # of uniform, 1 to max_frames
    seconds: float = 0.0  # of every, above 0
    max_frames: int = DEFAULT_MAX_FRAMES  # 1 to MAX_FRAMES_LIMIT

    @classmethod
    def parse(cls, text: str, *, max_frames: int = DEFAULT_MAX_FRAMES) -> FrameRule:
        """Read a rule from text.

        Args:
            max_frames: 1 to `MAX_FRAMES_LIMIT`.

        Raises:
            ValueError: the text is no rule, or a number is out of range; the message names the allowed values.
        """
        if not 1 <= max_frames <= MAX_FRAMES_LIMIT:
            raise ValueError(f"max frames is {max_frames}; use 1 to {MAX_FRAMES_LIMIT}")
        name, colon, value = text.partition(":")
        if name in ("auto", "keyframes", "all") and not colon:
            return cls(cast(FrameRuleKind, name), max_frames=max_frames)
        if name == "uniform" and value.isascii() and value.isdigit() and int(value):
            count = int(value)
            if count > max_frames:
                raise ValueError(
                    f"uniform:{count} is more than max frames, {max_frames}; raise max frames or use fewer"
                )
            return cls("uniform", count=count, max_frames=max_frames)
        if name == "every" and (seconds := _seconds(value)):
            return cls("every", seconds=seconds, max_frames=max_frames)
        raise ValueError(
            f"frames is {text!r}; use auto, uniform:N with N 1 or more, every:SECONDS with SECONDS above 0, "
            "keyframes or all"
        )

    def __str__(self) -> str:
        """The text that `parse` reads."""
        values = {"uniform": f":{self.count}", "every": f":{self.seconds!r}".removesuffix(".0")}
        return self.kind + values.get(self.kind, "")

    @property
    def frame_limit(self) -> int:
        """Maximum number of frames from any video."""
        return self.count if self.kind == "uniform" else self.max_frames


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if seconds > 0 and math.isfinite(seconds) else None
