"""Encoders take lists, Series and arrays, and refuse a single text or picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image

from firstsight.encoders.base import Encoder
from firstsight.encoders.input_lists import as_images, as_texts

GREY = Image.new("RGB", (8, 8), "grey")


@pytest.mark.parametrize(
    "texts",
    [
        ["a", "b"],
        ("a", "b"),
        pd.Series(["a", "b"], index=[5, 6]),
        pl.Series(["a", "b"]),
        pa.array(["a", "b"]),
        np.array(["a", "b"]),
        np.array(["a", "b"], dtype=object),
        (letter for letter in "ab"),
    ],
    ids=lambda texts: type(texts).__module__ + type(texts).__name__,
)
def test_texts_come_from_any_sequence(texts: Any) -> None:
    assert as_texts(texts) == ["a", "b"]
    assert all(type(text) is str for text in as_texts(["a", np.str_("b")]))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("red shoes", r"give a list of texts, not one str: \['red shoes'\]"),
        (b"red", "give a list of texts, not one bytes"),
        ({"a": 1}, "give a list of texts, not a dict"),
        ({"a"}, "give a list of texts, not a set"),
        (np.array("a"), "give a list of texts, not a ndarray"),
        (5, "give a list of texts, not a int"),
        (["a", None], "text 1 is None, not a str"),
        ([["a"]], "text 0 is of type list, not a str"),
    ],
)
def test_a_single_text_is_an_error(texts: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        as_texts(texts)


def test_pictures_come_from_any_sequence() -> None:
    assert as_images((GREY, "a.jpg", Path("b.jpg"), b"\xff")) == [GREY, "a.jpg", Path("b.jpg"), b"\xff"]
    assert as_images(pd.Series(["a.jpg"])) == ["a.jpg"]
    assert [np.asarray(image).shape for image in as_images(np.zeros((2, 8, 8, 3), np.uint8))] == [(8, 8, 3)] * 2


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("shoe.jpg", r"give a list of pictures, not one path: \['shoe.jpg'\]"),
        (Path("shoe.jpg"), r"not one path: \['shoe.jpg'\]"),
        (GREY, r"not one of type Image: \[picture\]"),
        (b"\xff\xd8", r"not one of type bytes: \[picture\]"),
        (np.zeros((8, 8, 3), np.uint8), r"an array of shape \(8, 8, 3\) is a single picture: give \[picture\]"),
        ([GREY, None], "picture 1 is None; give a path"),
    ],
)
def test_a_single_picture_is_an_error(images: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        as_images(images)


def test_the_starter_encoder_refuses_a_single_text_or_picture(starter: Encoder) -> None:
    with pytest.raises(TypeError, match=r"\['red shoes'\]"):
        starter.encode_texts("red shoes")
    with pytest.raises(TypeError, match=r"\['shoe.jpg'\]"):
        starter.encode_images("shoe.jpg")
