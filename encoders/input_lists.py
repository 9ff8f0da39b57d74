"""Lists of texts and pictures for an encoder, from any kind of sequence."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np
from PIL import Image

from firstsight.encoders.base import ImageInput


def as_texts(texts: object) -> list[str]:
    """Make a list of texts.

    Args:
        texts: a list, a tuple, a Series of pandas or polars, an Arrow array, a (n,) array of texts, or any other
            iterable in order.

    Raises:
        TypeError: `texts` is a single text, or an entry is not a text; the message names its position.
    """
    if isinstance(texts, str | bytes):
        raise TypeError(f"give a list of texts, not one {type(texts).__name__}: [{texts[:40]!r}]")
    entries = _entries(texts, "texts")
    for place, text in enumerate(entries):
        if not isinstance(text, str):
            raise TypeError(f"text {place} is {_shown(text)}, not a str; leave it out, or give '' for no text")
    return [str(text) for text in entries]


def as_images(images: object) -> list[ImageInput]:
    """Make a list of pictures.

    Args:
        images: a list, a tuple, a Series of pandas or polars, a (n, height, width, 3) uint8 array, or any other
            iterable in order; its entries are paths, Pillow pictures, arrays or bytes.

    Raises:
        TypeError: `images` is a single picture, or an entry is none of these kinds; the message names its position.
    """
    if isinstance(images, str | os.PathLike):
        raise TypeError(f"give a list of pictures, not one path: [{os.fsdecode(images)!r}]")
    if isinstance(images, bytes | bytearray | memoryview | Image.Image):
        raise TypeError(f"give a list of pictures, not one of type {type(images).__name__}: [picture]")
    if isinstance(images, np.ndarray) and images.ndim in (2, 3):
        raise TypeError(
            f"an array of shape {images.shape} is a single picture: give [picture], or an array of shape "
            "(n, height, width, 3)"
        )
    entries = _entries(images, "pictures")
    for place, image in enumerate(entries):
        if not isinstance(image, str | os.PathLike | bytes | Image.Image | np.ndarray):
            raise TypeError(
                f"picture {place} is {_shown(image)}; give a path, a Pillow picture, a uint8 array or a file's bytes"
            )
    return entries


def _entries(inputs: object, what: str) -> list[Any]:
    if isinstance(inputs, list):
        return inputs
    if isinstance(inputs, Mapping | Set) or not isinstance(inputs, Iterable) or _has_no_length(inputs):
        raise TypeError(f"give a list of {what}, not a {type(inputs).__name__}")
    to_list = getattr(inputs, "to_pylist", None)  # the entries of an Arrow array are scalars of its own
    return list(inputs) if to_list is None else list(to_list())


def _has_no_length(inputs: object) -> bool:
    return isinstance(inputs, np.ndarray) and inputs.ndim == 0


def _shown(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"
