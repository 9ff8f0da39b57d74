"""Named colours of pictures: background and skin left out, patterns flagged, the same answer each time."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from firstsight.media.picture_facts import MAX_FACT_BYTES, PictureSource
from firstsight.understanding.colours.named_shades import COLOURS
from firstsight.understanding.colours.picture_colours import COLOUR_FACT, measure_colours

SKIN = "#c68863"
DARK_SKIN = "#6e4a37"

SWATCHES = {
    "black": "#101012",
    "gray": "#828286",
    "brown": "#6d4526",
    "beige": "#d6c3a2",
    "red": "#cc1f2d",
    "orange": "#f3801d",
    "yellow": "#f4d42e",
    "green": "#2d9342",
    "blue": "#2360be",
    "purple": "#6c3c9e",
    "pink": "#ef8fb2",
}


def measure(picture: Image.Image) -> dict[str, Any]:
    colours = measure_optional(picture)
    assert colours is not None
    return colours


def measure_optional(picture: Image.Image) -> dict[str, Any] | None:
    colours: Any = measure_colours(picture, PictureSource(*picture.size, "image"))
    assert len(json.dumps(colours)) < MAX_FACT_BYTES
    return colours  # type: ignore[no-any-return]


def main_colour(picture: Image.Image) -> str:
    return str(next(iter(measure(picture)["shares"])))


def shirt(colour: str, background: str = "white", size: int = 400) -> Image.Image:
    """A shirt in the middle of a plain background."""
    picture = Image.new("RGB", (size, size), background)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((size * 0.3, size * 0.25, size * 0.7, size * 0.8), fill=colour)
    draw.rectangle((size * 0.15, size * 0.27, size * 0.85, size * 0.4), fill=colour)
    return picture


def worn(colour: str, skin: str) -> Image.Image:
    """A shirt on a person with bare arms and legs."""
    picture = Image.new("RGB", (300, 450), "white")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((115, 15, 185, 105), fill=skin)
    draw.rectangle((60, 110, 240, 260), fill=skin)
    draw.rectangle((100, 105, 200, 260), fill=colour)
    draw.rectangle((105, 260, 195, 449), fill=skin)
    return picture.filter(ImageFilter.GaussianBlur(1))


def stripes(first: str, second: str, width: int) -> Image.Image:
    picture = shirt(first)
    draw = ImageDraw.Draw(picture)
    for top in range(100, 320, 2 * width):
        draw.rectangle((120, top, 280, min(top + width - 1, 320)), fill=second)
    return picture


@pytest.mark.parametrize(("name", "colour"), SWATCHES.items())
@pytest.mark.parametrize("background", ["white", "#e4e4e6", "#7db5a8"])
def test_the_colour_of_a_product_is_found_on_a_plain_background(name: str, colour: str, background: str) -> None:
    colours = measure(shirt(colour, background))
    assert next(iter(colours["shares"])) == name
    assert not colours["multicolour"]
    assert not colours["pattern"]
    assert 0.2 < colours["subject"] < 0.5


@pytest.mark.parametrize(("name", "colour"), SWATCHES.items())
def test_a_swatch_without_background_has_its_colour(name: str, colour: str) -> None:
    colours = measure(Image.new("RGB", (300, 200), colour))
    assert next(iter(colours["shares"])) == name
    assert colours["clusters"][0]["share"] == 1.0
    levels = [np.frombuffer(bytes.fromhex(text[1:]), np.uint8) for text in (colour, colours["clusters"][0]["hex"])]
    assert np.abs(levels[0].astype(int) - levels[1]).max() <= 2


def test_a_white_product_on_gray_is_white() -> None:
    assert main_colour(shirt("#fafafa", "#9a9a9c")) == "white"


@pytest.mark.parametrize("skin", [SKIN, DARK_SKIN, "#e8c2a4"])
@pytest.mark.parametrize("name", ["black", "red", "green", "blue"])
def test_skin_does_not_count_beside_a_garment(name: str, skin: str) -> None:
    colours = measure(worn(SWATCHES[name], skin))
    assert colours["shares"][name] > 0.8


def test_a_product_with_the_colour_of_skin_keeps_it() -> None:
    picture = shirt("#8a5a36")
    ImageDraw.Draw(picture).rectangle((120, 290, 280, 320), fill="#141414")  # a sole
    assert main_colour(picture) == "brown"


@pytest.mark.parametrize("width", [8, 12, 16, 24])
def test_stripes_are_a_pattern(width: int) -> None:
    colours = measure(stripes("#1c2547", "#f4d42e", width))
    assert colours["pattern"]
    assert {"blue", "yellow"} == set(list(colours["shares"])[:2])


def test_two_blocks_are_no_pattern() -> None:
    assert not measure(stripes("#1c2547", "#cc1f2d", 110))["pattern"]


def test_many_colours_are_multicolour() -> None:
    picture = Image.new("RGB", (400, 400), "white")
    draw = ImageDraw.Draw(picture)
    for n, colour in enumerate(["#cc1f2d", "#f4d42e", "#2d9342", "#2360be"]):
        draw.pieslice((40, 40, 360, 360), n * 90, n * 90 + 90, fill=colour)
    colours = measure(picture)
    assert colours["multicolour"]
    assert {"red", "yellow", "green", "blue"} == set(list(colours["shares"])[:4])


def test_a_soft_shadow_does_not_turn_a_product_gray() -> None:
    picture = Image.new("RGB", (400, 400), "white")
    ImageDraw.Draw(picture).ellipse((80, 300, 340, 350), fill="#b8b8b8")
    picture = picture.filter(ImageFilter.GaussianBlur(12))
    ImageDraw.Draw(picture).rectangle((120, 120, 280, 320), fill=SWATCHES["red"])
    assert main_colour(picture) == "red"


@pytest.mark.parametrize("level", [0, 40, 128, 200])
def test_a_gray_scale_picture_has_no_chromatic_colour(level: int) -> None:
    rng = np.random.default_rng(level)
    pixels = np.clip(rng.normal(level, 10, (200, 160)), 0, 255).astype(np.uint8)
    shares = measure(Image.fromarray(pixels).convert("RGB"))["shares"]
    assert sum(shares.get(name, 0) for name in ("black", "white", "gray")) > 0.8


@pytest.mark.parametrize("colour", ["white", "#fdfdfc"])
def test_a_blank_white_picture_says_nothing(colour: str) -> None:
    assert measure_optional(Image.new("RGB", (500, 400), colour)) is None


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (7, 300), (3, 3)])
def test_a_picture_too_small_to_show_a_product_says_nothing(size: tuple[int, int]) -> None:
    assert measure_optional(Image.new("RGB", size, "red")) is None


@pytest.mark.parametrize("size", [(8, 4000), (4000, 8), (9, 8), (112, 113)])
def test_any_aspect_and_small_sizes_work(size: tuple[int, int]) -> None:
    assert main_colour(Image.new("RGB", size, SWATCHES["green"])) == "green"


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_other_modes_are_converted(mode: str) -> None:
    assert measure(shirt("#141414").convert(mode))["shares"]["black"] > 0.8


def test_noise_gives_valid_values_and_the_same_ones_each_time() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (300, 260, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    colours = measure(picture)
    assert colours == measure(picture)
    assert set(colours["shares"]) <= set(COLOURS)
    assert sum(colours["shares"].values()) == pytest.approx(1, abs=0.06)
    assert sum(cluster["share"] for cluster in colours["clusters"]) == pytest.approx(1, abs=0.01)


def test_a_smaller_copy_has_the_same_colours() -> None:
    large = worn(SWATCHES["green"], SKIN)
    small = large.resize((150, 225), Image.Resampling.BOX)
    assert measure(small)["shares"]["green"] == pytest.approx(measure(large)["shares"]["green"], abs=0.03)


def test_the_function_imports_nothing_heavy() -> None:
    module, _, function = COLOUR_FACT.function.partition(":")
    code = (
        f"import sys, {module}; assert callable({module}.{function}); "
        "print(sorted({'scipy', 'sklearn', 'torch', 'skimage', 'lancedb', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
