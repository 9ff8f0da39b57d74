"""Reports have slices by language, colour, tags and problems, if the catalogue or the fact knows them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.media.policy import MediaPolicy
from firstsight.recommend.evaluation.exposure import read_item_groups
from firstsight.recommend.items import ItemSpace
from firstsight.retrieval.evaluation.robustness.sampled_items import sample_store
from firstsight.retrieval.evaluation.robustness.slice_columns import choose_columns
from firstsight.storage.facts.fact_columns import add_fact_columns
from firstsight.storage.facts.item_values import find_item_value
from firstsight.storage.store import Store
from firstsight.understanding.language.language_facts import LanguageFacts

PICTURES = sorted((Path(__file__).parents[3] / "sample_media" / "pictures").iterdir())[:2]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, starter: Encoder) -> Store:
    folder = tmp_path_factory.mktemp("language")
    rows = [
        {"item_id": name, "title": title, "images": [Path(shutil.copy(picture, folder)).name]}
        for name, title, picture in zip("ab", ["Rote Schuhe", "Red shoes"], PICTURES, strict=True)
    ]
    catalogue = folder / "c.jsonl"
    catalogue.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    db = firstsight.open(folder / "db", encoder=starter)
    db.index(catalogue)
    store = Store.open(folder / "db")
    add_fact_columns(store, LanguageFacts().fields)
    for name, language in (("a", "de"), ("b", "en")):
        store.items.update(where=f"item_id = '{name}'", values={"fact_language": language})
    db.tags.correct("a", {"category": "Shoes"})
    return Store.open(folder / "db")


def test_the_column_of_the_catalogue_comes_before_the_fact(store: Store) -> None:
    def column(name: str, own: Sequence[str] = ()) -> str | None:
        found = find_item_value(store, name, own)
        return None if found is None else found.column

    assert column("title", ["title"]) == "title"
    assert column("language") == column("facts.Language") == "fact_language"
    assert column("locale") is None
    assert column("category") == column("tags.category") == "fact_tag_category"


def test_robustness_has_slices_by_the_fact(store: Store) -> None:
    sample = sample_store(store, 2, 0, MediaPolicy())
    assert "language" in choose_columns(sample.column_names, ())
    assert {item.item_id: item.columns["language"] for item in sample.items} == {"a": "de", "b": "en"}
    chosen = choose_columns(sample.column_names, ["colour", "tags.category"])
    assert chosen == ["language", "category", "colour", "tags.category"]
    assert {item.item_id: item.columns["category"] for item in sample.items} == {"a": "Shoes", "b": None}


def test_exposure_is_measured_by_the_fact(store: Store) -> None:
    [groups] = read_item_groups(store, ItemSpace.load(store), ["language"])
    assert (groups.name, set(groups.groups)) == ("language", {"de", "en"})
    space = ItemSpace.load(store)
    assert [groups.name for groups in read_item_groups(store, space)] == ["language", "category"]
    assert {groups.name for groups in read_item_groups(store, space, ["colour", "tags.category"])} == {
        *("colour", "tags.category"),
    }
    with pytest.raises(firstsight.QueryError, match=r"no column 'colours.turquoise' .*the facts are colour, "):
        read_item_groups(store, space, ["colours.turquoise"])
