"""Where a video's frames are, from its packets alone: nothing is decoded."""

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
    "FLV": "flv",
    "GIF": "gif",
    "MP4": "mov",
    "MPEG-PS": "mpeg",
    "MPEG-TS": "mpegts",
    "Matroska": "matroska",
    "Ogg": "ogg",
    "PNG": "apng",
}
"""FFmpeg's demuxer for each container that `kinds.sniff` names. Naming it keeps the others, which follow playlists to
other files, out of reach."""

LENIENT_TAG_OPTIONS: Final[dict[str, Any]] = (
    {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
)
"""What `av.open` needs so that a title in Latin-1 refuses no file; PyAV 19 takes every tag and has no such argument."""

DEMUX_ERRORS: Final = (av.FFmpegError, IndexError)
"""What demuxing raises where a file breaks; IndexError when a stream turns up that was not there at the start."""


@dataclass(frozen=True)
class PacketIndex:
    """The frames that are shown, in the order they are shown."""

    pts: NDArray[np.int64]  # (n,) presentation timestamps in units of the stream's time base, rising
    is_key: NDArray[np.bool_]  # (n,) decodes without other frames
    key_pts: NDArray[np.int64]  # (k,) of every key packet, those that an edit list hides too, rising
    key_dts: NDArray[np.int64]  # (k,) decoding timestamps of the same packets
    end: int  # timestamp at which the last frame ends
    hidden: bool  # an edit list cuts packets off
    open_groups: bool  # frames shown before a key frame come after it and need those before it


def open_container(path: Path, container: str) -> tuple[InputContainer, av.VideoStream]:
    """Open a file as a container that `kinds.sniff` names, and its main video stream, to be decoded in one thread.

    Raises:
        MediaError: "unsupported" or "corrupt".
    """
    try:
        # file: because a name may hold what FFmpeg takes for a protocol
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
    """Read a video stream from where the container stands to its end, or to where it breaks.

    Packets that an edit list cuts off, and those without any time, are left out.

    Args:
        by_decoding: take the timestamps of decoding for those of presentation.
    """
    found: dict[int, tuple[bool, int]] = {}
    keys: dict[int, int] = {}
    hidden = open_groups = False
    with contextlib.suppress(*DEMUX_ERRORS):  # the packets before a break are good
        for packet in container.demux(stream):
            time = packet_time(packet, by_decoding=by_decoding)
            if time is None or packet.size == 0:
                continue
            hidden = hidden or packet.is_discard
            open_groups = open_groups or (len(keys) > 1 and time < next(reversed(keys)))
            if packet.is_keyframe:
                keys.setdefault(time, time if packet.dts is None else packet.dts)
            if not packet.is_discard:
                found.setdefault(time, (packet.is_keyframe, packet.duration or 0))
    pts = np.array(sorted(found), np.int64)
    is_key = np.array([found[int(time)][0] for time in pts], np.bool_)
    end = 0
    if pts.size:
        gap = int(np.median(np.diff(pts))) if pts.size > 1 else 0
        end = int(pts[-1]) + (found[int(pts[-1])][1] or gap)
    key_pts = sorted(keys)
    key_dts = np.array([keys[time] for time in key_pts], np.int64)
    return PacketIndex(pts, is_key, np.array(key_pts, np.int64), key_dts, end, hidden, open_groups)


def packet_time(packet: av.Packet[av.VideoStream], *, by_decoding: bool = False) -> int | None:
    """When a packet's frame is shown, in units of its stream's time base; when it is decoded, where that is unknown."""
    return packet.dts if by_decoding or packet.pts is None else packet.pts


def video_format(path: Path) -> str:
    """The container of a video, as `kinds.sniff` names it from the first bytes.

    Raises:
        MediaError: "missing", "forbidden", or "corrupt" or "unsupported" with what the file is instead.
    """
    with open_regular(path) as file:
        head = file.read(SNIFF_BYTES)
    found = sniff(head)
    if found in VIDEO_FORMATS or found in ANIMATION_FORMATS:
        return str(found)
    if not head:
        raise MediaError("corrupt", f"{path} is empty (0 bytes); replace it")
    if found is None:
        raise MediaError("corrupt", f"{path} is not a video (it starts with {head[:8]!r}); replace it")
    if found in PICTURE_FORMATS:
        raise MediaError("unsupported", f"{path} is a picture ({found}), not a video; list it under images")
    raise MediaError("unsupported", f"{path} is {found}, not a video; give an MP4, WebM or Matroska file")


def broken_video_error(path: Path, error: Exception) -> MediaError:
    """What FFmpeg's complaint about a file means."""
    if isinstance(error, MemoryError):
        return MediaError("too_large", f"{path} needs more memory than a decoder may use; make it smaller")
    detail = " ".join((getattr(error, "strerror", None) or str(error)).split())[:100]
    return MediaError("corrupt", f"{path} is a broken or truncated video ({detail}); replace it")
