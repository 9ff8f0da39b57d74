"""Decoding of pictures in children gives the same pictures, and a crash fails only one of them."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from firstsight.errors import MediaError
from firstsight.media.decode.picture_decoder import PictureDecoder
from firstsight.media.pictures import open_picture
from tests.media.decoding_failures import faulty_worker_command, wait_until_ended


@pytest.fixture(scope="module")
def decoder() -> Iterator[PictureDecoder]:
    with PictureDecoder(workers=1) as running:
        yield running


def jpeg(size: tuple[int, int] = (640, 480)) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize("min_side", [None, 100])
def test_bytes_and_paths_give_what_open_picture_gives(
    min_side: int | None, decoder: PictureDecoder, tmp_path: Path
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg())
    expected = open_picture(jpeg(), min_side=min_side)
    for source in (jpeg(), path, str(path)):
        picture = decoder.open(source, min_side=min_side)
        assert (picture.mode, picture.size) == ("RGB", expected.size)
        assert picture.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("data", "reason", "words"),
    [
        (b"", "corrupt", "is empty"),
        (jpeg()[:900], "corrupt", "broken or truncated JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported", "is SVG"),
    ],
)
def test_a_refusal_comes_with_its_reason(data: bytes, reason: str, words: str, decoder: PictureDecoder) -> None:
    with pytest.raises(MediaError, match=words) as caught:
        decoder.open(data)
    assert caught.value.reason == reason


def test_the_pixel_limit_holds() -> None:
    with PictureDecoder(max_pixels=640 * 480 - 1) as small, pytest.raises(MediaError) as caught:
        small.open(jpeg())
    assert caught.value.reason == "too_large"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not limit address space")
def test_a_picture_that_needs_more_memory_than_allowed_costs_itself() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (9000, 9000)).save(buffer, "PNG", compress_level=1)
    with PictureDecoder(memory_bytes=400 * 2**20) as small:
        with pytest.raises(MediaError) as caught:
            small.open(buffer.getvalue())
        assert caught.value.reason in ("too_large", "crashed")
        assert small.open(jpeg()).size == (640, 480)


@pytest.mark.parametrize(
    ("misdeed", "reason"),
    [
        ("time.sleep(60)", "timeout"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed"),
        ("child_messages.send(sys.stdout.buffer, {'size': [10, 10]}, [b'abc'])", "crashed"),
    ],
)
def test_a_misbehaving_decoder_costs_that_picture(misdeed: str, reason: str, tmp_path: Path) -> None:
    with PictureDecoder(command=faulty_worker_command(misdeed), timeout_s=0.5, files_per_child=1) as own:
        with pytest.raises(MediaError) as caught:
            own.open(tmp_path / "bad.jpg")
        assert caught.value.reason == reason


def test_a_child_that_does_not_read_its_picture_is_killed_in_time() -> None:
    deaf = faulty_worker_command("pass")
    deaf[-1] = deaf[-1].replace("request, _ = child_messages.receive(sys.stdin.buffer)", "time.sleep(60)")
    with PictureDecoder(command=deaf, timeout_s=0.5) as own, pytest.raises(MediaError) as caught:
        own.open(bytes(8_000_000))
    assert caught.value.reason == "timeout"


def test_a_child_killed_between_pictures_goes_unnoticed(decoder: PictureDecoder) -> None:
    decoder.open(jpeg())
    (pid,) = decoder.child_pids
    os.kill(pid, signal.SIGKILL)
    wait_until_ended(pid)
    assert decoder.open(jpeg()).size == (640, 480)
