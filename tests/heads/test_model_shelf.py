"""The shelf of versioned models, with the three kinds that lie on it: rerankers, cold-start models, safety heads."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import pytest

from firstsight.errors import EncoderMismatchError, FirstsightError, QueryError, SafetyError, StoreError
from firstsight.heads.model_shelf import ModelShelf, ShelfSpec
from firstsight.recommend.models import cold_start_model
from firstsight.recommend.models.cold_start_model import ColdStartModel
from firstsight.retrieval import reranker_store
from firstsight.retrieval.rerank import reranker_fitting
from firstsight.retrieval.reranker_store import RerankerShelf, RerankerVersion
from firstsight.safety.policy import policy_heads
from firstsight.safety.policy.policy_heads import Head, HeadShelf
from firstsight.storage.side_tables import DatabaseAddress
from firstsight.storage.store import Store
from firstsight.storage.tables import HEAD_PARTS
from tests.recommend.synthetic_events import clustered_space
from tests.safety.conftest import DIM, SPEC
from tests.safety.simulated_crashes import killed_before_each_write
from tests.storage.earlier_databases import files, read_only

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
FIGURES = {"queries": 40, "ndcg_before": 0.25, "ndcg_after": 0.5, "p": 0.01}


@dataclass(frozen=True)
class Kind:
    """A kind of model, and how the tests make and use it."""

    spec: ShelfSpec[Any]
    slots: tuple[str, str] | None  # two values of its slot column
    make: Callable[..., Any]  # (slot, fingerprint) to a model that is not stored
    require_encoder: Callable[[Store, ModelShelf[Any], Any], object]  # stores and uses a model of another encoder
    mismatch: type[FirstsightError]

    def shelf(self, path: Path) -> ModelShelf[Any]:
        return ModelShelf(Store.open(path), self.spec)

    def add(self, shelf: ModelShelf[Any], count: int = 1, slot: int = 0) -> list[int]:
        """Store models of the first or second slot; returns their versions."""
        name = None if self.slots is None else self.slots[slot]
        return [self.row(model)["version"] for model in shelf.add([self.make(name) for _ in range(count)])]

    def row(self, model: Any) -> dict[str, Any]:
        return self.spec.to_row(model)

    def numbers(self, models: list[Any]) -> list[int]:
        return [self.row(model)["version"] for model in models]


def make_reranker(mode: str | None = None, fingerprint: str = SPEC.fingerprint) -> RerankerVersion:
    return RerankerVersion(0, NOW, False, mode or "hybrid", fingerprint, ("price",), ("d1", "d2"), FIGURES, "tree")


def make_head(policy_id: str | None = None, fingerprint: str = SPEC.fingerprint) -> Head:
    coef = np.linspace(-1, 1, DIM).astype(np.float32)
    parts = dict.fromkeys(HEAD_PARTS, 1.5)
    return Head(policy_id or "weapons", "head", fingerprint, coef, parts, parts, NOW, figures=FIGURES, seen=("a", "b"))


def make_cold_start(_: str | None = None, fingerprint: str = SPEC.fingerprint) -> dict[str, Any]:
    arrays = dict.fromkeys(("factors", "crowd", "idf", "components"), b"\x00" * 8)
    texts = {"item_ids": ["a"], "words": ["mug"]}
    return {"fitted_at": NOW, "fingerprint": fingerprint, "settings": "{}", "figures": FIGURES, **texts, **arrays}


def promote_reranker(store: Store, shelf: ModelShelf[Any], model: Any) -> object:
    shelf.add([model])
    return reranker_fitting.promote(store, RerankerShelf(store.uri))


def load_cold_start(store: Store, shelf: ModelShelf[Any], model: Any) -> object:
    shelf.add([model])
    shelf.use([1])
    return ColdStartModel.load(store, clustered_space(6, dim=DIM))


KINDS = [
    Kind(reranker_store.SHELF_SPEC, ("hybrid", "words"), make_reranker, promote_reranker, QueryError),
    Kind(
        policy_heads.SHELF_SPEC,
        ("weapons", "alcohol"),
        make_head,
        lambda store, _, head: HeadShelf(store).add([head]),
        EncoderMismatchError,
    ),
    Kind(cold_start_model.SHELF_SPEC, None, make_cold_start, load_cold_start, EncoderMismatchError),
]
SLOTTED = [kind for kind in KINDS if kind.slots is not None]
by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.spec.table)
by_slotted_kind = pytest.mark.parametrize("kind", SLOTTED, ids=lambda kind: kind.spec.table)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Store.create(tmp_path / "db", SPEC)
    return tmp_path / "db"


@by_kind
def test_without_a_fit_the_shelf_is_empty(kind: Kind, path: Path) -> None:
    shelf = kind.shelf(path)
    assert (shelf.state(), shelf.versions(), shelf.in_use()) == (None, [], [])
    shelf.drop()
    assert shelf.add([]) == []
    assert not (path / f"{kind.spec.table}.lance").exists()


@by_kind
def test_a_stored_model_is_read_as_it_was_with_a_version_and_its_figures(kind: Kind, path: Path) -> None:
    made = kind.make()
    (added,) = kind.shelf(path).add([made])
    expected = kind.row(made) | {"version": 1, kind.spec.flag: False}
    assert kind.row(added) == expected
    assert kind.row(kind.shelf(path).get(1)) == expected
    (listed,) = kind.shelf(path).versions()
    assert kind.row(listed).items() <= expected.items()
    assert kind.row(listed)["figures"] == FIGURES


@by_kind
def test_tables_have_the_columns_of_their_schema(kind: Kind, path: Path) -> None:
    kind.add(kind.shelf(path))
    stored = lancedb.connect(path).open_table(kind.spec.table).schema
    assert [(field.name, field.type, field.nullable) for field in stored] == [
        (field.name, field.type, field.nullable) for field in kind.spec.schema
    ]


@by_kind
def test_versions_are_numbered_across_slots_and_processes_oldest_first(kind: Kind, path: Path) -> None:
    assert kind.add(kind.shelf(path), 2) == [1, 2]
    assert kind.add(kind.shelf(path), 1, slot=1) == [3]
    shelf = kind.shelf(path)
    assert kind.add(shelf) == [4]
    assert kind.numbers(shelf.versions()) == [1, 2, 3, 4]
    assert kind.row(shelf.get())["version"] == 4
    if kind.slots is not None:
        assert kind.numbers(shelf.versions(kind.slots[1])) == [3]


@by_kind
def test_lists_read_only_the_listed_columns(kind: Kind, path: Path) -> None:
    shelf = kind.shelf(path)
    kind.add(shelf)
    assert set(kind.row(shelf.versions()[0])) == set(kind.spec.listed or kind.spec.schema.names)
    assert set(kind.row(shelf.get(1))) == set(kind.spec.schema.names)


@by_kind
def test_one_version_of_a_slot_is_in_use_after_one_commit(kind: Kind, path: Path) -> None:
    shelf = kind.shelf(path)
    kind.add(shelf, 3)
    assert shelf.in_use() == []
    shelf.use([1])
    state = shelf.state()
    assert state is not None
    shelf.use([3])
    assert kind.numbers(shelf.in_use()) == [3]
    assert shelf.state() == state + 1
    assert kind.numbers(shelf.in_use(state)) == [1]
    assert [kind.row(model)[kind.spec.flag] for model in shelf.versions()] == [False, False, True]


@by_slotted_kind
def test_slots_are_switched_together_and_leave_others_alone(kind: Kind, path: Path) -> None:
    shelf = kind.shelf(path)
    kind.add(shelf, 2)
    kind.add(shelf, 2, slot=1)
    shelf.use([1, 3])
    state = shelf.state()
    assert state is not None
    shelf.use([2])
    assert kind.numbers(shelf.in_use()) == [2, 3]
    shelf.use([1, 4])
    assert (kind.numbers(shelf.in_use()), shelf.state()) == ([1, 4], state + 2)


@by_kind
def test_two_versions_of_one_slot_are_refused(kind: Kind, path: Path) -> None:
    shelf = kind.shelf(path)
    kind.add(shelf, 2)
    shelf.use([1])
    with pytest.raises(kind.spec.error, match=rf"s \[1, 2\] are for .*; promote one of each {kind.spec.slot_noun}"):
        shelf.use([1, 2])
    assert kind.numbers(shelf.in_use()) == [1]


@by_kind
def test_dropped_versions_stay_stored_and_can_be_used_again(kind: Kind, path: Path) -> None:
    shelf = kind.shelf(path)
    kind.add(shelf, 2)
    for versions in ([1], None):
        shelf.use([1])
        shelf.drop([2])
        assert kind.numbers(shelf.in_use()) == [1]
        shelf.drop(versions)
        assert shelf.in_use() == []
    state = shelf.state()
    shelf.drop([])
    shelf.use([])
    assert shelf.state() == state
    assert kind.numbers(shelf.versions()) == [1, 2]


@by_kind
def test_an_unknown_version_is_refused_with_the_known_ones(kind: Kind, path: Path) -> None:
    shelf, noun = kind.shelf(path), kind.spec.noun
    with pytest.raises(kind.spec.error, match=rf"no {noun} in .*: none; fit one with: {kind.spec.fit_command}"):
        shelf.get()
    kind.add(shelf, 2)
    shelf.use([1])
    for call in (lambda: shelf.get(7), lambda: shelf.use([7]), lambda: shelf.use([2, 7])):
        with pytest.raises(kind.spec.error, match=rf"there is no {noun} 7 in .*; its versions: 1, 2$"):
            call()
    assert kind.numbers(shelf.in_use()) == [1]


def test_errors_of_heads_are_safety_errors() -> None:
    assert [kind.spec.error for kind in KINDS] == [QueryError, SafetyError, QueryError]


@by_kind
def test_damaged_figures_are_named(kind: Kind, path: Path) -> None:
    kind.add(kind.shelf(path))
    lancedb.connect(path).open_table(kind.spec.table).update(values={"figures": "{"})
    with pytest.raises(StoreError, match=f"the figures of {kind.spec.noun} 1 of .* are damaged; fit it again"):
        kind.shelf(path).versions()


@by_kind
def test_a_model_of_another_encoder_is_not_used(kind: Kind, path: Path) -> None:
    store = Store.open(path)
    with pytest.raises(kind.mismatch, match="another encoder"):
        kind.require_encoder(store, kind.shelf(path), kind.make(None, "e" * 64))


@by_kind
def test_killed_at_any_write_the_old_version_is_in_use_and_the_next_fit_succeeds(
    kind: Kind, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace_version(path: Path) -> None:
        shelf = kind.shelf(path)
        shelf.use(kind.add(shelf))

    for before in ([], [1]):
        killed = killed_before_each_write(monkeypatch, replace_version, path)
        assert len(killed) == 3  # the table, made or opened; the row; the switch
        for copy in killed:
            assert kind.numbers(kind.shelf(copy).in_use()) == before
            replace_version(copy)
            stored = kind.numbers(kind.shelf(copy).versions())
            assert stored == list(range(1, len(stored) + 1))
            assert kind.numbers(kind.shelf(copy).in_use()) == stored[-1:]
            shutil.rmtree(copy)


@by_kind
def test_a_database_that_cannot_be_written_is_read_and_named(kind: Kind, path: Path) -> None:
    kind.add(kind.shelf(path), 2)
    kind.shelf(path).use([2])
    before = files(path)
    with read_only(path):  # which stops everyone but root: that no file has changed holds for all
        shelf = kind.shelf(path)
        assert kind.numbers(shelf.versions()) == [1, 2]
        assert kind.numbers(shelf.in_use()) == [2]
    assert files(path) == before
    # a file in the place of a folder stops root as well
    transactions = path / f"{kind.spec.table}.lance" / "_transactions"
    transactions.rename(path / "aside")
    transactions.touch()
    for write in (lambda: kind.add(shelf), lambda: shelf.use([1]), lambda: shelf.drop()):
        with pytest.raises(StoreError, match="could not be written"):
            write()
    transactions.unlink()
    (path / "aside").rename(transactions)
    assert kind.numbers(kind.shelf(path).versions()) == [1, 2]
    assert kind.numbers(kind.shelf(path).in_use()) == [2]


@by_kind
def test_a_table_of_another_schema_cannot_be_written(kind: Kind, path: Path) -> None:
    schema = kind.spec.schema.append(pa.field("column_of_a_newer_firstsight", pa.string()))
    lancedb.connect(path).create_table(kind.spec.table, schema=schema)
    with pytest.raises(StoreError, match="could not be written"):
        kind.add(kind.shelf(path))


@by_kind
def test_absence_at_an_object_store_is_checked_once_until_a_write(kind: Kind) -> None:
    address = DatabaseAddress(f"memory://{kind.spec.table}")
    session = address.session  # without it, the tables would be gone with the first call
    early, late = ModelShelf(address, kind.spec), ModelShelf(address, kind.spec)
    assert early.state() is None
    assert kind.add(late) == [1]
    assert (early.state(), early.versions()) == (None, [])
    assert kind.add(early) == [2]  # a write looks again
    assert kind.numbers(early.versions()) == [1, 2]
    assert address.session is session


@by_kind
def test_versions_of_an_earlier_layout_are_continued(kind: Kind, earlier_db: Path, tmp_path: Path) -> None:
    earlier = Path(shutil.copytree(earlier_db, tmp_path / "db"))
    table = lancedb.connect(earlier).open_table(kind.spec.table)
    stored = table.search().limit(None).to_arrow().to_pylist()
    last = max(row["version"] for row in stored)
    shelf = kind.shelf(earlier)
    assert len(shelf.versions()) == len(stored)
    used = [row["version"] for row in stored if row[kind.spec.flag]]
    assert sorted(kind.numbers(shelf.in_use())) == sorted(used)
    assert kind.add(shelf) == [last + 1]
    shelf.use([last + 1])
    assert last + 1 in kind.numbers(shelf.in_use())
    assert lancedb.connect(earlier).open_table(kind.spec.table).schema == table.schema
