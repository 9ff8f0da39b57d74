"""The decoding child: requests on stdin, frames on stdout, until stdin ends. Never imports torch.

Run as `python -m firstsight.media.video_worker MEMORY_BYTES` by `videos.VideoSampler`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO, Final

from firstsight.errors import MediaError
from firstsight.media import wire
from firstsight.media.kinds import PICTURE_FORMATS, SNIFF_BYTES, VIDEO_FORMATS, sniff
from firstsight.media.local_files import open_regular

_GRACE_S: Final = 5.0


def main(memory_bytes: int) -> None:
    """Answer requests until stdin ends."""
    requests, answers = _own_pipes()
    _limit_process(memory_bytes)
    wire.send(answers, {"ready": os.getpid()})
    while True:
        try:
            request, _ = wire.receive(requests)
        except EOFError:  # the parent is done, or gone
            return
        _limit_time(float(request["timeout_s"]) + _GRACE_S)
        header, body = _answer(request)
        _limit_time(0)
        wire.send(answers, header, body)


def _answer(request: wire.Header) -> tuple[wire.Header, list[bytes]]:
    path = Path(request["path"])
    try:
        _require_video(path)
        from firstsight.media.decord_decoder import read_frames

        which = {name: request[name] for name in ("count", "at_s") if name in request}
        frames = list(read_frames(path, min_side=request["min_side"], max_pixels=request["max_pixels"], **which))
    except MediaError as error:
        return {"reason": error.reason, "message": str(error)}, []
    except MemoryError:
        return {
            "reason": "too_large",
            "message": f"{path} needs more memory than a decoder may use; make it smaller",
        }, []
    except ImportError as error:
        message = f"{path} cannot be decoded: {error}; install decord for this Python and platform"
        return {"reason": "unsupported", "message": message}, []
    described = [[frame.time_s, frame.picture.width, frame.picture.height] for frame in frames]
    return {"frames": described}, [frame.picture.tobytes() for frame in frames]


def _require_video(path: Path) -> None:
    """Let only known containers through: FFmpeg would follow a playlist named .mp4 to other files."""
    with open_regular(path) as file:
        head = file.read(SNIFF_BYTES)
    found = sniff(head)
    if found in VIDEO_FORMATS:
        return
    if not head:
        raise MediaError("corrupt", f"{path} is empty (0 bytes); replace it")
    if found is None:
        raise MediaError("corrupt", f"{path} is not a video (it starts with {head[:8]!r}); replace it")
    if found in PICTURE_FORMATS:
        raise MediaError("unsupported", f"{path} is a picture ({found}), not a video; list it under images")
    raise MediaError("unsupported", f"{path} is {found}, not a video; give an MP4, WebM or Matroska file")


def _own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Move stdin and stdout out of the reach of C libraries: what they print goes to stderr."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(requests, "rb"), os.fdopen(answers, "wb")


def _limit_process(memory_bytes: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what it means
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(ValueError, OSError):  # macOS does not limit address space
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _limit_time(seconds: float) -> None:
    """End this process by SIGALRM, even inside C code, should the parent that kills it be gone."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    main(int(sys.argv[1]))
