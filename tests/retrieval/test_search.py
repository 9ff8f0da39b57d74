"""Search over the sample index: ranking, matching views, filters, errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import firstsight
from firstsight.encoders.base import ImageInput
from firstsight.errors import EncoderMismatchError, MediaError, QueryError

SAMPLE = Path(__file__).parents[2] / "sample_media"


@pytest.fixture(scope="module")
def db(sample_db: Path) -> firstsight.Database:
    return firstsight.open(sample_db)


def test_scores_fall_and_equal_the_cosine_to_the_items_vector(db: firstsight.Database) -> None:
    results = db.search("a musical instrument", mode="vector", part="item", k=20)
    scores = [result.score for result in results]
    assert scores == sorted(scores, reverse=True)
    query = db.encoder.encode_texts(["a musical instrument"])[0]
    for result in results:
        assert result.score == pytest.approx(float(db.get(result.item_id).vector @ query), abs=1e-5)


def test_the_k_nearest_are_those_of_a_comparison_with_every_item(db: firstsight.Database, sample_db: Path) -> None:
    from firstsight.storage.store import Store

    rows = Store.open(sample_db).items.search().limit(None).to_arrow()
    vectors = np.array(rows["vector"].to_pylist(), dtype=np.float32)
    scores = vectors @ db.encoder.encode_texts(["fruit"])[0]
    expected = [rows["item_id"][int(i)].as_py() for i in np.argsort(-scores)[:10]]
    assert [result.item_id for result in db.search("fruit", mode="vector", part="item", k=10)] == expected


def test_no_item_comes_twice(db: firstsight.Database) -> None:
    ids = [result.item_id for result in db.search("guitar", k=75, collapse="none")]
    assert len(ids) == len(set(ids)) == 75


def test_the_view_that_matched_is_the_nearest_of_the_items_views(db: firstsight.Database) -> None:
    query = db.encoder.encode_texts(["a cat"])[0]
    for result in db.search("a cat", part="item", k=10):
        assert result.view is not None
        best = max(float(view.vector @ query) for view in db.get(result.item_id).views)
        assert result.view.score == pytest.approx(best, abs=1e-5)


def test_a_picture_that_is_in_the_index_finds_itself_first(db: firstsight.Database) -> None:
    path = SAMPLE / "pictures" / "violin.jpg"
    path = path if path.exists() else next((SAMPLE / "pictures").glob("violin*"))
    result = db.search(image=path, k=1)[0]
    assert result.item_id == "violin"
    assert result.view is not None
    assert result.view.part == "image"
    assert result.view.uri == str(path)
    assert result.view.score == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("how", ["path", "text path", "bytes", "picture", "array"])
def test_a_query_picture_may_come_in_every_form(db: firstsight.Database, how: str) -> None:
    path = SAMPLE / "queries" / "guitar.jpg"
    picture = Image.open(path).convert("RGB")
    forms: dict[str, ImageInput] = {
        "path": path,
        "text path": str(path),
        "bytes": path.read_bytes(),
        "picture": picture,
        "array": np.asarray(picture),
    }
    assert "guitar" in (db.search(image=forms[how], k=1)[0].title or "").lower()


def test_a_broken_query_picture_is_a_media_error(db: firstsight.Database) -> None:
    with pytest.raises(MediaError, match="truncated"):
        db.search(image=SAMPLE / "pictures" / "broken-teapot.jpg")


def test_a_private_address_is_not_fetched_for_a_query(db: firstsight.Database) -> None:
    with pytest.raises(MediaError) as caught:
        db.search(image="http://127.0.0.1:9/cat.jpg")
    assert caught.value.reason == "forbidden"


def test_a_filter_is_applied_before_the_nearest_are_chosen(db: firstsight.Database) -> None:
    results = db.search("red running shoes", k=5, where="category = 'fruit'")
    assert len(results) == 5
    assert {result.columns["category"] for result in results} == {"fruit"}


def test_a_time_can_be_filtered_on(db: firstsight.Database) -> None:
    later = db.search("band", k=75, where="starts_at > timestamp '2050-01-01T00:00:00Z'")
    assert [result.item_id for result in later] == ["live-bike-repair"]


def test_a_filter_that_lets_nothing_through_gives_nothing(db: firstsight.Database) -> None:
    assert not db.search("shoe", where="price < 0")


@pytest.mark.parametrize(
    "where", ["price < ", "prize < 3", "category = 3 AND", "nothing()", "title = 'a", "(price > 3"]
)
def test_a_filter_that_cannot_be_read_names_the_columns(db: firstsight.Database, where: str) -> None:
    with pytest.raises(QueryError, match="columns are item_id, kind"):
        db.search("shoe", where=where)


@pytest.mark.parametrize(
    "where",
    [
        "price > 0) OR (1 = 1",
        "1 = 1; DROP TABLE items",
        "price > 0 -- '\n) OR (1 = 1 -- '",
        "price > 0 /* ' */) OR (1 = 1 /* ' */",
        r"title = E'\'' ) OR ('a' = 'a",
        "",
    ],
)
def test_a_filter_that_is_not_one_condition_is_refused(db: firstsight.Database, where: str) -> None:
    with pytest.raises(QueryError, match="the filter"):
        db.search("shoe", where=where)


CHAINS = {
    "sum": "price < " + "+".join(["1"] * 3_000),
    "text": "'a' = " + "||".join(["'a'"] * 3_000),
    "cast": "price" + "::int" * 3_000 + " = 1",
    "is null": "price" + " is null" * 2_000,
    "between": "price" + " between 1 and 2" * 1_000,
    "parentheses": "(" * 40 + "price" + "+1+1+1+1+1+1+1+1)" * 40 + " > 1",
}


@pytest.mark.parametrize("where", CHAINS.values(), ids=CHAINS.keys())
def test_a_filter_that_would_overflow_the_stack_is_refused(db: firstsight.Database, where: str) -> None:
    with pytest.raises(QueryError, match="in one expression"):
        db.search("shoe", where=where)


@pytest.mark.parametrize(
    "where",
    [
        f"price IN ({', '.join(map(str, range(3_000)))})",
        " OR ".join(f"title = 'no {n}'" for n in range(1_000)),
        " AND ".join(["price BETWEEN 1 AND 100"] * 300),
        "price < " + "+".join(["1"] * 100),
    ],
)
def test_a_long_filter_is_answered(db: firstsight.Database, where: str) -> None:
    db.search("shoe", k=1, where=where)


@pytest.mark.parametrize(
    "where", ["title != ') OR ('", "title != 'it''s; --'", "(price > 1 OR (price < 1))", "text NOT LIKE '%\\%'"]
)
def test_what_stands_in_a_literal_counts_for_nothing(db: firstsight.Database, where: str) -> None:
    assert db.search("shoe", k=1, where=where)


def test_a_filter_cannot_widen_the_kinds_asked_for(db: firstsight.Database) -> None:
    kinds = {result.kind for result in db.search("guitar", k=75, where="price > 0 OR 1 = 1", kinds=["video"])}
    assert kinds == {"video"}


def test_an_item_id_with_a_quote_is_looked_up_not_run(db: firstsight.Database) -> None:
    with pytest.raises(QueryError, match="there is no item"):
        db.search(item="x' OR '1'='1")


def test_searching_by_an_item_needs_no_encoder(sample_db: Path) -> None:
    db = firstsight.open(sample_db)
    assert db.search(item="guitar-acoustic", k=1)
    assert db._connection._encoder is None


def test_another_encoder_is_refused_before_it_is_loaded(sample_db: Path) -> None:
    with pytest.raises(EncoderMismatchError, match="holds vectors of starter"):
        firstsight.open(sample_db, encoder="open_clip:ViT-B-32/openai").search("shoe")


def test_get_gives_the_views_with_places_that_can_be_opened(db: firstsight.Database) -> None:
    item = db.get("espresso-cup")
    places = {view.uri for view in item.views if view.uri}
    assert len(places) == 3
    assert all(Path(place).is_file() for place in places)
    assert item.vector is not None
    assert np.linalg.norm(item.vector) == pytest.approx(1.0, abs=1e-5)


def test_columns_hold_the_catalogues_own_and_nothing_internal(db: firstsight.Database) -> None:
    (result,) = db.search("shoe", k=1)
    assert {"price", "category", "color", "parent", "text", "created_at"} <= set(result.columns)
    assert not {"vector", "digest", "catalog_dir", "_distance"} & set(result.columns)
