"""Remote media are complete and identical, or give a MediaError with its reason, in limited time and memory."""

from __future__ import annotations

import gzip
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING

import certifi
import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from firstsight.errors import MediaError
from firstsight.media.fetch.fetched_media import fetch_bytes, fetch_file
from firstsight.media.fetch.http_requests import resolve_redirect, trusted_certificates
from firstsight.media.policy import MediaPolicy

if TYPE_CHECKING:
    from tests.media.conftest import Server

LOCAL = MediaPolicy(allow_private=True, timeout_s=5.0, backoff_s=0.01)
HURRIED = MediaPolicy(allow_private=True, timeout_s=0.4)
SMALL = MediaPolicy(
    allow_private=True, timeout_s=5.0, backoff_s=0.01, max_picture_bytes=100_000, max_video_bytes=100_000
)


def refusal(uri: str, policy: MediaPolicy = LOCAL) -> MediaError:
    with pytest.raises(MediaError) as caught:
        fetch_bytes(uri, policy)
    return caught.value


def test_bytes_arrive_as_they_were_sent(server: Server) -> None:
    body = bytes(range(256)) * 1000
    assert fetch_bytes(server.answer("/a.jpg", body), LOCAL) == body


def test_a_private_server_is_forbidden_by_default(server: Server) -> None:
    error = refusal(server.answer("/a.jpg", b"x"), MediaPolicy())
    assert error.reason == "forbidden"
    assert "--allow-private" in str(error)
    assert server.requests == []


def test_a_connection_made_with_permission_is_not_reused_without(server: Server) -> None:
    url = server.answer("/a.jpg", b"x")
    assert fetch_bytes(url, LOCAL) == b"x"
    assert refusal(url, MediaPolicy()).reason == "forbidden"


def test_a_redirect_is_followed(server: Server) -> None:
    server.answer("/new.jpg", b"moved")
    assert fetch_bytes(server.answer("/old.jpg", status=302, Location="/new.jpg"), LOCAL) == b"moved"


@pytest.mark.parametrize("location", ["/sch\u00f6n.jpg", "/sch%C3%B6n.jpg"])
def test_a_redirect_in_utf_8_is_followed(location: str, server: Server) -> None:
    server.answer("/sch%C3%B6n.jpg", b"moved")
    as_sent = location.encode().decode("latin-1")  # the test's server writes Latin-1
    assert fetch_bytes(server.answer("/old.jpg", status=302, Location=as_sent), LOCAL) == b"moved"


@pytest.mark.parametrize(
    "location", ["http://x/a", "HTTP://x/a", "\x01http://x/a", "h\tttp://x/a", "ftp://x/a", "javascript:1"]
)
def test_a_redirect_never_leaves_https(location: str) -> None:
    with pytest.raises(MediaError, match="redirects from https"):
        resolve_redirect("https://a.example/1.jpg", location, "https://a.example/1.jpg")


@pytest.mark.parametrize(
    ("location", "address"),
    [
        ("/b?c", "https://a.example/b?c"),
        ("//other.example/b", "https://other.example/b"),
        ("HTTPS://Other.example/b", "https://Other.example/b"),
        ("../b", "https://a.example/b"),
        ("/\\other.example/b", "https://a.example/\\other.example/b"),
    ],
)
def test_a_redirect_is_relative_to_its_address(location: str, address: str) -> None:
    assert resolve_redirect("https://a.example/x/1.jpg", location, "https://a.example/x/1.jpg") == address


def test_a_redirect_loop_is_unreachable(server: Server) -> None:
    error = refusal(server.answer("/loop.jpg", status=302, Location="/loop.jpg"))
    assert error.reason == "unreachable"
    assert "more than 5 times" in str(error)
    assert len(server.requests) == 6


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/a", "gopher://127.0.0.1:70/_x"])
def test_a_redirect_to_another_scheme_is_forbidden(target: str, server: Server) -> None:
    assert refusal(server.answer("/a.jpg", status=302, Location=target)).reason == "forbidden"


def test_a_redirect_to_nonsense_is_unreachable(server: Server) -> None:
    assert refusal(server.answer("/a.jpg", status=302, Location="http://[::1")).reason == "unreachable"


@pytest.mark.parametrize(
    ("status", "reason"),
    [(404, "missing"), (410, "missing"), (403, "unreachable"), (429, "unreachable"), (500, "unreachable")],
)
def test_a_status_other_than_200_is_named(status: int, reason: str, server: Server) -> None:
    error = refusal(server.answer("/a.jpg", b"<html>no</html>", status=status))
    assert error.reason == reason
    assert str(status) in str(error)


@pytest.mark.parametrize("status", [204, 206, 304])
def test_an_answer_that_is_not_the_whole_file_is_unreachable(status: int, server: Server) -> None:
    assert refusal(server.answer("/a.jpg", status=status)).reason == "unreachable"


def test_no_server_is_unreachable(server: Server) -> None:
    url = server.url("/a.jpg")
    server.close()
    assert refusal(url).reason == "unreachable"


@pytest.mark.parametrize("url", ["http://", "http:///a.jpg", "http://[::1/a.jpg", "http://a b/", "http://x:99999/"])
def test_an_address_that_is_none_is_a_media_error(url: str) -> None:
    assert refusal(url).reason in ("unreachable", "forbidden")


@pytest.mark.parametrize("url", ["http://127.0.0.1/" + "a" * 70_000, "http://" + "a" * 70_000, "http://x/\ud800"])
def test_an_address_that_cannot_be_sent_is_unreachable(url: str) -> None:
    error = refusal(url)
    assert error.reason == "unreachable"
    assert len(str(error)) < 2_000


def test_characters_that_no_address_may_have_are_encoded(server: Server) -> None:
    server.answer("/%22%3Ca%3E%7Bb%7D%7Cc%5C%5E%60%20%C3%A9.jpg", b"sent")
    assert fetch_bytes(server.url('/"<a>{b}|c\\^` \u00e9.jpg'), LOCAL) == b"sent"


def test_certificates_of_the_environment_replace_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Path(certifi.where()).read_text(encoding="ascii").partition("-----END CERTIFICATE-----\n")
    (tmp_path / "one.pem").write_text("".join(one[:2]), encoding="ascii")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    assert len(trusted_certificates().get_ca_certs()) > 50
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "one.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert len(trusted_certificates().get_ca_certs()) == 1


def test_an_address_with_a_password_is_forbidden_and_the_password_not_repeated(server: Server) -> None:
    error = refusal(server.answer("/a.jpg", b"x").replace("http://", "http://me:hunter2@"))
    assert error.reason == "forbidden"
    assert "hunter2" not in str(error)


def test_no_cookies_are_kept_and_nothing_of_ours_is_sent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    url = server.answer("/a.jpg", b"x", Set_Cookie="track=1; Path=/")
    fetch_bytes(url, LOCAL)
    fetch_bytes(url, LOCAL)
    assert set(server.requests[1]) == {"host", "accept", "accept-encoding", "user-agent"}


def test_a_body_above_the_limit_is_too_large_before_it_ends(server: Server) -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Connection", "close")
        request.end_headers()
        while True:
            request.wfile.write(bytes(1 << 16))

    server.routes["/endless.jpg"] = endless
    assert refusal(server.url("/endless.jpg"), SMALL).reason == "too_large"


def test_a_body_shorter_than_announced_is_unreachable(server: Server) -> None:
    def short(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        request.wfile.write(b"only this")
        request.close_connection = True

    server.routes["/short.jpg"] = short
    assert refusal(server.url("/short.jpg")).reason == "unreachable"


def test_an_answer_that_is_not_http_is_unreachable(server: Server) -> None:
    def nonsense(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"\x00\x01 nonsense\r\n\r\n")
        request.close_connection = True

    server.routes["/a.jpg"] = nonsense
    assert refusal(server.url("/a.jpg")).reason == "unreachable"


def test_a_server_that_never_answers_runs_into_the_time_limit(server: Server) -> None:
    def silent(request: BaseHTTPRequestHandler) -> None:
        server.released.wait(10)

    server.routes["/a.jpg"] = silent
    assert refusal(server.url("/a.jpg"), HURRIED).reason == "timeout"


@pytest.mark.parametrize("headers", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"])
def test_a_server_that_drips_bytes_runs_into_the_time_limit(headers: bytes, server: Server) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(headers or b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not server.released.wait(0.02):
            request.wfile.write(b"x")

    server.routes["/a.jpg"] = drip
    started = time.monotonic()
    assert refusal(server.url("/a.jpg"), HURRIED).reason == "timeout"
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_answer_is_undone(encoding: str, server: Server) -> None:
    body = bytes(range(256)) * 1000
    packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    assert fetch_bytes(server.answer("/a.jpg", packed, Content_Encoding=encoding), LOCAL) == body


@pytest.mark.slow
def test_a_gzip_bomb_is_too_large(server: Server) -> None:
    bomb = gzip.compress(bytes(200_000_000), 9)
    assert len(bomb) < 200_000
    url = server.answer("/bomb.jpg", bomb, Content_Encoding="gzip")
    assert refusal(url, SMALL).reason == "too_large"


def test_a_truncated_gzip_answer_is_unreachable(server: Server) -> None:
    packed = gzip.compress(bytes(range(256)) * 100)[:-20]
    assert refusal(server.answer("/a.jpg", packed, Content_Encoding="gzip")).reason == "unreachable"


def test_a_broken_gzip_answer_is_unreachable(server: Server) -> None:
    assert refusal(server.answer("/a.jpg", b"not gzip", Content_Encoding="gzip")).reason == "unreachable"


def test_an_unknown_content_encoding_is_unsupported(server: Server) -> None:
    assert refusal(server.answer("/a.jpg", b"x", Content_Encoding="br")).reason == "unsupported"


def test_several_threads_share_the_connections(server: Server) -> None:
    urls = [server.answer(f"/{i}.jpg", b"%d" % i * 1000) for i in range(20)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda url: fetch_bytes(url, LOCAL), urls)) == [b"%d" % i * 1000 for i in range(20)]


def test_a_remote_video_is_a_temporary_file_that_is_removed(server: Server) -> None:
    with fetch_file(server.answer("/clip.mp4", b"video" * 1000) + "?size=big", LOCAL) as path:
        assert path.read_bytes() == b"video" * 1000
        assert path.suffix == ".mp4"
    assert not path.exists()
    assert not path.parent.exists()


def test_an_oversized_remote_video_leaves_no_file(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    url = server.answer("/clip.mp4", bytes(200_000))
    with pytest.raises(MediaError) as caught, fetch_file(url, SMALL):
        pass
    assert caught.value.reason == "too_large"
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_caller_passes_through_fetch_file(server: Server) -> None:
    url = server.answer("/clip.mp4", b"x")
    with pytest.raises(TimeoutError, match="the caller's own"), fetch_file(url, LOCAL):
        raise TimeoutError("the caller's own")


class InMemoryS3(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """fsspec's in-memory store for s3:// addresses."""

    protocol = "s3"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("s3://").lstrip("/")


@pytest.fixture
def bucket() -> Iterator[InMemoryS3]:
    fsspec.register_implementation("s3", InMemoryS3, clobber=True)
    store = InMemoryS3()
    store.pipe("s3://shop/a.jpg", b"object" * 1000)
    yield store
    store.rm("s3://shop", recursive=True)
    _registry.pop("s3")


def test_an_object_is_read_through_fsspec(bucket: InMemoryS3) -> None:
    assert fetch_bytes("s3://shop/a.jpg", LOCAL) == b"object" * 1000


def test_a_missing_object_is_missing(bucket: InMemoryS3) -> None:
    assert refusal("s3://shop/none.jpg").reason == "missing"


def test_an_object_above_the_limit_is_too_large(bucket: InMemoryS3) -> None:
    assert refusal("s3://shop/a.jpg", MediaPolicy(max_picture_bytes=5999)).reason == "too_large"


def test_a_slow_object_runs_into_the_time_limit(bucket: InMemoryS3) -> None:
    assert refusal("s3://shop/a.jpg", MediaPolicy(timeout_s=0.0)).reason == "timeout"


def test_an_object_that_may_not_be_read_is_forbidden(bucket: InMemoryS3, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("AccessDenied")

    monkeypatch.setattr(InMemoryS3, "_open", refuse)
    assert refusal("s3://shop/a.jpg").reason == "forbidden"


def test_a_clients_own_error_is_unreachable(bucket: InMemoryS3, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("endpoint is down")

    monkeypatch.setattr(InMemoryS3, "_open", fail)
    error = refusal("s3://shop/a.jpg")
    assert error.reason == "unreachable"
    assert "endpoint is down" in str(error)


@pytest.mark.parametrize(("scheme", "extra", "client"), [("gs", "gs", "gcsfs"), ("az", "az", "adlfs")])
def test_a_missing_client_names_the_extra(
    scheme: str, extra: str, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, client, None)  # as if it were not installed
    error = refusal(f"{scheme}://shop/a.jpg")
    assert error.reason == "unsupported"
    assert f"pip install 'firstsight[{extra}]'" in str(error)
