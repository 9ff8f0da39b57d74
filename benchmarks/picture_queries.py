"""Search with pictures of the catalogue: python -m benchmarks.picture_queries CATALOGUE_FOLDER

    python -m benchmarks.picture_queries CATALOGUE_FOLDER                # share of items that their own picture finds
    python -m benchmarks.picture_queries CATALOGUE_FOLDER --texts FILE   # also the text queries of FILE
    python -m benchmarks.picture_queries --speed                         # cost, at 20,000 items with random vectors

The folder has catalog.csv with the columns item_id, parent, title, image and more_images, such as luma_men_gear. Three
databases are made from it: of main pictures and titles, of all pictures and titles (without any option), and of a
folder with the main pictures alone, named like files of a camera (IMG_4000.jpg). Each item's main picture is a query:
as it is, and changed in four ways. `item` compares fused vectors, the default for all queries until part best existed.
The shares count items, so they are measured with collapse none. The default, one result per product, is compared with
that. FILE is a JSON object; its list luma_men_gear has lists of texts in several languages, and last the end of the
category.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

import firstsight
from benchmarks.search import make_vectors
from firstsight import CatalogOptions, Query
from firstsight.encoders.base import EncoderSpec, ImageInput, Vectors, unit
from firstsight.retrieval.query import PartChoice
from firstsight.storage.store import Store

DIM = 512
SPEED_ITEMS = 20_000
SPEED_QUERIES = 60

Row = dict[str, str]
Change = Callable[[Image.Image], Image.Image]


def at_quality_60(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=60)
    return Image.open(buffer).convert("RGB")


def at_300_pixels(picture: Image.Image) -> Image.Image:
    smaller = picture.copy()
    smaller.thumbnail((300, 300))
    return smaller


def cropped(share: float) -> Change:
    """Cut off a share of the width and of the height, half of it on each side."""

    def crop(picture: Image.Image) -> Image.Image:
        width, height = picture.size
        left, top = width * share / 2, height * share / 2
        return picture.crop((round(left), round(top), round(width - left), round(height - top)))

    return crop


CHANGES: dict[str, Change] = {
    "as it is": lambda picture: picture,
    "JPEG quality 60": at_quality_60,
    "300 pixels": at_300_pixels,
    "5 % cropped": cropped(0.05),
    "10 % cropped": cropped(0.1),
}

DATABASES = ("main pictures", "all pictures", "camera files")


@dataclass(frozen=True)
class Shop:
    """A catalogue with one main picture per item."""

    folder: Path
    rows: list[Row]
    digests: dict[str, str]  # item id to SHA-256 of the main picture's file
    camera_names: dict[str, str]  # item id to a file name, which is the item id in the database of a folder

    @classmethod
    def read(cls, folder: Path) -> Shop:
        with (folder / "catalog.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        digests = {row["item_id"]: hashlib.sha256((folder / row["image"]).read_bytes()).hexdigest() for row in rows}
        return cls(folder, rows, digests, {row["item_id"]: f"IMG_{n}.jpg" for n, row in enumerate(rows, 4000)})

    def pictures(self) -> list[Image.Image]:
        return [Image.open(self.folder / row["image"]).convert("RGB") for row in self.rows]

    def index(self, name: str, work: Path) -> firstsight.Database:
        db = firstsight.open(work / name.replace(" ", "-"))
        if name == "camera files":
            db.index(self._camera_files(work / "files"))
        elif name == "all pictures":
            db.index(self.folder / "catalog.csv")
        else:
            db.index(self.folder / "catalog.csv", options=CatalogOptions(mapping={"images": ("image",)}))
        return db

    def _camera_files(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for row in self.rows:
            shutil.copy(self.folder / row["image"], folder / self.camera_names[row["item_id"]])
        return folder


@dataclass(frozen=True)
class TextQuery:
    """A text, and the column whose value ends in this way for the right items."""

    text: str
    column: str
    end: str


def wilson(successes: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, "Probable Inference", JASA 1927)."""
    z = 1.96
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return middle - half, middle + half


def percent(hits: Sequence[bool]) -> str:
    low, high = wilson(sum(hits), len(hits))
    return f"{100 * sum(hits) / len(hits):5.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def measure_pictures(shop: Shop, name: str, db: firstsight.Database) -> None:
    """Print how often an item's main picture puts the item, its product, or an item with the same picture first."""
    print(f"\n{name}: {len(shop.rows)} items; share of queries whose first result is right (95 % interval)")
    print(f"{'query':16s} {'part':8s} {'the item':>24s} {'the same product':>24s} {'the same picture':>24s}")
    parent = {row["item_id"]: row["parent"] for row in shop.rows}
    item_ids = {item_id: item_id for item_id in parent}
    if name == "camera files":
        item_ids = {file_name: item_id for item_id, file_name in shop.camera_names.items()}
    for change_name, change in CHANGES.items():
        pictures = [change(picture) for picture in shop.pictures()]
        parts: tuple[PartChoice | None, ...] = ("item", None)
        for part in parts:
            queries = [Query(images=[picture], part=part, k=1, collapse="none") for picture in pictures]
            answers = [results[0] for results in db.search_many(queries)]
            pairs = [(row["item_id"], item_ids[best.item_id]) for row, best in zip(shop.rows, answers, strict=True)]
            own = [found == item_id for item_id, found in pairs]
            product = [parent[found] == parent[item_id] for item_id, found in pairs]
            picture = [shop.digests[found] == shop.digests[item_id] for item_id, found in pairs]
            cells = " ".join(f"{percent(hits):>24s}" for hits in (own, product, picture))
            print(f"{change_name:16s} {part or 'default':8s} {cells}", flush=True)
            if part is None and change_name == "as it is":
                print_failures(shop, pairs, [result.score for result in answers])
                print(f"  lowest relevance of a first result: {min(result.relevance for result in answers):.4f}")
    if name != "camera files":  # a folder has no products
        compare_with_default(shop, db, [Query(images=[picture]) for picture in shop.pictures()])


def print_failures(shop: Shop, pairs: Sequence[tuple[str, str]], scores: Sequence[float]) -> None:
    for (item_id, found), score in zip(pairs, scores, strict=True):
        if found != item_id:
            same = shop.digests[found] == shop.digests[item_id]
            reason = "the picture files are identical" if same else "another picture"
            print(f"  {item_id}: {found} is first at cosine {score:.5f}; {reason}")


def compare_with_default(shop: Shop, db: firstsight.Database, queries: Sequence[Query]) -> None:
    """Print the number of products among the first ten results, of every variant and by default."""
    parent = {row["item_id"]: row["parent"] for row in shop.rows}
    every = db.search_many([replace(query, collapse="none") for query in queries])
    default = db.search_many(queries)
    same_first = sum(a[0].item_id == b[0].item_id for a, b in zip(every, default, strict=True))
    products = [
        statistics.mean(len({parent[result.item_id] for result in results}) for results in answers)
        for answers in (every, default)
    ]
    listed = sum(all(result.variants is None for result in results) for results in default)
    print(f"  products among the first ten: {products[0]:.1f} with collapse none, {products[1]:.1f} by default")
    print(f"  the first result is the same for {same_first} of {len(queries)}; {listed} queries name a variant")


def measure_texts(shop: Shop, db: firstsight.Database, texts: Path | None) -> None:
    """Print figures of text queries by default and with part item; the rankings must be equal."""
    groups = {"titles": [TextQuery(row["title"], "item_id", row["item_id"]) for row in shop.rows]}
    if texts is not None:
        groups["texts"] = read_texts(texts)
    by_id = {row["item_id"]: row for row in shop.rows}
    for name, group in groups.items():
        before = db.search_many([Query(query.text, part="item", k=50, collapse="none") for query in group])
        after = db.search_many([Query(query.text, k=50, collapse="none") for query in group])
        same = sum(old == new for old, new in zip(before, after, strict=True))
        figures = []
        for answers in (before, after):
            first = [
                bool(results) and by_id[results[0].item_id][query.column].endswith(query.end)
                for query, results in zip(group, answers, strict=True)
            ]
            figures.append(percent(first))
        print(f"\n{name}: {same} of {len(group)} rankings of 50 are equal; first result right: {' and '.join(figures)}")
        compare_with_default(shop, db, [Query(query.text) for query in group])


def read_texts(path: Path) -> list[TextQuery]:
    lines = json.loads(path.read_text(encoding="utf-8"))["luma_men_gear"]
    return [TextQuery(text, "category", category) for *texts, category in lines for text in texts]


# ---- speed


class VectorEncoder:
    """Encodes a picture, whose first bytes are a vector, to that vector."""

    spec = EncoderSpec("vectors", DIM, 32, "vectors")

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return np.zeros((len(texts), DIM), dtype=np.float32)

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        rows = [np.frombuffer(np.asarray(image)[..., 0].tobytes()[: 4 * DIM], dtype=np.float32) for image in images]
        return np.stack(rows)


def picture_of(vector: np.ndarray[tuple[int], np.dtype[np.float32]]) -> Image.Image:
    pixels = np.frombuffer(vector.tobytes(), dtype=np.uint8).reshape(32, -1, 1)
    return Image.fromarray(np.repeat(pixels, 3, axis=2))


def measure_speed(work: Path) -> None:
    """Print the time of one picture query at 20,000 items with a title and a picture each, by part."""
    store = Store.create(work / "speed", VectorEncoder.spec)
    titles, pictures = (make_vectors(SPEED_ITEMS, DIM, seed, 1_000) for seed in (1, 2))
    fused = unit(titles + pictures).astype(np.float32)
    for start in range(0, SPEED_ITEMS, 2_000):
        items, views = [], []
        for n in range(start, start + 2_000):
            item_id = f"i{n:06d}"
            row = {"item_id": item_id, "kind": "product", "title": item_id, "vector": fused[n], "catalog_dir": "/"}
            items.append(row | {"digest": "d", "row_digest": "r", "run_id": "r", "indexed_at": datetime.now(UTC)})
            for part, vector in (("title", titles[n]), ("image", pictures[n])):
                view = {"view_id": f"{item_id}#{part}-0", "item_id": item_id, "part": part, "vector": vector}
                views.append(view | {"uri": None if part == "title" else f"{item_id}.jpg"})
        with store.writing():
            store.write_views(views, replaced=[])
            store.write_items(items)
    db = firstsight.open(work / "speed", encoder=VectorEncoder())
    new = make_vectors(SPEED_QUERIES, DIM, 3, 1_000)
    copies = pictures[:: SPEED_ITEMS // SPEED_QUERIES][:SPEED_QUERIES]
    for name, vectors in (("new pictures", new), ("copies", copies)):
        seconds: dict[str, list[float]] = {"item": [], "image": [], "default": []}
        for vector in vectors:
            for part in seconds:  # alternating, so that other load falls on all
                query = Query(images=[picture_of(vector)], part=None if part == "default" else part)  # type: ignore[arg-type]
                began = time.perf_counter()
                db.search(query)
                seconds[part].append(time.perf_counter() - began)
        medians = {part: statistics.median(of_part[5:]) for part, of_part in seconds.items()}
        cells = ", ".join(f"{part} {1000 * median:.1f} ms" for part, median in medians.items())
        print(f"{name}: {cells}; default is {medians['default'] / medians['item']:.2f} x item", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalogue", type=Path, nargs="?", help="folder of the catalogue")
    parser.add_argument("--texts", type=Path, help="JSON file of text queries")
    parser.add_argument("--speed", action="store_true", help="measure the time of a query")
    parser.add_argument("--only", nargs="+", choices=DATABASES, default=list(DATABASES))
    arguments = parser.parse_args()
    if arguments.catalogue is None and not arguments.speed:
        parser.error("give the folder of a catalogue, or --speed")
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        if arguments.catalogue is not None:
            shop = Shop.read(arguments.catalogue)
            for name in arguments.only:
                db = shop.index(name, work)
                measure_pictures(shop, name, db)
                if name == "main pictures":
                    measure_texts(shop, db, arguments.texts)
        if arguments.speed:
            measure_speed(work)


if __name__ == "__main__":
    main()
