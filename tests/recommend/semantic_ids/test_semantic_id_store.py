"""Semantic IDs in a database: versions, stability when items are added, and filters of searches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import firstsight
from firstsight.database import Database
from firstsight.errors import QueryError, StoreError
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.semantic_ids import semantic_id_assignment
from firstsight.recommend.semantic_ids.clusters import assign_clusters
from firstsight.recommend.semantic_ids.semantic_id_store import load_codebooks, read_codes
from firstsight.storage.semantic_id_table import MOST_MATCHES, replace_semantic_ids
from firstsight.storage.side_tables import open_side_table
from firstsight.storage.sql.condition_parser import parse_condition
from firstsight.storage.store import Store
from tests.retrieval.synthetic_items import SyntheticEncoder, SyntheticItems


@pytest.fixture
def items_db(tmp_path: Path) -> SyntheticItems:
    return SyntheticItems(tmp_path / "db", items=400)


def database(items_db: SyntheticItems) -> Database:
    return firstsight.open(items_db.path, encoder=SyntheticEncoder())


def ids_of(db: Database, version: int | None = None) -> dict[str, str]:
    return {row.item_id: row.semantic_id for row in db.semantic_ids.export(version)}


def test_every_item_has_an_id_of_its_own(items_db: SyntheticItems) -> None:
    db = database(items_db)
    made = db.semantic_ids.fit()
    assert (made.version, made.levels, made.codes, made.assigned, made.waiting) == (1, 3, 50, 400, 0)
    assert list(made.errors) == sorted(made.errors, reverse=True)
    found = ids_of(db)
    assert list(found) == sorted(items_db.items)
    assert len(set(found.values())) == 400


def test_items_that_come_change_no_id(items_db: SyntheticItems) -> None:
    db = database(items_db)
    db.semantic_ids.fit(levels=2, codes=4)  # with so few codes, copy numbers must stay as well
    before = ids_of(db)
    items_db.add(80)
    assert db.semantic_ids.versions()[0].waiting == 80
    assigned = db.semantic_ids.assign()
    new, after = assigned.new, assigned.version
    assert (new, after.assigned, after.waiting) == (80, 480, 0)
    found = ids_of(db)
    assert {item_id: found[item_id] for item_id in before} == before
    assert len(set(found.values())) == 480
    assert db.semantic_ids.assign().new == 0


def test_an_id_is_not_given_out_again_after_its_item_has_gone(items_db: SyntheticItems) -> None:
    db = database(items_db)
    db.semantic_ids.fit(levels=1, codes=2)
    before = ids_of(db)
    gone = max(before, key=lambda item_id: int(before[item_id].rpartition("-")[2]))
    with items_db.store.writing():
        items_db.store.delete_items([gone])
    items_db.add(20)
    db.semantic_ids.assign()
    assert gone not in ids_of(db)
    assert before[gone] not in ids_of(db).values()


def test_a_changed_vector_keeps_its_id(items_db: SyntheticItems) -> None:
    db = database(items_db)
    db.semantic_ids.fit()
    before = ids_of(db)
    row = items_db.store.item_rows(["i00000"])["i00000"]
    with items_db.store.writing():
        items_db.store.write_items([row | {"vector": (-np.array(row["vector"])).tolist()}])
    assert db.semantic_ids.assign().new == 0
    assert ids_of(db) == before


def test_versions_stand_beside_each_other(items_db: SyntheticItems) -> None:
    db = database(items_db)
    db.semantic_ids.fit()
    first = ids_of(db)
    second = db.semantic_ids.fit(levels=2, codes=16)
    assert second.version == 2
    assert ids_of(db, 1) == first
    assert all(text.count("-") == 2 for text in ids_of(db).values())
    assert [one.version for one in db.semantic_ids.versions()] == [1, 2]
    with pytest.raises(QueryError, match="no version 7"):
        ids_of(db, 7)


def test_a_fit_that_was_killed_leaves_the_version_before_in_use(
    items_db: SyntheticItems, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = database(items_db)
    db.semantic_ids.fit()
    before = ids_of(db)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(semantic_id_assignment, "upsert", killed)
        with pytest.raises(KeyboardInterrupt):
            db.semantic_ids.fit(codes=8)
    assert ids_of(db) == before
    assert len(read_codes(items_db.store, 2)[0]) == 400  # rows that the killed fit left
    again = db.semantic_ids.fit(codes=16)
    assert (again.version, again.assigned) == (2, 400)
    books = load_codebooks(items_db.store)
    assert books is not None
    space = ItemSpace.load(items_db.store)
    assert (read_codes(items_db.store, 2)[1] == books[1].encode(space.vectors)).all()


def test_clusters_are_the_first_numbers_of_the_stored_ids(items_db: SyntheticItems) -> None:
    db = database(items_db)
    db.semantic_ids.fit()
    version_and_books = load_codebooks(items_db.store)
    assert version_and_books is not None
    space = ItemSpace.load(items_db.store)
    firsts = [int(text.partition("-")[0]) for text in ids_of(db).values()]
    assert assign_clusters(space, version_and_books[1]).tolist() == firsts


def test_tokens_of_all_levels_are_one_vocabulary(items_db: SyntheticItems) -> None:
    db = database(items_db)
    db.semantic_ids.fit(levels=2, codes=10)
    for row in db.semantic_ids.export():
        (one, two), copy = row.codes, row.copy
        assert row.tokens == (one, 10 + two, 20 + copy)
        assert row.semantic_id == f"{one}-{two}-{copy}"


def test_searches_filter_by_prefix_beside_other_conditions(items_db: SyntheticItems) -> None:
    db = database(items_db)
    db.semantic_ids.fit()
    found = ids_of(db)
    prefix = next(iter(found.values())).partition("-")[0] + "-"
    of_prefix = {item_id for item_id, text in found.items() if text.startswith(prefix)}
    assert 0 < len(of_prefix) < 400

    def search(where: str) -> set[str]:
        return {hit.item_id for hit in db.search(item="i00399", k=400, where=where)} - {"i00399"}

    others = set(found) - {"i00399"}
    assert search(f"semantic_id LIKE '{prefix}%'") == of_prefix - {"i00399"}
    assert search(f"`semantic_id` not like '{prefix}%'") == others - of_prefix
    cheap = {item_id for item_id in of_prefix if items_db.rows[item_id]["price"] < 50}
    assert search(f"price < 50 AND semantic_id LIKE '{prefix}%'") == cheap - {"i00399"}
    two = [found["i00001"], found["i00002"]]
    assert search(f"semantic_id IN ('{two[0]}', '{two[1]}')") == {"i00001", "i00002"}
    assert search(f"semantic_id = '{two[0]}' OR title = 'thing 5'") == {"i00001", "i00005"}
    assert search("semantic_id = 'nothing'") == set()
    assert search("title != 'semantic_id LIKE ''1-%'''") == others


@pytest.mark.parametrize("where", ["semantic_id IS NULL", "length(semantic_id) = 3", "semantic_id > '1'"])
def test_what_a_filter_cannot_ask_of_ids_is_said(items_db: SyntheticItems, where: str) -> None:
    db = database(items_db)
    db.semantic_ids.fit()
    with pytest.raises(QueryError, match="semantic_id LIKE '12-%'"):
        db.search(item="i00001", where=where)


def test_a_filter_before_any_fit_names_the_command(items_db: SyntheticItems) -> None:
    with pytest.raises(QueryError, match="firstsight semantic-ids fit"):
        database(items_db).search(item="i00001", where="semantic_id LIKE '1-%'")
    with pytest.raises(QueryError, match="firstsight semantic-ids fit"):
        database(items_db).semantic_ids.assign()
    with pytest.raises(QueryError, match="firstsight semantic-ids fit"):
        ids_of(database(items_db))


def test_a_prefix_of_too_many_items_is_refused(items_db: SyntheticItems, monkeypatch: pytest.MonkeyPatch) -> None:
    database(items_db).semantic_ids.fit()
    monkeypatch.setattr("firstsight.storage.semantic_id_table.MOST_MATCHES", 100)
    with pytest.raises(QueryError, match="more than 100 items"):
        replace_semantic_ids(items_db.store, parse_condition("semantic_id LIKE '%'"))
    assert MOST_MATCHES > 100


def test_codebooks_of_another_encoder_are_refused(items_db: SyntheticItems) -> None:
    database(items_db).semantic_ids.fit()
    table = open_side_table(items_db.store, "semantic_codebooks")
    assert table is not None
    table.update(values={"fingerprint": "another"})
    with pytest.raises(StoreError, match="another encoder"):
        load_codebooks(Store.open(items_db.path))
