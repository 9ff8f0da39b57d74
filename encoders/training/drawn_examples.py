"""Training pictures and captions for the bridge, from three sets in the public domain or under MIT.

No picture is stored or shipped; the project ships only the trained bridge.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw


@dataclass(frozen=True)
class Drawing:
    """A picture with its true captions, the most specific first."""

    picture: Image.Image  # RGBA
    captions: tuple[str, ...]
    source: str
    natural: bool = True  # in its own colours; False for a grey picture
    paintable: bool = True  # whether its captions stay true in another colour; False for a flag


# Folders of openclipart with titles that do not describe the picture.
_OPAQUE_FOLDERS = re.compile(
    r"^(shapes|special|buttons|computer/(icons|buttons|folders|diagrams)|recreation/games/cards|signs_and_symbols/led)\b"
)
_GENERIC_TITLE = re.compile(r"clip ?art|collection|theme|symbol_signs|map symbols|^icons?$", re.IGNORECASE)
_EMPTY_CAPTIONS = {"", "unsorted", "duplicates", "aiga-symbols"}
_TITLE_USED_OFTEN = 6
_MAX_PIXELS = 20_000_000  # a few posters have a hundred million


def openclipart(root: Path) -> Iterator[Drawing]:
    """Yield drawings of Debian's `openclipart-png` (public domain): captions are the title and the folder.

    Args:
        root: the folder `usr/share/openclipart/png` of the package.
    """
    paths = [path for path in sorted(root.rglob("*.png")) if not _OPAQUE_FOLDERS.match(_folder(path, root))]
    opened = []
    for path in paths:
        try:
            with Image.open(path) as picture:
                if picture.width * picture.height > _MAX_PIXELS:
                    continue
                opened.append((path, str(picture.info.get("Title", "")), str(picture.info.get("Author", ""))))
        except (OSError, Image.DecompressionBombError):
            continue
    uses = Counter(title for _, title, _ in opened)
    for path, title, author in opened:
        if not title or uses[title] >= _TITLE_USED_OFTEN or _GENERIC_TITLE.search(title):
            title = path.stem
        name = _words(title, drop=author)
        folder = _words(_folder(path, root).split("/")[-1])
        flag = "/flags" in _folder(path, root)
        if flag:
            name, folder = (name if "flag" in name else f"flag of {name}"), "flag"
        captions = tuple(caption for caption in dict.fromkeys((name, folder)) if caption not in _EMPTY_CAPTIONS)
        if captions:
            yield Drawing(_open(path), captions, "openclipart", paintable=not flag)


_VENDORS = ("apple", "google", "facebook", "twitter")
_SKIPPED_CATEGORIES = {"Flags", "Symbols", "Component"}


def emoji(root: Path) -> Iterator[Drawing]:
    """Yield drawings of the npm packages `emoji-datasource-apple|google|facebook|twitter`: captions are their names.

    The packages are under MIT; the pictures belong to these four vendors.

    Args:
        root: a `node_modules` folder with the packages.
    """
    for vendor in _VENDORS:
        package = root / f"emoji-datasource-{vendor}"
        for entry in json.loads((package / "emoji.json").read_text(encoding="utf-8")):
            path = package / "img" / vendor / "64" / entry["image"]
            if entry["category"] in _SKIPPED_CATEGORIES or not path.is_file():
                continue
            # A joined sequence combines one emoji with another (dress, job, company): these are near-copies.
            if "200D" in entry["unified"]:
                continue
            names = [entry["name"], *(name.replace("-", " ") for name in entry["short_names"])]
            captions = tuple(dict.fromkeys(_words(name) for name in names if not re.search(r"\d", name)))
            if captions:
                yield Drawing(_open(path), captions, "emoji")


# The ten class names, with everyday words and words that shops use.
FASHION_NAMES = (
    ("t-shirt", "tee", "tees", "t-shirts", "men's tee", "top"),
    ("trousers", "pants", "sweatpants", "men's pants"),
    ("pullover", "sweatshirt", "sweater", "hoodie", "hoodies & sweatshirts"),
    ("dress", "gown"),
    ("coat", "jacket", "jackets", "men's jacket"),
    ("sandals", "sandal"),
    ("shirt", "blouse", "long-sleeved shirt"),
    ("sneakers", "sneaker", "running shoe"),
    ("bag", "handbag", "bags"),
    ("ankle boots", "boot"),
)
_TOPS, _TROUSERS = 0, 1
# Garments without a class in Fashion-MNIST: part of its "T-shirt/top" has no sleeves; shortened trousers are shorts.
TANK_NAMES = ("tank top", "tank", "tanks", "sleeveless top", "men's tank top", "singlet")
SHORTS_NAMES = ("shorts", "men's shorts", "short pants", "running shorts")


def fashion_mnist(root: Path, per_class: int, generator: np.random.Generator) -> Iterator[Drawing]:
    """Yield grey garments of Debian's `dataset-fashion-mnist` (Zalando, MIT), without their black background.

    Args:
        root: the folder `usr/share/datasets/fashion-mnist` of the package.
        per_class: number of pictures from each of the ten classes.
        generator: random generator for the selection.
    """
    pictures, labels = _fashion_pictures(root)
    for label, names in enumerate(FASHION_NAMES):
        for index in generator.choice(np.flatnonzero(labels == label), per_class, replace=False):
            sleeveless = label == _TOPS and _is_sleeveless(pictures[index])
            captions = TANK_NAMES if sleeveless else names
            yield Drawing(_cut_out(pictures[index]), captions, "fashion-mnist", natural=False)


def worn_garments(root: Path, count: int, generator: np.random.Generator) -> Iterator[Drawing]:
    """Yield garments that Fashion-MNIST has no name for, and garments on a roughly drawn wearer, as shops show them.

    The unnamed garments are sleeveless tops, and shorts made from trousers.

    Args:
        root: as for `fashion_mnist`.
        count: number of pictures of each kind.
        generator: random generator for the selection and for the colours of garments and wearers.
    """
    pictures, labels = _fashion_pictures(root)
    tops = np.flatnonzero(labels == _TOPS)
    sleeveless = np.array([_is_sleeveless(pictures[index]) for index in tops])
    for index in generator.choice(tops[sleeveless], count, replace=False):
        tank = _cut_out(pictures[index])
        yield Drawing(tank, TANK_NAMES, "fashion-mnist", natural=False)
        yield _worn(_worn_top(tank, generator, sleeve=0.15), TANK_NAMES)
    for index in generator.choice(np.flatnonzero(labels == _TROUSERS), count, replace=False):
        trousers = _cut_out(pictures[index])
        yield Drawing(_shortened(trousers, generator), SHORTS_NAMES, "fashion-mnist", natural=False)
        yield _worn(_worn_shorts(trousers, generator), SHORTS_NAMES)
    for index in generator.choice(tops[~sleeveless], count, replace=False):
        yield _worn(_worn_top(_cut_out(pictures[index]), generator, sleeve=0.3), FASHION_NAMES[_TOPS])


def _worn(picture: Image.Image, captions: tuple[str, ...]) -> Drawing:
    # Painting would also colour the wearer.
    return Drawing(picture, captions, "fashion-mnist", natural=False, paintable=False)


def _fashion_pictures(root: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read the (60000, 28, 28) grey pictures and their labels."""
    labels = np.frombuffer(gzip.decompress((root / "train-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    pixels = np.frombuffer(gzip.decompress((root / "train-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    return pixels.reshape(-1, 28, 28), labels


_MAX_HEM = 20  # of 28 pixels; a garment fills the height, and with sleeves it is about equally wide


def _is_sleeveless(grey: NDArray[np.uint8]) -> bool:
    """Return whether a top is narrow and nowhere wider than its hem."""
    cloth = grey > 24
    widths = cloth.shape[1] - cloth.argmax(axis=1) - cloth[:, ::-1].argmax(axis=1)
    widths[~cloth.any(axis=1)] = 0
    hem = np.median(widths[16:25])
    return bool(widths[3:12].max() <= hem <= _MAX_HEM)


def _shortened(trousers: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Cut off the legs of trousers and widen the rest to the proportions of shorts."""
    left, top, right, bottom = _extent(trousers)
    length = max(round((bottom - top) * generator.uniform(0.38, 0.52)), 8)
    width = max(round(length * generator.uniform(0.85, 1.15)), 8)
    return trousers.crop((left, top, right, top + length)).resize((width, length), Image.Resampling.BICUBIC)


def _extent(garment: Image.Image) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the opaque part."""
    seen = garment.getchannel("A").point(lambda alpha: 255 * (alpha > 128))
    return seen.getbbox() or (0, 0, *garment.size)


# From dark to light.
_SKINS = ((92, 60, 44), (141, 94, 66), (188, 134, 100), (224, 177, 144))


def _worn_shorts(trousers: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Compose shorts in a random colour with bare legs, made from the trousers' legs."""
    shorts = _dyed(_shortened(trousers, generator), _cloth_colour(generator))
    left, top, right, bottom = _extent(trousers)
    legs = trousers.crop((left, (top + bottom) // 2, right, bottom))
    legs = legs.resize((round(shorts.width * 0.8), round(shorts.height * generator.uniform(0.6, 1.0))))
    legs = _dyed(legs, _skin(generator))
    figure = Image.new("RGBA", (shorts.width, shorts.height + legs.height))
    figure.paste(legs, ((shorts.width - legs.width) // 2, shorts.height))
    figure.paste(shorts, (0, 0))
    return figure


def _worn_top(top: Image.Image, generator: np.random.Generator, sleeve: float) -> Image.Image:
    """Draw a top in a random colour on a wearer: head, hips, and arms.

    The arms are bare below the share `sleeve` of the top's height.
    """
    cloth = _dyed(top.crop(_extent(top)), _cloth_colour(generator))
    height = cloth.height
    if cloth.width < 0.75 * height:
        cloth = cloth.resize((round(height * generator.uniform(0.65, 0.9)), height), Image.Resampling.BICUBIC)
    width, margin, head = cloth.width, round(height * 0.15), round(height * 0.4)
    figure = Image.new("RGBA", (width + 2 * margin, head + round(height * 1.2)))
    draw = ImageDraw.Draw(figure)
    red, green, blue = (int(value) for value in _skin(generator))
    skin, middle = (red, green, blue), figure.width / 2
    draw.ellipse((middle - head * 0.3, 0, middle + head * 0.3, head * 0.85), fill=skin)
    draw.rectangle((middle - head * 0.2, head * 0.6, middle + head * 0.2, head + height * 0.15), fill=skin)
    hips = (margin + width * 0.2, head + height * 0.9, margin + width * 0.8, figure.height)
    draw.rectangle(hips, fill=tuple(int(value) for value in _cloth_colour(generator)))
    shoulder, wrist = head + height * sleeve, head + height * generator.uniform(0.85, 1.1)
    thick = round(height * 0.13)
    draw.line((margin + width * 0.06, shoulder, margin * 0.7, wrist), fill=skin, width=thick)
    draw.line((margin + width * 0.94, shoulder, margin * 1.3 + width, wrist), fill=skin, width=thick)
    figure.alpha_composite(cloth, (margin, head))
    return figure


def _cloth_colour(generator: np.random.Generator) -> NDArray[np.int64]:
    return generator.integers(20, 246, 3)


def _skin(generator: np.random.Generator) -> NDArray[np.int64]:
    return np.array(_SKINS[int(generator.integers(len(_SKINS)))])


def _dyed(picture: Image.Image, colour: NDArray[np.int64]) -> Image.Image:
    """Repaint the picture in one colour and keep its shading."""
    pixels = np.asarray(picture, dtype=np.float32)
    dyed = pixels[..., :3] / 255 * colour
    return Image.fromarray(np.concatenate([dyed, pixels[..., 3:]], axis=-1).astype(np.uint8), "RGBA")


def _cut_out(grey: NDArray[np.uint8]) -> Image.Image:
    large = Image.fromarray(grey).resize((224, 224), Image.Resampling.BICUBIC)
    shade = np.asarray(large, dtype=np.float32)
    opaque = np.clip(shade / 48.0, 0, 1) * 255
    # The lightest grey is the garment's own colour, so its shading uses the upper half of the scale.
    light = 128 + shade / 2
    return Image.fromarray(np.stack([light, light, light, opaque], axis=-1).astype(np.uint8), "RGBA")


def _open(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        picture.thumbnail((520, 520), Image.Resampling.LANCZOS)
        return picture.convert("RGBA")


def _folder(path: Path, root: Path) -> str:
    return path.parent.relative_to(root).as_posix()


def _words(title: str, drop: str = "") -> str:
    """Extract lower-case words without numbers and the author's name: `Tigre02_architetto_franc_01` -> `tigre`."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", title)
    words = re.sub(r"[^\w'&-]|_|\d+", " ", name).lower().split()
    author = re.sub(r"[^\w]|_", " ", drop).lower().split()
    # File names are truncated, so the author's last word in them may be incomplete.
    kept = [w for w in words if not any(a == w or (len(w) > 2 and a.startswith(w)) for a in author)]
    return " ".join(w.strip("-'&") for w in kept if len(w.strip("-'&")) > 1)
