"""Sampling of video frames in child processes: a hang, crash or excessive memory fails only that file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from firstsight.media.child_processes import child_messages
from firstsight.media.child_processes.decoding_pool import PooledDecoder, unpack_facts
from firstsight.media.fingerprints import FINGERPRINT_BYTES
from firstsight.media.frames.frame_rules import DEFAULT_MAX_FRAMES, FrameRule
from firstsight.media.frames.video_frames import Frame
from firstsight.media.picture_facts import PictureFact
from firstsight.media.sound_prints import as_sound_codes
from firstsight.media.video_prints import REGIONS, VideoPrints, as_codes

__all__ = ["Frame", "SampledVideo", "VideoSampler"]


@dataclass(frozen=True)
class SampledVideo:
    """Frames of a video, and its fingerprints if they were requested."""

    frames: list[Frame]
    prints: VideoPrints | None = None


class VideoSampler(PooledDecoder):
    """Samples frames of video files in decoding children. They start on demand and restart after a crash."""

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
        """Decode frames of a video: `count` frames at the centres of equal segments, or frames by a rule.

        Args:
            path: a local file; `fetched_media.fetch_file` gives one for every address.
            count: number of frames, 1 to `frame_rules.MAX_FRAMES_LIMIT`. A shorter video gives all its frames.
            rule: replaces `count`: auto, uniform:N, every:SECONDS, keyframes or all; see `frame_rules.FrameRule`.
            max_frames: maximum number of frames by `rule`.
            min_side: shrink frames by a whole factor while the shorter side keeps at least this number of pixels.

        Returns:
            Upright RGB frames in presentation order. With the rule auto each frame has the bounds of its shot.

        Raises:
            MediaError: "missing" if there is no such file; "forbidden" if it cannot be read; "unsupported" if it is no
                video; "corrupt" if it is broken; "too_large" if it exceeds a limit on pixels or memory; "timeout" if
                decoding takes longer than `timeout_s`; "crashed" if the child ends.
            ValueError: `count`, `rule` or `max_frames` is invalid.
            RuntimeError: the sampler is closed.
        """
        if rule is None:
            if count < 1:
                raise ValueError(f"count is {count}; use 1 or more")
            rule, max_frames = f"uniform:{count}", count
        frame_rule = FrameRule.parse(rule, max_frames=max_frames)
        return self._decode(path, min_side, rule=str(frame_rule), max_frames=frame_rule.max_frames, prints=False).frames

    def sample_with_prints(
        self,
        path: str | os.PathLike[str],
        *,
        rule: str,
        max_frames: int,
        min_side: int | None = None,
        crops: bool = False,
        facts: Sequence[PictureFact] = (),
    ) -> SampledVideo:
        """Decode frames of a video by a rule, and make its fingerprints. With the rule auto it is decoded once.

        Args:
            crops: with the rule auto, also make the codes of crops of a short video. It is decoded once more.
            facts: functions to run on each frame, for `Frame.facts`.

        The other arguments and the errors are those of `sample`.
        """
        frame_rule = FrameRule.parse(rule, max_frames=max_frames)
        return self._decode(
            *(path, min_side, facts),
            rule=str(frame_rule),
            max_frames=frame_rule.max_frames,
            prints=True,
            crops=crops,
        )

    def prints(self, path: str | os.PathLike[str]) -> VideoPrints:
        """Make the fingerprints of a video; errors as for `sample`."""
        prints = self._decode(path, 1).prints
        assert prints is not None
        return prints

    def frame_at(self, path: str | os.PathLike[str], time_s: float, *, min_side: int | None = None) -> Frame:
        """Decode the frame with the presentation time nearest to `time_s` seconds.

        The other arguments and the errors are those of `sample`.
        """
        return self.frames_at(path, [time_s], min_side=min_side)[0]

    def frames_at(
        self,
        path: str | os.PathLike[str],
        times_s: Sequence[float],
        *,
        min_side: int | None = None,
        facts: Sequence[PictureFact] = (),
    ) -> list[Frame]:
        """Decode the frames with the presentation times nearest to these seconds, in one pass over the file.

        Returns:
            One frame for each time, in the order of the times. The other arguments and the errors are those of
            `sample`.
        """
        return self._decode(path, min_side, facts, at_s=list(times_s)).frames

    def _decode(
        self,
        path: str | os.PathLike[str],
        min_side: int | None,
        facts: Sequence[PictureFact] = (),
        **selection: float | str | list[float],
    ) -> SampledVideo:
        name = os.path.abspath(path)
        request: child_messages.Header = {"path": name, "min_side": min_side, "max_pixels": self._max_pixels}
        if not facts:
            return self._pool.ask({**request, **selection}, name, _unpack)

        def unpack(header: child_messages.Header, body: memoryview) -> SampledVideo:
            sampled = _unpack(header, body)
            found = unpack_facts(header, body, facts, len(sampled.frames))
            frames = [replace(frame, facts=of_frame) for frame, of_frame in zip(sampled.frames, found, strict=True)]
            return replace(sampled, frames=frames)

        request["facts"] = [fact.to_request() for fact in facts]
        return self._pool.ask({**request, **selection}, name, unpack)


def _unpack(header: child_messages.Header, body: memoryview) -> SampledVideo:
    frames: list[Frame] = []
    start = 0
    for time_s, width, height, *shot in header["frames"]:
        size = (int(width), int(height))
        end = start + size[0] * size[1] * 3
        frames.append(Frame(float(time_s), Image.frombytes("RGB", size, body[start:end]), *shot))
        start = end
    if "prints" not in header:
        return SampledVideo(frames)
    duration_s, lengths = header["prints"]
    stored: dict[str, bytes] = {}
    for name, length in lengths.items():
        stored[name] = bytes(body[start : start + length])
        start += length
    regions = {name: as_codes(stored[name]) for name in REGIONS if name in stored}
    sound = as_sound_codes(stored.get("sound"))
    crops = as_codes(stored["crops"]).reshape(header["crops"], -1, FINGERPRINT_BYTES) if "crops" in stored else None
    return SampledVideo(frames, VideoPrints(float(duration_s), as_codes(stored["whole"]), regions, sound, crops))
