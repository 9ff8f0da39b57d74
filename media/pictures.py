"""Encoded bytes, files, arrays and Pillow images to upright RGB pictures, whatever state they arrive in."""

from __future__ import annotations

import contextlib
import io
import math
import os
from collections.abc import Iterator
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
from firstsight.media.file_formats import SNIFF_BYTES, VIDEO_FORMATS, sniff
from firstsight.media.local_files import open_regular
from firstsight.media.policy import DEFAULT_MAX_PIXELS

ImageInput: TypeAlias = "Image.Image | NDArray[np.uint8] | bytes | str | PathLike[str]"
"""A decoded picture, an (h, w), (h, w, 3) or (h, w, 4) uint8 array in sRGB, a file's bytes, or its path."""

# The readers by what `sniff` calls their files. Naming the reader instead of calling PIL.Image.open keeps
# every other reader (EPS starts Ghostscript) out of reach, and keeps Pillow's own pixel limit, a warning,
# behind ours, an error.
_READERS: Final[dict[str, type[ImageFile.ImageFile]]] = {
    "AVIF": AvifImagePlugin.AvifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,  # an MPO is a JPEG whose first picture is the one wanted
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
_EXIF_ORIENTATION: Final = 0x0112


def open_picture(
    source: ImageInput, *, min_side: int | None = None, max_pixels: int = DEFAULT_MAX_PIXELS
) -> Image.Image:
    """Decode one picture to upright RGB, transparency on white; of an animation, the first frame.

    16-bit pictures are scaled to 8 bits, not clipped; colour profiles are ignored, as in CLIP's transforms.
    Several threads may call this at once, unless they share one Pillow image that is not loaded yet.

    Args:
        source: a file's path or bytes, an (h, w), (h, w, 3) or (h, w, 4) uint8 array in sRGB, or a Pillow
            image, which is left as it is.
        min_side: shrink early, by whole factors with a box filter (a JPEG while it is being decoded), as long
            as the shorter side keeps at least this many pixels; None keeps every pixel. Early shrinking to
            three times the size that a bicubic resize then makes moves CLIP vectors by a cosine of about
            0.0002.
        max_pixels: largest width x height, checked in the header before anything is decoded.

    Returns:
        A new RGB image that carries no metadata.

    Raises:
        MediaError: "missing", "forbidden", "too_large", "unsupported" or "corrupt".
    """
    if isinstance(source, Image.Image):
        return _from_image(source, min_side, max_pixels)
    if isinstance(source, np.ndarray):
        return _from_array(source, min_side, max_pixels)
    if isinstance(source, bytes | bytearray | memoryview):
        return _from_file(io.BytesIO(source), "the picture", min_side, max_pixels)
    with open_regular(source) as file:
        return _from_file(file, os.fspath(source), min_side, max_pixels)


def shrink(picture: Image.Image, min_side: int | None) -> Image.Image:
    """Shrink a picture by the largest whole factor that leaves its shorter side `min_side` pixels or more.

    A picture that is still larger than 16 squares of that side, a long thin one, is shrunk to about as much: it
    would take hundreds of megabytes, and no encoder sees more of it. Where it is too thin to be shrunk, its middle
    of that many pixels is kept.
    """
    factor = shrink_factor(picture.size, min_side)
    if min_side and picture.width * picture.height > 16 * (factor * min_side) ** 2:  # thinner than the factor
        picture = crop_long(picture, 16 * min_side**2)
    return picture.reduce(factor) if factor > 1 else picture


def crop_long(picture: Image.Image, max_aspect: int) -> Image.Image:
    """The middle of a picture whose longer side is more than `max_aspect` times its shorter one; else the picture.

    As many pixels go at one end as at the other, so that the middle stays the middle.
    """
    width, height = picture.size
    surplus = max(width, height) - max_aspect * min(width, height)
    cut = (surplus + 1) // 2
    if cut <= 0:
        return picture
    return picture.crop((cut, 0, width - cut, height) if width > height else (0, cut, width, height - cut))


def shrink_factor(size: tuple[int, int], min_side: int | None) -> int:
    """The whole factor, 1 or more, that `shrink` uses for a picture of this width and height."""
    if not min_side:
        return 1
    width, height = size
    area = math.ceil(math.sqrt(width * height / (16 * min_side**2)))
    return max(1, min(max(min(width, height) // min_side, area), width, height))


def on_white(picture: Image.Image) -> Image.Image:
    """An RGBA picture as RGB, what is transparent turned white."""
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=picture.getchannel("A"))
    return white


def open_lazily(file: BinaryIO, name: str, max_pixels: int) -> ImageFile.ImageFile:
    """Open a picture file by its first bytes, its size checked, nothing decoded.

    Raises:
        MediaError: "too_large", "unsupported" or "corrupt".
    """
    return _opened(file, name, _picture_format(file, name), max_pixels)


def _opened(file: BinaryIO, name: str, found: str, max_pixels: int) -> ImageFile.ImageFile:
    with _pillow_errors_as_media_errors(name, found):
        picture = _reader(found, name)(file)
        _check_size(picture.size, name, max_pixels)
        return picture


def _picture_format(file: BinaryIO, name: str) -> str:
    head = file.read(SNIFF_BYTES)
    file.seek(0)
    found = sniff(head)
    if found not in _READERS and found != "HEIC":
        raise _not_a_picture(head, name)
    return str(found)


def _reader(found: str, name: str) -> type[ImageFile.ImageFile]:
    if found != "HEIC":
        return _READERS[found]
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise MediaError(
            "unsupported", f"{name} is HEIC, which needs an extra: pip install 'firstsight[heic]', or convert it"
        ) from error
    reader: type[ImageFile.ImageFile] = HeifImageFile
    return reader


@contextlib.contextmanager
def _pillow_errors_as_media_errors(name: str, found: str) -> Iterator[None]:
    """Turn what Pillow's readers raise into MediaError."""
    try:
        yield
    except MediaError:
        raise
    except MemoryError as error:
        raise MediaError("too_large", f"{name} needs more memory than there is; make the picture smaller") from error
    except Exception as error:  # hostile bytes make Pillow's readers raise nearly every built-in exception
        raise MediaError(
            "corrupt", f"{name} is a broken or truncated {found} file ({_reason(error)}); replace it"
        ) from error


def _from_file(file: BinaryIO, name: str, min_side: int | None, max_pixels: int) -> Image.Image:
    found = _picture_format(file, name)
    picture = _opened(file, name, found, max_pixels)
    with _pillow_errors_as_media_errors(name, found):
        if min_side and picture.format == "JPEG":
            picture.draft(None, (min_side, min_side))
        return upright_rgb(picture, min_side)


def _from_image(picture: Image.Image, min_side: int | None, max_pixels: int) -> Image.Image:
    _check_size(picture.size, "the picture", max_pixels)
    try:
        return upright_rgb(picture, min_side)
    except Exception as error:  # a lazily opened file fails here with whatever its reader raises
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
    """A Pillow picture as a new upright RGB one, shrunk like `shrink`; raises whatever its reader does."""
    picture.load()
    orientation = _orientation(
        picture
    )  # after load: the TIFF reader has turned the picture and dropped the tag by then
    result = shrink(_eight_bit(picture), min_side)
    if result.mode == "RGBA":
        result = on_white(result)
    if orientation in _UPRIGHT:
        result = result.transpose(_UPRIGHT[orientation])
    if result.mode != "RGB":
        result = result.convert("RGB")
    elif result is picture:
        result = picture.copy()
    result.info = {}  # a leftover EXIF tag would turn the picture a second time in whoever reads it next
    return result


def _orientation(picture: Image.Image) -> int:
    try:
        return int(picture.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # broken EXIF data, of which the pixels do not depend: taken as upright
        return 1


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Any mode to L, RGB or RGBA, the three that shrink and paste well."""
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
    """(h, w) wide grey values to 8 bits; integers count as 16-bit, floats as 0 to 1, unless larger."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    largest = float(values.max())
    full = next((scale for scale in (1.0 if unit_range else 65535.0, 65535.0) if largest <= scale), largest)
    return Image.fromarray(np.rint(values.clip(0.0, full) * (255.0 / full)).astype(np.uint8))


def _not_a_picture(head: bytes, name: str) -> MediaError:
    if not head:
        return MediaError("corrupt", f"{name} is empty (0 bytes); replace it")
    found = sniff(head)
    if found is None:
        return MediaError("corrupt", f"{name} is not a picture (it starts with {head[:8]!r}); give a {_READABLE} file")
    if found == "HTML":
        return MediaError("corrupt", f"{name} is a web page, not a picture; give the address of the picture itself")
    if found in VIDEO_FORMATS:
        return MediaError("unsupported", f"{name} is a video ({found}), not a picture; list it under videos")
    return MediaError("unsupported", f"{name} is {found}, which is not read; convert it to a {_READABLE} file")


def _reason(error: Exception) -> str:
    """What went wrong, in one short line."""
    text = " ".join(str(error).split())
    return text[:120] or type(error).__name__
