"""Video decoders by name, and which of them a file goes to. For the decoding child only.

A decoder is a module with `open_video(path, *, max_pixels) -> VideoReader` and one line in `DECODERS`; it is imported
when a file needs it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, Protocol, TypeVar, cast

from firstsight.errors import MediaError
from firstsight.media.frames import VideoReader
from firstsight.media.kinds import PICTURE_FORMATS, SNIFF_BYTES, VIDEO_FORMATS, sniff
from firstsight.media.local_files import open_regular

DECODERS: Final[dict[str, str]] = {
    "decord": "firstsight.media.decord_decoder",
}

T = TypeVar("T")


class Decoder(Protocol):
    """What a decoder's module offers."""

    def open_video(self, path: Path, *, max_pixels: int) -> VideoReader:
        """Open a video.

        Raises:
            MediaError: "unsupported", "too_large" or "corrupt".
        """


def decode(path: Path, work: Callable[[VideoReader], T], *, max_pixels: int) -> T:
    """Do something with an open video: by the decoder that is right about its format, else by the next one.

    Args:
        work: called with the reader, and once more with another decoder's when the first one fails; the reader is
            closed when it returns.
        max_pixels: largest frame, width x height.

    Raises:
        MediaError: what the last decoder said, or why none was asked.
    """
    failure: MediaError | None = None
    for name in decoders_for(path):
        try:
            with closing(_decoder(name).open_video(path, max_pixels=max_pixels)) as reader:
                return work(reader)
        except MediaError as error:
            failure = error
        except ImportError as error:
            message = f"{path} cannot be decoded: {error}; install {name} for this Python and platform"
            failure = failure or MediaError("unsupported", message)
    assert failure is not None
    raise failure


def decoders_for(path: Path) -> list[str]:
    """Names of the decoders to try, best first, by what the file's bytes say it is.

    Raises:
        MediaError: "missing", "forbidden", or why it is no video.
    """
    _video_format(path)
    return ["decord"]


def _decoder(name: str) -> Decoder:
    return cast(Decoder, importlib.import_module(DECODERS[name]))


def _video_format(path: Path) -> str:
    """Let only known containers through: FFmpeg would follow a playlist named .mp4 to other files."""
    with open_regular(path) as file:
        head = file.read(SNIFF_BYTES)
    found = sniff(head)
    if found in VIDEO_FORMATS:
        return found
    if not head:
        raise MediaError("corrupt", f"{path} is empty (0 bytes); replace it")
    if found is None:
        raise MediaError("corrupt", f"{path} is not a video (it starts with {head[:8]!r}); replace it")
    if found in PICTURE_FORMATS:
        raise MediaError("unsupported", f"{path} is a picture ({found}), not a video; list it under images")
    raise MediaError("unsupported", f"{path} is {found}, not a video; give an MP4, WebM or Matroska file")
