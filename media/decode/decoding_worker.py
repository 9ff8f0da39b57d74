"""The decoding child: reads requests from stdin and writes frames and pictures to stdout, until stdin ends.

`decoding_pool.DecodingPool` runs it as `python -m firstsight.media.decode.decoding_worker MEMORY_BYTES`. It never
imports torch.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from firstsight.errors import MediaError
from firstsight.media.child_processes import child_messages
from firstsight.media.child_processes.child_limits import (
    detach_standard_pipes,
    limit_process,
    limit_threads,
    limit_time,
)
from firstsight.media.child_processes.child_process import SHARED_LENGTH, SHARED_MEMORY
from firstsight.media.frames.frame_rules import FrameRule
from firstsight.media.frames.frame_selection import choose_frames
from firstsight.media.frames.video_frames import Frame, VideoReader
from firstsight.media.pictures import open_picture

_GRACE_S: Final = 5.0
_MAX_FILE_BYTES: Final = 2**31


def main(memory_bytes: int) -> None:
    """Answer requests until stdin ends."""
    requests, answers = detach_standard_pipes()
    limit_process(memory_bytes)
    limit_threads()
    descriptor = os.environ.get(SHARED_MEMORY)
    shared = mmap.mmap(int(descriptor), 0) if descriptor else None
    child_messages.send(answers, {"ready": os.getpid()})
    while True:
        try:
            request, body = child_messages.receive(requests, max_body=_MAX_FILE_BYTES)
        except EOFError:  # the parent has closed the pipe or has ended
            return
        limit_time(float(request["timeout_s"]) + _GRACE_S)
        header, answer = _answer(request, body)
        limit_time(0)
        if shared is not None and sum(map(len, answer)) <= len(shared):
            header, answer = {**header, SHARED_LENGTH: _put(shared, answer)}, []
        child_messages.send(answers, header, answer)


def _put(shared: mmap.mmap, parts: Sequence[bytes]) -> int:
    shared.seek(0)
    for part in parts:
        shared.write(part)
    return shared.tell()


def _answer(request: child_messages.Header, body: bytes = b"") -> tuple[child_messages.Header, list[bytes]]:
    try:
        return _picture(request, body) if request.get("picture") else _video(request)
    except (MediaError, MemoryError) as error:
        return child_messages.failure_header(error, request.get("path", "the picture"), "make it smaller"), []


def _picture(request: child_messages.Header, body: bytes) -> tuple[child_messages.Header, list[bytes]]:
    picture = open_picture(request.get("path", body), min_side=request["min_side"], max_pixels=request["max_pixels"])
    return {"size": picture.size}, [picture.tobytes()]


def _video(request: child_messages.Header) -> tuple[child_messages.Header, list[bytes]]:
    from firstsight.media.decode.video_decoders import decode  # imports FFmpeg twice, which pictures do not need

    path = Path(request["path"])
    frames = decode(path, lambda reader: _frames(reader, request), max_pixels=request["max_pixels"])
    described = [
        [frame.time_s, frame.picture.width, frame.picture.height, frame.start_s, frame.end_s] for frame in frames
    ]
    return {"frames": described}, [frame.picture.tobytes() for frame in frames]


def _frames(reader: VideoReader, request: child_messages.Header) -> list[Frame]:
    """The frames of a request: by `rule` and `max_frames`, or the frames nearest to the seconds `at_s`."""
    min_side = request["min_side"]
    if "at_s" not in request:
        return choose_frames(
            reader, FrameRule.parse(request["rule"], max_frames=request["max_frames"]), min_side=min_side
        )
    times = reader.times
    indices = [int(abs(times - second).argmin()) for second in request["at_s"]]
    ascending = sorted(set(indices))
    pictures = dict(zip(ascending, reader.read(ascending, min_side=min_side), strict=True))
    return [Frame(round(float(times[index]), 6), pictures[index]) for index in indices]


if __name__ == "__main__":
    main(int(sys.argv[1]))
