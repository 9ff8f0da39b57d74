"""The child that watches one stream: a request on stdin, events and frames on stdout. Never imports torch.

Run as `python -m firstsight.media.live.live_worker MEMORY_BYTES` by `LiveSampler`. Its messages: `ready`; `at`, the
stream's clock, once a second while packets come; `size`, with `at` and the pixels of a frame; and at last `ended`, or
`reason` and `message`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import av
from av.container import InputContainer
from av.stream import Discard

from firstsight.errors import MediaError
from firstsight.media.child_processes import child_messages
from firstsight.media.child_processes.child_limits import detach_standard_pipes, limit_process, limit_time
from firstsight.media.decode.frame_pictures import to_picture
from firstsight.media.decode.packet_index import LENIENT_TAG_OPTIONS, open_container, packet_time, video_format
from firstsight.media.fetch.network_guard import GuardedBackend, is_public, look_up

if TYPE_CHECKING:
    from firstsight.media.live.live_http import LiveHttp

_GRACE_S: Final = 5.0
_CLOCK_INTERVAL_S: Final = 1.0
_NEVER: Final = float("inf")
_TIME_TOLERANCE_S: Final = 0.002  # timestamps are rounded to a millisecond in some containers
_RTSP_PORTS: Final = {"rtsp": 554, "rtsps": 322}

_HTTP_FORMATS: Final = "hls,mpegts,flv,mov,matroska,ogg,asf,aac,mp3,ac3,eac3,webvtt"
"""FFmpeg's demuxers for what comes over http(s): none but hls names further addresses. The last five are the sound and
the subtitles that a playlist may list beside its pictures."""


_FAST_PROBE_OPTIONS: Final = {"analyzeduration": "2000000", "fpsprobesize": "1"}
"""Two seconds of a stream are looked at before its first frame; FFmpeg takes five, and counts twenty frames."""

HTTP_OPTIONS: Final = {
    "protocol_whitelist": "http,https",
    "format_whitelist": _HTTP_FORMATS,
    # FFmpeg's own defences against playlists that name files, which here have to go through `LiveHttp` anyway
    "extension_picky": "0",
    "allowed_extensions": "ALL",
    "allowed_segment_extensions": "ALL",
    "http_persistent": "0",  # FFmpeg would look for its own connections behind what `io_open` gives
    "http_multiple": "0",
    **_FAST_PROBE_OPTIONS,
}


def main(memory_bytes: int) -> None:
    """Watch the stream that is asked for until it ends."""
    requests, answers = detach_standard_pipes()
    limit_process(memory_bytes)
    child_messages.send(answers, {"ready": os.getpid()})
    try:
        request, _ = child_messages.receive(requests)
        try:
            for header, body in _watch(request):
                limit_time(0)  # the parent may take its time, and its death ends the write
                child_messages.send(answers, header, body)
                limit_time(float(request["stall_s"]) + _GRACE_S)
        except MediaError as error:
            child_messages.send(answers, {"reason": error.reason, "message": str(error)})
        except MemoryError:
            message = f"{request['name']} needs more memory than a decoder may use; watch a smaller variant of it"
            child_messages.send(answers, {"reason": "too_large", "message": message})
    except (EOFError, BrokenPipeError):  # the parent is gone
        os._exit(0)  # not through the interpreter's end, which would flush into the broken pipe


def _watch(request: child_messages.Header) -> Iterator[tuple[child_messages.Header, list[bytes]]]:
    limit_time(float(request["stall_s"]) + _GRACE_S)
    http = None
    if "path" in request:
        path = Path(request["path"])
        container, stream = open_container(path, video_format(path))
    elif urlsplit(request["url"]).scheme in _RTSP_PORTS:
        container, stream = _open_rtsp(request)
    else:
        from firstsight.media.live.live_http import LiveHttp  # httpx: nothing that a file or a camera needs

        http = LiveHttp(GuardedBackend(allow_private=request["allow_private"]), wait_s=request["stall_s"])
        container, stream = _open_http(request, http)
    with contextlib.closing(container):
        hls = container.format.name == "hls"
        aspect = float(stream.codec_context.sample_aspect_ratio or 1)
        spoke = 0.0
        for at, frame in _frames(request, container, stream):
            if frame is not None:
                _check_size(request, frame.width, frame.height)
                picture = to_picture(frame, request["min_side"], aspect)
                yield {"at": at, "size": picture.size, "hls": hls}, [picture.tobytes()]
            elif time.monotonic() - spoke < _CLOCK_INTERVAL_S:
                continue
            else:
                yield {"at": at}, []
            spoke = time.monotonic()
    if http is not None:
        yield {"ended": True, "lost": not hls and not (http.first and http.first.length_known)}, []
    else:  # RTSP says the same of a stream that is over and of one that was cut off
        yield {"ended": True, "lost": "path" not in request}, []


def _open_http(request: child_messages.Header, http: LiveHttp) -> tuple[InputContainer, av.VideoStream]:
    with _stream_errors_as_media_errors(request):
        container = av.open(request["url"], io_open=http.open, options=HTTP_OPTIONS, **LENIENT_TAG_OPTIONS)
    return container, _choose_stream(request, container)


def _open_rtsp(request: child_messages.Header) -> tuple[InputContainer, av.VideoStream]:
    address = urlsplit(request["url"])
    host = address.hostname or ""
    try:
        found = look_up(host, address.port or _RTSP_PORTS[address.scheme])
    except (OSError, ValueError) as error:
        raise MediaError("unreachable", f"{host} cannot be looked up: {error}; correct the address") from error
    for numeric in found:
        if not request["allow_private"] and not is_public(numeric):
            raise MediaError(
                "forbidden", f"{host} is at {numeric}, which is not a public address; allow it with --allow-private"
            )
    options = {
        "rtsp_transport": "tcp",  # one connection; over UDP the server would say where packets come from
        "allowed_media_types": "video",
        "protocol_whitelist": "rtsp,rtsps,rtp,tcp,tls",
        "timeout": str(int(request["stall_s"] * 1e6)),
        **_FAST_PROBE_OPTIONS,
    }
    with _stream_errors_as_media_errors(request):
        container = av.open(request["url"], format="rtsp", options=options, **LENIENT_TAG_OPTIONS)
    return container, _choose_stream(request, container)


def _choose_stream(request: child_messages.Header, container: InputContainer) -> av.VideoStream:
    """The smallest picture that is large enough, so that of a stream's variants only that one is fetched."""
    streams = [stream for stream in container.streams.video if stream.codec_context is not None]
    if not streams:
        container.close()
        raise MediaError("unsupported", f"{request['name']} has no video that can be decoded; name another stream")
    wanted = request["min_side"] or sys.maxsize

    def side(stream: av.VideoStream) -> int:
        return min(stream.codec_context.width, stream.codec_context.height)

    enough = [stream for stream in streams if side(stream) >= wanted]
    chosen = min(enough, key=side) if enough else max(streams, key=side)
    for other in container.streams:
        if other.index != chosen.index:
            other.discard = Discard.all
    chosen.codec_context.thread_count = 1  # bounds memory, and puts frames out without delay
    _check_size(request, chosen.codec_context.width, chosen.codec_context.height)
    return chosen


def _frames(
    request: child_messages.Header, container: InputContainer, stream: av.VideoStream
) -> Iterator[tuple[float, av.VideoFrame | None]]:
    """The stream's clock at each packet, or with each frame that is due: one every `every_s` seconds of it.

    Where key frames come often enough they alone are decoded. That is known from the second one on.
    """
    every_s, unit = float(request["every_s"]), float(stream.time_base or 1)
    context = stream.codec_context
    due = at = -_NEVER
    origin: float | None = None  # the first frame since the clock began
    last_key: float | None = None
    keys_only = False
    with _stream_errors_as_media_errors(request):
        for packet in container.demux(stream):
            stamp = packet_time(packet)
            if stamp is None and packet.size:
                continue
            before, at = at, at if stamp is None else stamp * unit
            if at < before - every_s - 1:  # the clock began again
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
        if alone and packet.size:  # out with it now, not when the next one comes
            frames += context.decode(None)
            context.flush_buffers()
    except (av.InvalidDataError, EOFError):  # a broken packet, or an empty decoder
        return []
    return frames


def _check_size(request: child_messages.Header, width: int, height: int) -> None:
    if width * height > request["max_pixels"]:
        raise MediaError(
            "too_large",
            f"{request['name']} has frames of {width} x {height} pixels, above the limit of "
            f"{request['max_pixels']:,}; watch a smaller variant of it",
        )


@contextlib.contextmanager
def _stream_errors_as_media_errors(request: child_messages.Header) -> Iterator[None]:
    """What FFmpeg's complaint about a stream means; what `LiveHttp` raised comes through as it is."""
    try:
        yield
    except MemoryError:
        raise
    except (av.InvalidDataError, av.error.DemuxerNotFoundError) as error:
        raise MediaError("corrupt", f"{request['name']} is no stream that can be read; name another") from error
    except (av.FFmpegError, ValueError) as error:
        detail = getattr(error, "strerror", None) or type(error).__name__  # not all of it: it has the whole address
        raise MediaError("unreachable", f"{request['name']} broke off ({detail}); see that it is running") from error


if __name__ == "__main__":
    main(int(sys.argv[1]))
