"""Reading of sound tracks in child processes: a hang, crash or excessive memory fails only that file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

import numpy as np

from firstsight.media.child_processes import child_messages
from firstsight.media.child_processes.decoding_pool import PooledDecoder
from firstsight.media.sound_prints import MAX_SOUND_S
from firstsight.media.transcribers import SAMPLE_RATE, Samples

CHUNK_S: Final = 30.0
"""Seconds of sound that are decoded at once: 1.9 MB."""


class SoundReader(PooledDecoder):
    """Reads the sound tracks of video files in decoding children."""

    _FILES_PER_CHILD = 200

    def chunks(self, path: str | os.PathLike[str]) -> Iterator[Samples]:
        """Yield the first sound track of a video in chunks of `CHUNK_S`; nothing for a video without sound.

        Raises:
            MediaError: as for `VideoSampler.sample`; the time limit is for each chunk.
        """
        name = os.path.abspath(path)
        start_s = 0.0
        while start_s < MAX_SOUND_S:
            request = {"path": name, "sound_from": start_s, "seconds": CHUNK_S, "rate": SAMPLE_RATE}
            samples = self._pool.ask(request, name, _unpack)
            if len(samples):
                yield samples
            if len(samples) < round(CHUNK_S * SAMPLE_RATE):
                return
            start_s += CHUNK_S


def _unpack(header: child_messages.Header, body: memoryview) -> Samples:
    samples: Samples = np.frombuffer(body, dtype=np.float32, count=int(header["samples"])).copy()
    return samples
