"""A picture as one second of a video of other pictures: an evasion that the selection of frames has to notice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from PIL import Image, ImageOps

from firstsight.media.decode.video_sampler import VideoSampler

VIDEO_FRAME: Final = "video-frame"
"""Name of this evasion, next to those of `picture_corruptions.EVASIONS`."""

CLIP_S: Final = 12
"""Length of the video in seconds."""

_SIDE: Final = 320
_QUALITY: Final = 75


def frames_that_show(
    picture: Image.Image, others: Sequence[Image.Image], sampler: VideoSampler, *, second: int = 7, rule: str = "auto"
) -> list[Image.Image]:
    """Hide a picture in a video, and return the selected frames that show it.

    The video is an animated WebP: other pictures for a second each, and the picture for one second.

    Args:
        picture: an RGB picture.
        others: pictures of the other seconds, repeated if there are fewer than eleven; grey if there are none.
        sampler: decodes the video and selects its frames, as an index run does.
        second: second that shows the picture, 0 to 11.
        rule: rule that selects frames, see `firstsight.media.frames.frame_rules`.

    Returns:
        Frames as they were decoded; none if the rule selects no frame of that second.

    Raises:
        MediaError: the video cannot be decoded.
    """
    blank = Image.new("RGB", (_SIDE, _SIDE), "#808080")
    scenes = [others[n % len(others)] if others else blank for n in range(CLIP_S)]
    scenes[second] = picture
    fitted = [ImageOps.pad(scene, (_SIDE, _SIDE), Image.Resampling.LANCZOS, color="#ffffff") for scene in scenes]
    with TemporaryDirectory(prefix="firstsight-clip-") as folder:
        path = Path(folder) / "clip.webp"
        fitted[0].save(
            path, "WEBP", save_all=True, append_images=fitted[1:], duration=1_000, quality=_QUALITY, method=0
        )
        frames = sampler.sample(path, rule=rule)
    return [frame.picture for frame in frames if second <= frame.time_s < second + 1]
