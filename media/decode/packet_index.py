"""Index of a video's frames, made from its packets without decoding."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from firstsight.errors import MediaError
from firstsight.media.file_formats import ANIMATION_FORMATS, PICTURE_FORMATS, SNIFF_BYTES, VIDEO_FORMATS, sniff
from firstsight.media.local_files import open_regular

DEMUXERS: Final = {
    "ASF": "asf",
    "AVI": "avi",
    "DV": "dv",
    "FLV": "flv",
    "GIF": "gif",
    "MP4": "mov",
    "MPEG-ES": "mpegvideo",
    "MPEG-PS": "mpeg",
    "MPEG-TS": "mpegts",
    "MXF": "mxf",
    "Matroska": "matroska",
    "Ogg": "ogg",
    "PNG": "apng",
}
"""FFmpeg's demuxer for each container that `file_formats.sniff` names. Setting it excludes other demuxers, which follow
playlists to other files."""

LENIENT_TAG_OPTIONS: Final[dict[str, Any]] = (
    {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
)
"""Arguments of `av.open` that accept titles in Latin-1. PyAV 19 accepts every tag and has no such argument."""

DEMUX_ERRORS: Final = (av.FFmpegError, IndexError)
"""Errors of demuxing a broken file. IndexError: a stream appears that was not there at the start."""


@dataclass(frozen=True)
class PacketIndex:
    """The frames of a video that are shown, in presentation order."""

    pts: NDArray[np.int64]  # (n,) presentation timestamps in units of the stream's time base, ascending
    is_key: NDArray[np.bool_]  # (n,) True if a frame can be decoded without others
    key_pts: NDArray[np.int64]  # (k,) of every key packet, even if an edit list hides it, ascending
    key_dts: NDArray[np.int64]  # (k,) decoding timestamps of the same packets
    end: int  # timestamp at which the last frame ends
    hidden: bool  # an edit list hides packets
    open_groups: bool  # frames shown before a key frame are stored after it and need earlier frames


def open_container(path: Path, container: str) -> tuple[InputContainer, av.VideoStream]:
    """Open a file's main video stream for decoding in one thread.

    Args:
        container: a key of `DEMUXERS`, as `video_format` returns it.

    Returns:
        The open container, which the caller closes, and its stream.

    Raises:
        MediaError: "unsupported" if there is no video that FFmpeg can decode, or the name is not UTF-8; "too_large" if
            it needs too much memory; "corrupt" if the file is broken.
    """
    try:
        # "file:" because FFmpeg could read the start of a name as a protocol
        options = {"protocol_whitelist": "file"}
        opened = av.open(f"file:{path}", format=DEMUXERS[container], options=options, **LENIENT_TAG_OPTIONS)
    except UnicodeEncodeError as error:
        raise MediaError("unsupported", f"{str(path)!r} is not a UTF-8 file name; rename the file") from error
    except (av.FFmpegError, ValueError) as error:
        raise broken_video_error(path, error) from error
    stream = opened.streams.best("video")
    if not isinstance(stream, av.VideoStream) or stream.codec_context is None:
        opened.close()
        raise MediaError(
            "unsupported", f"{path} has no video stream that can be decoded (only sound, or a rare codec); convert it"
        )
    stream.codec_context.thread_count = 1
    return opened, stream


def index_packets(container: InputContainer, stream: av.VideoStream, *, by_decoding: bool = False) -> PacketIndex:
    """Index a video stream from the container's position to its end, or to the first broken packet.

    Frames that an edit list hides and packets without a time are left out.

    Args:
        by_decoding: use decoding timestamps as presentation timestamps.
    """
    shown: dict[int, tuple[bool, int]] = {}
    keys: dict[int, int] = {}
    hidden = open_groups = False
    with contextlib.suppress(*DEMUX_ERRORS):  # packets before the broken part are good
        for packet in container.demux(stream):
            time = packet_time(packet, by_decoding=by_decoding)
            if time is None or packet.size == 0:
                continue
            hidden = hidden or packet.is_discard
            open_groups = open_groups or (len(keys) > 1 and time < next(reversed(keys)))
            if packet.is_keyframe:
                keys.setdefault(time, time if packet.dts is None else packet.dts)
            if not packet.is_discard:
                shown.setdefault(time, (packet.is_keyframe, packet.duration or 0))
    pts = np.array(sorted(shown), np.int64)
    is_key = np.array([shown[int(time)][0] for time in pts], np.bool_)
    end = 0
    if pts.size:
        gap = int(np.median(np.diff(pts))) if pts.size > 1 else 0
        end = int(pts[-1]) + (shown[int(pts[-1])][1] or gap)
    key_pts = sorted(keys)
    key_dts = np.array([keys[time] for time in key_pts], np.int64)
    return PacketIndex(pts, is_key, np.array(key_pts, np.int64), key_dts, end, hidden, open_groups)


def packet_time(packet: av.Packet[av.VideoStream], *, by_decoding: bool = False) -> int | None:
    """A packet's presentation time in units of the stream's time base; its decoding time if that is unknown."""
    return packet.dts if by_decoding or packet.pts is None else packet.pts


def video_format(path: Path) -> str:
    """Recognise the container of a video by its first bytes, as `file_formats.sniff`.

    Raises:
        MediaError: "missing" if there is no such file; "forbidden" if it is not a regular file or cannot be read;
            "corrupt" if it is empty or unknown; "unsupported" if it has another format, which the message names.
    """
    with open_regular(path) as file:
        head = file.read(SNIFF_BYTES)
    container = sniff(head)
    if container in VIDEO_FORMATS or container in ANIMATION_FORMATS:
        return str(container)
    if not head:
        raise MediaError("corrupt", f"{path} is empty (0 bytes); replace it")
    if container is None:
        raise MediaError("corrupt", f"{path} is not a video (it starts with {head[:8]!r}); replace it")
    if container in PICTURE_FORMATS:
        raise MediaError("unsupported", f"{path} is a picture ({container}), not a video; list it under images")
    raise MediaError("unsupported", f"{path} is {container}, not a video; use an MP4, WebM or Matroska file")


def broken_video_error(path: Path, error: Exception) -> MediaError:
    """The MediaError for an error of FFmpeg: "too_large" for a MemoryError, else "corrupt"."""
    if isinstance(error, MemoryError):
        return MediaError("too_large", f"{path} needs more memory than a decoder may use; make it smaller")
    detail = " ".join((getattr(error, "strerror", None) or str(error)).split())[:100]
    return MediaError("corrupt", f"{path} is a broken or truncated video ({detail}); replace it")
