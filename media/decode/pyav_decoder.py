"""Decoder of video frames by PyAV, exact to the frame by an index of the packets. For the decoding child only.

FFmpeg's own seeking is not exact in MPEG-TS, MPEG-PS and AVI. Here a frame is identified by its presentation timestamp:
decoding starts at a key packet before it and continues until the frame with that timestamp is decoded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeAlias

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firstsight.errors import MediaError
from firstsight.media.decode.frame_pictures import to_picture, to_thumbnail
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
from firstsight.media.frames import video_frames
from firstsight.media.frames.scanning import EARLY_S, at_ticks, keyframe_ticks, tick_count
from firstsight.media.frames.video_frames import TICKS_PER_S, ScannedFrame
from firstsight.media.policy import check_frame_size

TimedFrame: TypeAlias = tuple[int, av.VideoFrame]
"""A presentation timestamp and the frame shown from that time."""

SkipType: TypeAlias = Literal["DEFAULT", "NONREF"]

_SOUGHT_BY_DTS: Final = frozenset({"AVI", "MPEG-PS", "MPEG-TS"})
_REORDERING: Final = frozenset({"h264", "hevc"})


def open_video(path: Path, *, max_pixels: int) -> PyavReader:
    """Open a video.

    Raises:
        MediaError: "missing" or "forbidden" if the file cannot be opened; "unsupported" if it has no video or only one
            picture; "too_large" if its frames exceed `max_pixels` or the memory; "corrupt" if it is broken.
    """
    return PyavReader(path, max_pixels)


class PyavReader:
    """A `VideoReader`. For a frame that cannot be decoded it gives the frame before, as players do.

    AVI has no presentation times. Frames of H.264 and HEVC in AVI are counted from a key frame, which is correct unless
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
        for _, frame in self._shown(indices):
            yield to_picture(frame, min_side, self._pixel_aspect)

    def scan(self) -> Iterator[ScannedFrame]:
        last: av.VideoFrame | None = None
        thumbnail: NDArray[np.uint8] = np.empty((0, 0, 3), np.uint8)
        for tick, time_s, frame in self._scanned():
            if frame is not last:
                last, thumbnail = frame, to_thumbnail(frame, self._pixel_aspect)
            yield ScannedFrame(tick, time_s, thumbnail, partial(self._picture, frame))
        if last is None:
            raise self._no_frame_error()

    def close(self) -> None:
        self._container.close()

    def _picture(self, frame: av.VideoFrame, min_side: int | None) -> Image.Image:
        return to_picture(frame, min_side, self._pixel_aspect)

    def _scanned(self) -> Iterator[tuple[int, float, av.VideoFrame]]:
        """Number, time and frame of all ticks; beyond `MAX_SCANNED_PIXELS`, of those with keyframes."""
        pixels = 0
        start = int(self._index.pts[0])

        def decoded() -> Iterator[tuple[float, av.VideoFrame]]:
            nonlocal pixels
            # frames of AVI are counted, so none may be missing there
            skip: SkipType = "DEFAULT" if self._frames_are_counted else "NONREF"
            for pts, frame in self._frames_from(self._key_number(start), skip, self._only_at_ticks()):
                pixels += frame.width * frame.height
                if pts >= start:
                    yield (pts - start) * self._unit, frame
                if pixels > video_frames.MAX_SCANNED_PIXELS:
                    return

        ticks = tick_count(self.duration_s)
        next_tick = 0
        for tick, time_s, frame in at_ticks(decoded(), ticks):
            if pixels > video_frames.MAX_SCANNED_PIXELS:
                break
            next_tick = tick + 1
            yield tick, time_s, frame
        if next_tick < ticks and pixels > video_frames.MAX_SCANNED_PIXELS:
            plan = keyframe_ticks(self.times, self.keyframes, next_tick)
            for (tick, _), (pts, frame) in zip(plan, self._shown([index for _, index in plan]), strict=False):
                yield tick, (pts - start) * self._unit, frame

    def _until_last_ticks(self, packets: Iterator[av.Packet[av.VideoStream]]) -> Iterator[av.Packet[av.VideoStream]]:
        """Leave out the packets after the last tick of each group of pictures: nothing before them needs them."""
        starts = self._index.key_pts
        if self._index.open_groups or not starts.size:
            yield from packets
            return
        seconds = (np.append(starts[1:], self._index.end) - self._index.pts[0]) * self._unit
        last_ticks = (np.ceil(seconds * TICKS_PER_S - 1e-6) - 1) / TICKS_PER_S
        limits = self._index.pts[0] + (last_ticks + EARLY_S) / self._unit
        limit_of = dict(zip(starts.tolist(), limits.tolist(), strict=True))
        limit: float | None = None
        for packet in packets:
            if packet.is_keyframe:
                limit = limit_of.get(packet_time(packet))
            elif limit is not None and packet.dts is not None and packet.dts > limit:
                continue
            yield packet

    def _only_at_ticks(self) -> Container[int] | None:
        """Timestamps of the packets to decode if each frame decodes without others; None for all packets."""
        if self._frames_are_counted or not self._index.is_key.all():
            return None
        times = self.times
        ticks = np.arange(tick_count(self.duration_s)) / TICKS_PER_S
        shown = np.maximum(np.searchsorted(times, ticks + 1e-6, side="right") - 1, 0)
        return frozenset(self._index.pts[shown].tolist())

    def _shown(self, indices: Iterable[int]) -> Iterator[TimedFrame]:
        """The frame that is shown at the time of each of these frames, in ascending order."""
        frames: Iterator[TimedFrame] = iter(())
        shown: TimedFrame | None = None
        ahead: TimedFrame | None = None  # decoded already, but shown after the requested frame
        for index in indices:
            target = int(self._index.pts[index])
            reached = ahead or shown
            if reached is None or self._key_number(target) > self._key_number(reached[0]):
                frames, shown, ahead = self._frames_from(self._key_number(target)), None, None
            while shown is None or shown[0] < target:
                ahead = ahead or next(frames, None)
                if ahead is None or (ahead[0] > target and shown is not None):
                    break
                shown, ahead = ahead, None
            if shown is None:
                raise self._no_frame_error()
            yield shown

    def _no_frame_error(self) -> MediaError:
        return MediaError("corrupt", f"{self._path} is a broken video (no frame can be decoded); replace it")

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
        """Number of the last key packet shown at or before a time; -1 if there is none."""
        return int(np.searchsorted(self._index.key_pts, pts, "right")) - 1

    def _frames_from(
        self, key: int, skip: SkipType = "DEFAULT", only: Container[int] | None = None
    ) -> Iterator[TimedFrame]:
        """Decode frames, starting at a key packet or an earlier one.

        Args:
            skip: frames that FFmpeg leaves out, such as NONREF: those that no other frame needs.
            only: timestamps of the packets to decode; None for all.
        """
        first, packets = self._packets_from(key)
        self._stream.codec_context.skip_frame = skip
        if only is not None:
            packets = (packet for packet in packets if packet.size == 0 or packet_time(packet) in only)
        elif skip != "DEFAULT":
            packets = self._until_last_ticks(packets)
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
        """Seek to a key packet, or the nearest earlier one in reach; return its time and the packets from there."""
        step = 0
        while key - step > 0:
            target = int(self._index.key_pts[key])
            by = self._index.key_dts if self._format in _SOUGHT_BY_DTS else self._index.key_pts
            with contextlib.suppress(av.FFmpegError):
                self._container.seek(int(by[key - step]), stream=self._stream)
                packets = self._packets()
                for packet in packets:
                    time = packet_time(packet, by_decoding=self._frames_are_counted)
                    if packet.is_keyframe and time is not None:
                        if time <= target and time in self._index.key_pts:
                            return time, _chain(packet, packets)
                        break
            step = 2 * step + 1
        self._container.close()
        self._container, self._stream = open_container(self._path, self._format)
        return int(self._index.key_pts[0] if self._index.key_pts.size else self._index.pts[0]), self._packets()

    def _packets(self) -> Iterator[av.Packet[av.VideoStream]]:
        with contextlib.suppress(*DEMUX_ERRORS):  # packets before the broken part are good
            yield from self._container.demux(self._stream)

    def _decoded(self, packets: Iterator[av.Packet[av.VideoStream]]) -> Iterator[av.VideoFrame]:
        context = self._stream.codec_context
        for packet in packets:
            yield from self._decode_packet(packet)
        if context.is_open:  # after a broken part, no last packet has flushed the decoder
            yield from self._decode_packet(None)

    def _decode_packet(self, packet: av.Packet[av.VideoStream] | None) -> list[av.VideoFrame]:
        try:
            frames = self._stream.codec_context.decode(packet)
        except MemoryError as error:
            raise broken_video_error(self._path, error) from error
        except av.FFmpegError:  # one broken packet, or a decoder that is already empty
            return []
        for frame in frames:
            self._check_size(frame.width, frame.height)
        return frames

    def _check_size(self, width: int, height: int) -> None:
        check_frame_size(str(self._path), width, height, self._max_pixels)


def _chain(
    first: av.Packet[av.VideoStream], rest: Iterator[av.Packet[av.VideoStream]]
) -> Iterator[av.Packet[av.VideoStream]]:
    yield first
    yield from rest
