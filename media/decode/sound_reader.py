"""Samples of a video's sound track, decoded by FFmpeg. For the decoding child only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from numpy.typing import NDArray

from firstsight.media.decode.packet_index import DEMUX_ERRORS, open_container, video_format

MAX_SOUND_S: Final = 6 * 3600.0
"""Seconds of sound that are read; the rest of a longer track is left out."""

_MAX_DRIFT_S: Final = (
    0.1  # between the samples so far and the time of a frame: beyond it, samples are missing or too many
)
_BLOCK_S: Final = 10.0


def read_sound(path: Path, rate: int, working: Callable[[], None]) -> Iterator[NDArray[np.float32]]:
    """Decode the sound track of a video in blocks.

    Packets that cannot be decoded, and gaps of the track, become silence.

    Args:
        path: a video.
        rate: samples per second.
        working: called for every block.

    Yields:
        (n,) mono samples, -1 to 1; the first one belongs to the time of the first video frame. Nothing if there is no
        sound.

    Raises:
        MediaError: the file cannot be opened.
    """
    container, video = open_container(path, video_format(path))
    with closing(container):
        start_s = float((video.start_time or 0) * (video.time_base or 0))
        position = 0
        for time_s, samples in _decoded(container, rate):
            due = round((time_s - start_s) * rate)
            if abs(due - position) > _MAX_DRIFT_S * rate or not position:
                for silence in _silence(due - position, rate):
                    working()
                    yield silence
                samples = samples[max(0, position - due) :]
                position = max(position, due)
            if position > MAX_SOUND_S * rate:
                return
            position += len(samples)
            working()
            yield samples


def _decoded(container: InputContainer, rate: int) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """Time and samples of each decoded frame of the main sound track."""
    track = container.streams.best("audio")
    if not isinstance(track, av.AudioStream) or track.codec_context is None:
        return
    track.codec_context.thread_count = 1
    resampler = AudioResampler(format="fltp", layout="mono", rate=rate)
    for frame in _frames(container, track):
        if frame.time is None:
            continue
        time_s = float(frame.time)
        try:
            resampled = resampler.resample(frame)
        except (av.FFmpegError, ValueError):  # the format changes within the track
            resampler = AudioResampler(format="fltp", layout="mono", rate=rate)
            continue
        yield time_s, np.concatenate([np.zeros(0, np.float32), *(part.to_ndarray()[0] for part in resampled)])


def _frames(container: InputContainer, track: av.AudioStream) -> Iterator[AudioFrame]:
    packets = container.demux(track)
    while True:
        try:
            packet = next(packets, None)
        except DEMUX_ERRORS:  # packets before the broken part are good
            return
        if packet is None:
            return
        try:
            yield from (frame for frame in packet.decode() if isinstance(frame, AudioFrame))
        except av.FFmpegError:  # a broken packet
            continue


def _silence(samples: int, rate: int) -> Iterator[NDArray[np.float32]]:
    left = min(samples, round(MAX_SOUND_S * rate))
    block = round(_BLOCK_S * rate)
    while left > 0:
        yield np.zeros(min(left, block), np.float32)
        left -= block
