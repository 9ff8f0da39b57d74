"""Near-duplicate items are found with evidence, grouped without chains, and told apart from similar items."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

import firstsight
from firstsight.duplicates.groups import duplicate_group_ids, group_pairs
from firstsight.duplicates.item_pairs import (
    DuplicateEvidence,
    DuplicatePair,
    DuplicateSettings,
    find_duplicates,
    pairs_of_views,
)
from firstsight.duplicates.product_pairs import pairs_between_products
from firstsight.duplicates.view_pairs import MAX_COPIES, MAX_EXHAUSTIVE_VIEWS, PictureViews, find_view_pairs
from firstsight.encoders.base import EncoderSpec, unit
from firstsight.errors import QueryError
from firstsight.media.fingerprints import as_array, distances, fingerprint
from firstsight.storage.store import Store
from tests.indexer.shop import ColourEncoder

PICTURES = Path(__file__).parents[2] / "sample_media" / "pictures"
DIM = 32
SPEC = EncoderSpec("drawn", DIM, 32, "d")


class SyntheticPictures:
    """A database of random fingerprints and vectors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store.create(path, SPEC)
        self.rng = np.random.default_rng(0)
        self.looks: dict[str, tuple[bytes, Any]] = {}

    def look(self, name: str, *, bits: int = 0, like: str | None = None, cosine: float = 0.99) -> tuple[bytes, Any]:
        """Fingerprint and vector of a picture: new for a new name, or near another one by bits and cosine."""
        if name not in self.looks:
            code = self.rng.integers(0, 256, 32, dtype=np.uint8).tobytes()
            vector = unit(self.rng.normal(size=DIM))
            if like is not None:
                old, near = self.looks[like]
                mask = np.zeros(256, dtype=np.uint8)
                mask[self.rng.choice(256, bits, replace=False)] = 1
                code = (np.frombuffer(old, np.uint8) ^ np.packbits(mask)).tobytes()
                other = unit(vector - (vector @ near) * near)
                vector = unit(cosine * near + np.sqrt(1 - cosine**2) * other)
            self.looks[name] = code, vector
        return self.looks[name]

    def write(self, items: Mapping[str, Sequence[str]]) -> None:
        """Write items with pictures that look like these."""
        now = datetime.now(UTC)
        views, rows = [], []
        for item_id, names in items.items():
            for n, name in enumerate(names):
                code, vector = self.look(name)
                views.append(
                    {"view_id": f"{item_id}#image-{n}", "item_id": item_id, "part": "image", "uri": f"{item_id}{n}.jpg"}
                    | {"fingerprint": code, "vector": vector}
                )
            row = {"item_id": item_id, "kind": "product", "digest": "d", "row_digest": "r", "catalog_dir": "/"}
            rows.append(row | {"run_id": "r", "indexed_at": now, "vector": self.look(names[0])[1]})
        with self.store.writing():
            self.store.write_views(views, replaced=[])
            self.store.write_items(rows)

    def pairs(self, **settings: Any) -> list[tuple[str, str]]:
        found = find_duplicates(self.store, DuplicateSettings(**settings))
        return [(pair.item_id, pair.other_id) for pair in found]


@pytest.fixture
def drawn(tmp_path: Path) -> SyntheticPictures:
    return SyntheticPictures(tmp_path / "db")


def test_fingerprint_and_vector_have_to_agree(drawn: SyntheticPictures) -> None:
    drawn.look("a")
    drawn.look("copy", like="a", bits=20, cosine=0.9)
    drawn.look("recoloured", like="a", bits=4, cosine=0.7)
    drawn.look("cut", like="a", bits=60, cosine=0.98)
    drawn.look("alike", like="a", bits=60, cosine=0.94)
    drawn.write({name: [name] for name in drawn.looks})
    assert drawn.pairs() == [("a", "copy"), ("a", "cut")]
    assert drawn.pairs(min_cosine=0.6) == [("a", "copy"), ("a", "cut"), ("a", "recoloured"), ("copy", "recoloured")]
    assert drawn.pairs(near_distance=0) == [("a", "copy")]
    assert drawn.pairs(max_distance=10, near_distance=0) == []


@pytest.mark.parametrize(("name", "value"), [("max_distance", 32), ("min_cosine", 1.5), ("near_cosine", 0.5)])
def test_a_setting_out_of_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(QueryError, match=f"{name} must be between"):
        DuplicateSettings(**{name: value})  # type: ignore[arg-type]


def test_one_shared_picture_of_many_does_not_make_items_duplicates(drawn: SyntheticPictures) -> None:
    drawn.write({"a": ["a1", "a2", "a3", "chart"], "b": ["b1", "b2", "b3", "chart"], "c": ["a1", "a2", "chart"]})
    assert drawn.pairs() == [("a", "c")]


def test_a_size_chart_that_many_items_have_does_not_count(drawn: SyntheticPictures) -> None:
    """Each item has one picture and the chart, so the chart would be half of each item."""
    shoes = {f"shoe{n:02d}": [f"shoe{n}", "chart"] for n in range(12)}
    drawn.write(shoes | {"again": ["shoe3", "chart"]})
    assert drawn.pairs() == [("again", "shoe03")]


def test_a_picture_that_a_thousand_items_have_is_grouped_without_all_their_pairs(drawn: SyntheticPictures) -> None:
    drawn.write({f"i{n:04d}": ["placeholder"] for n in range(1_000)} | {"other": ["other"]})
    found = find_duplicates(drawn.store)
    assert len(found) < 1_000 + MAX_COPIES * MAX_COPIES
    (group,) = group_pairs(found)
    assert len(group.duplicates) == 999
    assert set(duplicate_group_ids(drawn.store).values()) == {"i0000"}


def test_pairs_within_a_product_are_left_out_and_two_products_make_one_pair(tmp_path: Path) -> None:
    drawn = SyntheticPictures(tmp_path / "db")
    drawn.look("shared")
    for n in range(4):
        drawn.look(f"near-{n}", like="shared", bits=4 * n, cosine=0.99 - n / 100)
    shirts = {f"shirt-{n}": "shirt" for n in range(3)}
    coats = {f"coat-{n}": "coat" for n in range(3)}
    products = {**shirts, **coats, "single-a": None, "single-b": None}
    drawn.write({item_id: [f"near-{n % 4}"] for n, item_id in enumerate(products)})
    every = drawn.pairs()
    assert len(every) == 8 * 7 // 2
    db = firstsight.open(tmp_path / "db")
    listed = [(group.item_id, one.item_id) for group in db.duplicates.find() for one in group.duplicates]
    assert len(listed) == 7  # one group of all, as long as no item has a product

    with drawn.store.writing():
        drawn.store.add_columns({"group_id": "text"})
        for item_id, product in products.items():
            if product:
                drawn.store.items.update(where=f"item_id = '{item_id}'", values={"group_id": product})
    drawn.store.refresh()
    least: dict[frozenset[str], int] = {}  # bits between the nearest variants of two products
    found = find_duplicates(drawn.store)
    for pair in found:
        ends = frozenset(products[i] or i for i in (pair.item_id, pair.other_id))
        least[ends] = min(pair.evidence.distance, least.get(ends, 256))
    kept = pairs_between_products(drawn.store, found)
    assert {
        frozenset(products[i] or i for i in (pair.item_id, pair.other_id)): pair.evidence.distance for pair in kept
    } == {ends: distance for ends, distance in least.items() if len(ends) == 2}
    assert len(kept) == 4 * 3 // 2
    assert sum(len(group.duplicates) for group in db.duplicates.find(collapse="none")) == 7
    assert {i for group in db.duplicates.find(items=["shirt-2"]) for i in group.item_ids} >= {"shirt-2"}
    assert len(duplicate_group_ids(drawn.store)) == 8  # data is split by items
    with pytest.raises(QueryError, match="collapse is 'color'; give none"):
        db.duplicates.find(collapse="color")


def test_a_chain_makes_no_group_but_a_component(drawn: SyntheticPictures) -> None:
    drawn.look("p0")
    for n in range(1, 6):
        drawn.look(f"p{n}", like=f"p{n - 1}", bits=25, cosine=0.95)
    drawn.write({name: [name] for name in drawn.looks})
    found = find_duplicates(drawn.store)
    assert [(p.item_id, p.other_id) for p in found] == [(f"p{n}", f"p{n + 1}") for n in range(5)]
    listed = group_pairs(found)
    assert [sorted(group.item_ids) for group in listed] == [["p0", "p1", "p2"], ["p3", "p4", "p5"]]
    assert set(duplicate_group_ids(drawn.store).values()) == {"p0"}


def test_an_item_whose_near_duplicates_are_all_in_groups_is_listed_with_the_nearest() -> None:
    def pair(first: str, second: str, distance: int) -> DuplicatePair:
        return DuplicatePair(first, second, DuplicateEvidence("pictures", first, second, distance, 0.9, False, 1.0))

    star = [pair("a", "hub", 1), pair("b", "hub", 1), pair("c", "hub", 1)]
    listed = group_pairs([*star, pair("b", "left", 9), pair("c", "left", 5)])
    assert [(group.item_id, [one.item_id for one in group.duplicates]) for group in listed] == [
        ("hub", ["a", "b", "c"]),
        ("c", ["left"]),
    ]
    assert all(one.other_id == group.item_id for group in listed for one in group.duplicates)


def test_views_without_a_fingerprint_are_passed_over(drawn: SyntheticPictures) -> None:
    drawn.write({"a": ["same"], "b": ["same"]})
    with drawn.store.writing():
        drawn.store.views.update(where="item_id = 'b'", values_sql={"fingerprint": "CAST(NULL AS BINARY)"})
    assert drawn.pairs() == []
    assert duplicate_group_ids(drawn.store) == {}


def test_a_database_of_an_earlier_version_is_read(drawn: SyntheticPictures) -> None:
    drawn.write({"a": ["same"], "b": ["same"]})
    drawn.store.views.drop_columns(["fingerprint"])
    assert find_duplicates(Store.open(drawn.path)) == []


def test_through_the_index_the_same_pairs_are_found_as_by_comparing_all(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    count = MAX_EXHAUSTIVE_VIEWS - 500
    vectors = unit(rng.normal(size=(count, DIM)) + 0.8 * rng.normal(size=DIM))
    codes = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    near = unit(vectors[:400] + 0.2 / np.sqrt(DIM) * rng.normal(size=(400, DIM)))
    flips = (rng.random((400, 256)) < rng.uniform(0, 0.3, (400, 1))).astype(np.uint8)
    names = [f"i{n:04d}" for n in range(count + 400)]
    views = PictureViews(
        view_ids=names,
        item_ids=names,
        items=np.arange(count + 400),
        videos=np.full(count + 400, -1),
        times=np.zeros(count + 400),
        fingerprints=np.concatenate([codes, codes[:400] ^ np.packbits(flips, axis=1)]),
        vectors=np.concatenate([vectors, near]).astype(np.float32),
    )
    exact = {(p.item_id, p.other_id) for p in pairs_of_views(views)}
    probes = np.arange(0, count + 400, 7)
    some = find_view_pairs(views, probes)
    monkeypatch.setattr("firstsight.duplicates.view_pairs.MAX_EXHAUSTIVE_VIEWS", 0)
    indexed = {(p.item_id, p.other_id) for p in pairs_of_views(views)}
    assert len(exact) > 250
    assert indexed <= exact
    assert len(indexed) >= 0.98 * len(exact)  # all pairs by fingerprints within 31 bits, nearly all by vectors
    again = find_view_pairs(views, probes)
    sure = again.distance <= 31
    assert sure.sum() == (some.distance <= 31).sum()
    assert np.isin(again.left, probes).sum() + np.isin(again.right, probes).sum() >= len(again.left)


def test_evidence_seen_from_the_other_item() -> None:
    pair = DuplicatePair(
        "clip", "film", DuplicateEvidence("video", "c", "f", 3, 0.9, False, 1.0, 12.0, 1.1, 5.0, 1.0, 13.1)
    )
    swapped = pair.swapped()
    assert (swapped.item_id, swapped.evidence.view_id, swapped.evidence.time_s) == ("film", "f", 13.1)
    assert swapped.evidence.offset_s == pytest.approx(-12 / 1.1)
    assert swapped.swapped().evidence.offset_s == pytest.approx(12)
    assert swapped.swapped().evidence.speed == pytest.approx(1.1)


# ---- from pictures on disk, through an index run


def write_catalogue(path: Path, rows: Mapping[str, str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("item_id", "images"), *rows.items()])
    return path


@pytest.mark.slow
def test_indexing_stores_fingerprints_and_warns_of_duplicates(tmp_path: Path) -> None:
    with Image.open(PICTURES / "sneakers-red.jpg") as file:
        shoe = file.convert("RGB")
    with Image.open(PICTURES / "guitar-acoustic.jpg") as file:
        guitar = file.convert("RGB")
    made = {"shoe": shoe, "guitar": guitar, "black": Image.new("RGB", (300, 300))}
    made |= {"small": shoe.resize((shoe.width // 2, shoe.height // 2)), "mirrored": ImageOps.mirror(guitar)}
    made["black2"] = made["black"]
    for name, picture in made.items():
        picture.save(tmp_path / f"{name}.jpg", quality=80)
    db = firstsight.open(tmp_path / "db", encoder=ColourEncoder())
    first = {name: f"{name}.jpg" for name in ("shoe", "guitar", "black", "black2")}
    report = db.index(write_catalogue(tmp_path / "c.csv", first), warn_duplicates=True)
    assert (report.duplicates, report.counts.duplicates) == ((), 0)
    stored = {row["item_id"]: row["fingerprint"] for row in Store.open(tmp_path / "db").views.to_arrow().to_pylist()}
    with Image.open(tmp_path / "shoe.jpg") as file:
        whole = fingerprint(file.convert("RGB"))
    assert whole is not None
    assert distances(as_array([whole]), as_array([stored["shoe"]])).max() <= 31  # it was shrunk to the encoder's size
    assert stored["black"] is None

    both = {name: f"{name}.jpg" for name in made}
    report = db.index(write_catalogue(tmp_path / "c.csv", both), warn_duplicates=True)
    told = {(pair.item_id, pair.other_id): pair.evidence for pair in report.duplicates}
    assert told.keys() == {("small", "shoe"), ("mirrored", "guitar")}
    assert not told["small", "shoe"].mirrored
    assert told["mirrored", "guitar"].mirrored
    assert report.counts.duplicates == db.status().runs[-1].counts["duplicates"] == 2
    assert db.index(tmp_path / "c.csv", warn_duplicates=True).duplicates == ()  # nothing new
    assert [sorted(group.item_ids) for group in db.duplicates.find()] == [["guitar", "mirrored"], ["shoe", "small"]]
    assert [sorted(group.item_ids) for group in db.duplicates.find(items=["small"])] == [["shoe", "small"]]
    with pytest.raises(QueryError, match="there is no item 'smal'"):
        db.duplicates.find(items=["smal"])
