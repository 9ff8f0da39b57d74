"""How an index run is made: every number with its default beside its meaning."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from firstsight.media.frames.frame_rules import DEFAULT_FRAMES, DEFAULT_MAX_FRAMES, FrameRule
from firstsight.storage.tables import Part

DEFAULT_WEIGHTS: Mapping[Part, float] = {"title": 1.0, "image": 1.0, "frame": 1.0}


@dataclass(frozen=True)
class IndexSettings:
    """What shapes an index run; frames, max_frames and weights change vectors and so enter items' digests.

    Raises:
        ValueError: a value is out of range; one sentence that names it.
    """

    frames: str | int = DEFAULT_FRAMES  # of each video, as `FrameRule.parse` reads it; N stands for uniform:N
    max_frames: int = DEFAULT_MAX_FRAMES  # of each video, whatever the rule
    weights: Mapping[Part, float] = field(default_factory=lambda: DEFAULT_WEIGHTS)  # of the parts in an item's vector
    batch_size: int = 32  # pictures encoded at once
    text_batch_size: int = 128  # titles encoded at once: enough of one length to waste no padding
    decode_threads: int = max(2, (os.cpu_count() or 2))  # decoding releases the GIL; fetching has threads of its own
    pictures_ahead: int = 96  # decoded pictures waiting at most: three batches; bounds memory
    media_ahead: int = 512  # remote media asked for at most: what slow hosts may hold before others wait for them
    bytes_ahead: int = 256 * 2**20  # of fetched pictures that wait to be decoded, in memory
    disk_ahead: int = 8 * 2**30  # of fetched videos and large pictures that wait to be decoded, in TMPDIR
    write_items: int = 1_000  # items in one write; small writes cost the database more than big ones
    write_seconds: float = 10.0  # a write at least this often, so that a killed run loses little

    def __post_init__(self) -> None:
        if isinstance(self.frames, int):
            object.__setattr__(self, "frames", f"uniform:{self.frames}")
        object.__setattr__(self, "frames", str(self.frame_rule))  # one spelling: it enters digests
        for name in ("batch_size", "text_batch_size", "decode_threads", "pictures_ahead", "write_items"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if not any(self.weights.values()) or any(weight < 0 for weight in self.weights.values()):
            raise ValueError(f"weights must be 0 or more, and one above 0, not {dict(self.weights)}")
        if min(self.media_ahead, self.bytes_ahead, self.disk_ahead) < 1:
            raise ValueError("media_ahead, bytes_ahead and disk_ahead must be 1 or more")

    @property
    def frame_rule(self) -> FrameRule:
        """Which frames of a video are taken."""
        return FrameRule.parse(str(self.frames), max_frames=self.max_frames)
