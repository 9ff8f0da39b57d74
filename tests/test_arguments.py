"""Arguments of the wrong kind are refused in one sentence, before anything is read or written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import firstsight
from firstsight.errors import QueryError
from firstsight.keywords import check_texts
from tests.conftest import SAMPLE_CATALOGUE

Call = Callable[[Any], object]  # an untyped database: type checkers refuse some of these calls


@pytest.fixture
def db(sample_db: Path) -> firstsight.Database:
    return firstsight.open(sample_db)


def test_lists_of_texts_pass() -> None:
    for values in (["a"], ("a",), {"a"}, {"a": 1}.keys(), np.array(["a"]), []):
        check_texts("items", values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("tulips", "items must be a list, not 'tulips'; give ['tulips']"),
        (b"tulips", "items must be a list, not b'tulips'"),
        (5, "items must be a list, not 5"),
        (["a", 5], "items holds 5, which is not a string"),
    ],
)
def test_other_values_are_refused(values: Any, message: str) -> None:
    with pytest.raises(QueryError) as refused:
        check_texts("items", values)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    "call",
    [
        lambda db: db.remove("tulips"),
        lambda db: db.to_arrow(columns="title"),
        lambda db: db.to_arrow(of="views", parts="title"),
        lambda db: db.vectors(of="views", parts="title"),
        lambda db: db.similar("tulips", kinds="product"),
        lambda db: db.recommend(history="tulips"),
        lambda db: db.duplicates.find(items="tulips"),
        lambda db: db.safety.blocked("tulips"),
        lambda db: db.safety.decisions("tulips"),
    ],
)
def test_a_text_is_not_taken_for_a_list_of_its_letters(db: firstsight.Database, call: Call) -> None:
    with pytest.raises(QueryError, match=r"must be a list, not '(tulips|title|product)'; give \['"):
        call(db)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda db: db.get(5), "item_id holds 5, which is not a string"),
        (lambda db: db.remove([None]), "item_ids holds None, which is not a string"),
        (lambda db: db.vectors(of="view"), "of is 'view'; give items or views"),
        (lambda db: db.search_many("shoes"), "queries must be a list of firstsight.Query, not 'shoes'"),
        (lambda db: db.search_many(["shoes"]), "queries must be a list of firstsight.Query, not ['shoes']"),
        (lambda db: db.search(image=5), "images holds 5; give paths, addresses, bytes, PIL images or arrays"),
        (lambda db: db.search(video=5), "videos holds 5, which is not a string"),
    ],
)
def test_values_of_the_wrong_kind_are_refused(db: firstsight.Database, call: Call, message: str) -> None:
    with pytest.raises(QueryError) as refused:
        call(db)
    assert str(refused.value) == message


def test_add_never_prunes(sample_db: Path, tmp_path: Path) -> None:
    db: Any = firstsight.open(shutil.copytree(sample_db, tmp_path / "db"))
    count = db.count()
    for add in (db.add, db.indexing.add):
        with pytest.raises(TypeError, match=r"add\(\) got an unexpected keyword argument 'prune'"):
            add([{"item_id": "one", "title": "One"}], prune=True)
    assert db.count() == count


def test_a_path_is_stored_as_a_string() -> None:
    picture, clip = SAMPLE_CATALOGUE.parent / "queries" / "guitar.jpg", SAMPLE_CATALOGUE.parent / "clips" / "cat.mp4"
    query = firstsight.Query(images=[picture], videos=[clip], minus_images=[picture])
    assert query == firstsight.Query(images=[str(picture)], videos=[str(clip)], minus_images=[str(picture)])
    assert firstsight.Query.from_dict(query.to_dict()) == query


def test_a_search_takes_the_paths_of_videos(db: firstsight.Database) -> None:
    clip = SAMPLE_CATALOGUE.parent / "clips" / "cat.mp4"
    assert db.search(videos=[clip], k=1)[0].item_id == "video-cat"
    assert db.search(video=clip, k=1) == db.search(videos=[str(clip)], k=1)
