"""Copies of remote videos are fetched once and kept while in use; the least recently used are removed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from firstsight.errors import MediaError
from firstsight.media.policy import MediaPolicy
from firstsight.service.gallery.remote_video_cache import RemoteVideoCache
from tests.conftest import SAMPLE_CATALOGUE
from tests.media.conftest import Server

NEAR = MediaPolicy(allow_private=True, tries=1)
CLIP = (SAMPLE_CATALOGUE.parent / "clips" / "kitchen-haul.mp4").read_bytes()


@pytest.fixture
def cache() -> Iterator[RemoteVideoCache]:
    """Room for two copies of the clip."""
    cache = RemoteVideoCache(max_bytes=2 * len(CLIP) + 1)
    yield cache
    cache.close()


@pytest.fixture
def addresses(server: Server) -> list[str]:
    return [server.answer(f"/{n}.mp4", CLIP, Content_Type="video/mp4") for n in range(4)]


def hold(cache: RemoteVideoCache, address: str) -> Path:
    with cache.hold(address, NEAR) as path:
        assert path.read_bytes() == CLIP
        return path


def test_a_copy_is_fetched_once(cache: RemoteVideoCache, addresses: list[str], server: Server) -> None:
    assert hold(cache, addresses[0]) == hold(cache, addresses[0])
    assert len(server.requests) == 1


def test_what_was_not_used_for_longest_makes_room(
    cache: RemoteVideoCache, addresses: list[str], server: Server
) -> None:
    first, second = hold(cache, addresses[0]), hold(cache, addresses[1])
    hold(cache, addresses[0])
    third = hold(cache, addresses[2])
    assert [path.exists() for path in (first, second, third)] == [True, False, True]
    hold(cache, addresses[1])
    assert len(server.requests) == 4


def test_a_copy_that_is_held_stays(cache: RemoteVideoCache, addresses: list[str]) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(cache.hold(address, NEAR)) for address in addresses]
        assert [path.read_bytes() for path in held] == [CLIP] * 4
        hold(cache, addresses[0])
        assert all(path.exists() for path in held)
    assert sum(path.exists() for path in held) == 2


def test_many_threads_wait_for_one_fetch(cache: RemoteVideoCache, server: Server) -> None:
    asked = threading.Event()

    def slow(request: BaseHTTPRequestHandler) -> None:
        asked.wait(20)
        request.send_response(200)
        request.send_header("Content-Length", str(len(CLIP)))
        request.end_headers()
        request.wfile.write(CLIP)

    server.routes["/slow.mp4"] = slow
    with ThreadPoolExecutor(6) as pool:
        holding = [pool.submit(hold, cache, server.url("/slow.mp4")) for _ in range(6)]
        asked.set()
        assert len({one.result() for one in holding}) == 1
    assert len(server.requests) == 1


def test_what_failed_is_told_and_tried_again(cache: RemoteVideoCache, server: Server) -> None:
    address = server.answer("/a.mp4", status=404)
    for _ in range(2):
        with pytest.raises(MediaError, match="404"):
            hold(cache, address)
    server.answer("/a.mp4", CLIP, Content_Type="video/mp4")
    hold(cache, address)
    assert len(server.requests) == 3


def test_the_end_removes_every_copy(addresses: list[str]) -> None:
    cache = RemoteVideoCache()
    paths = [hold(cache, address) for address in addresses]
    assert all(path.exists() for path in paths)
    cache.close()
    assert not any(path.exists() for path in paths)


def test_a_copy_that_is_held_at_the_end_is_let_go_without_an_error(addresses: list[str]) -> None:
    cache = RemoteVideoCache()
    with cache.hold(addresses[0], NEAR):
        cache.close()
