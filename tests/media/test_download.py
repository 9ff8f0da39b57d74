"""Downloads retry failures that may pass, and resume interrupted transfers."""

from __future__ import annotations

import io
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest

from firstsight.errors import MediaError
from firstsight.media.fetch.download import Version, download, has_changed
from firstsight.media.fetch.fetched_media import fetch_bytes, fetch_file
from firstsight.media.fetch.http_source import HttpSource
from firstsight.media.fetch.network_guard import GuardedBackend
from firstsight.media.policy import MediaPolicy

if TYPE_CHECKING:
    from tests.media.conftest import Server

QUICK = MediaPolicy(allow_private=True, timeout_s=5.0, backoff_s=0.01)
BODY = bytes(range(256)) * 2000
Step = Callable[[BaseHTTPRequestHandler], None]


def refusal(url: str, policy: MediaPolicy = QUICK) -> MediaError:
    with pytest.raises(MediaError) as caught:
        fetch_bytes(url, policy)
    return caught.value


def status(code: int, **headers: str) -> Step:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def whole(body: bytes = BODY, **headers: str) -> Step:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def cut(sent: int, body: bytes = BODY, **headers: str) -> Step:
    """Announce the whole body, send a part of it and close the connection."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[:sent])
        request.close_connection = True

    return answer


def rest(body: bytes = BODY, *, shift: int = 0) -> Step:
    """Send the requested range, or a range moved by `shift` bytes."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-")) + shift
        request.send_response(206)
        request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        request.wfile.write(body[start:])

    return answer


def play(server: Server, steps: Sequence[Step], path: str = "/a.jpg") -> str:
    """Serve one step per request; repeat the last step for later requests."""
    left = list(steps)
    server.routes[path] = lambda request: (left.pop(0) if len(left) > 1 else left[0])(request)
    return server.url(path)


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_asked_again(code: int, server: Server) -> None:
    assert fetch_bytes(play(server, [status(code), status(code), whole()]), QUICK) == BODY
    assert len(server.requests) == 3


@pytest.mark.parametrize("code", [400, 401, 403, 404, 408, 410, 418])
def test_a_request_that_was_refused_is_not_repeated(code: int, server: Server) -> None:
    assert "tried" not in str(refusal(play(server, [status(code), whole()])))
    assert len(server.requests) == 1


def test_the_tries_are_bounded_and_told(server: Server) -> None:
    error = refusal(play(server, [status(503)]))
    assert error.reason == "unreachable"
    assert "503" in str(error)
    assert "tried 4 times" in str(error)
    assert len(server.requests) == 4


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_obeyed(as_date: bool, server: Server) -> None:
    asked: list[float] = []

    def note(step: Step) -> Step:
        def answer(request: BaseHTTPRequestHandler) -> None:
            asked.append(time.time())
            step(request)

        return answer

    def busy(request: BaseHTTPRequestHandler) -> None:
        after = formatdate(time.time() + 2, usegmt=True) if as_date else "1"
        status(429, Retry_After=after)(request)

    assert fetch_bytes(play(server, [note(busy), note(whole())]), QUICK) == BODY
    assert asked[1] - asked[0] >= 0.95  # dates have whole seconds: the wait is between one and two


def test_a_retry_after_beyond_the_time_limit_is_not_waited_for(server: Server) -> None:
    error = refusal(play(server, [status(429, Retry_After="3600"), whole()]))
    assert error.reason == "unreachable"
    assert "tried 1 time, and the server asks to wait 3600 s" in str(error)
    assert len(server.requests) == 1


def test_waits_double_and_are_drawn_by_chance(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    drawn: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        drawn.append((low, high))
        return low

    monkeypatch.setattr(random, "uniform", draw)
    fetch_bytes(play(server, [status(503), status(503), status(503), whole()]), QUICK)
    assert drawn == [(0, 0.01), (0, 0.02), (0, 0.04)]


def test_all_tries_lie_within_the_time_limit(server: Server) -> None:
    policy = MediaPolicy(allow_private=True, timeout_s=0.5, backoff_s=0.0, tries=1000)

    def silent(request: BaseHTTPRequestHandler) -> None:
        server.released.wait(10)

    server.routes["/a.jpg"] = silent
    started = time.monotonic()
    error = refusal(server.url("/a.jpg"), policy)
    assert error.reason == "timeout"
    assert "tried" in str(error)
    assert time.monotonic() - started < 3


def test_a_server_that_hangs_once_is_asked_again(server: Server) -> None:
    def silent(request: BaseHTTPRequestHandler) -> None:
        server.released.wait(10)

    policy = MediaPolicy(allow_private=True, timeout_s=2.0, backoff_s=0.0)  # each wait may take half of it
    assert fetch_bytes(play(server, [silent, whole()]), policy) == BODY


def test_a_dropped_download_goes_on_where_it_was_cut(server: Server) -> None:
    url = play(server, [cut(200_000, ETag='"v1"'), rest()], "/clip.mp4")
    with fetch_file(url, QUICK) as path:
        assert path.read_bytes() == BODY
    first, second = server.requests
    assert "range" not in first
    start = int(second["range"].removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= 200_000
    assert second["if-range"] == '"v1"'


def test_a_file_that_changed_meanwhile_is_begun_anew(server: Server) -> None:
    other = BODY[::-1]
    url = play(server, [cut(200_000, ETag='"v1"'), whole(other, ETag='"v2"')])
    assert fetch_bytes(url, QUICK) == other
    assert server.requests[1]["if-range"] == '"v1"'


def test_parts_that_do_not_fit_are_thrown_away(server: Server) -> None:
    url = play(server, [cut(200_000, ETag='"v1"'), rest(shift=7), whole()])
    assert fetch_bytes(url, QUICK) == BODY
    assert "range" not in server.requests[2]


def test_a_date_is_a_validator_once_it_has_passed(server: Server) -> None:
    old = formatdate(1_000_000_000, usegmt=True)
    assert fetch_bytes(play(server, [cut(200_000, Last_Modified=old), rest()]), QUICK) == BODY
    assert server.requests[1]["if-range"] == old


@pytest.mark.parametrize("first", [cut(200_000), cut(200_000, ETag='W/"v1"')])
def test_without_a_strong_validator_a_download_begins_anew(first: Step, server: Server) -> None:
    assert fetch_bytes(play(server, [first, whole()]), QUICK) == BODY
    assert "range" not in server.requests[1]


def test_a_dropped_connection_is_named_with_its_tries(server: Server) -> None:
    error = refusal(play(server, [cut(10)]))
    assert error.reason == "unreachable"
    assert "tried 4 times" in str(error)


def endless(start: bytes) -> Step:
    """Send until the client closes the connection."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write(start)
        while True:
            request.wfile.write(bytes(1 << 16))

    return answer


@pytest.mark.parametrize(
    ("start", "says"),
    [(b"<!doctype html><html>", "is HTML"), (b"\xff\xd8\xff\xe0", "is a picture"), (b"PK\x03\x04", "is ZIP")],
)
def test_what_is_no_video_is_refused_by_its_first_bytes(start: bytes, says: str, server: Server) -> None:
    with pytest.raises(MediaError, match=says) as caught, fetch_file(play(server, [endless(start)]), QUICK):
        pass
    assert caught.value.reason == "unsupported"
    assert len(server.requests) == 1


def test_a_short_answer_is_looked_at_as_well(server: Server) -> None:
    url = server.answer("/clip.mp4", b"<!doctype html><html>gone</html>")
    with pytest.raises(MediaError, match="is HTML"), fetch_file(url, QUICK):
        pass


@pytest.mark.parametrize("start", [b"GIF89a", b"\x00\x00\x00\x18ftypisom", b"who knows"])
def test_what_may_be_a_video_is_fetched(start: bytes, server: Server) -> None:
    with fetch_file(server.answer("/clip", start + bytes(5000)), QUICK) as path:
        assert path.read_bytes() == start + bytes(5000)


def test_an_announced_size_above_the_limit_is_refused_before_the_body(server: Server) -> None:
    def huge(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(5 * 2**30))
        request.end_headers()
        server.released.wait(10)  # sends nothing

    server.routes["/clip.mp4"] = huge
    with pytest.raises(MediaError) as caught, fetch_file(server.url("/clip.mp4"), QUICK):
        pass
    assert caught.value.reason == "too_large"


def versioned(server: Server, version: str) -> str:
    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.headers["If-None-Match"] == version:
            status(304)(request)
        else:
            whole(ETag=version)(request)

    server.routes["/v.jpg"] = answer
    return server.url("/v.jpg")


def test_a_known_version_is_not_sent_again(server: Server) -> None:
    into = io.BytesIO()
    assert download(versioned(server, '"v1"'), into, QUICK, limit=10**6, known=Version('"v1"')) is None
    assert into.getvalue() == b""


def test_a_changed_version_is_seen(server: Server) -> None:
    url = versioned(server, '"v2"')
    assert not has_changed(url, Version('"v2"'), QUICK)
    assert has_changed(url, Version('"v1"'), QUICK)
    assert has_changed(url, Version(), QUICK)  # the server cannot tell


@pytest.mark.parametrize("etag", ['"\u00fc-1"', '"\u00c3\u00bc-1"'], ids=["Latin-1", "UTF-8"])
def test_a_version_may_have_any_characters(etag: str, server: Server) -> None:
    server.routes["/v.jpg"] = whole(ETag=etag)  # written in Latin-1
    sent = download(server.url("/v.jpg"), io.BytesIO(), QUICK, limit=10**6)
    assert sent is not None
    again = download(server.url("/v.jpg"), io.BytesIO(), QUICK, limit=10**6, known=sent.version)
    assert again == sent


def test_a_304_that_nobody_asked_for_is_unreachable(server: Server) -> None:
    assert refusal(play(server, [status(304)])).reason == "unreachable"


# ---- names


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """An event on which a resolver waits without an answer; set at the end."""
    released = threading.Event()
    yield released
    released.set()


def test_a_name_server_that_never_answers_runs_into_the_time_limit(stuck: threading.Event) -> None:
    def resolve(host: str, port: int) -> list[str]:
        stuck.wait(30)
        return ["93.184.216.34"]

    source = HttpSource(GuardedBackend(resolve=resolve))
    started = time.monotonic()
    with pytest.raises(MediaError) as caught, source.stream("http://shop.example/a.jpg", timeout_s=0.3):
        pass
    assert caught.value.reason == "timeout"
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(("number", "again"), [(socket.EAI_NONAME, False), (socket.EAI_AGAIN, True)])
def test_only_a_name_that_may_come_is_looked_up_again(number: int, again: bool) -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror(number, "no answer")

    source = HttpSource(GuardedBackend(resolve=resolve))
    with pytest.raises(MediaError, match="cannot be looked up") as caught:  # noqa: SIM117
        with source.stream("http://shop.example/a.jpg", timeout_s=5):
            pass
    assert caught.value.reason == "unreachable"
    assert (type(caught.value) is not MediaError) == again
