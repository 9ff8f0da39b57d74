"""The child that reads one stream: it takes a request from stdin and writes messages with frames to stdout.

`LiveSampler` runs it as `python -m firstsight.media.live.live_worker MEMORY_BYTES`. It never imports torch. Its
messages, by their keys:

    ready            the child has started
    at               the stream's clock, once a second while packets arrive
    at, size         a frame, with its pixels as the body; `functions` says whether functions for facts run on it next
    working          one of these functions has ended
    facts            what they found in that frame, as the body
    ended            the end of the stream
    reason, message  a failure, which ends the child
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import av
from av.container import InputContainer
from av.stream import Discard

from firstsight.errors import MediaError
from firstsight.media.child_processes import child_messages
from firstsight.media.child_processes.child_limits import detach_standard_pipes, limit_process, limit_time
from firstsight.media.child_processes.child_process import WORKING
from firstsight.media.decode.fact_functions import FactFunctions
from firstsight.media.decode.frame_pictures import to_picture
from firstsight.media.decode.packet_index import LENIENT_TAG_OPTIONS, open_container, packet_time, video_format
from firstsight.media.fetch.network_guard import GuardedBackend, is_public, look_up
from firstsight.media.policy import check_frame_size

if TYPE_CHECKING:
    from firstsight.media.live.live_http import LiveHttp

_GRACE_S: Final = 5.0
_CLOCK_INTERVAL_S: Final = 1.0
_NEVER: Final = float("inf")
_TIME_TOLERANCE_S: Final = 0.002  # some containers round timestamps to a millisecond
_RTSP_PORTS: Final = {"rtsp": 554, "rtsps": 322}
_SMALLER_STREAM: Final = "watch a smaller variant of it"

_HTTP_FORMATS: Final = "hls,mpegts,flv,mov,matroska,ogg,asf,aac,mp3,ac3,eac3,webvtt"
"""FFmpeg's demuxers for streams over http(s). Only hls names further addresses. The last five are for sound and
subtitles that a playlist may list in addition to its pictures."""


_FAST_PROBE_OPTIONS: Final = {"analyzeduration": "2000000", "fpsprobesize": "1"}
"""Probe two seconds of a stream before its first frame. FFmpeg's default is five seconds and twenty frames."""

HTTP_OPTIONS: Final = {
    "protocol_whitelist": "http,https",
    "format_whitelist": _HTTP_FORMATS,
    # FFmpeg's own checks of playlists that name files: every address passes `LiveHttp` anyway
    "extension_picky": "0",
    "allowed_extensions": "ALL",
    "allowed_segment_extensions": "ALL",
    "http_persistent": "0",  # FFmpeg would expect its own connections behind the files of `io_open`
    "http_multiple": "0",
    **_FAST_PROBE_OPTIONS,
}


def main(memory_bytes: int) -> None:
    """Read the requested stream until it ends."""
    requests, answers = detach_standard_pipes()
    limit_process(memory_bytes)
    child_messages.send(answers, {"ready": os.getpid()})
    try:
        request, _ = child_messages.receive(requests)
        limit_s = max(float(request["stall_s"]), float(request["functions_timeout_s"])) + _GRACE_S

        def send(header: child_messages.Header, body: Sequence[bytes] = ()) -> None:
            limit_time(0)  # the parent may be slow; if it ends, so does the write
            child_messages.send(answers, header, body)
            limit_time(limit_s)

        limit_time(limit_s)
        try:
            for header, body in _watch(request, lambda: send({WORKING: True})):
                send(header, body)
        except (MediaError, MemoryError) as error:
            child_messages.send(answers, child_messages.failure_header(error, request["name"], _SMALLER_STREAM))
    except (EOFError, BrokenPipeError):  # the parent has ended
        os._exit(0)  # a normal exit of the interpreter would flush into the broken pipe


def _watch(
    request: child_messages.Header, working: Callable[[], None]
) -> Iterator[tuple[child_messages.Header, list[bytes]]]:
    functions = FactFunctions(request["facts"], working)
    http = None
    if "path" in request:
        path = Path(request["path"])
        container, stream = open_container(path, video_format(path))
    elif urlsplit(request["url"]).scheme in _RTSP_PORTS:
        container, stream = _open_rtsp(request)
    else:
        from firstsight.media.live.live_http import LiveHttp  # imports httpcore, which files and cameras do not need

        http = LiveHttp(GuardedBackend(allow_private=request["allow_private"]), wait_s=request["stall_s"])
        container, stream = _open_http(request, http)
    with contextlib.closing(container):
        hls = container.format.name == "hls"
        aspect = float(stream.codec_context.sample_aspect_ratio or 1)
        last_sent = 0.0
        for at, frame in _frames(request, container, stream):
            if frame is not None:
                _check_size(request, frame.width, frame.height)
                picture = to_picture(frame, request["min_side"], aspect)
                header = {"at": at, "size": picture.size, "hls": hls, "functions": bool(functions)}
                yield header, [picture.tobytes()]  # first, so that no function can cost the frame
                if functions:
                    found = functions.find_in_frame(to_picture(frame, None, aspect))
                    encoded = child_messages.encode_facts([found])
                    yield {"facts": len(encoded)}, [encoded]
            elif time.monotonic() - last_sent < _CLOCK_INTERVAL_S:
                continue
            else:
                yield {"at": at}, []
            last_sent = time.monotonic()
    if http is not None:
        yield {"ended": True, "lost": not hls and not (http.first and http.first.length_known)}, []
    else:  # RTSP does not tell the end of a stream from a lost connection
        yield {"ended": True, "lost": "path" not in request}, []


def _open_http(request: child_messages.Header, http: LiveHttp) -> tuple[InputContainer, av.VideoStream]:
    with _stream_errors_as_media_errors(request):
        container = av.open(request["url"], io_open=http.open, options=HTTP_OPTIONS, **LENIENT_TAG_OPTIONS)
    return container, _choose_stream(request, container)


def _open_rtsp(request: child_messages.Header) -> tuple[InputContainer, av.VideoStream]:
    address = urlsplit(request["url"])
    host = address.hostname or ""
    try:
        numeric_addresses = look_up(host, address.port or _RTSP_PORTS[address.scheme])
    except (OSError, ValueError) as error:
        raise MediaError("unreachable", f"{host} cannot be looked up: {error}; correct the address") from error
    for numeric in numeric_addresses:
        if not request["allow_private"] and not is_public(numeric):
            raise MediaError(
                "forbidden", f"{host} is at {numeric}, which is not a public address; allow it with --allow-private"
            )
    options = {
        "rtsp_transport": "tcp",  # one connection; over UDP the server would choose the source of the packets
        "allowed_media_types": "video",
        "protocol_whitelist": "rtsp,rtsps,rtp,tcp,tls",
        "timeout": str(int(request["stall_s"] * 1e6)),
        **_FAST_PROBE_OPTIONS,
    }
    with _stream_errors_as_media_errors(request):
        container = av.open(request["url"], format="rtsp", options=options, **LENIENT_TAG_OPTIONS)
    return container, _choose_stream(request, container)


def _choose_stream(request: child_messages.Header, container: InputContainer) -> av.VideoStream:
    """Choose the smallest variant of a stream that is large enough. Only that one is fetched."""
    streams = [stream for stream in container.streams.video if stream.codec_context is not None]
    if not streams:
        container.close()
        raise MediaError("unsupported", f"{request['name']} has no video that can be decoded; use another stream")
    min_side = request["min_side"] or sys.maxsize

    def side(stream: av.VideoStream) -> int:
        return min(stream.codec_context.width, stream.codec_context.height)

    large_enough = [stream for stream in streams if side(stream) >= min_side]
    chosen = min(large_enough, key=side) if large_enough else max(streams, key=side)
    for other in container.streams:
        if other.index != chosen.index:
            other.discard = Discard.all
    chosen.codec_context.thread_count = 1  # limits memory, and returns frames without delay
    _check_size(request, chosen.codec_context.width, chosen.codec_context.height)
    return chosen


def _frames(
    request: child_messages.Header, container: InputContainer, stream: av.VideoStream
) -> Iterator[tuple[float, av.VideoFrame | None]]:
    """Yield the stream's clock with each packet, and with each frame that is due: one every `every_s` seconds.

    If key frames come often enough, only they are decoded. This is known from the second key frame on.
    """
    every_s, unit = float(request["every_s"]), float(stream.time_base or 1)
    context = stream.codec_context
    due = at = -_NEVER
    origin: float | None = None  # the first frame since the clock started
    last_key: float | None = None
    keys_only = False
    with _stream_errors_as_media_errors(request):
        for packet in container.demux(stream):
            stamp = packet_time(packet)
            if stamp is None and packet.size:
                continue
            before, at = at, at if stamp is None else stamp * unit
            if at < before - every_s - 1:  # the clock restarted
                due, origin, last_key = -_NEVER, None, None
            if packet.is_keyframe:
                was, keys_only = keys_only, last_key is not None and 0 < at - last_key <= every_s + _TIME_TOLERANCE_S
                last_key = at
                if keys_only and not was:
                    context.flush_buffers()
            yield at, None
            if keys_only and packet.size and not (packet.is_keyframe and at >= due - _TIME_TOLERANCE_S):
                continue
            for frame in _decoded(context, packet, alone=keys_only):
                shown = at if frame.pts is None else frame.pts * unit
                if shown >= due - _TIME_TOLERANCE_S:
                    origin = shown if origin is None else origin
                    due = origin + ((shown - origin + _TIME_TOLERANCE_S) // every_s + 1) * every_s
                    yield shown, frame


def _decoded(context: av.VideoCodecContext, packet: av.Packet[Any], *, alone: bool) -> list[av.VideoFrame]:
    try:
        frames = context.decode(packet if packet.size else None)
        if alone and packet.size:  # flush the frame now, not with the next packet
            frames += context.decode(None)
            context.flush_buffers()
    except (av.InvalidDataError, EOFError):  # a broken packet, or an empty decoder
        return []
    return frames


def _check_size(request: child_messages.Header, width: int, height: int) -> None:
    check_frame_size(request["name"], width, height, request["max_pixels"], _SMALLER_STREAM)


@contextlib.contextmanager
def _stream_errors_as_media_errors(request: child_messages.Header) -> Iterator[None]:
    """Raise FFmpeg's errors about a stream as MediaError. Errors of `LiveHttp` pass through."""
    try:
        yield
    except MemoryError:
        raise
    except (av.InvalidDataError, av.error.DemuxerNotFoundError) as error:
        raise MediaError("corrupt", f"{request['name']} is not a readable stream; use another") from error
    except (av.FFmpegError, ValueError) as error:
        detail = getattr(error, "strerror", None) or type(error).__name__  # the message has the full address
        raise MediaError(
            "unreachable", f"{request['name']} was interrupted ({detail}); check that it is running"
        ) from error


if __name__ == "__main__":
    main(int(sys.argv[1]))
