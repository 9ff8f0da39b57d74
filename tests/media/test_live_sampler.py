"""Live streams are sampled in real time, reconnect after a drop, and pass the same guard as all media."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import av
import httpcore
import pytest

from firstsight.errors import MediaError
from firstsight.media.fetch.network_guard import GuardedBackend
from firstsight.media.live import live_worker
from firstsight.media.live.live_http import LiveHttp
from firstsight.media.live.live_sampler import MAX_WAITING_FRAMES, LiveFrame, LiveSampler, strip_credentials
from firstsight.media.live.stream_clock import StreamClock
from firstsight.media.picture_facts import PictureFact
from firstsight.media.policy import MediaPolicy
from tests.media.conftest import Server
from tests.media.streams import (
    FolderServer,
    RtspServer,
    ffmpeg,
    grey,
    grey_clip,
    hls_in_real_time,
    needs_ffmpeg,
    write_hls,
)
from tests.ports import free_port

PRIVATE = MediaPolicy(allow_private=True)
WAIT_S = 30.0


def one(sampler: LiveSampler) -> LiveFrame:
    (frame,) = sampler.take(1, WAIT_S)
    return frame


def rest(sampler: LiveSampler) -> list[LiveFrame]:
    frames = []
    while not sampler.ended:
        frames += sampler.take(8, WAIT_S)
    return frames


def refused(source: str, policy: MediaPolicy | None = None) -> MediaError:
    with LiveSampler(source, every_s=1, policy=policy) as sampler, pytest.raises(MediaError) as caught:
        sampler.take(1, WAIT_S)
    return caught.value


@pytest.fixture
def folder_server(tmp_path: Path) -> Iterator[FolderServer]:
    (tmp_path / "hls").mkdir()
    server = FolderServer(tmp_path / "hls")
    yield server
    server.stop()


# ---- files


def test_a_file_is_sampled_to_its_end_on_its_own_clock(tmp_path: Path) -> None:
    with LiveSampler(grey_clip(tmp_path / "c.ts", 9), every_s=2, min_side=32) as sampler:
        frames = rest(sampler)
        assert sampler.error is None
    assert [(f.number, round(f.time_s, 3), grey(f.picture)) for f in frames] == [(n, 2 * n, 20 * n) for n in range(5)]
    assert {f.picture.size for f in frames} == {(64, 48)}


@pytest.mark.parametrize(("key_every", "decoded"), [(5, 5 + 3 + 1), (100, 80 + 1)])
def test_only_keyframes_that_are_due_are_decoded_where_they_come_often_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key_every: int, decoded: int
) -> None:
    clip = grey_clip(tmp_path / "c.ts", 8, key_every=key_every)
    decoder = Mock(wraps=live_worker._decoded)
    monkeypatch.setattr(live_worker, "_decoded", decoder)
    with av.open(str(clip)) as container:
        seen = list(live_worker._frames({"every_s": 2.0, "name": "c"}, container, container.streams.video[0]))
    shown = [at - seen[0][0] for at, frame in seen if frame is not None]
    assert shown == pytest.approx([0, 2, 4, 6], abs=1e-6)
    assert (
        decoder.call_count == decoded
    )  # all of the first group of pictures, since the next may come late; and the end


def test_a_file_that_is_no_video_or_is_missing_says_so(tmp_path: Path) -> None:
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\n/etc/hosts\n#EXT-X-ENDLIST\n")
    assert refused(str(tmp_path / "list.m3u8")).reason == "unsupported"
    assert refused(str(tmp_path / "none.mp4")).reason == "missing"


def test_a_files_decoder_waits_for_who_takes_its_frames(tmp_path: Path) -> None:
    with LiveSampler(grey_clip(tmp_path / "c.ts", 8), every_s=0.1) as sampler:
        first = one(sampler)
        frames = [first, *rest(sampler)]
        assert sampler.dropped == 0
    assert len(frames) == 80 > 2 * MAX_WAITING_FRAMES
    assert [f.number for f in frames] == list(range(80))


# ---- streams


def test_a_stream_with_a_title_in_latin_1_is_watched(tmp_path: Path, server: Server) -> None:
    clip = grey_clip(tmp_path / "c.flv", 2, container="flv", title="café").read_bytes()
    url = server.answer("/live", clip.replace("café".encode(), b"caf\xe9 "))
    with LiveSampler(url, every_s=1, policy=PRIVATE) as sampler:
        assert [grey(f.picture) for f in rest(sampler)] == [0, 10]


@pytest.mark.slow
@needs_ffmpeg
def test_a_playlist_is_followed_while_it_grows_and_ends_with_it(tmp_path: Path, folder_server: FolderServer) -> None:
    clip = grey_clip(tmp_path / "c.ts", 4)
    with (
        hls_in_real_time(clip, tmp_path / "hls") as encoder,
        LiveSampler(folder_server.url("live.m3u8"), every_s=1, policy=PRIVATE) as sampler,
    ):
        first = one(sampler)
        assert encoder.poll() is None, "the frame came when all was over"
        frames = [first, *rest(sampler)]
        assert encoder.wait() == 0
    assert sampler.error is None
    assert sampler.reconnects == 0
    assert [f.time_s for f in frames] == pytest.approx(range(4), abs=0.01)
    assert [grey(f.picture) for f in frames] == [0, 10, 20, 30]


@pytest.mark.slow
@needs_ffmpeg
def test_a_stream_that_is_cut_off_is_connected_to_again_and_time_goes_on(tmp_path: Path) -> None:
    clip = grey_clip(tmp_path / "c.ts", 20)
    url = f"http://127.0.0.1:{free_port()}/live"
    serve = ("-re", "-i", str(clip), "-c", "copy", "-f", "mpegts", "-listen", "1", url)
    events: list[str] = []
    with LiveSampler(url, every_s=0.5, policy=PRIVATE, on_event=events.append, stall_s=10) as sampler:
        with ffmpeg(*serve):
            frames = [one(sampler), one(sampler)]
        with ffmpeg(*serve) as second:
            while not (connected := [f for f in frames if f.time_s > frames[1].time_s and grey(f.picture) == 0]):
                frames += sampler.take(1, WAIT_S)
            assert second.poll() is None
    assert sampler.reconnects >= 1
    assert any("trying again in" in event for event in events)
    assert [f.number for f in frames] == list(range(len(frames)))
    times = [f.time_s for f in frames]
    assert times == sorted(set(times))
    assert connected


@pytest.mark.slow
def test_a_playlist_whose_server_restarts_gives_no_frame_twice(tmp_path: Path, folder_server: FolderServer) -> None:
    write_hls(tmp_path / "hls", grey_clip(tmp_path / "c.ts", 3), ended=False)
    events: list[str] = []
    url = folder_server.url("live.m3u8")
    with LiveSampler(url, every_s=1, policy=PRIVATE, on_event=events.append) as sampler:
        frames = [one(sampler), one(sampler), one(sampler)]
        folder_server.stop()
        while sampler.reconnects == 0:
            assert not sampler.ended, sampler.error
            frames += sampler.take(1, 0.05)
        write_hls(tmp_path / "hls", tmp_path / "c.ts", ended=True)
        folder_server.start()
        frames += rest(sampler)
        assert sampler.error is None
    assert len(frames) == 3, "the same seconds again"


@pytest.mark.slow
def test_a_decoder_that_is_killed_costs_its_connection_only(tmp_path: Path, folder_server: FolderServer) -> None:
    write_hls(tmp_path / "hls", grey_clip(tmp_path / "c.ts", 2), ended=False)
    with LiveSampler(folder_server.url("live.m3u8"), every_s=1, policy=PRIVATE) as sampler:
        one(sampler)
        pid = sampler.child_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        write_hls(tmp_path / "hls", tmp_path / "c.ts", ended=True)
        rest(sampler)
        assert sampler.error is None
        assert sampler.reconnects == 1


def test_a_stream_that_stalls_is_given_up_after_a_while(tmp_path: Path, server: Server) -> None:
    clip = grey_clip(tmp_path / "c.ts", 3).read_bytes()

    def stall(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        request.wfile.write(b"%x\r\n%s\r\n" % (len(clip), clip))
        request.wfile.flush()
        server.released.wait()

    server.routes["/live"] = stall
    events: list[str] = []
    with LiveSampler(
        server.url("/live"), every_s=1, policy=PRIVATE, stall_s=1.5, reconnect_for_s=0, on_event=events.append
    ) as sampler:
        frames = rest(sampler)
    assert [grey(f.picture) for f in frames] == [0, 10, 20]
    assert sampler.error is not None
    assert sampler.error.reason == "timeout"
    assert "given up after 0 seconds" in str(sampler.error)


@pytest.mark.slow
def test_a_body_whose_end_is_announced_ends_the_stream_and_another_does_not(tmp_path: Path, server: Server) -> None:
    clip = grey_clip(tmp_path / "c.ts", 1).read_bytes()
    whole = server.answer("/whole", clip)

    def cut(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write(clip)
        request.close_connection = True

    server.routes["/cut"] = cut
    with LiveSampler(whole, every_s=1, policy=PRIVATE, reconnect_for_s=0) as sampler:
        assert len(rest(sampler)) == 1
        assert sampler.error is None
    with LiveSampler(server.url("/cut"), every_s=1, policy=PRIVATE, reconnect_for_s=0) as sampler:
        assert len(rest(sampler)) == 1
        assert "the server closed the connection" in str(sampler.error)


def test_a_camera_is_watched_over_rtsp(tmp_path: Path) -> None:
    with closing(RtspServer(grey_clip(tmp_path / "c.ts", 4))) as camera:
        url = camera.url.replace("rtsp://", "rtsp://someone:secret@")
        with LiveSampler(url, every_s=1, policy=PRIVATE, reconnect_for_s=0) as sampler:
            frames = rest(sampler)
    assert [grey(f.picture) for f in frames] == [0, 10, 20, 30]
    assert "the server closed the connection" in str(sampler.error)
    assert "secret" not in str(sampler.error)
    assert sampler.name == camera.url


def test_the_oldest_frames_of_a_stream_are_dropped_when_nobody_takes_them(
    tmp_path: Path, folder_server: FolderServer
) -> None:
    write_hls(tmp_path / "hls", grey_clip(tmp_path / "c.ts", 4), ended=True)
    with LiveSampler(folder_server.url("live.m3u8"), every_s=0.1, policy=PRIVATE) as sampler:
        sampler._thread.join()
        frames = rest(sampler)
    assert [f.number for f in frames] == list(range(40 - MAX_WAITING_FRAMES, 40))
    assert sampler.dropped == 40 - MAX_WAITING_FRAMES


def test_closing_hangs_up_at_once_and_leaves_no_process(tmp_path: Path, folder_server: FolderServer) -> None:
    write_hls(tmp_path / "hls", grey_clip(tmp_path / "c.ts", 1), ended=False)
    with LiveSampler(folder_server.url("live.m3u8"), every_s=1, policy=PRIVATE) as sampler:
        one(sampler)
        pid = sampler.child_pid
        assert pid is not None
    assert sampler.error is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_fault_in_the_samplers_thread_reaches_who_takes_frames() -> None:
    def fault(event: str) -> None:
        raise ZeroDivisionError(event)

    url = f"http://127.0.0.1:{free_port()}/live"
    with LiveSampler(url, every_s=1, policy=PRIVATE, on_event=fault) as sampler, pytest.raises(ZeroDivisionError):
        sampler.take(1, WAIT_S)


# ---- the guard


@pytest.mark.slow
@pytest.mark.parametrize("url", ["http://127.0.0.1:9/live.m3u8", "https://localhost:9/x", "rtsp://127.0.0.1:9/camera"])
def test_a_private_address_is_refused_unless_allowed(url: str) -> None:
    error = refused(url)
    assert error.reason == "forbidden"
    assert "--allow-private" in str(error)


class TwoHosts(httpcore.SyncBackend):
    """A server of the test that the guard accepts as a public address."""

    def __init__(self, port: int) -> None:
        self._port = port

    def connect_tcp(self, host: str, port: int, *rest: Any, **options: Any) -> httpcore.NetworkStream:
        assert host == "93.184.216.34", f"a connection to {host}"
        return super().connect_tcp("127.0.0.1", self._port, *rest, **options)


def names(host: str, port: int) -> Sequence[str]:
    return {"cdn.test": ["93.184.216.34"], "inside.test": ["10.0.0.7"]}[host]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("http://inside.test/segment.ts", "10.0.0.7, which is not a public address"),
        ("/away", "10.0.0.7, which is not a public address"),
        ("http://169.254.169.254/latest", "169.254.169.254, which is not a public address"),
        ("file:///etc/passwd", None),  # FFmpeg refuses these itself, without a message
        ("tcp://inside.test:22", None),
        ("data:video/mp2t;base64,R0xvcnk=", None),
        ("concat:http://inside.test/a|http://inside.test/b", None),
    ],
)
def test_what_a_playlist_names_is_guarded_like_the_playlist(server: Server, entry: str, said: str | None) -> None:
    """FFmpeg opens no connection itself: for any entry, all connections go to cdn.test."""
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{entry}\n#EXT-X-ENDLIST\n"
    server.answer("/live.m3u8", playlist.encode())
    server.answer("/away", status=302, Location="http://inside.test/segment.ts")
    port = int(server.url("").rpartition(":")[2])
    hosts = {"169.254.169.254": ["169.254.169.254"]}
    backend = GuardedBackend(resolve=lambda host, p: hosts.get(host) or names(host, p), network=TwoHosts(port))
    with closing(LiveHttp(backend, wait_s=5)) as http, pytest.raises((MediaError, av.FFmpegError)) as caught:
        av.open("http://cdn.test/live.m3u8", io_open=http.open, options=live_worker.HTTP_OPTIONS)
    if said:
        assert said in str(caught.value)


def test_a_stream_is_followed_through_redirects_and_listed_variants(tmp_path: Path, server: Server) -> None:
    """Only the variant that is large enough is fetched beyond its beginning."""
    clip = grey_clip(tmp_path / "c.ts", 3).read_bytes()
    master = (
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n/moved.m3u8\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=2\nhttp://127.0.0.1:9/none.m3u8\n"
    )
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\na b.ts\n#EXT-X-ENDLIST\n"
    server.answer("/live.m3u8", master.replace("http://127.0.0.1:9/none", "/moved").encode())
    server.answer("/moved.m3u8", status=302, Location="/hls/list.m3u8")
    server.answer("/hls/list.m3u8", playlist.encode())
    server.answer("/a%20b.ts", clip)
    server.answer("/hls/a%20b.ts", clip)
    with LiveSampler(server.url("/live.m3u8"), every_s=1, policy=PRIVATE, reconnect_for_s=0) as sampler:
        frames = rest(sampler)
    assert sampler.error is None
    assert [grey(f.picture) for f in frames] == [0, 10, 20]


# ---- time and names


def test_time_follows_the_streams_clock_and_passes_over_its_jumps() -> None:
    clock = StreamClock(every_s=5)
    assert clock.place(1000, 0) == 0
    assert clock.place(1005, 1) == 5  # a playlist begins in the past, so it plays faster than real time
    assert clock.place(1010, 6) == 10
    assert clock.place(3, 10) == 14  # restarted: 4 seconds passed on this machine
    assert clock.place(8, 15) == 19
    assert clock.place(90_000, 20) == 24  # a jump


def test_what_a_playlist_serves_again_is_left_out() -> None:
    clock = StreamClock(every_s=1)
    clock.place(100, 0, repeats=True)
    assert clock.place(101, 1, repeats=True) == 1
    assert clock.place(99, 3, repeats=True) is None
    assert clock.place(101, 3, repeats=True) is None
    assert clock.place(102, 3, repeats=True) == 2
    assert clock.place(2, 5, repeats=True) == 4  # too far back to be a repetition


def test_names_have_no_passwords() -> None:
    assert strip_credentials("rtsp://me:pw@camera.test:554/x?y=1") == "rtsp://camera.test:554/x?y=1"
    assert strip_credentials("https://cdn.test/live.m3u8") == "https://cdn.test/live.m3u8"
    assert strip_credentials("a@b.mp4") == "a@b.mp4"


# ---- functions for facts


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], PictureFact]:
    """Make a fact of a function: sizes, broken, ends (on a bright frame) or hangs."""
    (tmp_path / "functions_of_a_stream.py").write_text(
        "import os, time\n"
        "def sizes(picture, source): return [*picture.size, source.width, source.height, source.part]\n"
        "def broken(picture, source): raise ValueError('no idea')\n"
        "def ends(picture, source):\n"
        "    if picture.getpixel((0, 0))[0] > 15: os._exit(3)\n"
        "def hangs(picture, source): time.sleep(600)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    return lambda name: PictureFact(name, f"functions_of_a_stream:{name}", "1", 24, ("image", "frame"))


def test_functions_get_each_frame_in_full_size_and_an_error_costs_only_that_fact(
    tmp_path: Path, functions: Callable[[str], PictureFact]
) -> None:
    clip = grey_clip(tmp_path / "c.ts", 3)
    facts = [functions("sizes"), functions("broken"), PictureFact("of_images", "none:none", "1")]
    with LiveSampler(clip, every_s=1, min_side=16, facts=facts) as sampler:
        frames = rest(sampler)
    assert [grey(f.picture) for f in frames] == [0, 10, 20]
    assert {f.picture.size for f in frames} == {(22, 16)}
    for frame in frames:
        assert frame.facts is not None
        assert frame.facts.values == {"sizes": [32, 24, 64, 48, "frame"]}
        assert frame.facts.errors == {"broken": "ValueError: no idea"}


@pytest.mark.parametrize(
    ("guilty", "first", "said"),
    [("ends", 2, "ended their process"), ("hangs", 0, "did not end within 1 seconds")],
)
def test_a_function_that_ends_or_hangs_the_child_costs_facts_and_no_frame(
    tmp_path: Path, functions: Callable[[str], PictureFact], guilty: str, first: int, said: str
) -> None:
    clip = grey_clip(tmp_path / "c.ts", 5)
    events: list[str] = []
    facts = [functions("sizes"), functions(guilty)]
    policy = MediaPolicy(timeout_s=1)
    with LiveSampler(clip, every_s=1, policy=policy, stall_s=1, facts=facts, on_event=events.append) as sampler:
        frames = rest(sampler)
        assert sampler.error is None
    assert [(f.number, grey(f.picture)) for f in frames] == [(n, 10 * n) for n in range(5)]
    assert [f.facts is not None and "sizes" in f.facts.values for f in frames] == [n < first for n in range(5)]
    failed = frames[first].facts
    assert failed is not None
    assert said in failed.errors[guilty]
    assert [f.facts for f in frames[first + 1 :]] == [None] * (4 - first)
    (event,) = events
    assert f"the functions for facts (sizes, {guilty}) {said}" in event
    assert event.endswith("firstsight facts update")


def test_a_stream_goes_on_without_functions_after_one_ended_its_child(
    tmp_path: Path, server: Server, functions: Callable[[str], PictureFact]
) -> None:
    url = server.answer("/live", grey_clip(tmp_path / "c.ts", 4).read_bytes())
    events: list[str] = []
    with LiveSampler(
        url, every_s=1, policy=PRIVATE, facts=[functions("ends")], reconnect_for_s=0, on_event=events.append
    ) as sampler:
        frames = rest(sampler)
        assert (sampler.error, sampler.reconnects) == (None, 1)
    assert [grey(f.picture) for f in frames] == [0, 10, 20, 0, 10, 20, 30]  # the server begins again
    assert len(events) == 1
