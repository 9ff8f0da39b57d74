"""The network guard: connections go only to public addresses, and to exactly the address that was checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpcore
import pytest

from firstsight.errors import MediaError
from firstsight.media.fetch.http_source import HttpSource
from firstsight.media.fetch.network_guard import GuardedBackend, is_public, look_up

PUBLIC = "93.184.216.34"
ANSWER = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"ok"]


class RecordedNetwork(httpcore.MockBackend):
    """A network that answers every connection from memory and records its address."""

    def __init__(self, buffer: list[bytes], refused: Sequence[str] = ()) -> None:
        super().__init__(buffer)
        self.connected: list[str] = []
        self._refused = refused

    def connect_tcp(self, host: str, port: int, *rest: Any, **options: Any) -> httpcore.NetworkStream:
        self.connected.append(f"{host}:{port}")
        if host in self._refused:
            raise httpcore.ConnectError("refused")
        return super().connect_tcp(host, port, *rest, **options)


def read(source: HttpSource, url: str) -> bytes:
    with source.stream(url, timeout_s=5) as answer:
        return b"".join(answer.chunks)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.0.9",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "203.0.113.5",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "fc00::1",
        "fd00::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "not an address",
        "",
    ],
)
def test_addresses_that_are_not_public_are_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", [PUBLIC, "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_public_addresses_are_known(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a00:1]",
        "[64:ff9b::7f00:1]",
        "[fd00::1]",
        "10.1.2.3",
        "169.254.169.254",
        "127.0.0.1.",
        "127。0。0。1",
    ],
)
def test_no_spelling_of_a_private_address_is_connected_to(host: str) -> None:
    network = RecordedNetwork(ANSWER)
    source = HttpSource(GuardedBackend(resolve=look_up, network=network))
    with pytest.raises(MediaError) as caught:
        read(source, f"http://{host}/a.jpg")
    assert caught.value.reason in ("forbidden", "unreachable")  # unreachable: not an address on this system
    assert network.connected == []


def test_a_name_that_resolves_to_a_private_address_is_forbidden() -> None:
    network = RecordedNetwork(ANSWER)
    source = HttpSource(GuardedBackend(resolve=lambda host, port: ["10.0.0.7"], network=network))
    with pytest.raises(MediaError, match=r"shop\.example is at 10\.0\.0\.7") as caught:
        read(source, "http://shop.example/a.jpg")
    assert caught.value.reason == "forbidden"
    assert network.connected == []


def test_one_private_address_among_public_ones_is_enough() -> None:
    network = RecordedNetwork(ANSWER)
    source = HttpSource(GuardedBackend(resolve=lambda host, port: [PUBLIC, "::1"], network=network))
    with pytest.raises(MediaError, match="::1"):
        read(source, "http://shop.example/a.jpg")
    assert network.connected == []


def test_a_name_that_changes_its_answer_is_connected_to_where_it_was_checked() -> None:
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    network = RecordedNetwork(ANSWER)
    source = HttpSource(GuardedBackend(resolve=lambda host, port: next(answers), network=network))
    assert read(source, "http://shop.example/a.jpg") == b"ok"
    assert network.connected == [f"{PUBLIC}:80"]


def test_a_redirect_is_checked_like_the_first_address() -> None:
    names = {"shop.example": [PUBLIC], "metadata.internal": ["169.254.169.254"]}
    redirect = b"HTTP/1.1 302 Found\r\nLocation: http://metadata.internal/\r\nContent-Length: 0\r\n\r\n"
    network = RecordedNetwork([redirect])
    source = HttpSource(GuardedBackend(resolve=lambda host, port: names[host], network=network))
    with pytest.raises(MediaError, match=r"metadata\.internal") as caught:
        read(source, "http://shop.example/a.jpg")
    assert caught.value.reason == "forbidden"
    assert network.connected == [f"{PUBLIC}:80"]


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    network = RecordedNetwork(ANSWER, refused=[PUBLIC])
    source = HttpSource(GuardedBackend(resolve=lambda host, port: [PUBLIC, "1.1.1.1"], network=network))
    assert read(source, "http://shop.example:8080/a.jpg") == b"ok"
    assert network.connected == [f"{PUBLIC}:8080", "1.1.1.1:8080"]


def test_a_name_without_an_answer_is_unreachable() -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise OSError(-2, "Name or service not known")

    with pytest.raises(MediaError, match=r"cannot be looked up.*Name or service") as caught:
        read(HttpSource(GuardedBackend(resolve=resolve)), "http://no.example/a.jpg")
    assert caught.value.reason == "unreachable"


def test_allow_private_leaves_the_check_out() -> None:
    network = RecordedNetwork(ANSWER)
    source = HttpSource(GuardedBackend(allow_private=True, resolve=lambda host, port: ["127.0.0.1"], network=network))
    assert read(source, "http://shop.example/a.jpg") == b"ok"


def test_https_is_not_left_for_http() -> None:
    redirect = b"HTTP/1.1 301 Moved\r\nLocation: http://shop.example/\r\nContent-Length: 0\r\n\r\n"
    network = RecordedNetwork([redirect])
    source = HttpSource(GuardedBackend(resolve=lambda host, port: [PUBLIC], network=network))
    with pytest.raises(MediaError, match="redirects from https to http") as caught:
        read(source, "https://shop.example/a.jpg")
    assert caught.value.reason == "forbidden"
