"""Corruptions of pictures: size, repeatability, growing strength, and pictures of any shape."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFont

from firstsight.errors import QueryError
from firstsight.media.corruptions.picture_corruptions import (
    COMMON,
    CORRUPTIONS,
    EVASIONS,
    STRENGTHS,
    choose_corruptions,
    corrupt,
)
from tests.conftest import SAMPLE_CATALOGUE

NAMES = sorted(CORRUPTIONS)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """A product on white, of 192 pixels."""
    with Image.open(SAMPLE_CATALOGUE.parent / "pictures" / "sneakers-red.jpg") as opened:
        small = opened.convert("RGB")
    small.thumbnail((192, 192))
    return small


def pixels(picture: Image.Image) -> NDArray[np.float64]:
    return np.asarray(picture, dtype=np.float64)


def psnr(first: Image.Image, second: Image.Image) -> float:
    """Peak signal-to-noise ratio in decibels; higher is nearer."""
    error = float(np.mean((pixels(first) - pixels(second)) ** 2))
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@pytest.mark.parametrize("name", NAMES)
def test_a_corruption_changes_the_picture_and_keeps_its_size(name: str, picture: Image.Image) -> None:
    before = picture.tobytes()
    corrupted = corrupt(picture, name, CORRUPTIONS[name].strengths[-1])
    assert (corrupted.size, corrupted.mode) == (picture.size, "RGB")
    assert corrupted.tobytes() != before
    assert picture.tobytes() == before


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_and_the_picture_decide_the_result(name: str, picture: Image.Image) -> None:
    strength = CORRUPTIONS[name].strengths[-1]
    first = corrupt(picture, name, strength, seed=1)
    assert corrupt(picture, name, strength, seed=1).tobytes() == first.tobytes()
    keyed = corrupt(picture, name, strength, key="item")
    assert corrupt(picture.copy(), name, strength, key="item").tobytes() == keyed.tobytes()


def test_another_seed_gives_other_noise_and_another_place(picture: Image.Image) -> None:
    for name in ("gaussian-noise", "shot-noise", "crop", "text", "motion-blur"):
        assert corrupt(picture, name, 3, seed=1).tobytes() != corrupt(picture, name, 3, seed=2).tobytes()


@pytest.mark.parametrize("name", [name for name in NAMES if len(CORRUPTIONS[name].strengths) > 1])
def test_a_higher_strength_is_further_from_the_picture(name: str, picture: Image.Image) -> None:
    distances = [psnr(corrupt(picture, name, strength), picture) for strength in STRENGTHS]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > distances[-1] + 1


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 2)])
@pytest.mark.parametrize("name", NAMES)
def test_a_picture_may_have_any_shape(name: str, size: tuple[int, int]) -> None:
    thin = Image.new("RGB", size, "#336699")
    for strength in CORRUPTIONS[name].strengths:
        assert corrupt(thin, name, strength).size == size


def test_a_collage_shows_the_picture_and_the_others_in_quarters(picture: Image.Image) -> None:
    colours = ("#ff0000", "#00ff00", "#0000ff")
    others = [Image.new("RGB", (9, 5), colour) for colour in colours]
    made = pixels(corrupt(picture, "collage", 1, others=others))
    half = picture.height // 2, picture.width // 2
    quarters = [made[y : y + half[0] - 2, x : x + half[1] - 2] for y in (0, half[0] + 2) for x in (0, half[1] + 2)]
    flat = [quarter for quarter in quarters if quarter.reshape(-1, 3).std(axis=0).max() < 1]
    assert len(flat) == 3


def test_text_is_drawn_without_fonts_of_the_system_or_freetype(
    picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    bitmap = ImageFont.load_default_imagefont()

    def load_default(size: float | None = None) -> ImageFont.ImageFont:
        if size is not None:
            raise ImportError("The _imagingft C module is not installed")
        return bitmap

    monkeypatch.setattr(ImageFont, "load_default", load_default)
    for name in ("text", "watermark"):
        assert psnr(corrupt(picture, name, 5), picture) < 25


def test_unknown_names_and_strengths_are_errors_with_the_known_ones(picture: Image.Image) -> None:
    with pytest.raises(QueryError, match="there is no corruption 'fog'; the corruptions are gaussian-blur, "):
        corrupt(picture, "fog", 1)
    for strength in (0, 6, 10**9, -1):
        with pytest.raises(QueryError, match=f"corruption jpeg has no strength {strength}; use 1 to 5"):
            corrupt(picture, "jpeg", strength)
    with pytest.raises(QueryError, match="corruption mirror has no strength 2; use 1"):
        corrupt(picture, "mirror", 2)
    with pytest.raises(QueryError, match="there is no strength 9"):
        choose_corruptions(None, [9])


def test_the_lists_of_corruptions_and_evasions() -> None:
    assert set(EVASIONS) == {"mirror", "border", "text", "crop", "jpeg", "collage"}
    assert len(COMMON) == 13
    assert choose_corruptions(["mirror", "jpeg"], [5, 1, 1]) == [("mirror", 1), ("jpeg", 1), ("jpeg", 5)]
    assert len(choose_corruptions(None, None)) == 65
