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
from firstsight.media.decode.frame_pictures import HDR_TRANSFERS
from firstsight.media.decode.packet_index import DEMUXERS, index_packets, open_container, video_format
from firstsight.media.file_formats import ANIMATION_FORMATS
from firstsight.media.frames.video_frames import VideoReader

DECODERS: Final[dict[str, str]] = {
    "decord": "firstsight.media.decode.decord_decoder",
    "pillow": "firstsight.media.decode.pillow_decoder",
    "pyav": "firstsight.media.decode.pyav_decoder",
}
_DECORD_FORMATS: Final = frozenset({"MP4", "Matroska"})  # in MPEG-TS, MPEG-PS and AVI it is late
# AV1 it does not know, and in HEVC it seeks to the wrong key frames
_CODECS_WITHOUT_DECORD: Final = frozenset({"av1", "libdav1d", "libaom-av1", "hevc"})

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
    found = video_format(path)
    if found in ANIMATION_FORMATS:
        return ["pyav", "pillow"] if found in DEMUXERS else ["pillow"]  # Pillow tells of a still picture
    if found in _DECORD_FORMATS and not _needs_pyav(path, found):
        return ["decord", "pyav"]
    return ["pyav"]


def _needs_pyav(path: Path, found: str) -> bool:
    """Whether decord would be wrong about this file, or does less.

    decord obeys no edit list, seeks to the wrong frames in open groups of pictures, and knows no HDR, no transparency
    and no pixels that are not square.
    """
    container, stream = open_container(path, found)
    with closing(container):
        context = stream.codec_context
        if (
            context.name in _CODECS_WITHOUT_DECORD
            or context.color_trc in HDR_TRANSFERS
            or any(component.is_alpha for component in (context.format.components if context.format else ()))
            or float(context.sample_aspect_ratio or 1) != 1
        ):
            return True
        index = index_packets(container, stream)
        return index.hidden or index.open_groups


def _decoder(name: str) -> Decoder:
    return cast(Decoder, importlib.import_module(DECODERS[name]))
