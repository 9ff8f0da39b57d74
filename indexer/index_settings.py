"""Settings of an index run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from firstsight.media.frames.frame_rules import DEFAULT_FRAMES, DEFAULT_MAX_FRAMES, FrameRule
from firstsight.storage.tables import Part

DEFAULT_WEIGHTS: Mapping[Part, float] = {"title": 1.0, "image": 1.0, "frame": 1.0}
"""Timed text has weight 0: a video's vector stays comparable with those of videos whose speech is not known, and small
talk of an hour does not outweigh the title and the pictures. Its passages are compared one by one."""


@dataclass(frozen=True)
class IndexSettings:
    """Settings of an index run.

    `frames`, `max_frames`, `weights` and `transcriber` change views, so they are part of the items' digests.

    Raises:
        ValueError: a value is out of range.
    """

    frames: str | int = DEFAULT_FRAMES  # of each video, as for `FrameRule.parse`; N means uniform:N
    max_frames: int = DEFAULT_MAX_FRAMES  # maximum per video, for all rules
    weights: Mapping[Part, float] = field(default_factory=lambda: DEFAULT_WEIGHTS)  # of the parts in the item vector
    transcriber: str | None = None  # NAME or NAME:OPTIONS, as for `load_transcriber`; None: no speech recognition
    batch_size: int = 32  # pictures per encoder call
    text_batch_size: int = 128  # titles per encoder call; large batches have titles of equal length: no padding
    decode_threads: int = max(2, (os.cpu_count() or 2))  # decoding releases the GIL; fetching has other threads
    pictures_ahead: int = 96  # maximum number of decoded pictures in memory: three batches
    media_ahead: int = 512  # maximum number of remote media in flight, on slow and fast hosts
    bytes_ahead: int = 256 * 2**20  # bytes of fetched pictures in memory that wait for decoding
    disk_ahead: int = 8 * 2**30  # bytes of fetched videos and large pictures in TMPDIR that wait for decoding
    write_items: int = 1_000  # items per write; many small writes are slower than few large ones
    write_seconds: float = 10.0  # maximum seconds between writes, so that a killed run loses little

    def __post_init__(self) -> None:
        if isinstance(self.frames, int):
            object.__setattr__(self, "frames", f"uniform:{self.frames}")
        object.__setattr__(self, "frames", str(self.frame_rule))  # normalised, because it is part of digests
        for name in ("batch_size", "text_batch_size", "decode_threads", "pictures_ahead", "write_items"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if not any(self.weights.values()) or any(weight < 0 for weight in self.weights.values()):
            raise ValueError(f"weights must be 0 or more, and at least one above 0, not {dict(self.weights)}")
        if min(self.media_ahead, self.bytes_ahead, self.disk_ahead) < 1:
            raise ValueError("media_ahead, bytes_ahead and disk_ahead must be 1 or more")

    @property
    def frame_rule(self) -> FrameRule:
        """Rule that selects the frames of a video."""
        return FrameRule.parse(str(self.frames), max_frames=self.max_frames)
