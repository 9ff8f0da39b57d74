"""Any bytes give an RGB picture or a MediaError with the correct reason, and nothing else."""

from __future__ import annotations

import io
import os
import struct
import sys
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from firstsight.errors import MediaError
from firstsight.media.pictures import ImageInput, open_picture


def encoded(format: str, size: tuple[int, int] = (64, 48), **options: object) -> bytes:
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), np.uint8)).save(buffer, format, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that announces side x side black pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(side * 3 + 1) * 8)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def zip_archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("inner.zip", b"PK")
    return buffer.getvalue()


def refusal(source: ImageInput, **options: int) -> MediaError:
    with pytest.raises(MediaError) as caught:
        open_picture(source, **options)
    return caught.value


@pytest.mark.parametrize(
    ("data", "reason", "words"),
    [
        (b"", "corrupt", "is empty"),
        (b"hello, I am a text file named .jpg\n", "corrupt", "is not a picture"),
        (bytes(range(256)) * 8, "corrupt", "is not a picture"),
        (b"\xff\xd8\xff", "corrupt", "broken or truncated JPEG"),
        (b"\x89PNG\r\n\x1a\n", "corrupt", "broken or truncated PNG"),
        (b"GIF89a", "corrupt", "broken or truncated GIF"),
        (b"BM", "corrupt", "broken or truncated BMP"),
        (b"II*\x00", "corrupt", "broken or truncated TIFF"),
        (b"P6 1 1", "corrupt", "broken or truncated PPM"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "corrupt", "broken or truncated WebP"),
        (b"\x00\x00\x00\x18ftypavif\x00\x00\x00\x00mif1avif", "corrupt", "broken or truncated AVIF"),
        (zip_archive(), "unsupported", "is ZIP"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported", "is SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- drawn -->\n<svg/>", "unsupported", "is SVG"),
        (b"8BPS\x00\x01", "unsupported", "is PSD"),
        (b"%PDF-1.7", "unsupported", "is PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unsupported", "is PostScript"),
        (b"<!DOCTYPE html><html>Not found</html>", "corrupt", "is a web page"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isomavc1", "unsupported", "is a video"),
    ],
)
def test_bytes_that_are_no_picture_are_refused_with_the_reason(data: bytes, reason: str, words: str) -> None:
    error = refusal(data)
    assert error.reason == reason
    assert words in str(error)


HEIC_HEAD = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"


def test_heic_without_its_extra_is_refused_with_the_extras_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    error = refusal(HEIC_HEAD + bytes(2000))
    assert error.reason == "unsupported"
    assert "firstsight[heic]" in str(error)


def test_heic_is_read_where_its_extra_is_there() -> None:
    heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    turned = Image.new("RGB", (64, 48), (200, 30, 40))
    heif.from_pillow(turned).save(buffer, quality=90)
    picture = open_picture(buffer.getvalue(), min_side=24)
    assert (picture.mode, picture.size) == ("RGB", (32, 24))
    red, green, blue = picture.getpixel((5, 5))  # type: ignore[misc]
    assert abs(red - 200) + abs(green - 30) + abs(blue - 40) < 12
    assert refusal(buffer.getvalue(), max_pixels=64 * 48 - 1).reason == "too_large"
    assert refusal(buffer.getvalue()[:200]).reason == "corrupt"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_picture_is_corrupt(format: str, kept: float) -> None:
    data = encoded(format)
    assert refusal(data[: int(len(data) * kept)]).reason == "corrupt"


def test_a_jpeg_truncated_in_mid_scan_is_corrupt_when_shrunk_early_too() -> None:
    data = encoded("JPEG", (640, 480))
    assert refusal(data[: len(data) // 2], min_side=100).reason == "corrupt"


def test_a_bomb_is_refused_from_its_header_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        error = refusal(png_bomb(30_000))
    assert error.reason == "too_large"
    assert "30000 x 30000" in str(error)


def test_a_picture_above_pillows_own_limit_and_within_ours_gives_no_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_picture(encoded("PNG")).size == (64, 48)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM"])
def test_the_pixel_limit_holds_for_every_format(format: str) -> None:
    assert refusal(encoded(format), max_pixels=64 * 48 - 1).reason == "too_large"


def test_the_pixel_limit_holds_for_arrays_and_pillow_images() -> None:
    assert refusal(np.zeros((10, 10), np.uint8), max_pixels=99).reason == "too_large"
    assert refusal(Image.new("RGB", (10, 10)), max_pixels=99).reason == "too_large"


def test_a_message_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(encoded("JPEG")[:200])
    assert str(path) in str(refusal(path))


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.jpg").reason == "missing"


def test_a_folder_is_forbidden(tmp_path: Path) -> None:
    assert refusal(tmp_path).reason == "forbidden"


def test_a_named_pipe_is_forbidden_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert refusal(tmp_path / "pipe.jpg").reason == "forbidden"


def test_a_broken_pillow_image_is_corrupt() -> None:
    data = encoded("PNG")
    with Image.open(io.BytesIO(data[: len(data) // 2])) as lazy, pytest.raises(MediaError) as caught:
        open_picture(lazy)
    assert caught.value.reason == "corrupt"


SAMPLES = [
    *(encoded(format) for format in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")),
    encoded("JPEG", progressive=True),
    encoded("TIFF", compression="tiff_lzw"),
]


@given(
    sample=st.sampled_from(SAMPLES),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    kept=st.floats(0.1, 1),
    min_side=st.sampled_from([None, 10]),
)
@pytest.mark.filterwarnings("default")  # Pillow warns about broken metadata of pictures that it can read
def test_corrupted_bytes_give_rgb_or_a_media_error(
    sample: bytes, flips: list[tuple[float, int]], kept: float, min_side: int | None
) -> None:
    data = bytearray(sample[: max(1, int(len(sample) * kept))])
    for place, value in flips:
        data[int(place * len(data))] = value
    assert outcome(bytes(data), min_side) in ("RGB", "corrupt", "too_large", "unsupported")


@given(st.binary(max_size=300))
def test_random_bytes_give_rgb_or_a_media_error(data: bytes) -> None:
    assert outcome(data, None) in ("RGB", "corrupt", "too_large", "unsupported")


def outcome(data: bytes, min_side: int | None) -> str:
    try:
        return open_picture(data, min_side=min_side, max_pixels=1_000_000).mode
    except MediaError as error:
        return error.reason
