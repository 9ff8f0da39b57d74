"""Measure time and quality of near-duplicate search.

    python -m benchmarks.duplicates [--pictures FOLDER] [--only curve|pictures|videos]

The curve is the time of `find_duplicates` on databases of random vectors and fingerprints, where a tenth of the items
are copies. Quality is measured on copies of real pictures (FOLDER, by default the sample media) and of videos composed
from them, indexed with `starter`. Further videos share only an intro and black frames.
"""

from __future__ import annotations

import argparse
import csv
import random
import resource
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

import firstsight
from benchmarks import copies
from firstsight.duplicates.item_pairs import DuplicatePair, find_duplicates
from firstsight.encoders.base import EncoderSpec, unit
from firstsight.media.fingerprints import fingerprint
from firstsight.storage.store import Store

SAMPLE = Path(__file__).parents[1] / "sample_media" / "pictures"
DIM = 384
INTRO_S = 4


def curve(sizes: Sequence[int]) -> None:
    print("items, a tenth of them copies | seconds | found of the copies | wrong pairs | peak GB")
    for items in sizes:
        with tempfile.TemporaryDirectory() as folder:
            store = Store.create(Path(folder) / "db", EncoderSpec("drawn", DIM, 32, "d"))
            originals = drawn(store, items)
            started = time.perf_counter()
            pairs = find_duplicates(store)
            seconds = time.perf_counter() - started
        right = sum(originals.get(p.item_id) == p.other_id or originals.get(p.other_id) == p.item_id for p in pairs)
        of = [(originals.get(p.item_id, p.item_id), originals.get(p.other_id, p.other_id)) for p in pairs]
        wrong = sum(first != second for first, second in of)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
        print(
            f"{items:>8,} | {seconds:6.1f} | {right / len(originals):.4f} | {wrong} | {peak:.2f}",
            flush=True,
        )


def drawn(store: Store, items: int) -> dict[str, str]:
    """Write items with one picture each. Return the copies among them, each with its original.

    Vectors are near 200 centres with a common direction (cosine .45 between random ones, as for real pictures). Copies
    differ in 0 to 25 bits and have a cosine of about .96.
    """
    rng = np.random.default_rng(0)
    count = items - items // 10
    common = rng.normal(size=DIM)
    centres = common + rng.normal(size=(200, DIM))
    vectors = unit(centres[rng.integers(0, 200, count)] + 0.5 * rng.normal(size=(count, DIM)))
    codes = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    source = rng.integers(0, count, items - count)
    near = unit(vectors[source] + 0.28 / np.sqrt(DIM) * rng.normal(size=(len(source), DIM)))
    flipped = np.zeros((len(source), 256), dtype=np.uint8)
    for row, bits in zip(flipped, rng.integers(0, 26, len(source)), strict=True):
        row[rng.choice(256, bits, replace=False)] = 1
    vectors = np.concatenate([vectors, near]).astype(np.float32)
    codes = np.concatenate([codes, np.bitwise_xor(codes[source], np.packbits(flipped, axis=1))])
    now = datetime.now(UTC)
    shared = {"kind": "product", "digest": "d", "row_digest": "r", "catalog_dir": "/", "run_id": "r", "indexed_at": now}
    with store.writing():
        for start in range(0, items, 10_000):
            places = range(start, min(start + 10_000, items))
            views = [
                {"view_id": f"{n:07d}#image-0", "item_id": f"{n:07d}", "part": "image", "uri": f"{n}.jpg"}
                | {"fingerprint": codes[n].tobytes(), "vector": vectors[n]}
                for n in places
            ]
            store.write_views(views, replaced=[])
            store.write_items([shared | {"item_id": f"{n:07d}", "vector": vectors[n]} for n in places])
    return {f"{count + n:07d}": f"{of:07d}" for n, of in enumerate(source.tolist())}


def indexed(folder: Path, rows: Sequence[Mapping[str, str]]) -> list[DuplicatePair]:
    catalogue = folder / "catalogue.csv"
    with catalogue.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["item_id", "images", "videos"], restval="")
        writer.writeheader()
        writer.writerows(rows)
    started = time.perf_counter()
    db = firstsight.open(folder / "db")
    report = db.index(catalogue)
    seconds = time.perf_counter() - started
    print(f"indexed {report.counts.pictures} pictures, {report.counts.frames} frames in {seconds:.0f} s")
    return find_duplicates(Store.open(folder / "db"))


def report(
    pairs: Sequence[DuplicatePair], copies_of: Mapping[str, Mapping[str, str]], groups: Mapping[str, str]
) -> None:
    """Print the recall for each kind of copy, and the precision over all pairs.

    Args:
        copies_of: kind of copy -> copy -> original.
        groups: item -> its subject; pairs with the same subject are correct.
    """
    found = {(p.item_id, p.other_id) for p in pairs} | {(p.other_id, p.item_id) for p in pairs}
    for kind, made in copies_of.items():
        hit = sum((copy, original) in found for copy, original in made.items())
        print(f"  {kind:28s} found {hit} of {len(made)}")
    wrong = [p for p in pairs if groups[p.item_id] != groups[p.other_id]]
    print(f"  {len(pairs)} pairs, {len(wrong)} of them wrong: precision {1 - len(wrong) / max(len(pairs), 1):.4f}")
    for p in wrong[:10]:
        print("    ", p.item_id, p.other_id, p.evidence.to_dict())


def pictures(paths: Sequence[Path], products: Mapping[str, str], copied: int) -> None:
    """Measure the search for copies of some pictures among all pictures."""
    rng = random.Random(0)
    chosen = set(rng.sample(list(paths), min(copied, len(paths))))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows: list[dict[str, str]] = []
        groups: dict[str, str] = {}
        copies_of: dict[str, dict[str, str]] = {kind: {} for kind in copies.PICTURE_COPIES}
        for path in paths:
            with Image.open(path) as file:
                picture = file.convert("RGB")
            picture.save(folder / f"{path.stem}.png", compress_level=1)
            made = {path.stem: picture}
            for n, (kind, change) in enumerate(copies.PICTURE_COPIES.items()):
                if path in chosen:
                    made[f"{path.stem}~{n}"] = change(picture)
                    copies_of[kind][f"{path.stem}~{n}"] = path.stem
            for item_id, image in made.items():
                image.save(folder / f"{item_id}.png", compress_level=1)
                rows.append({"item_id": item_id, "images": f"{item_id}.png"})
                groups[item_id] = products.get(path.name, path.stem)
        pairs = indexed(folder, rows)
        colours = sum(groups[p.item_id] == groups[p.other_id] and _stem(p.item_id) != _stem(p.other_id) for p in pairs)
        print(f"pictures: {len(paths)}, copies of {len(chosen)}; {colours} pairs are colours or views of one product")
        report(pairs, copies_of, groups)


def _stem(item_id: str) -> str:
    return item_id.partition("~")[0]


def videos(paths: Sequence[Path], count: int) -> None:
    """Measure the search for copies of composed videos, among videos that share an intro and black frames."""
    rng = random.Random(0)
    shuffled = rng.sample(list(paths), len(paths))
    shots = iter(shuffled * 4)
    intro = copies.compose([next(shots), next(shots)], rng).frames[: INTRO_S * copies.RATE]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copies_of: dict[str, dict[str, str]] = {}
        offsets: dict[str, float] = {}
        groups = {}
        for n in range(2 * count):
            video = copies.compose([next(shots) for _ in range(rng.randrange(5, 9))], rng)
            item_id = f"video{n}"
            groups[item_id] = item_id
            if n >= count:  # an unrelated video, with the shared intro and black frames before and after it
                frames = np.concatenate([intro, copies.black(2), video.frames, copies.black(2)])
                copies.write(folder / f"{item_id}.mp4", frames)
                continue
            copies.write(folder / f"{item_id}.mp4", video.frames)
            for kind, (file, offset) in copies.write_video_copies(folder, item_id, video, intro).items():
                copy = Path(file).stem
                copies_of.setdefault(kind, {})[copy] = item_id
                offsets[copy] = offset
                groups[copy] = item_id
        pairs = indexed(folder, [{"item_id": item_id, "videos": f"{item_id}.mp4"} for item_id in groups])
        print(
            f"videos: {count}, their copies, and {count} unrelated that share an intro of {INTRO_S} s and black frames"
        )
        report(pairs, copies_of, groups)
        wrong = []
        for pair in pairs:
            seen = pair if pair.item_id in offsets else pair.swapped()
            if seen.item_id in offsets and groups[seen.item_id] == seen.other_id and seen.evidence.offset_s is not None:
                wrong.append(abs(seen.evidence.offset_s - offsets[seen.item_id]))
        print(f"  offset wrong by {np.median(wrong):.2f} s (median), {np.percentile(wrong, 90):.2f} s (90 %)")


def cost(paths: Sequence[Path]) -> None:
    opened = []
    for path in paths[:50]:
        with Image.open(path) as file:
            opened.append(file.convert("RGB"))
    started = time.perf_counter()
    for picture in opened:
        fingerprint(picture)
    print(f"PDQ: {(time.perf_counter() - started) / len(opened) * 1e3:.1f} ms per picture of {opened[0].size}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=Path, default=SAMPLE, help="pictures to copy; all different")
    parser.add_argument("--catalogue", type=Path, help="its catalogue, with columns parent, image and more_images")
    parser.add_argument("--only", choices=["curve", "pictures", "videos"])
    parser.add_argument("--copied", type=int, default=30, help="pictures that are copied")
    parser.add_argument("--videos", type=int, default=8, help="videos that are copied")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    arguments = parser.parse_args()
    paths = sorted(p for p in arguments.pictures.iterdir() if p.name != "broken-teapot.jpg")
    products: dict[str, str] = {}
    if arguments.catalogue:
        with arguments.catalogue.open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                products |= {Path(p).name: row["parent"] for p in [row["image"], *row["more_images"].split()]}
    if arguments.only in {None, "curve"}:
        curve(arguments.sizes)
    if arguments.only in {None, "pictures"}:
        cost(paths)
        pictures(paths, products, arguments.copied)
    if arguments.only in {None, "videos"}:
        videos(paths, arguments.videos)


if __name__ == "__main__":
    main()
