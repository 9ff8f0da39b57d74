"""Decoder of video frames by decord. For the decoding child only: decord can hang, crash and print."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import decord
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firstsight.errors import MediaError
from firstsight.media.decode.packet_index import index_packets, open_container, video_format
from firstsight.media.frames.scanning import scan_by_reading
from firstsight.media.frames.video_frames import ScannedFrame
from firstsight.media.pictures import shrink
from firstsight.media.policy import check_frame_size

decord.logging.set_level(decord.logging.QUIET)

_TIME_TOLERANCE_S: Final = 0.002  # decord stores times as float32 seconds, containers often as whole milliseconds


def open_video(path: Path, *, max_pixels: int) -> DecordReader:
    """Open a video.

    decord applies rotation metadata. Frames of MPEG-TS, MPEG-PS, AVI with B-frames and MP4 with edit lists may be wrong
    by up to a group of pictures; `video_decoders` uses another decoder for them.

    Raises:
        MediaError: "unsupported" if there is no video that decord can decode, or the name is not UTF-8; "too_large" if
            it needs too much memory; "corrupt" if the file is broken.
    """
    return DecordReader(path, max_pixels)


class DecordReader:
    """A `VideoReader`. An open but idle reader goes on decoding into memory, so close it soon."""

    def __init__(self, path: Path, max_pixels: int) -> None:
        self._path = path
        self._name = str(path)
        self._max_pixels = max_pixels
        self._keyframes: NDArray[np.int64] | None = None
        try:
            self._reader = decord.VideoReader(self._name, ctx=decord.cpu(0), num_threads=1)
            total = len(self._reader)
            if total < 1:
                raise MediaError("corrupt", f"{path} has no frames; replace it")
            spans = np.asarray(self._reader.get_frame_timestamp(range(total)), np.float64)
        except UnicodeEncodeError as error:
            raise MediaError("unsupported", f"{self._name!r} is not a UTF-8 file name; rename the file") from error
        except (decord.DECORDError, RuntimeError) as error:
            raise _as_media_error(self._name, str(error)) from error
        self._times: NDArray[np.float64] = spans[:, 0] - spans[0, 0]
        self._duration_s = max(float(spans[-1, 1] - spans[0, 0]), float(self._times[-1]))

    @property
    def times(self) -> NDArray[np.float64]:
        return self._times

    @property
    def duration_s(self) -> float:
        return self._duration_s

    @property
    def keyframes(self) -> NDArray[np.int64]:
        # decord's own key indices are wrong by the reordering delay of HEVC
        if self._keyframes is None:
            self._keyframes = _keyframes(self._path, self._times)
        return self._keyframes

    def read(self, indices: Sequence[int], *, min_side: int | None = None) -> Iterator[Image.Image]:
        for index in indices:
            try:
                pixels = self._reader[index].asnumpy()
            except (decord.DECORDError, RuntimeError) as error:
                raise _as_media_error(self._name, str(error)) from error
            if pixels.ndim != 3 or pixels.shape[2] != 3:  # for example frames of 8 x 8 pixels
                raise MediaError("corrupt", f"{self._name} has frames that decord cannot return as pictures")
            height, width = pixels.shape[:2]
            check_frame_size(self._name, width, height, self._max_pixels)
            yield shrink(Image.fromarray(pixels), min_side)

    def scan(self) -> Iterator[ScannedFrame]:
        return scan_by_reading(self)

    def close(self) -> None:
        del self._reader


def _keyframes(path: Path, times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of the frames shown at the times of key packets. The first frame is always included."""
    container, stream = open_container(path, video_format(path))
    with closing(container):  # after closing, PyAV would read freed memory of the stream
        index = index_packets(container, stream)
        unit = float(stream.time_base or 1)
    seconds = (index.pts - index.pts[:1]) * unit
    after = np.searchsorted(times, seconds[index.is_key] - _TIME_TOLERANCE_S)
    return np.unique(np.concatenate([[0], after[after < times.size]])).astype(np.int64)


def _as_media_error(name: str, message: str) -> MediaError:
    if "cannot find video stream" in message:
        return MediaError(
            "unsupported",
            f"{name} has no video stream that can be decoded (only sound, or AV1); convert it to H.264",
        )
    if "bad_alloc" in message or "Cannot allocate memory" in message:
        return MediaError("too_large", f"{name} needs more memory than a decoder may use; make it smaller")
    # "[22:59:44] /path/video_reader.cc:430: [name] message": drop the places in decord's code
    detail = re.sub(r"\[[\d:]+\] \S+\.cc:\d+: |Check failed: |\[" + re.escape(name) + r"\]", "", message)
    detail = "" if detail.startswith("Error reading") else f" ({' '.join(detail.split())[:100]})"
    return MediaError("corrupt", f"{name} is a broken or truncated video{detail}; replace it")
