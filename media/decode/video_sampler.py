"""Frames of videos, decoded in child processes: a hang, crash or memory blow-up costs that file alone."""

from __future__ import annotations

import os

from PIL import Image

from firstsight.media.child_processes import child_messages
from firstsight.media.child_processes.decoding_pool import PooledDecoder
from firstsight.media.frames.frame_rules import DEFAULT_MAX_FRAMES, FrameRule
from firstsight.media.frames.video_frames import Frame

__all__ = ["Frame", "VideoSampler"]


class VideoSampler(PooledDecoder):
    """Samples frames of video files through decoding children, started when needed and again when lost."""

    _FILES_PER_CHILD = 200

    def sample(
        self,
        path: str | os.PathLike[str],
        *,
        count: int = 8,
        rule: str | None = None,
        max_frames: int = DEFAULT_MAX_FRAMES,
        min_side: int | None = None,
    ) -> list[Frame]:
        """Decode `count` frames at the centres of equal stretches of a video, or those that a rule names.

        Args:
            path: a local file; `fetch.fetch_file` gives one for every address.
            count: how many frames, 1 to `frame_rules.MAX_FRAMES_LIMIT`; a video with fewer gives all it has.
            rule: in place of `count`: auto, uniform:N, every:SECONDS, keyframes or all; see `frame_rules.FrameRule`.
            max_frames: most frames that `rule` may take.
            min_side: shrink frames by whole factors as long as the shorter side keeps this many pixels.

        Returns:
            Frames in the order they are shown, upright RGB; with the rule auto each has the bounds of its shot.

        Raises:
            MediaError: "missing", "forbidden", "corrupt", "unsupported", "too_large", "timeout" or "crashed".
            ValueError: there is no such rule.
        """
        if rule is None:
            if count < 1:
                raise ValueError(f"count is {count}; ask for at least 1 frame")
            rule, max_frames = f"uniform:{count}", count
        wanted = FrameRule.parse(rule, max_frames=max_frames)
        return self._decode(path, min_side, rule=str(wanted), max_frames=wanted.max_frames)

    def frame_at(self, path: str | os.PathLike[str], time_s: float, *, min_side: int | None = None) -> Frame:
        """Decode the one frame whose presentation time is nearest to a second of the video.

        Args and errors are those of `sample`.
        """
        return self._decode(path, min_side, at_s=time_s)[0]

    def _decode(self, path: str | os.PathLike[str], min_side: int | None, **which: float | str) -> list[Frame]:
        name = os.path.abspath(path)
        request = {"path": name, "min_side": min_side, "max_pixels": self._max_pixels, **which}
        return self._pool.ask(request, name, _unpack)


def _unpack(header: child_messages.Header, body: memoryview) -> list[Frame]:
    frames: list[Frame] = []
    start = 0
    for time_s, width, height, *shot in header["frames"]:
        size = (int(width), int(height))
        end = start + size[0] * size[1] * 3
        frames.append(Frame(float(time_s), Image.frombytes("RGB", size, body[start:end]), *shot))
        start = end
    return frames
