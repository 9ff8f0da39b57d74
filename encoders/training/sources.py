"""Where the bridge's training pictures and captions come from: three sets in the public domain or under MIT.

None of the pictures is kept or shipped; only what the bridge learned from them is.
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
from PIL import Image


@dataclass(frozen=True)
class Drawing:
    """One picture with its true captions, the most telling first."""

    picture: Image.Image  # RGBA
    captions: tuple[str, ...]
    source: str
    natural: bool = True  # in its own colours; otherwise grey, to be coloured
    paintable: bool = True  # still the same thing in another colour, as a flag is not


# Folders of openclipart whose titles do not say what is to be seen.
_OPAQUE_FOLDERS = re.compile(
    r"^(shapes|special|buttons|computer/(icons|buttons|folders|diagrams)|recreation/games/cards|signs_and_symbols/led)\b"
)
_GENERIC_TITLE = re.compile(r"clip ?art|collection|theme|symbol_signs|map symbols|^icons?$", re.IGNORECASE)
_EMPTY_CAPTIONS = {"", "unsorted", "duplicates", "aiga-symbols"}
_TITLE_USED_OFTEN = 6
_MAX_PIXELS = 20_000_000  # a handful are posters of a hundred million


def openclipart(root: Path) -> Iterator[Drawing]:
    """Debian's `openclipart-png` (public domain): titles, then the folder they lie in.

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
    """The npm packages `emoji-datasource-apple|google|facebook|twitter` (MIT; the pictures their makers'): names.

    Args:
        root: a `node_modules` folder that holds them.
    """
    for vendor in _VENDORS:
        package = root / f"emoji-datasource-{vendor}"
        for entry in json.loads((package / "emoji.json").read_text(encoding="utf-8")):
            path = package / "img" / vendor / "64" / entry["image"]
            if entry["category"] in _SKIPPED_CATEGORIES or not path.is_file():
                continue
            # A joined sequence is one emoji in the dress, job or company of another: near-copies of each other.
            if "200D" in entry["unified"]:
                continue
            names = [entry["name"], *(name.replace("-", " ") for name in entry["short_names"])]
            captions = tuple(dict.fromkeys(_words(name) for name in names if not re.search(r"\d", name)))
            if captions:
                yield Drawing(_open(path), captions, "emoji")


# The ten class names with the everyday words for the same thing.
FASHION_NAMES = (
    ("t-shirt", "tee", "top"),
    ("trousers", "pants"),
    ("pullover", "sweatshirt", "sweater"),
    ("dress", "gown"),
    ("coat", "jacket"),
    ("sandals", "sandal"),
    ("shirt", "blouse", "long-sleeved shirt"),
    ("sneakers", "sneaker", "running shoe"),
    ("bag", "handbag"),
    ("ankle boots", "boot"),
)


def fashion_mnist(root: Path, per_class: int, generator: np.random.Generator) -> Iterator[Drawing]:
    """Debian's `dataset-fashion-mnist` (Zalando, MIT): grey garments, cut out of their black background.

    Args:
        root: the folder `usr/share/datasets/fashion-mnist` of the package.
        per_class: how many of each of the ten classes.
        generator: draws which.
    """
    labels = np.frombuffer(gzip.decompress((root / "train-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    pixels = np.frombuffer(gzip.decompress((root / "train-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    pictures = pixels.reshape(-1, 28, 28)
    for label, names in enumerate(FASHION_NAMES):
        for index in generator.choice(np.flatnonzero(labels == label), per_class, replace=False):
            yield Drawing(_cut_out(pictures[index]), names, "fashion-mnist", natural=False)


def _cut_out(grey: NDArray[np.uint8]) -> Image.Image:
    large = Image.fromarray(grey).resize((224, 224), Image.Resampling.BICUBIC)
    shade = np.asarray(large, dtype=np.float32)
    opaque = np.clip(shade / 48.0, 0, 1) * 255
    # The lightest grey is the garment's own colour: its shading runs over the upper half of the scale.
    light = 128 + shade / 2
    return Image.fromarray(np.stack([light, light, light, opaque], axis=-1).astype(np.uint8), "RGBA")


def _open(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        picture.thumbnail((520, 520), Image.Resampling.LANCZOS)
        return picture.convert("RGBA")


def _folder(path: Path, root: Path) -> str:
    return path.parent.relative_to(root).as_posix()


def _words(title: str, drop: str = "") -> str:
    """`Tigre02_architetto_franc_01` -> `tigre`: lower-case words without numbers and the author's name."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", title)
    words = re.sub(r"[^\w'&-]|_|\d+", " ", name).lower().split()
    author = re.sub(r"[^\w]|_", " ", drop).lower().split()
    # File names are cut short, and so may be the author's last word in them.
    kept = [w for w in words if not any(a == w or (len(w) > 2 and a.startswith(w)) for a in author)]
    return " ".join(w.strip("-'&") for w in kept if len(w.strip("-'&")) > 1)
