"""Match rates and speed of PDQ hashes: python -m benchmarks.safety_hashes [--pictures FOLDER] [--speed]

The hash bank matches copies of pictures, as re-uploaders make them, with their originals at 31 bits: a table of match
rates. Then false matches are counted: every copy and original against every picture of another product. With --speed,
the time of matching is measured over a table of random fingerprints.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from benchmarks import copies
from firstsight.encoders.base import EncoderSpec
from firstsight.errors import MediaError
from firstsight.media.fingerprints import MAX_DISTANCE, as_array, distances, fingerprint
from firstsight.media.pictures import open_picture
from firstsight.safety.hashes.hash_lists import KnownHash
from firstsight.safety.hashes.hash_matching import KnownHashes, match_views
from firstsight.safety.hashes.hash_sources import hashes_of_files
from firstsight.storage.store import Store

SAMPLE = Path(__file__).parents[1] / "sample_media" / "pictures"
PRODUCTS = ("espresso-cup", "fedora", "guitar-acoustic", "joystick", "sneakers", "tee", "watermelon")
"""Prefixes of the sample media's file names that show one product in several colours or views."""


def enlarged(picture: Image.Image) -> Image.Image:
    return picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.BICUBIC)


def stretched(picture: Image.Image) -> Image.Image:
    """Made square."""
    return picture.resize((400, 400), Image.Resampling.BICUBIC)


def corner_mark(picture: Image.Image) -> Image.Image:
    """With a shop's name in a corner: a tenth of the height, a third of the width."""
    return _written(picture, (0.62, 0.86), 0.08, 220)


def middle_mark(picture: Image.Image) -> Image.Image:
    """With half-transparent letters across the middle."""
    return _written(picture, (0.1, 0.42), 0.16, 110)


def tiled_marks(picture: Image.Image) -> Image.Image:
    """With faint letters all over."""
    for row in range(6):
        for column in range(3):
            picture = _written(picture, (column / 3, row / 6), 0.06, 70)
    return picture


def _written(picture: Image.Image, at: tuple[float, float], size: float, opacity: int) -> Image.Image:
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    font = ImageFont.load_default(max(int(picture.height * size), 8))
    place = (at[0] * picture.width, at[1] * picture.height)
    ImageDraw.Draw(layer).text(
        place,
        "best-deals.example",
        fill=(255, 255, 255, opacity),
        font=font,
        stroke_width=1,
        stroke_fill=(0, 0, 0, opacity),
    )
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


COPIES: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "half the size": lambda picture: copies.shrunk(picture, 2),
    "a quarter of the size": lambda picture: copies.shrunk(picture, 4),
    "twice the size": enlarged,
    "made square": stretched,
    "JPEG quality 70": lambda picture: copies.jpeg(picture, 70),
    "JPEG quality 30": lambda picture: copies.jpeg(picture, 30),
    "JPEG quality 10": lambda picture: copies.jpeg(picture, 10),
    "half the size, JPEG quality 30": lambda picture: copies.jpeg(copies.shrunk(picture, 2), 30),
    "20 % brighter": copies.PICTURE_COPIES["20 % brighter"],
    "grey": lambda picture: ImageOps.grayscale(picture).convert("RGB"),
    "name in a corner": corner_mark,
    "letters across the middle": middle_mark,
    "faint letters all over": tiled_marks,
    "cropped by 2 %": lambda picture: copies.cropped(picture, 0.02),
    "cropped by 5 %": lambda picture: copies.cropped(picture, 0.05),
    "cropped by 10 %": lambda picture: copies.cropped(picture, 0.10),
    "cropped by 20 %": lambda picture: copies.cropped(picture, 0.20),
    "white border of 5 %": lambda picture: ImageOps.expand(picture, picture.width // 20, "white"),
    "turned by 3 degrees": lambda picture: picture.rotate(3, Image.Resampling.BICUBIC, fillcolor="white"),
    "mirrored": copies.PICTURE_COPIES["mirrored"],
}


def product(path: Path) -> str:
    """What a picture shows: pictures of one product are no unrelated pair."""
    return next((name for name in PRODUCTS if path.stem.startswith(name)), path.stem)


def read(paths: Sequence[Path]) -> list[tuple[Path, Image.Image, bytes]]:
    """The pictures that have a hash."""
    found, left_out = [], []
    for path in paths:
        try:
            picture = open_picture(path)
        except MediaError:
            left_out.append(path.name)
            continue
        code = fingerprint(picture)
        if code is None:
            left_out.append(path.name)
        else:
            found.append((path, picture, code))
    print(f"{len(found)} pictures; without a hash (flat, or broken): {', '.join(left_out) or 'none'}")
    return found


def rates(pictures: Sequence[tuple[Path, Image.Image, bytes]]) -> None:
    """Print match rates of copies, and false matches between all pictures of different products."""
    bank = KnownHashes.of([KnownHash(code, "bad", path.name, path.name) for path, _, code in pictures])
    paths = [path for path, *_ in pictures]
    added, _ = hashes_of_files(paths, of_set="bad", policy_id="any")
    of_variants = added.hashes
    varied = KnownHashes.of([replace(entry, policy_id=Path(entry.source).name) for entry in of_variants])
    originals = as_array([code for *_, code in pictures])
    products = [product(path) for path in paths]
    unrelated = np.array(products)[:, None] != np.array(products)[None, :]
    print(f"bank: {len(bank.entries)} hashes, with variants {len(varied.entries)}")
    print(f"copy | matched at {MAX_DISTANCE} | median bits | 90 % | false | with variants | false")
    pairs, false, nearest, false_varied = 0, 0, 256, 0
    for how, change in {"the picture itself": lambda picture: picture, **COPIES}.items():
        made = [fingerprint(change(picture)) for _, picture, _ in pictures]
        rows = [n for n, code in enumerate(made) if code is not None]
        codes = as_array([code for code in made if code is not None])
        found = bank.nearest(codes)
        matched, wrong = _count_matches(found, rows, paths, products)
        matched_varied, wrong_varied = _count_matches(varied.nearest(codes), rows, paths, products)
        false_varied += wrong_varied
        bits = distances(codes, originals[rows])
        others = distances(codes[:, None], originals)[unrelated[rows]]
        assert wrong == int((others <= MAX_DISTANCE).sum())
        pairs, false, nearest = pairs + others.size, false + wrong, min(nearest, int(others.min()))
        print(
            f"{how:32s} | {matched / len(pictures):6.1%} | {np.median(bits):5.0f} | {np.percentile(bits, 90):5.0f} | "
            f"{wrong} | {matched_varied / len(pictures):6.1%} | {wrong_varied}",
            flush=True,
        )
    print(f"unrelated pairs {pairs:,}, false matches {false}, the nearest {nearest} bits apart")
    print(
        f"with variants, about {pairs * len(varied.entries) // len(bank.entries):,} pairs: false matches {false_varied}"
    )


def _count_matches(
    found: Sequence[tuple[int, KnownHash, int]], rows: Sequence[int], paths: Sequence[Path], products: Sequence[str]
) -> tuple[int, int]:
    """Count the copies that matched their original, and the matches with pictures of other products."""
    right = {rows[row] for row, entry, _ in found if entry.policy_id == paths[rows[row]].name}
    return len(right), sum(product(Path(entry.policy_id)) != products[rows[row]] for row, entry, _ in found)


def speed(views: int, known: int) -> None:
    """Print the seconds to match a table of random fingerprints with a bank."""
    rng = np.random.default_rng(0)
    vector = np.eye(8, dtype=np.float32)[0]
    with tempfile.TemporaryDirectory() as folder:
        store = Store.create(Path(folder) / "db", EncoderSpec("drawn", 8, 32, "d"))
        codes = rng.integers(0, 256, (views, 32), dtype=np.uint8)
        with store.writing():
            for start in range(0, views, 50_000):
                rows = [
                    {"view_id": f"{n:08d}#image-0", "item_id": f"{n:08d}", "part": "image", "uri": f"{n}.jpg"}
                    | {"fingerprint": codes[n].tobytes(), "vector": vector}
                    for n in range(start, min(start + 50_000, views))
                ]
                store.views.add(rows)  # the table is new, so no upsert is needed
        now = datetime.now(UTC)
        bank = [
            KnownHash(row.tobytes(), "bad", "p", "drawn", added_at=now)
            for row in rng.integers(0, 256, (known, 32), dtype=np.uint8)
        ]
        bank[: views // 1_000] = [KnownHash(codes[n].tobytes(), "bad", "p", "drawn") for n in range(0, views, 1_000)]
        ready = KnownHashes.of(bank)
        started = time.perf_counter()
        found = sum(1 for _ in match_views(store, ready))
        seconds = time.perf_counter() - started
    print(
        f"{views:,} views with {known:,} known hashes: {seconds:.1f} s, {views / seconds:,.0f} views/s, {found} matched"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=Path, default=SAMPLE, help="pictures to copy; all different")
    parser.add_argument("--speed", action="store_true", help="only the time of matching")
    arguments = parser.parse_args()
    if arguments.speed:
        speed(200_000, 10_000)
        speed(200_000, 100_000)
        return
    rates(read(sorted(path for path in arguments.pictures.iterdir() if path.is_file())))


if __name__ == "__main__":
    main()
