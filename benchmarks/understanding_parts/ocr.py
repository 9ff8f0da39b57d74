"""Text in pictures: rendered text that is read exactly, false text in pictures without any, and the cost.

Rendered text: ten strings under 21 conditions: five fonts, sizes of 10 to 48 px, rotations, low contrast, text on a
photo, and blur. Fonts are DejaVu's; without them, Pillow's own font is used for all five.

Pictures without text: those of `sample_media` and, with `--data`, every fifth of `luma_men_gear`; pictures in which a
person sees text are left out (`WITH_TEXT`). The raw figure counts pictures in which the recogniser says anything.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from firstsight.encoders.registry import load_encoder
from firstsight.errors import MediaError
from firstsight.media.picture_facts import PictureSource
from firstsight.media.pictures import open_picture
from firstsight.understanding.ocr.model_files import packaged_models
from firstsight.understanding.ocr.picture_text import MIN_SIDE, load_reader, read_text

ROOT: Final = Path(__file__).resolve().parents[2]

STRINGS: Final = (
    "Summer Sale",
    "Free shipping from 30 EUR",
    "NEW COLLECTION",
    "Wool 80% Cotton 20%",
    "Größe 42",
    "Crème brûlée",
    "Size XL",
    "Made in Portugal",
    "Order 4711-22",
    "Running shoes",
)

FONTS: Final = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "DejaVuSans-Oblique")

WITH_TEXT: Final = frozenset({"abc-blocks.jpg", "mg01-bk-0.jpg", "ug06-lb-0.jpg"})
"""Pictures with letters: toy blocks, a watch with labelled buttons, and a bottle with a scale in mirror writing."""

COST_PICTURES: Final = 20

Colour = tuple[int, int, int]
BLACK: Final[Colour] = (0, 0, 0)
WHITE: Final[Colour] = (255, 255, 255)


@dataclass(frozen=True)
class Condition:
    """How a string is rendered."""

    name: str
    font: str = "DejaVuSans"
    size: int = 28
    degrees: int = 0
    ink: Colour = BLACK
    paper: Colour | None = WHITE  # None: a photo
    blur: float = 0.0


CONDITIONS: Final = (
    *(Condition(f"font {font}", font=font) for font in FONTS),
    *(Condition(f"{size} px", size=size) for size in (10, 12, 14, 18, 22, 36, 48)),
    *(Condition(f"rotated by {degrees} degrees", degrees=degrees) for degrees in (5, 15, 90, 180)),
    Condition("gray on gray", ink=(150, 150, 150), paper=(190, 190, 190)),
    Condition("white on a photo", ink=WHITE, paper=None, size=36),
    Condition("bold white on a photo", font="DejaVuSans-Bold", ink=WHITE, paper=None),
    Condition("blur of 1 px", blur=1.0),
    Condition("blur of 1.5 px", blur=1.5),
)


def run(data: Path) -> None:
    """Print the table.

    Args:
        data: folder with `luma_men_gear`; without it, only the pictures of `sample_media` are read.
    """
    exact, failures = _rendered()
    total = len(STRINGS) * len(CONDITIONS)
    print(f"text in {total} rendered pictures exact: {exact / total:.3f}")
    for name, count in failures.items():
        print(f"  {name}: {len(STRINGS) - count} of {len(STRINGS)}")
    pictures = list(_textless(data))
    kept = [(name, text) for name, picture in pictures if (text := _read(picture))]
    print(f"false text on {len(pictures)} pictures without text: {len(kept)} {kept or ''}")
    cost = _cost([picture for _, picture in pictures])
    print(f"OCR's CPU time over encoding by starter: {cost:.1f}x at {MIN_SIDE} px")


def _read(picture: Image.Image) -> list[str]:
    source = PictureSource(*picture.size, "image", packaged_models().to_options())
    lines = cast("list[dict[str, str]]", read_text(picture, source))
    return [line["text"] for line in lines]


def _rendered() -> tuple[int, dict[str, int]]:
    photo = open_picture(ROOT / "sample_media" / "pictures" / "poster-galaxies.jpg").resize((900, 600))
    exact, failures = 0, dict[str, int]()
    for condition in CONDITIONS:
        right = sum(" ".join(_read(_render(text, condition, photo))) == text for text in STRINGS)
        exact += right
        if right < len(STRINGS):
            failures[condition.name] = len(STRINGS) - right
    return exact, failures


def _render(text: str, condition: Condition, photo: Image.Image) -> Image.Image:
    picture = photo.copy() if condition.paper is None else Image.new("RGB", (900, 600), condition.paper)
    font = _font(condition.font, condition.size)
    left, top, right, bottom = font.getbbox(text)
    size = (int(right - left) + 20, int(bottom - top) + 20)
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).text((10 - left, 10 - top), text, fill=255, font=font)
    mask = mask.rotate(condition.degrees, expand=True, resample=Image.Resampling.BICUBIC)
    place = ((picture.width - mask.width) // 2, (picture.height - mask.height) // 2)
    picture.paste(condition.ink, (*place, place[0] + mask.width, place[1] + mask.height), mask)
    return picture.filter(ImageFilter.GaussianBlur(condition.blur)) if condition.blur else picture


def _font(name: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    try:
        return ImageFont.truetype(f"{name}.ttf", size)
    except OSError:
        return ImageFont.load_default(size)


def _textless(data: Path) -> Iterator[tuple[str, Image.Image]]:
    own = sorted((ROOT / "sample_media" / "pictures").iterdir())
    shop = sorted((data / "luma_men_gear" / "images").glob("*.jpg"))[::5]
    for path in [*own, *shop]:
        if path.name in WITH_TEXT:
            continue
        try:
            yield path.name, open_picture(path, min_side=MIN_SIDE)
        except MediaError:  # one of the samples is broken on purpose
            continue


def _cost(pictures: Sequence[Image.Image]) -> float:
    """CPU time of reading text over that of encoding, on the same decoded pictures, both in one thread."""
    chosen = list(pictures)[:: max(1, len(pictures) // COST_PICTURES)][:COST_PICTURES]
    load_reader(packaged_models())
    encoder = load_encoder("starter", threads=1)

    def encode() -> None:
        for picture in chosen:
            encoder.encode_images([picture])

    def read() -> None:
        for picture in chosen:
            _read(picture)

    return _cpu_seconds(read) / _cpu_seconds(encode)


def _cpu_seconds(work: Callable[[], None]) -> float:
    work()  # kernels are compiled for new shapes
    best = float("inf")
    for _ in range(2):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


if __name__ == "__main__":
    run(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
