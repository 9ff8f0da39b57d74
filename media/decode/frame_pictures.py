"""Conversion of a decoded frame in any pixel format to an upright 8-bit RGB picture with square pixels."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, cast

import av
import numpy as np
from av.sidedata.sidedata import SideData, SideDataContainer, Type
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from PIL import Image

from firstsight.media.frames.scanning import thumbnail_size
from firstsight.media.pictures import on_white, shrink, shrink_factor

_PQ: Final = 16
_HLG: Final = 18
HDR_TRANSFERS: Final = frozenset({_PQ, _HLG})
"""Transfer characteristics (ITU-T H.273) that differ a lot from sRGB: PQ and HLG."""

_WHITE_NITS: Final = 203.0  # diffuse white of HDR programmes, ITU-R BT.2408
_KNEE: Final = 0.8  # share of diffuse white; brighter values are compressed into the rest
_BT2020_TO_BT709: Final = np.array(  # linear light, ITU-R BT.2087
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_ODD_ASPECT: Final = 8.0


def to_picture(frame: av.VideoFrame, min_side: int | None, pixel_aspect: float = 1.0) -> Image.Image:
    """Convert one frame to RGB: HDR to sRGB, transparency on white, square pixels, upright, reduced by `shrink`.

    Args:
        min_side: as for `pictures.shrink`.
        pixel_aspect: width of a pixel divided by its height.
    """
    if frame.color_trc in HDR_TRANSFERS:
        factor = shrink_factor((frame.width, frame.height), min_side)
        picture = _from_hdr(frame, (frame.width // factor, frame.height // factor))
    elif any(component.is_alpha for component in frame.format.components):
        picture = on_white(shrink(Image.fromarray(_pixels(frame, "rgba")), min_side))
    else:
        picture = shrink(Image.fromarray(_pixels(frame, "rgb24")), min_side)
    return _upright(_square_pixels(picture, pixel_aspect), frame)


def to_thumbnail(frame: av.VideoFrame, pixel_aspect: float = 1.0) -> NDArray[np.uint8]:
    """Convert one frame to a small (h, w, 3) RGB picture, as `to_picture` would look at the size of a thumbnail.

    The frame is averaged down in its own pixel format, which costs a small part of a full conversion.
    """
    size = thumbnail_size(*_square_size(frame.width, frame.height, pixel_aspect))
    if frame.color_trc in HDR_TRANSFERS:
        picture = _from_hdr(frame, size)
    elif any(component.is_alpha for component in frame.format.components):
        picture = on_white(Image.fromarray(_pixels(frame, "rgba", size)))
    else:
        pixels: NDArray[np.uint8] = _pixels(frame, "rgb24", size)
        if not _has_matrix(frame):
            return pixels
        picture = Image.fromarray(pixels)
    return np.asarray(_upright(picture, frame), np.uint8)


def _square_pixels(picture: Image.Image, aspect: float) -> Image.Image:
    size = _square_size(*picture.size, aspect)
    return picture if size == picture.size else picture.resize(size, Image.Resampling.BICUBIC)


def _square_size(width: int, height: int, aspect: float) -> tuple[int, int]:
    if aspect == 1 or not 1 / _ODD_ASPECT < aspect < _ODD_ASPECT:
        return width, height
    return (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))


class _Converter(threading.local):
    """A swscale context per thread. It takes 15 MB, so a new one for every frame would be expensive."""

    def __init__(self) -> None:
        self.reformatter = VideoReformatter()


_CONVERTER: Final = _Converter()


def _pixels(frame: av.VideoFrame, layout: str, size: tuple[int, int] | None = None) -> NDArray[Any]:
    """Convert a frame to (h, w, channels); with a (width, height), average it down to that size.

    It uses one thread. By default swscale starts one per CPU, and their stacks and heaps exceed a child's memory limit.
    """
    width, height = size or (None, None)
    interpolation = "AREA" if size else None
    reformatter = _CONVERTER.reformatter
    converted = reformatter.reformat(frame, width, height, layout, interpolation=interpolation, threads=1)
    return converted.to_ndarray()


# Not `frame.side_data`: PyAV 18 stores it in the frame, a cycle that keeps the pixels until garbage collection.
_side_data_of: Final = cast("Callable[[av.VideoFrame], Mapping[Type, SideData]]", SideDataContainer)


def _has_matrix(frame: av.VideoFrame) -> bool:
    try:
        return _side_data_of(frame).get(Type.DISPLAYMATRIX) is not None
    except ValueError:  # as in `_upright`
        return True


def _upright(picture: Image.Image, frame: av.VideoFrame) -> Image.Image:
    """Rotate (by multiples of 90 degrees) and mirror a picture according to its display matrix."""
    try:
        side_data = _side_data_of(frame).get(Type.DISPLAYMATRIX)
    except ValueError:  # PyAV 18, if a frame has side data of an unknown type, such as Exif
        return picture.rotate(90 * round(frame.rotation / 90), expand=True)
    if side_data is None:
        return picture
    (a, b, _), (c, d, _) = np.frombuffer(bytes(side_data), np.int32).reshape(3, 3)[:2].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):  # x and y are swapped
        picture = picture.transpose(Image.Transpose.TRANSPOSE)
        a, d = c, b
    if a < 0:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if d < 0:
        picture = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return picture


def _from_hdr(frame: av.VideoFrame, size: tuple[int, int]) -> Image.Image:
    values = _pixels(frame, "rgb48le", size)
    light = _light(int(frame.color_trc))[values]  # (h, w, 3), 1 is diffuse white
    if frame.color_primaries == _BT2020_PRIMARIES:
        light = light @ _BT2020_TO_BT709.T
    light = light.clip(0)
    brightest = light.max(axis=2, keepdims=True)
    over = _KNEE + (1 - _KNEE) * (1 - np.exp(-(brightest - _KNEE) / (1 - _KNEE)))
    light *= np.where(brightest > _KNEE, over / np.maximum(brightest, _KNEE), 1)
    return Image.fromarray(_srgb_bytes()[(light * 4095 + 0.5).astype(np.uint16).clip(0, 4095)])


_BT2020_PRIMARIES: Final = 9


@cache
def _light(transfer: int) -> NDArray[np.float32]:
    """(65536,) linear light of each 16-bit value; 1 is diffuse white. By SMPTE ST 2084 (PQ) or ARIB STD-B67 (HLG)."""
    value = np.linspace(0, 1, 65536)
    if transfer == _PQ:
        m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
        root = value ** (1 / m2)
        nits = 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    else:
        scene = np.where(value <= 0.5, value**2 / 3, (np.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12)
        nits = 1000 * scene**1.2  # a display of 1,000 nits, with its system gamma per channel
    return (nits / _WHITE_NITS).astype(np.float32)


@cache
def _srgb_bytes() -> NDArray[np.uint8]:
    """(4096,) sRGB value of linear light from 0 to 1."""
    light = np.linspace(0, 1, 4096)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    levels: NDArray[np.uint8] = np.rint(encoded * 255).astype(np.uint8)
    return levels
