"""The decoding child: reads requests from stdin and writes frames, pictures and sound to stdout, until stdin ends.

`decoding_pool.DecodingPool` runs it as `python -m firstsight.media.decode.decoding_worker MEMORY_BYTES`. It never
imports torch.
"""

from __future__ import annotations

import mmap
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from firstsight.errors import MediaError
from firstsight.media.child_processes import child_messages
from firstsight.media.child_processes.child_limits import (
    detach_standard_pipes,
    limit_process,
    limit_threads,
    limit_time,
)
from firstsight.media.child_processes.child_process import SHARED_LENGTH, SHARED_MEMORY, WORKING
from firstsight.media.decode.fact_functions import FactFunctions
from firstsight.media.pictures import open_picture, open_picture_at_sizes

_GRACE_S: Final = 5.0
_REPORT_S: Final = 1.0
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
        limit_s = float(request["timeout_s"]) + _GRACE_S
        limit_time(limit_s)
        header, answer = _answer(request, body, _progress_reporter(answers, limit_s))
        limit_time(0)
        if shared is not None and sum(map(len, answer)) <= len(shared):
            header, answer = {**header, SHARED_LENGTH: _put(shared, answer)}, []
        child_messages.send(answers, header, answer)


def _put(shared: mmap.mmap, parts: Sequence[bytes]) -> int:
    shared.seek(0)
    for part in parts:
        shared.write(part)
    return shared.tell()


def _progress_reporter(answers: BinaryIO, limit_s: float) -> Callable[[], None]:
    """A function to call often during long work. Once a second it tells the parent, and the time limit starts again."""
    last = time.monotonic()

    def working() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _REPORT_S:
            last = now
            limit_time(limit_s)
            child_messages.send(answers, {WORKING: True})

    return working


def _answer(
    request: child_messages.Header, body: bytes, working: Callable[[], None]
) -> tuple[child_messages.Header, list[bytes]]:
    try:
        if "sound_from" in request:
            return _sound(request)
        return _picture(request, body, working) if request.get("picture") else _video(request, working)
    except (MediaError, MemoryError) as error:
        return child_messages.failure_header(error, request.get("path", "the picture"), "make it smaller"), []


def _picture(
    request: child_messages.Header, body: bytes, working: Callable[[], None]
) -> tuple[child_messages.Header, list[bytes]]:
    source, min_side, max_pixels = request.get("path", body), request["min_side"], request["max_pixels"]
    functions = FactFunctions(request.get("facts", ()), working)
    if not functions:
        picture = open_picture(source, min_side=min_side, max_pixels=max_pixels)
        return {"size": picture.size}, [picture.tobytes()]
    min_sides = functions.min_sides
    opened = open_picture_at_sizes(source, [min_side, *min_sides], max_pixels=max_pixels)
    picture, *others = opened.pictures
    found = functions.find(dict(zip(min_sides, others, strict=True)), opened.size, "image")
    encoded = child_messages.encode_facts([found])
    return {"size": picture.size, "facts": len(encoded)}, [picture.tobytes(), encoded]


def _video(request: child_messages.Header, working: Callable[[], None]) -> tuple[child_messages.Header, list[bytes]]:
    from firstsight.media.decode.video_answers import answer_video  # imports FFmpeg twice, which pictures do not need

    return answer_video(request, working)


def _sound(request: child_messages.Header) -> tuple[child_messages.Header, list[bytes]]:
    from firstsight.media.decode.sound_decoder import decode_sound

    start_s, seconds, rate = float(request["sound_from"]), float(request["seconds"]), int(request["rate"])
    samples = decode_sound(Path(request["path"]), start_s=start_s, seconds=seconds, rate=rate)
    return {"samples": len(samples)}, [samples.tobytes()]


if __name__ == "__main__":
    main(int(sys.argv[1]))
