"""Links between items as ground truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from firstsight.encoders.base import Vectors
from firstsight.errors import CatalogError, QueryError
from firstsight.recommend.evaluation.item_links import read_links
from firstsight.recommend.evaluation.link_evaluation import evaluate_links
from firstsight.recommend.items import ItemSpace
from firstsight.storage.store import Store
from tests.retrieval.synthetic_items import SyntheticItems


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Items 0 to 159 in eight directions, n % 8; every seventh starts a new `group`, every tenth has none."""
    return SyntheticItems(tmp_path_factory.mktemp("links") / "db", items=160).store


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_nearest_are_found_and_chance_is_what_it_should_be(store: Store, tmp_path: Path) -> None:
    space = ItemSpace.load(store)
    cosines = space.vectors @ space.vectors.T
    np.fill_diagonal(cosines, -1)
    rows = ["from,to,kind"]
    for query in range(0, 160, 5):
        nearest = np.argsort(-cosines[query])
        rows += [f"{space.item_ids[query]},{space.item_ids[place]},near" for place in nearest[:3]]
        rows.append(f"{space.item_ids[query]},{space.item_ids[nearest[20]]},far")
    links = read_links(written(tmp_path / "l.csv", "\n".join(rows)), store, space)
    near, far, whole = evaluate_links(space, links, k=10)
    assert (near.kind, near.queries, near.links, near.candidates) == ("near", 32, 96, 159)
    assert [one.model for one in near.models] == ["nearest", "most linked", "random order"]
    assert near.models[0].recall == 1.0
    assert near.models[0].ndcg == pytest.approx(1.0)
    assert near.models[-1].recall == pytest.approx(10 / 159)
    assert next(one for one in far.models if one.model == "nearest").recall == 0.0
    assert (whole.kind, whole.links) == ("all", 128)
    assert next(one for one in whole.models if one.model == "nearest").recall == pytest.approx(0.75)


def test_chance_is_the_mean_of_random_orders(store: Store, tmp_path: Path) -> None:
    space = ItemSpace.load(store)
    draw = np.random.default_rng(0)
    rows = [f"i{draw.integers(160):05d},i{draw.integers(160):05d}" for _ in range(4_000)]
    links = read_links(written(tmp_path / "l.csv", "from,to\n" + "\n".join(rows)), store, space)
    (report,) = evaluate_links(space, links, k=20)
    nearest, chance = (next(one for one in report.models if one.model == n) for n in ("nearest", "random order"))
    assert nearest.recall == pytest.approx(chance.recall, abs=0.02)  # the links were drawn at random
    assert nearest.ndcg == pytest.approx(chance.ndcg, abs=0.02)


def test_the_most_linked_does_not_see_the_answers_of_its_own_query(tmp_path: Path) -> None:
    space = ItemSpace.of(["a", "b", "c", "d"], np.eye(4, dtype=np.float32))
    store = store_of(tmp_path / "db", space)
    file = written(tmp_path / "l.csv", "from,to\na,b\nc,d\n")
    (report,) = evaluate_links(space, read_links(file, store, space), k=1)
    popularity = next(one for one in report.models if one.model == "most linked")
    assert popularity.recall == 0  # the answer of the other query comes first


def test_a_group_is_as_near_as_its_nearest_items(store: Store, tmp_path: Path) -> None:
    space = ItemSpace.load(store)
    links = read_links(
        written(tmp_path / "l.jsonl", '{"parent": "g1", "linked_parent": "g4"}\n'), store, space, column="group"
    )
    (report,) = evaluate_links(space, links, k=5)
    assert (report.kind, report.candidates) == ("link", len(links.groups) - 1)
    members = {name: np.flatnonzero(links.group_of == n) for n, name in enumerate(links.groups)}
    like = {
        name: (space.vectors[members["g1"]] @ space.vectors[some].T).max()
        for name, some in members.items()
        if name != "g1"
    }
    place = sorted(like, key=lambda name: -like[name]).index("g4")
    assert report.models[0].recall == float(place < 5) or report.models[1].recall == float(place < 5)
    assert next(one for one in report.models if one.model == "nearest").recall == float(place < 5)


def test_ends_that_are_not_there_are_counted(store: Store, tmp_path: Path) -> None:
    space = ItemSpace.load(store)
    text = "item_id,linked_item_id,kind\ni00001,i00002,x\ni00001,gone,x\ni00003,i00003,x\ni00001,i00002,x\n"
    links = read_links(written(tmp_path / "l.csv", text), store, space)
    assert (links.rows, links.unknown, links.pairs) == (4, 2, {"x": [(1, 2)]})


@pytest.mark.parametrize(
    ("text", "column", "error", "message"),
    [
        ("a,b\n1,2\n", None, CatalogError, "from and to"),
        ("from,to\ni00001,\n", None, CatalogError, "has two ends"),
        ("from,to\nx,y\n", None, CatalogError, "--column"),
        ("from,to\nx,y\n", "colour", QueryError, "group"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    store: Store, tmp_path: Path, text: str, column: str | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        read_links(written(tmp_path / "l.csv", text), store, ItemSpace.load(store), column=column)


def store_of(path: Path, space: ItemSpace) -> Store:
    """A database of the vectors of a space."""
    from datetime import UTC, datetime

    from firstsight.encoders.base import EncoderSpec

    vectors: Vectors = space.vectors
    store = Store.create(path, EncoderSpec("drawn", vectors.shape[1], 32, "f00d"))
    head = {"kind": "product", "digest": "d", "row_digest": "r", "catalog_dir": "/", "run_id": "run"}
    rows = [
        {**head, "item_id": item_id, "vector": vector.tolist(), "indexed_at": datetime.now(UTC)}
        for item_id, vector in zip(space.item_ids, vectors, strict=True)
    ]
    with store.writing():
        store.write_items(rows)
    return store
