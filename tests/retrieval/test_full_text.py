"""Modes words and hybrid: codes, brands, stems, typos, languages, unindexed rows, databases without an index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.errors import CatalogError
from firstsight.retrieval.query import Fusion
from firstsight.storage.indexes.text_index import index_texts, stored_language
from firstsight.storage.store import Store
from tests.indexer.shop import write_jsonl

CATALOGUE: list[dict[str, Any]] = [
    {"item_id": "relay", "title": "SUPCO SPP6 relay and capacitor", "text": "Hard start kit for compressors."},
    {"item_id": "relay7", "title": "SUPCO SPP7 relay and capacitor", "text": "Hard start kit for compressors."},
    {"item_id": "shoes", "title": "Red running shoes", "text": "Light trainers, made by Nordlund."},
    {"item_id": "boot", "title": "Leather boot", "text": "For hiking in the mountains."},
    {"item_id": "cup", "title": "Café crème cups", "text": None},
    {"item_id": "guitar", "title": "Acoustic guitar", "text": "Spruce top."},
]


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory, starter: Encoder) -> firstsight.Database:
    folder = tmp_path_factory.mktemp("words")
    db = firstsight.open(folder / "db", encoder=starter)
    db.index(write_jsonl(folder / "c.jsonl", CATALOGUE))
    return db


def unindexed(store: Store) -> int:
    stats = store.items.index_stats("title_idx")
    assert stats is not None
    return stats.num_unindexed_rows


def found(db: firstsight.Database, text: str, **how: Any) -> list[str]:
    return [result.item_id for result in db.search(text, **how)]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("SPP6", ["relay"]),
        ("spp7", ["relay7"]),
        ("shoe", ["shoes"]),
        ("nordlund", ["shoes"]),
        ("cafe creme", ["cup"]),
        ("hike mountain", ["boot"]),
        ("gitar", ["guitar"]),  # one letter is missing
        ("capacitrs", []),  # two errors
        ("guitarr", ["guitar"]),
        ("SPP8", []),  # a different code is a different product
        ("boat", []),  # four letters: too many words are one letter away
        ("zxqvw", []),
        ("the of and", []),
        ("'\"\\ (AND) *", []),
        ("relay OR shoes", ["shoes", "relay", "relay7"]),  # `or` is an ordinary word, not an operator
    ],
)
def test_words_find_the_items_that_have_them(db: firstsight.Database, text: str, items: list[str]) -> None:
    assert found(db, text, mode="words") == items


def test_a_word_in_the_title_counts_more_than_one_in_the_text(tmp_path: Path, starter: Encoder) -> None:
    rows = [{"item_id": "a", "title": "a box", "text": "a lamp"}, {"item_id": "b", "title": "a lamp", "text": "a box"}]
    db = firstsight.open(tmp_path / "db", encoder=starter)
    db.index(write_jsonl(tmp_path / "c.jsonl", rows))
    assert found(db, "lamp", mode="words") == ["b", "a"]


@pytest.mark.parametrize(
    ("text", "first"), [("SPP7", "relay7"), ("nordlund", "shoes"), ("stringed instrument", "guitar")]
)
def test_hybrid_finds_codes_and_brands_by_words_and_descriptions_by_vectors(
    db: firstsight.Database, text: str, first: str
) -> None:
    assert found(db, text)[0] == first


@pytest.mark.parametrize("fusion", ["rrf", "weighted"])
def test_hybrid_has_every_item_once_and_scores_that_are_cosines(db: firstsight.Database, fusion: Fusion) -> None:
    results = db.search("red relay", fusion=fusion, k=6, colour_weight=0)
    assert sorted(r.item_id for r in results) == sorted(row["item_id"] for row in CATALOGUE)
    query = db.encoder.encode_texts(["red relay"])[0]
    for result in results:
        assert result.score == pytest.approx(float(db.get(result.item_id).vector @ query), abs=1e-4)
        assert result.view is not None


def test_a_filter_holds_in_every_mode(db: firstsight.Database) -> None:
    for mode in ("words", "hybrid", "vector"):
        assert found(db, "relay", mode=mode, where="item_id LIKE '%7'") == ["relay7"]


def test_an_item_with_every_word_is_relevant_and_nothing_matches_nothing(db: firstsight.Database) -> None:
    assert found(db, "SPP6", min_relevance=0.9) == ["relay"]
    assert db.search("SPP6", min_relevance=0.9)[0].relevance == 1.0
    assert found(db, "relay zxqvwy", min_relevance=1.0) == []
    assert found(db, "the supreme court", min_relevance=0.9) == []


def test_rows_that_are_not_in_the_index_yet_are_found(tmp_path: Path, starter: Encoder) -> None:
    """Rows of an unfinished run; the index includes them at the end of the run."""
    db = firstsight.open(tmp_path / "db", encoder=starter)
    db.index(write_jsonl(tmp_path / "c.jsonl", CATALOGUE))
    store = Store.open(tmp_path / "db")
    row = store.item_rows(["shoes"])["shoes"]
    with store.writing():
        store.write_items([row | {"item_id": "new", "title": "SPP9 trainers by Ostergaard", "text": None}])
    assert unindexed(store) == 1
    assert found(db, "SPP9", mode="words") == ["new"]
    assert found(db, "trainer", mode="words") == ["new", "shoes"]  # stemmed like the other rows
    with store.writing():
        index_texts(store)
    assert unindexed(Store.open(tmp_path / "db")) == 0
    assert found(db, "SPP9", mode="words") == ["new"]
    assert found(db, "ostergard", mode="words") == ["new"]  # misspelt: the index finds it now


def test_a_database_made_before_there_were_indexes_is_searched_all_the_same(tmp_path: Path, starter: Encoder) -> None:
    db = firstsight.open(tmp_path / "db", encoder=starter)
    db.index(write_jsonl(tmp_path / "c.jsonl", CATALOGUE))
    store = Store.open(tmp_path / "db")
    for name in ("title_idx", "text_idx"):
        store.items.drop_index(name)
    before = store.items.list_versions()[-1]["version"]
    assert found(db, "SPP6", mode="words") == ["relay"]
    assert found(db, "nordlund")[0] == "shoes"
    assert found(db, "shoe", mode="words") == ["shoes"]
    assert found(db, "red shoes", where="item_id != 'shoes'", mode="words") == []
    store.refresh()
    assert store.items.list_versions()[-1]["version"] == before  # searching writes nothing
    db.index(tmp_path / "c.jsonl")
    assert found(db, "shoe", mode="words") == ["shoes"]


def test_a_run_that_changes_nothing_leaves_the_indexes_alone(db: firstsight.Database, tmp_path: Path) -> None:
    before = Store.open(db.uri).items.version
    db.index(write_jsonl(tmp_path / "c.jsonl", CATALOGUE))  # another folder: rows are refreshed
    db.index(tmp_path / "c.jsonl")
    once = Store.open(db.uri).items.version
    db.index(tmp_path / "c.jsonl")
    assert Store.open(db.uri).items.version == once > before


def test_the_language_is_kept_with_the_database(tmp_path: Path, starter: Encoder) -> None:
    rows = [{"item_id": "a", "title": "Rote Schuhe"}, {"item_id": "b", "title": "Ein Haus am See"}]
    db = firstsight.open(tmp_path / "db", encoder=starter)
    catalogue = write_jsonl(tmp_path / "c.jsonl", rows)
    db.index(catalogue, language="german")
    assert stored_language(Store.open(tmp_path / "db")) == "German"
    assert found(db, "Häuser", mode="words") == ["b"]
    write_jsonl(catalogue, [*rows, {"item_id": "c", "title": "Zwei Bäume"}])
    db.index(catalogue)
    assert stored_language(Store.open(tmp_path / "db")) == "German"
    assert found(db, "Baum", mode="words") == ["c"]
    db.index(catalogue, language="other")
    assert stored_language(Store.open(tmp_path / "db")) == "other"
    assert found(db, "Schuh", mode="words") == []


def test_chinese_words_are_found_without_blanks_between_them(tmp_path: Path, starter: Encoder) -> None:
    db = firstsight.open(tmp_path / "db", encoder=starter)
    rows = [{"item_id": "shoe", "title": "红色跑步鞋"}, {"item_id": "cup", "title": "咖啡杯"}]
    db.index(write_jsonl(tmp_path / "c.jsonl", rows), language="other")
    assert found(db, "跑步", mode="words") == ["shoe"]
    assert found(db, "红色", mode="words") == ["shoe"]
    assert found(db, "咖啡杯", mode="words") == ["cup"]


def test_an_unknown_language_is_refused_before_anything_is_written(tmp_path: Path, starter: Encoder) -> None:
    catalogue = tmp_path / "c.jsonl"
    catalogue.write_text(json.dumps(CATALOGUE[0]))
    with pytest.raises(CatalogError, match="'Klingon' is not a supported language; choose one of Arabic"):
        firstsight.open(tmp_path / "db", encoder=starter).index(catalogue, language="Klingon")
    assert not (tmp_path / "db").exists()
