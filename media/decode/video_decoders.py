"""Registry of video decoders, and the choice of a decoder for a file. For the decoding child only.

A decoder is a module with `open_video(path, *, max_pixels) -> VideoReader` and one line in `DECODERS`. It is imported
when a file needs it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
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
_DECORD_FORMATS: Final = frozenset({"MP4", "Matroska"})  # in MPEG-TS, MPEG-PS and AVI its frames are late
# decord does not know AV1, and seeks to wrong key frames in HEVC
_CODECS_WITHOUT_DECORD: Final = frozenset({"av1", "libdav1d", "libaom-av1", "hevc"})

T = TypeVar("T")


class Decoder(Protocol):
    """Interface of a decoder's module."""

    def open_video(self, path: Path, *, max_pixels: int) -> VideoReader:
        """Open a video.

        Raises:
            MediaError: "unsupported", "too_large" or "corrupt".
        """


def decode(path: Path, work: Callable[[VideoReader], T], *, max_pixels: int, for_scan: bool = False) -> T:
    """Open a video with the best decoder for its format and call `work`; if that fails, try the next decoder.

    Args:
        work: called with the open reader, which is closed afterwards. Called again with the next decoder's reader if it
            raises MediaError.
        max_pixels: largest frame, width x height.
        for_scan: `work` scans the video: PyAV comes first, because it can leave out frames that no other frame needs.

    Returns:
        The result of `work`.

    Raises:
        MediaError: the error of the last decoder; or the file is no video, or no decoder is installed.
    """
    failure: MediaError | None = None
    for name in _scanners_for(path) if for_scan else decoders_for(path):
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
    """Names of the decoders for a file, best first, chosen by the file's content.

    Raises:
        MediaError: as for `packet_index.video_format`.
    """
    container = video_format(path)
    if container in ANIMATION_FORMATS:
        return ["pyav", "pillow"] if container in DEMUXERS else ["pillow"]  # Pillow reports a still picture
    if container in _DECORD_FORMATS and not _needs_pyav(path, container):
        return ["decord", "pyav"]
    return ["pyav"]


def _scanners_for(path: Path) -> Iterator[str]:
    """Names of the decoders for a scan, best first. Others than PyAV are looked for only if it fails."""
    if video_format(path) in ANIMATION_FORMATS:
        yield from decoders_for(path)
    else:
        yield "pyav"
        yield from (name for name in decoders_for(path) if name != "pyav")


def _needs_pyav(path: Path, container: str) -> bool:
    """Whether decord would give wrong frames for this file.

    decord ignores edit lists, seeks to wrong frames in open groups of pictures, and supports neither HDR nor
    transparency nor pixels that are not square.
    """
    opened, stream = open_container(path, container)
    with closing(opened):
        context = stream.codec_context
        if (
            context.name in _CODECS_WITHOUT_DECORD
            or context.color_trc in HDR_TRANSFERS
            or any(component.is_alpha for component in (context.format.components if context.format else ()))
            or float(context.sample_aspect_ratio or 1) != 1
        ):
            return True
        index = index_packets(opened, stream)
        return index.hidden or index.open_groups


def _decoder(name: str) -> Decoder:
    return cast(Decoder, importlib.import_module(DECODERS[name]))
