"""Decode the sound track of a video by PyAV. For the decoding child only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from firstsight.errors import MediaError
from firstsight.media.decode.packet_index import open_container, video_format
from firstsight.media.sound_prints import MAX_SOUND_S

_WRAP_S = 2**33 / 90_000
"""Seconds after which the times of MPEG-TS and MPEG-PS start again."""

_MAX_DRIFT_S = 0.1
"""Difference between the time of a frame and the samples before it above which there is a gap in the sound."""

_CHUNK_S: Final = 60.0


def read_sound(path: Path, rate: int, working: Callable[[], None]) -> Iterator[NDArray[np.float32]]:
    """Decode the first sound track of a video in chunks; arguments, samples and errors are those of `decode_sound`.

    Args:
        working: called after each chunk.
    """
    start_s = 0.0
    while start_s < MAX_SOUND_S:
        samples = decode_sound(path, start_s=start_s, seconds=_CHUNK_S, rate=rate)
        working()
        yield samples
        if len(samples) < round(_CHUNK_S * rate):
            return
        start_s += _CHUNK_S


def decode_sound(path: Path, *, start_s: float, seconds: float, rate: int) -> NDArray[np.float32]:
    """Decode a stretch of the first sound track.

    Args:
        start_s: second of the video.
        seconds: length of the stretch.
        rate: samples per second.

    Returns:
        (n,) samples of one channel, -1 to 1; fewer than the stretch at the end of the track, none after it or without
        a sound track.

    Raises:
        MediaError: "corrupt" if the sound cannot be decoded; else as for `packet_index.open_container`.
    """
    container, video = open_container(path, video_format(path))
    with closing(container):
        if not container.streams.audio:
            return np.empty(0, dtype=np.float32)
        stream = container.streams.audio[0]
        origin = float((video.start_time or 0) * video.time_base) if video.time_base else 0.0
        length = round(seconds * rate)
        samples = np.zeros(length, dtype=np.float32)
        written = 0
        position: int | None = None
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        try:
            if start_s > 0 and stream.time_base:
                # a second earlier: decoders of most codecs need some packets before the first right sample
                container.seek(int((origin + start_s - 1.0) / float(stream.time_base)), stream=stream, backward=True)
            for frame in container.decode(stream):
                if frame.time is None:
                    continue
                seconds_in = frame.time - origin
                if seconds_in > _WRAP_S / 2:  # sound that starts before the first picture of an MPEG stream
                    seconds_in -= _WRAP_S
                due = round((seconds_in - start_s) * rate)
                if due >= length + rate or (position is not None and position >= length):
                    break
                if position is None or abs(due - position) > _MAX_DRIFT_S * rate:
                    position = due
                position, last = _put(samples, resampler.resample(frame), position)
                written = max(written, last)
            if position is not None and position < length:  # the resampler keeps a few samples
                written = max(written, _put(samples, resampler.resample(None), position)[1])
        except (av.FFmpegError, ValueError) as error:
            if not written:
                raise MediaError("corrupt", f"the sound of {path} cannot be decoded ({error})") from error
        return np.clip(np.nan_to_num(samples[:written]), -1.0, 1.0)


def _put(samples: NDArray[np.float32], parts: Iterable[av.AudioFrame], position: int) -> tuple[int, int]:
    """Write frames from `position` on; return the position after them, and the end of the written samples."""
    end = 0
    for part in parts:
        values = part.to_ndarray().reshape(-1)
        first, last = max(position, 0), min(position + len(values), len(samples))
        if first < last:
            samples[first:last] = values[first - position : last - position]
            end = last
        position += len(values)
    return position, end
