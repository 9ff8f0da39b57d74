"""Decoding of files, bytes, arrays and Pillow images to upright RGB pictures."""

from __future__ import annotations

import contextlib
import io
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import BinaryIO, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from firstsight.errors import MediaError
from firstsight.extras import install_command
from firstsight.media.file_formats import SNIFF_BYTES, VIDEO_FORMATS, sniff
from firstsight.media.local_files import open_regular
from firstsight.media.policy import DEFAULT_MAX_PIXELS

ImageInput: TypeAlias = "Image.Image | NDArray[np.uint8] | bytes | str | PathLike[str]"
"""A decoded picture, an (h, w), (h, w, 3) or (h, w, 4) uint8 array in sRGB, a file's bytes, or its path."""

# Pillow's reader for each format that `sniff` names. PIL.Image.open would also use other readers (EPS starts
# Ghostscript), and its own pixel limit would only warn, before our limit raises an error.
_READERS: Final[dict[str, type[ImageFile.ImageFile]]] = {
    "AVIF": AvifImagePlugin.AvifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,  # an MPO is a JPEG file with several pictures; the first one counts
    "PNG": PngImagePlugin.PngImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}

_READABLE: Final = "JPEG, PNG, WebP, AVIF, GIF, TIFF, BMP or PPM"

_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS: Final = frozenset({5, 6, 7, 8})
"""Orientations that swap width and height."""

_EXIF_ORIENTATION: Final = 0x0112


def open_picture(
    source: ImageInput, *, min_side: int | None = None, max_pixels: int = DEFAULT_MAX_PIXELS
) -> Image.Image:
    """Decode one picture to upright RGB with transparency on white. Of an animation, decode the first frame.

    16-bit pictures are scaled to 8 bits, not clipped. Colour profiles are ignored, as in CLIP's transforms. Several
    threads may call this at the same time, unless they share one Pillow image that is not loaded yet.

    Args:
        source: a file's path or bytes, an (h, w), (h, w, 3) or (h, w, 4) uint8 array in sRGB, or a Pillow image, which
            is not changed.
        min_side: shrink early by a whole factor with a box filter (a JPEG during decoding), while the shorter side
            keeps at least this number of pixels. None keeps every pixel. Early shrinking to three times the size of
            the later bicubic resize moves CLIP vectors by a cosine of about 0.0002.
        max_pixels: largest width x height; the header is checked before decoding.

    Returns:
        A new RGB image without metadata.

    Raises:
        MediaError: "missing" if there is no such file; "forbidden" if it is not a regular file or cannot be read;
            "too_large" if it exceeds `max_pixels` or the memory; "unsupported" for another format or array type;
            "corrupt" if it is broken or empty.
    """
    if isinstance(source, Image.Image):
        return _from_image(source, min_side, max_pixels)
    if isinstance(source, np.ndarray):
        return _from_array(source, min_side, max_pixels)
    if isinstance(source, bytes | bytearray | memoryview):
        return _from_file(io.BytesIO(source), "the picture", min_side, max_pixels)
    with open_regular(source) as file:
        return _from_file(file, os.fspath(source), min_side, max_pixels)


@dataclass(frozen=True)
class SizedPictures:
    """One picture in several sizes."""

    size: tuple[int, int]  # width and height of the upright picture before it was reduced, in pixels
    pictures: list[Image.Image]  # upright RGB


def open_picture_at_sizes(
    source: bytes | str | PathLike[str], min_sides: Sequence[int | None], *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> SizedPictures:
    """Decode one picture once, and reduce it to several sizes.

    Args:
        source: a file's bytes, or its path.
        min_sides: for each returned picture, as for `open_picture`. A picture is the same as that of `open_picture`, if
            no other size needs a larger one; else nearly the same: a JPEG is then reduced after decoding.
        max_pixels: as for `open_picture`.

    Raises:
        MediaError: as for `open_picture`.
    """
    if isinstance(source, bytes):
        return _at_sizes(io.BytesIO(source), "the picture", min_sides, max_pixels)
    with open_regular(source) as file:
        return _at_sizes(file, os.fspath(source), min_sides, max_pixels)


def shrink(picture: Image.Image, min_side: int | None) -> Image.Image:
    """Shrink a picture by the largest whole factor that leaves its shorter side `min_side` pixels or more.

    A long thin picture may still have more than 16 x min_side x min_side pixels, which can be hundreds of megabytes.
    It is shrunk to about that size, because encoders see no more of it. If it is too thin to be shrunk, its middle
    part of that size is kept.
    """
    factor = shrink_factor(picture.size, min_side)
    if min_side and picture.width * picture.height > 16 * (factor * min_side) ** 2:  # thinner than the factor
        picture = crop_long(picture, 16 * min_side**2)
    return picture.reduce(factor) if factor > 1 else picture


def crop_long(picture: Image.Image, max_aspect: int) -> Image.Image:
    """Crop a picture to its middle if its longer side is more than `max_aspect` times its shorter side.

    Both ends lose the same number of pixels, so the centre does not move. Other pictures are returned unchanged.
    """
    width, height = picture.size
    surplus = max(width, height) - max_aspect * min(width, height)
    cut = (surplus + 1) // 2
    if cut <= 0:
        return picture
    return picture.crop((cut, 0, width - cut, height) if width > height else (0, cut, width, height - cut))


def shrink_factor(size: tuple[int, int], min_side: int | None) -> int:
    """The factor by which `shrink` reduces a picture of this width and height: a whole number, 1 or more."""
    if not min_side:
        return 1
    width, height = size
    area = math.ceil(math.sqrt(width * height / (16 * min_side**2)))
    return max(1, min(max(min(width, height) // min_side, area), width, height))


def on_white(picture: Image.Image) -> Image.Image:
    """Convert an RGBA picture to RGB on a white background."""
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=picture.getchannel("A"))
    return white


def open_lazily(file: BinaryIO, name: str, max_pixels: int) -> ImageFile.ImageFile:
    """Open a picture file and check its format and size, without decoding it.

    Raises:
        MediaError: "too_large" if it exceeds `max_pixels`, "unsupported" for another format, "corrupt" if the header
            is broken.
    """
    return _opened(file, name, _picture_format(file, name), max_pixels)


def _opened(file: BinaryIO, name: str, file_format: str, max_pixels: int) -> ImageFile.ImageFile:
    with _pillow_errors_as_media_errors(name, file_format):
        picture = _reader(file_format, name)(file)
        _check_size(picture.size, name, max_pixels)
        return picture


def _picture_format(file: BinaryIO, name: str) -> str:
    head = file.read(SNIFF_BYTES)
    file.seek(0)
    file_format = sniff(head)
    if file_format not in _READERS and file_format != "HEIC":
        raise _not_a_picture(head, name)
    return str(file_format)


def _reader(file_format: str, name: str) -> type[ImageFile.ImageFile]:
    if file_format != "HEIC":
        return _READERS[file_format]
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise MediaError(
            "unsupported",
            f"{name} is a HEIC file; install: {install_command('heic')}, or convert it to JPEG",
        ) from error
    reader: type[ImageFile.ImageFile] = HeifImageFile
    return reader


@contextlib.contextmanager
def _pillow_errors_as_media_errors(name: str, file_format: str) -> Iterator[None]:
    """Raise errors of Pillow's readers as MediaError."""
    try:
        yield
    except MediaError:
        raise
    except MemoryError as error:
        raise MediaError("too_large", f"{name} needs more memory than is available; make it smaller") from error
    except Exception as error:  # hostile bytes make Pillow's readers raise nearly every built-in exception
        raise MediaError(
            "corrupt", f"{name} is a broken or truncated {file_format} file ({_reason(error)}); replace it"
        ) from error


def _from_file(file: BinaryIO, name: str, min_side: int | None, max_pixels: int) -> Image.Image:
    file_format = _picture_format(file, name)
    picture = _opened(file, name, file_format, max_pixels)
    with _pillow_errors_as_media_errors(name, file_format):
        if min_side and picture.format == "JPEG":
            picture.draft(None, (min_side, min_side))
        return upright_rgb(picture, min_side)


def _at_sizes(file: BinaryIO, name: str, min_sides: Sequence[int | None], max_pixels: int) -> SizedPictures:
    file_format = _picture_format(file, name)
    picture = _opened(file, name, file_format, max_pixels)
    with _pillow_errors_as_media_errors(name, file_format):
        size = picture.size
        scales = [_jpeg_scale(size, min_side) if picture.format == "JPEG" else 1 for min_side in min_sides]
        decoded = min(scales)
        if decoded > 1:
            picture.draft(None, (size[0] // decoded, size[1] // decoded))
        picture.load()
        if picture.format != "JPEG":
            size = picture.size  # the TIFF reader rotates the picture
        orientation = _orientation(picture)
        pixels = _eight_bit(picture)
        sized = []
        for min_side, scale in zip(min_sides, scales, strict=True):
            base = pixels.reduce(scale // decoded) if scale > decoded else pixels
            result = _upright_rgb(shrink(base, min_side), orientation)
            sized.append(result.copy() if result is pixels or result is picture else result)
            sized[-1].info = {}
        return SizedPictures((size[1], size[0]) if orientation in _SIDEWAYS else size, sized)


def _jpeg_scale(size: tuple[int, int], min_side: int | None) -> int:
    """The scale at which Pillow decodes a JPEG of this size by `draft` for a shorter side of `min_side` pixels."""
    if not min_side:
        return 1
    return next((scale for scale in (8, 4, 2) if min(size) // min_side >= scale), 1)


def _from_image(picture: Image.Image, min_side: int | None, max_pixels: int) -> Image.Image:
    _check_size(picture.size, "the picture", max_pixels)
    try:
        return upright_rgb(picture, min_side)
    except Exception as error:  # a lazily opened file raises any error of its reader here
        raise MediaError("corrupt", f"the picture cannot be decoded ({_reason(error)}); replace it") from error


def _from_array(array: NDArray[np.uint8], min_side: int | None, max_pixels: int) -> Image.Image:
    shape = "x".join(map(str, array.shape))
    if array.dtype != np.uint8:
        raise MediaError("unsupported", f"the picture is an array of {array.dtype}; give uint8 values from 0 to 255")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise MediaError(
            "unsupported", f"the picture is an array of shape {shape}; give (h, w), (h, w, 3) or (h, w, 4)"
        )
    if array.size == 0:
        raise MediaError("corrupt", f"the picture is an empty array of shape {shape}; give at least one pixel")
    _check_size((array.shape[1], array.shape[0]), "the picture", max_pixels)
    return upright_rgb(Image.fromarray(np.ascontiguousarray(array)), min_side)


def _check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise MediaError("corrupt", f"{name} is {width} x {height} pixels; give at least one pixel")
    if width * height > max_pixels:
        raise MediaError(
            "too_large",
            f"{name} is {width} x {height} pixels, above the limit of {max_pixels:,}; make it smaller",
        )


def upright_rgb(picture: Image.Image, min_side: int | None) -> Image.Image:
    """Convert a Pillow picture to a new upright RGB picture, reduced as by `shrink`. Raises any error of its reader."""
    picture.load()
    orientation = _orientation(picture)  # only after load: the TIFF reader rotates the picture and removes the tag
    result = _upright_rgb(shrink(_eight_bit(picture), min_side), orientation)
    if result is picture:
        result = picture.copy()
    result.info = {}  # the next reader would apply a remaining EXIF tag a second time
    return result


def _upright_rgb(picture: Image.Image, orientation: int) -> Image.Image:
    if picture.mode == "RGBA":
        picture = on_white(picture)
    if orientation in _UPRIGHT:
        picture = picture.transpose(_UPRIGHT[orientation])
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _orientation(picture: Image.Image) -> int:
    try:
        return int(picture.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # broken EXIF data does not affect the pixels: treat the picture as upright
        return 1


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Convert any mode to L, RGB or RGBA: these can be shrunk and pasted."""
    if picture.mode in ("L", "RGB", "RGBA") and "transparency" not in picture.info:
        return picture
    if picture.mode == "F" or picture.mode.startswith("I"):
        return _scaled_grey(np.asarray(picture, dtype=np.float32), unit_range=picture.mode == "F")
    if picture.has_transparency_data:
        return picture.convert("RGBA")
    if picture.mode == "1":
        return picture.convert("L")
    return picture.convert("RGB")


def _scaled_grey(values: NDArray[np.float32], *, unit_range: bool) -> Image.Image:
    """Scale (h, w) grey values to 8 bits. Full scale is 65535 for integers, 1 for floats, or more if exceeded."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    largest = float(values.max())
    full = next((scale for scale in (1.0 if unit_range else 65535.0, 65535.0) if largest <= scale), largest)
    return Image.fromarray(np.rint(values.clip(0.0, full) * (255.0 / full)).astype(np.uint8))


def _not_a_picture(head: bytes, name: str) -> MediaError:
    if not head:
        return MediaError("corrupt", f"{name} is empty (0 bytes); replace it")
    file_format = sniff(head)
    if file_format is None:
        return MediaError("corrupt", f"{name} is not a picture (it starts with {head[:8]!r}); use a {_READABLE} file")
    if file_format == "HTML":
        return MediaError("corrupt", f"{name} is a web page, not a picture; use the address of the picture itself")
    if file_format in VIDEO_FORMATS:
        return MediaError("unsupported", f"{name} is a video ({file_format}), not a picture; list it under videos")
    return MediaError("unsupported", f"{name} is {file_format}, which is not supported; convert it to {_READABLE}")


def _reason(error: Exception) -> str:
    """The message of an error, shortened to one line."""
    text = " ".join(str(error).split())
    return text[:120] or type(error).__name__
