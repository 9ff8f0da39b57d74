"""Frames of a video through PyAV, found by an index of its packets: exact where FFmpeg is. For the decoding child.

FFmpeg's own seeking lands only somewhere near in MPEG-TS, MPEG-PS and AVI. Here each frame is named by its presentation
timestamp: decoding starts at a key packet known to come before it, and goes on until that timestamp is put out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firstsight.errors import MediaError
from firstsight.media.decode.frame_pictures import to_picture
from firstsight.media.decode.packet_index import (
    DEMUX_ERRORS,
    PacketIndex,
    broken_video_error,
    index_packets,
    open_container,
    packet_time,
    video_format,
)
from firstsight.media.file_formats import ANIMATION_FORMATS

TimedFrame: TypeAlias = tuple[int, av.VideoFrame]
"""A presentation timestamp and the frame shown from then on."""

_SOUGHT_BY_DTS: Final = frozenset({"AVI", "MPEG-PS", "MPEG-TS"})
_REORDERING: Final = frozenset({"h264", "hevc"})


def open_video(path: Path, *, max_pixels: int) -> PyavReader:
    """Open a video.

    Raises:
        MediaError: "unsupported", "too_large" or "corrupt".
    """
    return PyavReader(path, max_pixels)


class PyavReader:
    """A `VideoReader`. A frame that cannot be decoded is given as the one before it, as players show it.

    AVI has no presentation times: frames of H.264 and HEVC in it are counted from a key frame on, which is right unless
    groups of pictures are open.
    """

    def __init__(self, path: Path, max_pixels: int) -> None:
        self._path = path
        self._max_pixels = max_pixels
        self._format = video_format(path)
        self._container, self._stream = open_container(path, self._format)
        try:
            self._check_size(self._stream.codec_context.width, self._stream.codec_context.height)
            self._frames_are_counted = self._format == "AVI" and self._stream.codec_context.name in _REORDERING
            self._index = self._indexed()
        except BaseException:
            self._container.close()
            raise
        self._unit = float(self._stream.time_base or 1)
        self._pixel_aspect = float(self._stream.codec_context.sample_aspect_ratio or 1)

    @property
    def times(self) -> NDArray[np.float64]:
        seconds: NDArray[np.float64] = (self._index.pts - self._index.pts[0]) * self._unit
        return seconds

    @property
    def duration_s(self) -> float:
        return float((self._index.end - self._index.pts[0]) * self._unit)

    @property
    def keyframes(self) -> NDArray[np.int64]:
        return np.union1d([0], np.flatnonzero(self._index.is_key)).astype(np.int64)

    def read(self, indices: Sequence[int], *, min_side: int | None = None) -> Iterator[Image.Image]:
        frames: Iterator[TimedFrame] = iter(())
        shown: TimedFrame | None = None
        ahead: TimedFrame | None = None  # put out already, but shown later than what was asked for
        for index in indices:
            wanted = int(self._index.pts[index])
            reached = ahead or shown
            if reached is None or self._key_number(wanted) > self._key_number(reached[0]):
                frames, shown, ahead = self._frames_from(self._key_number(wanted)), None, None
            while shown is None or shown[0] < wanted:
                ahead = ahead or next(frames, None)
                if ahead is None or (ahead[0] > wanted and shown is not None):
                    break
                shown, ahead = ahead, None
            if shown is None:
                raise MediaError("corrupt", f"{self._path} is a broken video (no frame can be decoded); replace it")
            yield to_picture(shown[1], min_side, self._pixel_aspect)

    def close(self) -> None:
        self._container.close()

    def _indexed(self) -> PacketIndex:
        index = index_packets(self._container, self._stream, by_decoding=self._frames_are_counted)
        if index.pts.size == 0:
            raise MediaError("corrupt", f"{self._path} has no frames; replace it")
        if index.pts.size == 1 and self._format in ANIMATION_FORMATS:
            raise MediaError(
                "unsupported", f"{self._path} is a picture ({self._format}), not a video; list it under images"
            )
        return index

    def _key_number(self, pts: int) -> int:
        """Number of the last key packet shown at or before a time; -1 when there is none."""
        return int(np.searchsorted(self._index.key_pts, pts, "right")) - 1

    def _frames_from(self, key: int) -> Iterator[TimedFrame]:
        """Decode from a key packet, or an earlier one, on."""
        first, packets = self._packets_from(key)
        if not self._frames_are_counted:
            for frame in self._decoded(packets):
                pts = frame.dts if frame.pts is None else frame.pts
                if pts is not None and pts >= first:
                    yield pts, frame
            return
        start = int(np.searchsorted(self._index.pts, first))
        for pts, frame in zip(self._index.pts[max(start, 0) :], self._decoded(packets), strict=False):
            yield int(pts), frame

    def _packets_from(self, key: int) -> tuple[int, Iterator[av.Packet[av.VideoStream]]]:
        """The packets from the last key packet on that seeking can reach, not after the one asked for, and its time."""
        step = 0
        while key - step > 0:
            wanted = int(self._index.key_pts[key])
            by = self._index.key_dts if self._format in _SOUGHT_BY_DTS else self._index.key_pts
            with contextlib.suppress(av.FFmpegError):
                self._container.seek(int(by[key - step]), stream=self._stream)
                packets = self._packets()
                for packet in packets:
                    time = packet_time(packet, by_decoding=self._frames_are_counted)
                    if packet.is_keyframe and time is not None:
                        if time <= wanted and time in self._index.key_pts:
                            return time, _chain(packet, packets)
                        break
            step = 2 * step + 1
        self._container.close()
        self._container, self._stream = open_container(self._path, self._format)
        return int(self._index.key_pts[0] if self._index.key_pts.size else self._index.pts[0]), self._packets()

    def _packets(self) -> Iterator[av.Packet[av.VideoStream]]:
        with contextlib.suppress(*DEMUX_ERRORS):  # the packets before a break are good
            yield from self._container.demux(self._stream)

    def _decoded(self, packets: Iterator[av.Packet[av.VideoStream]]) -> Iterator[av.VideoFrame]:
        context = self._stream.codec_context
        for packet in packets:
            yield from self._decode_packet(packet)
        if context.is_open:  # packets that end in a break end without the one that empties the decoder
            yield from self._decode_packet(None)

    def _decode_packet(self, packet: av.Packet[av.VideoStream] | None) -> list[av.VideoFrame]:
        try:
            frames = self._stream.codec_context.decode(packet)
        except MemoryError as error:
            raise broken_video_error(self._path, error) from error
        except av.FFmpegError:  # one broken packet, or a decoder that is empty already
            return []
        for frame in frames:
            self._check_size(frame.width, frame.height)
        return frames

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self._max_pixels:
            raise MediaError(
                "too_large",
                f"{self._path} has frames of {width} x {height} pixels, above the limit of {self._max_pixels:,}; "
                "make it smaller",
            )


def _chain(
    first: av.Packet[av.VideoStream], rest: Iterator[av.Packet[av.VideoStream]]
) -> Iterator[av.Packet[av.VideoStream]]:
    yield first
    yield from rest
