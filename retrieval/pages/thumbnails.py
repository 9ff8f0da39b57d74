"""Small pictures for pages: read the picture or frame of a view again, within the media policy."""

from __future__ import annotations

import base64
import io

from PIL import Image

from firstsight.errors import MediaError
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.fetch.fetched_media import fetch_bytes, fetch_file
from firstsight.media.pictures import open_picture
from firstsight.media.policy import MediaPolicy


def load_picture(
    uri: str, time_s: float | None, policy: MediaPolicy, sampler: VideoSampler, *, min_side: int
) -> Image.Image:
    """Read a picture, or a frame of a video.

    Args:
        uri: path or address.
        time_s: position of the frame in seconds; None for a picture.
        policy: permitted sources and limits.
        sampler: decoder of the video frames.
        min_side: minimum length of the shorter side in pixels, if the original has it.

    Raises:
        MediaError: the file cannot be read, the policy forbids it, or it is a frame of a live stream.
    """
    if uri.startswith("live+"):
        stream = uri.removeprefix("live+")
        raise MediaError("missing", f"a frame of {stream}, a live stream; its pictures are not kept")
    if time_s is None:
        return open_picture(fetch_bytes(uri, policy), min_side=min_side)
    with fetch_file(uri, policy) as path:
        return sampler.frame_at(path, time_s, min_side=min_side).picture


def jpeg_uri(picture: Image.Image, side: int, *, quality: int = 85) -> str:
    """Encode a picture as a JPEG data URI, its longer side at most `side` pixels."""
    small = picture.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return jpeg_data(small, quality=quality)


def jpeg_data(picture: Image.Image, *, quality: int) -> str:
    """Encode a picture in its own size as a JPEG data URI."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
