"""Frames of a video through decord. For the decoding child only: decord can hang, crash and print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import decord
from PIL import Image

from firstsight.errors import MediaError
from firstsight.media.frames import Frame, uniform_indices
from firstsight.media.pictures import shrink

decord.logging.set_level(decord.logging.QUIET)


def read_frames(
    path: Path, *, min_side: int | None, max_pixels: int, count: int = 1, at_s: float | None = None
) -> Iterator[Frame]:
    """Decode `count` frames uniformly, or the one nearest to `at_s`, each shrunk before the next is decoded.

    decord applies rotation metadata. Frames of MPEG-TS, MPEG-PS, AVI with B-frames and MP4 with edit lists
    may be off by up to a group of pictures.

    Raises:
        MediaError: "unsupported", "too_large" or "corrupt".
    """
    name = str(path)
    try:
        # Left open and idle, a reader decodes on into memory: it lives only as long as this generator runs.
        reader = decord.VideoReader(name, ctx=decord.cpu(0), num_threads=1)
        total = len(reader)
        if total < 1:
            raise MediaError("corrupt", f"{name} has no frames; replace it")
        for index in uniform_indices(total, count) if at_s is None else [_nearest(reader, total, at_s)]:
            pixels = reader[index].asnumpy()
            height, width = pixels.shape[:2]
            if width * height > max_pixels:
                raise MediaError(
                    "too_large",
                    f"{name} has frames of {width} x {height} pixels, above the limit of {max_pixels:,}; "
                    "make it smaller",
                )
            start = float(reader.get_frame_timestamp(index)[0])
            yield Frame(round(max(start, 0.0), 6), shrink(Image.fromarray(pixels), min_side))
    except UnicodeEncodeError as error:
        raise MediaError("unsupported", f"{name!r} is not a UTF-8 file name; rename the file") from error
    except (decord.DECORDError, RuntimeError) as error:
        raise _explained(name, str(error)) from error


def _nearest(reader: decord.VideoReader, total: int, at_s: float) -> int:
    starts = reader.get_frame_timestamp(range(total))[:, 0].astype(float)
    return int(abs(starts - at_s).argmin())


def _explained(name: str, complaint: str) -> MediaError:
    if "cannot find video stream" in complaint:
        return MediaError(
            "unsupported",
            f"{name} has no video stream that can be decoded (only sound, or AV1); convert it to H.264",
        )
    if "bad_alloc" in complaint or "Cannot allocate memory" in complaint:
        return MediaError("too_large", f"{name} needs more memory than a decoder may use; make it smaller")
    # "[22:59:44] /path/video_reader.cc:430: [name] what happened": the places are decord's, not the reader's.
    detail = re.sub(r"\[[\d:]+\] \S+\.cc:\d+: |Check failed: |\[" + re.escape(name) + r"\]", "", complaint)
    detail = "" if detail.startswith("Error reading") else f" ({' '.join(detail.split())[:100]})"
    return MediaError("corrupt", f"{name} is a broken or truncated video{detail}; replace it")
