"""The download cache: files are downloaded again only if they changed, limited in bytes, and checked before use."""

from __future__ import annotations

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from firstsight.errors import MediaError, StoreError
from firstsight.media.fetch.download_cache import MediaCache, open_cache
from firstsight.media.fetch.fetched_media import fetch_bytes, fetch_file
from firstsight.media.policy import MediaPolicy

if TYPE_CHECKING:
    from tests.media.conftest import Server


@pytest.fixture
def policy(tmp_path: Path) -> MediaPolicy:
    return MediaPolicy(allow_private=True, timeout_s=5.0, backoff_s=0.01, cache_dir=tmp_path / "kept")


class VersionedFiles:
    """Files with versions that a test can change, on a server that supports conditional requests."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.sent: list[str] = []  # paths of whole answers

    def put(self, path: str, body: bytes, **headers: str) -> str:
        def answer(request: BaseHTTPRequestHandler) -> None:
            same = request.headers["If-None-Match"] == headers.get("ETag") is not None or (
                "ETag" not in headers
                and request.headers["If-Modified-Since"] == headers.get("Last_Modified") is not None
            )
            request.send_response(304 if same else 200)
            for name, value in headers.items():
                request.send_header(name.replace("_", "-"), value)
            if not same:
                self.sent.append(path)
                request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            if not same:
                request.wfile.write(body)

        self._server.routes[path] = answer
        return self._server.url(path)


@pytest.fixture
def shelf(server: Server) -> VersionedFiles:
    return VersionedFiles(server)


def kept_files(policy: MediaPolicy) -> list[Path]:
    assert policy.cache_dir is not None
    return sorted(path for path in (policy.cache_dir / "files").rglob("*") if path.is_file())


def cache_of(policy: MediaPolicy) -> MediaCache:
    cache = open_cache(policy)
    assert cache is not None
    return cache


@pytest.mark.parametrize("headers", [{"ETag": '"v1"'}, {"Last_Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}])
def test_what_has_not_changed_is_sent_once(headers: dict[str, str], shelf: VersionedFiles, policy: MediaPolicy) -> None:
    url = shelf.put("/a.jpg", b"picture" * 1000, **headers)
    assert [fetch_bytes(url, policy) for _ in range(3)] == [b"picture" * 1000] * 3
    assert shelf.sent == ["/a.jpg"]


def test_what_has_changed_is_sent_again_and_the_old_forgotten(shelf: VersionedFiles, policy: MediaPolicy) -> None:
    url = shelf.put("/a.jpg", b"old", ETag='"v1"')
    fetch_bytes(url, policy)
    shelf.put("/a.jpg", b"newer", ETag='"v2"')
    assert fetch_bytes(url, policy) == b"newer"
    assert fetch_bytes(url, policy) == b"newer"
    assert shelf.sent == ["/a.jpg"] * 2
    assert [path.read_bytes() for path in kept_files(policy)] == [b"newer"]
    assert cache_of(policy).size == 5


def test_videos_are_kept_too(shelf: VersionedFiles, policy: MediaPolicy) -> None:
    url = shelf.put("/clip.mp4", b"video" * 100_000, ETag='"v1"')
    for _ in range(2):
        with fetch_file(url, policy) as path:
            assert path.read_bytes() == b"video" * 100_000
    assert shelf.sent == ["/clip.mp4"]
    assert len(kept_files(policy)) == 1


def test_one_picture_at_two_addresses_is_kept_once(shelf: VersionedFiles, policy: MediaPolicy) -> None:
    for path in ("/a.jpg", "/b.jpg"):
        fetch_bytes(shelf.put(path, b"same", ETag='"v1"'), policy)
    assert len(kept_files(policy)) == 1
    shelf.put("/a.jpg", b"other", ETag='"v2"')
    fetch_bytes(shelf.put("/a.jpg", b"other", ETag='"v2"'), policy)
    assert len(kept_files(policy)) == 2  # the other address still uses it


@pytest.mark.parametrize("headers", [{}, {"ETag": '"v1"', "Cache_Control": "private, no-store"}])
def test_what_cannot_be_asked_for_or_may_not_be_kept_is_not(
    headers: dict[str, str], shelf: VersionedFiles, policy: MediaPolicy
) -> None:
    fetch_bytes(shelf.put("/a.jpg", b"x", **headers), policy)
    assert kept_files(policy) == []


def test_without_a_folder_nothing_is_kept(shelf: VersionedFiles) -> None:
    policy = MediaPolicy(allow_private=True)
    url = shelf.put("/a.jpg", b"x", ETag='"v1"')
    fetch_bytes(url, policy)
    fetch_bytes(url, policy)
    assert open_cache(policy) is None
    assert shelf.sent == ["/a.jpg"] * 2


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_file_is_fetched_again(damage: str, shelf: VersionedFiles, policy: MediaPolicy) -> None:
    url = shelf.put("/a.jpg", b"picture" * 1000, ETag='"v1"')
    fetch_bytes(url, policy)
    (kept,) = kept_files(policy)
    if damage == "remove":
        kept.unlink()
    else:
        kept.write_bytes(b"Picture" + b"picture" * 999 if damage == "flip" else b"pict")
    assert fetch_bytes(url, policy) == b"picture" * 1000
    assert shelf.sent == ["/a.jpg"] * 2
    assert kept_files(policy)[0].read_bytes() == b"picture" * 1000
    assert cache_of(policy).size == 7000


def test_the_least_recently_used_go_first(shelf: VersionedFiles, tmp_path: Path) -> None:
    policy = MediaPolicy(allow_private=True, cache_dir=tmp_path / "kept", cache_bytes=10_000)
    urls = {name: shelf.put(f"/{name}", name.encode() * 3000, ETag='"v1"') for name in "abcd"}
    for name in "abc":
        fetch_bytes(urls[name], policy)
    fetch_bytes(urls["a"], policy)  # used again, so b is the oldest now
    fetch_bytes(urls["d"], policy)
    assert cache_of(policy).size == 9_000
    assert sum(path.stat().st_size for path in kept_files(policy)) == 9_000
    shelf.sent.clear()
    for name in "acd":
        fetch_bytes(urls[name], policy)
    assert shelf.sent == []
    fetch_bytes(urls["b"], policy)
    assert shelf.sent == ["/b"]


def test_a_file_above_the_bound_is_not_kept(shelf: VersionedFiles, tmp_path: Path) -> None:
    policy = MediaPolicy(allow_private=True, cache_dir=tmp_path / "kept", cache_bytes=10)
    assert fetch_bytes(shelf.put("/a.jpg", b"x" * 11, ETag='"v1"'), policy) == b"x" * 11
    assert kept_files(policy) == []


def test_limits_hold_for_what_is_kept(shelf: VersionedFiles, policy: MediaPolicy) -> None:
    url = shelf.put("/a.jpg", b"x" * 5000, ETag='"v1"')
    fetch_bytes(url, policy)
    small = MediaPolicy(allow_private=True, cache_dir=policy.cache_dir, max_picture_bytes=4999)
    with pytest.raises(MediaError) as caught:
        fetch_bytes(url, small)
    assert caught.value.reason == "too_large"
    with pytest.raises(MediaError, match="--allow-private"):  # the server is asked, so the guard checks it
        fetch_bytes(url, MediaPolicy(cache_dir=policy.cache_dir))


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="--media-cache"):
        open_cache(MediaPolicy(cache_dir=tmp_path / "file"))
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "index.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="not a database"):
        open_cache(MediaPolicy(cache_dir=tmp_path / "kept"))


def test_a_disk_that_fills_up_costs_only_the_keeping(
    shelf: VersionedFiles, policy: MediaPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    url = shelf.put("/a.jpg", b"x" * 5000, ETag='"v1"')
    assert fetch_bytes(url, policy) == b"x" * 5000
    assert kept_files(policy) == []
    assert cache_of(policy).size == 0


_FETCHER = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from firstsight.media.fetch.fetched_media import fetch_bytes
from firstsight.media.policy import MediaPolicy
asked = json.loads(sys.stdin.read())
policy = MediaPolicy(allow_private=True, cache_dir=Path(asked["folder"]), cache_bytes=asked["bytes"])
with ThreadPoolExecutor(4) as pool:
    for url, body in zip(asked["urls"] * 3, pool.map(lambda url: fetch_bytes(url, policy), asked["urls"] * 3)):
        assert body == url.rpartition("/")[2].encode() * 1000, url
"""


@pytest.mark.slow
def test_two_processes_share_a_folder(shelf: VersionedFiles, tmp_path: Path) -> None:
    import json

    names = [f"{n:02}" for n in range(20)]  # 2,000 bytes each, room for half of them
    urls = [shelf.put(f"/{name}", name.encode() * 1000, ETag=f'"{name}"') for name in names]
    asked = json.dumps({"folder": str(tmp_path / "kept"), "bytes": 20_000, "urls": urls})
    running = [
        subprocess.Popen([sys.executable, "-c", _FETCHER], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write(asked)
        process.stdin.close()
    for process in running:
        assert process.stderr is not None
        with process.stderr:
            assert process.stderr.read() == ""
        assert process.wait() == 0
    cache = MediaCache(tmp_path / "kept", 20_000)
    files = [path for path in (tmp_path / "kept" / "files").rglob("*") if path.is_file()]
    assert 0 < cache.size <= 20_000
    assert sum(path.stat().st_size for path in files) == cache.size
