"""Measures of single pictures, and the problems that they show."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from firstsight.media.picture_facts import JsonValue, PictureSource
from firstsight.media.pictures import open_picture, shrink
from firstsight.understanding.quality.picture_quality import MIN_SIDE, measure
from firstsight.understanding.quality.problems import find_problems

PICTURES = Path(__file__).parents[3] / "sample_media" / "pictures"
SHARP = ["electric-kettle.png", "guitar-electric.jpg", "poster-cat.jpg"]
Colour = tuple[int, int, int]


def sample(name: str) -> Image.Image:
    return open_picture(PICTURES / name)


def as_jpeg(picture: Image.Image, quality: int = 90) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def measures(picture: Image.Image) -> dict[str, JsonValue]:
    """Measure a picture as the decoding child does."""
    return measure(shrink(picture, MIN_SIDE), PictureSource(*picture.size, "image"))


def problems(picture: Image.Image) -> set[str]:
    return {found.kind.name for found in find_problems(measures(picture))}


def with_bars(picture: Image.Image, kind: str, colour: Colour) -> Image.Image:
    width, height = picture.size
    across, down = (0 if kind == "letterbox" else width // 10), (0 if kind == "pillarbox" else height // 10)
    framed = Image.new("RGB", picture.size, colour)
    framed.paste(picture.resize((width - 2 * across, height - 2 * down)), (across, down))
    return as_jpeg(framed)


@pytest.mark.parametrize("name", SHARP)
def test_a_sharp_picture_has_no_problem(name: str) -> None:
    assert problems(sample(name)) <= {"low_resolution"}


@pytest.mark.parametrize("name", SHARP)
@pytest.mark.parametrize("radius", [1, 2, 4])
def test_a_blurred_picture_is_found(name: str, radius: float) -> None:
    found = problems(as_jpeg(sample(name).filter(ImageFilter.GaussianBlur(radius))))
    assert found & {"blurred", "upscaled"}


def test_blur_is_measured_in_pixels() -> None:
    picture = sample("guitar-electric.jpg")
    blurs = [measures(picture.filter(ImageFilter.GaussianBlur(radius)))["blur"] for radius in (0.01, 1, 2)]
    assert all(isinstance(blur, float) for blur in blurs)
    assert blurs == sorted(blurs, key=str)
    assert blurs[2] == pytest.approx(2, abs=0.4)


@pytest.mark.parametrize("name", SHARP)
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_an_upscaled_picture_is_found(name: str, factor: int) -> None:
    picture = sample(name)
    small = picture.resize((picture.width // factor, picture.height // factor), Image.Resampling.LANCZOS)
    assert problems(as_jpeg(small.resize(picture.size, Image.Resampling.BICUBIC))) & {"blurred", "upscaled"}


@pytest.mark.parametrize("name", ["guitar-electric.jpg", "espresso-cup.jpg"])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_an_enlarged_picture_is_called_upscaled(name: str, factor: int) -> None:
    picture = sample(name).resize((213, 213), Image.Resampling.LANCZOS)
    large = picture.resize((213 * factor, 213 * factor), Image.Resampling.BICUBIC)
    assert "upscaled" in problems(as_jpeg(large))
    assert "upscaled" not in problems(as_jpeg(sample(name).filter(ImageFilter.GaussianBlur(1))))


def test_a_soft_picture_with_a_thousand_pixels_of_detail_is_sharp_enough() -> None:
    picture = sample("guitar-electric.jpg")
    large = picture.resize((2400, 2400), Image.Resampling.LANCZOS)
    assert problems(large) & {"blurred", "upscaled"}  # 640 pixels of detail
    sharp = Image.fromarray(np.random.default_rng(0).integers(0, 2, (600, 600, 3), np.uint8) * 255)
    photo = sharp.resize((2400, 2400), Image.Resampling.NEAREST).filter(ImageFilter.GaussianBlur(1))
    detail = measures(photo)["detail"]
    assert isinstance(detail, int)
    assert detail > 1000
    assert not problems(photo) & {"blurred", "upscaled"}


@pytest.mark.parametrize("name", SHARP)
@pytest.mark.parametrize("share", [0.2, 0.45])
def test_a_darkened_picture_is_found(name: str, share: float) -> None:
    assert "dark" in problems(as_jpeg(sample(name).point(lambda level: level * share)))


def test_a_black_product_on_white_is_not_dark() -> None:
    assert "dark" not in problems(sample("tee-black.jpg"))
    assert "dark" not in problems(sample("poster-galaxies.jpg"))  # bright stars on black


@pytest.mark.parametrize("kind", ["letterbox", "pillarbox", "frame"])
@pytest.mark.parametrize("colour", [(0, 0, 0), (190, 30, 40), (200, 200, 200), (20, 60, 160)])
@pytest.mark.parametrize("name", SHARP)
def test_bars_of_any_colour_are_found(name: str, kind: str, colour: Colour) -> None:
    share = measures(with_bars(sample(name), kind, colour))["bars"]
    assert share == pytest.approx(0.36 if kind == "frame" else 0.2, abs=0.02)


@pytest.mark.parametrize("kind", ["letterbox", "pillarbox"])
def test_white_bars_are_found_where_the_content_is_not_white(kind: str) -> None:
    assert "bars" in problems(with_bars(sample("poster-cat.jpg"), kind, (255, 255, 255)))


def test_a_rectangular_product_on_white_has_no_bars() -> None:
    picture = Image.new("RGB", (600, 600), "white")
    picture.paste(sample("poster-cat.jpg").resize((400, 500)), (100, 50))
    assert measures(picture)["bars"] == 0


def test_white_background_is_a_share() -> None:
    picture = Image.new("RGB", (400, 400), "white")
    ImageDraw.Draw(picture).rectangle((100, 100, 299, 299), fill=(10, 90, 20))
    assert measures(picture)["white_background"] == pytest.approx(0.75, abs=0.02)
    assert measures(picture)["content"] == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("colour", ["white", "black", (90, 140, 200)])
def test_an_empty_picture_has_no_other_problem(colour: str | Colour) -> None:
    found = problems(Image.new("RGB", (800, 600), colour))
    assert "near_empty" in found
    assert found <= {"near_empty", "dark"}


def test_a_speck_on_white_is_near_empty() -> None:
    picture = Image.new("RGB", (800, 800), "white")
    picture.paste(sample("poster-cat.jpg").resize((60, 40)), (400, 400))
    assert "near_empty" in problems(as_jpeg(picture))


def test_a_small_and_a_long_picture_are_found() -> None:
    picture = sample("espresso-cup.jpg")
    assert "low_resolution" in problems(picture.resize((300, 200)))
    assert "low_resolution" not in problems(picture)
    assert "extreme_aspect" in problems(picture.resize((900, 200)))
    assert "extreme_aspect" in problems(picture.resize((200, 900)))
    assert "extreme_aspect" not in problems(picture)


@pytest.mark.parametrize("name", SHARP)
def test_strong_jpeg_compression_is_found(name: str) -> None:
    assert "compressed" in problems(as_jpeg(sample(name), 8))


def test_a_grey_picture_has_the_measures_of_a_coloured_one() -> None:
    grey = sample("guitar-electric.jpg").convert("L").convert("RGB")
    assert problems(grey) == problems(sample("guitar-electric.jpg"))


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (2, 2), (31, 40), (33, 33), (20, 4000), (5000, 12)])
def test_a_picture_of_any_size_has_measures(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    for picture in (Image.fromarray(pixels), Image.new("RGB", size, "white")):
        found = measures(picture)
        assert (found["width"], found["height"]) == size
        assert "low_resolution" in problems(picture) or max(size) >= 500


def test_the_resolution_is_that_of_the_file() -> None:
    found = measures(Image.new("RGB", (4800, 3600), "white"))
    assert (found["width"], found["height"]) == (4800, 3600)


def test_the_same_picture_has_the_same_measures() -> None:
    assert measures(sample("poster-cat.jpg")) == measures(sample("poster-cat.jpg"))


def test_the_function_imports_no_database_and_no_model() -> None:
    heavy = "{'lancedb', 'pyarrow', 'torch', 'openvino', 'scipy'}"
    code = (
        "import sys, firstsight.understanding.quality.picture_quality;"
        f"print(sorted({heavy} & set(sys.modules)), 'firstsight.storage' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"
