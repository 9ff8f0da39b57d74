"""Every kind of picture becomes a new, upright, 8-bit RGB picture."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, TiffImagePlugin

from firstsight.errors import MediaError
from firstsight.media.pictures import ImageInput, open_picture, shrink

RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)


def encoded(picture: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def red(mode: str = "RGB", size: tuple[int, int] = (20, 10)) -> Image.Image:
    return Image.new("RGB", size, RED).convert(mode)


def near(pixel: object, expected: tuple[int, int, int]) -> bool:
    return bool(np.abs(np.subtract(pixel, expected)).max() <= 3)  # type: ignore[call-overload]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"])
def test_a_picture_of_every_format_becomes_rgb(format: str) -> None:
    picture = open_picture(encoded(red(), format))
    assert (picture.mode, picture.size) == ("RGB", (20, 10))
    assert near(picture.getpixel((5, 5)), RED)


@pytest.mark.parametrize("kind", ["bytes", "str", "Path", "array", "image"])
def test_the_same_picture_from_every_kind_of_source_is_the_same(kind: str, tmp_path: Path) -> None:
    original = Image.effect_noise((31, 17), 80).convert("RGB")
    path = tmp_path / "noise.png"
    original.save(path)
    sources: dict[str, ImageInput] = {
        "bytes": path.read_bytes(),
        "str": str(path),
        "Path": path,
        "array": np.asarray(original),
        "image": original,
    }
    assert np.array_equal(np.asarray(open_picture(sources[kind])), np.asarray(original))


def test_a_pillow_image_is_left_as_it_is() -> None:
    source = red("RGBA")
    result = open_picture(source)
    assert (source.mode, result.mode) == ("RGBA", "RGB")
    assert result is not source


@pytest.mark.parametrize("mode", ["L", "LA", "P", "PA", "1", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"])
def test_a_pillow_image_of_every_mode_becomes_rgb(mode: str) -> None:
    assert open_picture(Image.new(mode, (6, 4))).mode == "RGB"


def test_a_cmyk_jpeg_keeps_its_colours() -> None:
    assert near(open_picture(encoded(red("CMYK"), "JPEG", quality=95)).getpixel((5, 5)), RED)


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    ramp = Image.fromarray(np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16))
    values = np.asarray(open_picture(encoded(ramp, "PNG")))[:, :, 0].ravel()
    assert np.array_equal(values, np.arange(256))


def test_dark_sixteen_bit_grey_stays_dark() -> None:
    dark = Image.fromarray(np.full((4, 4), 200, np.uint16))
    assert open_picture(encoded(dark, "PNG")).getpixel((0, 0)) == (1, 1, 1)


def test_float_grey_from_zero_to_one_covers_the_range() -> None:
    ramp = Image.fromarray(np.array([[0.0, 0.5, 1.0, np.nan]], np.float32))
    assert np.asarray(open_picture(encoded(ramp, "TIFF")))[0, :, 0].tolist() == [0, 128, 255, 0]


def test_transparency_lies_on_white() -> None:
    half = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    half.putpixel((0, 0), (0, 0, 0, 0))
    picture = open_picture(encoded(half, "PNG"))
    assert [picture.getpixel((x, 0)) for x in (0, 1)] == [WHITE, RED]


def test_a_palette_with_a_transparent_entry_lies_on_white() -> None:
    picture = Image.new("P", (2, 1), 0)
    picture.putpalette([*RED, *GREEN])
    picture.putpixel((1, 0), 1)
    opened = open_picture(encoded(picture, "PNG", transparency=0))
    assert [opened.getpixel((x, 0)) for x in (0, 1)] == [WHITE, GREEN]


def test_grey_with_a_transparent_level_lies_on_white() -> None:
    assert open_picture(encoded(Image.new("L", (2, 2), 7), "PNG", transparency=7)).getpixel((0, 0)) == WHITE


def test_shrinking_does_not_bleed_invisible_colours() -> None:
    array = np.zeros((8, 8, 4), np.uint8)
    array[:, :, 1] = 255
    array[:, ::2] = (255, 0, 0, 255)  # opaque red columns between invisible green ones
    assert near(open_picture(array, min_side=4).getpixel((0, 0)), (255, 128, 128))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_exif_orientation_comes_out_upright(format: str, orientation: int) -> None:
    upright = Image.new("RGB", (32, 16), WHITE)
    upright.paste(RED, (0, 0, 16, 8))  # top left
    stored = {
        1: lambda p: p,
        2: lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda p: p.transpose(Image.Transpose.ROTATE_180),
        4: lambda p: p.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda p: p.transpose(Image.Transpose.TRANSPOSE),
        6: lambda p: p.transpose(Image.Transpose.ROTATE_90),
        7: lambda p: p.transpose(Image.Transpose.TRANSVERSE),
        8: lambda p: p.transpose(Image.Transpose.ROTATE_270),
    }[orientation](upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = open_picture(encoded(stored, format, exif=exif.tobytes()))
    assert picture.size == (32, 16)
    assert [near(picture.getpixel(at), RED) for at in ((3, 3), (28, 3), (3, 12), (28, 12))] == [
        True,
        *[False] * 3,
    ]


def test_opening_an_opened_picture_again_does_not_turn_it_again() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    once = open_picture(encoded(red(), "JPEG", exif=exif.tobytes()))
    assert open_picture(once).size == once.size == (10, 20)


def test_broken_exif_data_leaves_the_picture_readable() -> None:
    assert open_picture(encoded(red(), "PNG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")).size == (20, 10)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame(format: str) -> None:
    frames = encoded(red(), format, save_all=True, append_images=[Image.new("RGB", (20, 10), GREEN)])
    assert near(open_picture(frames).getpixel((5, 5)), RED)


@pytest.mark.parametrize(
    ("format", "size", "expected"),
    [
        ("JPEG", (2000, 1200), (500, 300)),  # reduced by the decoder, by a power of two
        ("PNG", (2000, 1200), (400, 240)),
        ("PNG", (1000, 700), (334, 234)),
        ("PNG", (900, 223), (900, 223)),
        ("PNG", (500, 400), (500, 400)),
    ],
)
def test_min_side_shrinks_by_whole_factors_and_never_below(
    format: str, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert open_picture(encoded(red(size=size), format), min_side=224).size == expected


def test_a_shrunk_jpeg_looks_like_the_picture_shrunk_afterwards() -> None:
    rows, columns = np.mgrid[0:800, 0:800]
    smooth = np.stack([rows // 4, columns // 4, (rows + columns) // 8], 2).astype(np.uint8)
    data = encoded(Image.fromarray(smooth), "JPEG", quality=95)
    early = np.asarray(open_picture(data, min_side=100), np.int16)
    late = np.asarray(open_picture(data).reduce(8), np.int16)
    assert np.abs(early - late).mean() < 1.0


def test_shrink_leaves_a_small_picture_alone() -> None:
    picture = red()
    assert shrink(picture, 10) is picture


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3), (4, 5, 4)])
def test_arrays_of_each_allowed_shape_become_pictures(shape: tuple[int, ...]) -> None:
    assert open_picture(np.full(shape, 255, np.uint8)).size == (5, 4)


def test_an_array_that_is_not_contiguous_keeps_its_pixels() -> None:
    array = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)[::-1, ::-1]
    assert np.array_equal(np.asarray(open_picture(array)), array)


@pytest.mark.parametrize(
    ("array", "reason", "words"),
    [
        (np.zeros((4, 4, 3), np.float32), "unsupported", "float32"),
        (np.zeros((4, 4, 2), np.uint8), "unsupported", "4x4x2"),
        (np.zeros((2, 4, 4, 3), np.uint8), "unsupported", "2x4x4x3"),
        (np.zeros((4,), np.uint8), "unsupported", "shape 4"),
        (np.zeros((0, 4, 3), np.uint8), "corrupt", "0x4x3"),
    ],
)
def test_an_array_that_is_no_picture_is_refused(array: NDArray[np.uint8], reason: str, words: str) -> None:
    with pytest.raises(MediaError, match=words) as caught:
        open_picture(array)
    assert caught.value.reason == reason


def test_a_colour_profile_is_ignored() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert near(open_picture(encoded(red(), "PNG", icc_profile=profile)).getpixel((0, 0)), RED)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "jpeg", "group4"])
def test_compressed_tiffs_are_read(compression: str) -> None:
    source = red("1") if compression == "group4" else red()
    assert open_picture(encoded(source, "TIFF", compression=compression)).mode == "RGB"
    assert TiffImagePlugin.READ_LIBTIFF is False  # reading must not change this process-wide setting


@pytest.mark.slow
def test_a_long_thin_picture_is_shrunk_though_its_shorter_side_is_short_already() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (1030, 90_000)).save(buffer, "PNG")
    picture = open_picture(buffer.getvalue(), min_side=520)
    assert picture.width * picture.height <= 16 * 520**2
    assert picture.height / picture.width == pytest.approx(90_000 / 1030, rel=0.01)
