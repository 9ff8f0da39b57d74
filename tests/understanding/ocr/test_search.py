"""Words in the text of pictures: found, below titles and texts, with their picture and place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import firstsight
from firstsight.retrieval.page_selection import PICTURE_TEXT_RELEVANCE
from firstsight.retrieval.ranking import full_text
from firstsight.retrieval.ranking.full_text import search_by_words, split_query_words
from firstsight.storage.store import Store
from tests.indexer.shop import ColourEncoder, picture, write_jsonl
from tests.understanding.ocr.stored_texts import BOX, store_texts

TITLES = {
    "a": ("Nordlund parka", "A warm jacket."),
    "b": ("Jacket", "A parka with a hood."),
    "c": ("Green cup", None),
    "d": ("Blue cup", None),
    **{f"parka{n}": (f"Long winter parka number {n} with many other words in its title", None) for n in range(40)},
}


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> firstsight.Database:
    folder = tmp_path_factory.mktemp("picture-texts")
    (folder / "p.png").write_bytes(picture(1))
    rows: list[dict[str, Any]] = [
        {"item_id": item_id, "title": title, "text": text, "images": ["p.png"]}
        for item_id, (title, text) in TITLES.items()
    ]
    write_jsonl(folder / "c.jsonl", rows)
    database = firstsight.open(folder / "db", encoder=ColourEncoder())
    database.index(folder / "c.jsonl")
    plain = firstsight.open(folder / "plain", encoder=ColourEncoder())
    plain.index(folder / "c.jsonl")
    texts = {"c#image-0": ["Midsummer guitar festival", "parka Nordlund 4711"], "d#image-0": ["夏季促销"]}
    store_texts(Store.open(folder / "db"), texts)
    return firstsight.open(folder / "db", encoder=ColourEncoder())


def words(store: Store, text: str, **options: Any) -> list[tuple[str, float]]:
    return search_by_words(store, split_query_words(store, text), limit=100, condition=None, **options)


def found(db: firstsight.Database, text: str, **how: Any) -> list[str]:
    return [result.item_id for result in db.search(text, mode="words", k=60, **how)]


@pytest.mark.parametrize("text", ["festival", "festivals", "gitar", "4711", "夏季促销"])
def test_words_of_pictures_are_found(db: firstsight.Database, text: str) -> None:
    assert found(db, text) == (["d"] if text == "夏季促销" else ["c"])


@pytest.mark.parametrize("text", ["parka", "Nordlund", "nordlund parka", "Nordlund parka 4711"])
def test_text_in_pictures_alone_never_outranks_the_same_words_in_a_title_or_text(
    db: firstsight.Database, text: str
) -> None:
    """The word is common in titles and rare in pictures, so plain BM25 would put the picture first."""
    scores = dict(words(Store.open(db.uri), text))
    lines = {"parka", "nordlund"} & set(text.lower().split())
    same = [i for i, (title, rest) in TITLES.items() if lines <= set(f"{title} {rest}".lower().split())]
    assert same
    if "4711" not in text:
        assert 0 < scores["c"] < min(scores[item_id] for item_id in same)
    else:
        assert scores["c"] > 0


def test_without_a_limit_the_picture_would_come_first(db: firstsight.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_text, "_picture_text_boost", lambda *_: full_text.PICTURE_TEXT_BOOST)
    scores = dict(words(Store.open(db.uri), "parka"))
    assert scores["c"] > min(scores[f"parka{n}"] for n in range(40))


def test_words_in_pictures_do_not_make_an_item_have_every_word(db: firstsight.Database) -> None:
    store = Store.open(db.uri)
    assert {item_id for item_id, _ in words(store, "Nordlund parka", every=True)} == {"a"}


def test_every_word_in_pictures_is_relevant_but_less_than_in_a_title(db: firstsight.Database) -> None:
    kept = db.search("Nordlund parka", k=60, min_relevance=0.5, mode="words")
    assert (kept[0].item_id, kept[0].relevance) == ("a", 1.0)
    relevance = {result.item_id: result.relevance for result in kept}
    assert relevance["c"] == PICTURE_TEXT_RELEVANCE < 1
    assert list(relevance).index("c") > list(relevance).index("a")


@pytest.mark.parametrize("mode", ["words", "hybrid"])
def test_a_threshold_keeps_items_by_words_of_title_and_pictures_together(db: firstsight.Database, mode: str) -> None:
    how: dict[str, Any] = {"mode": mode, "k": 60, "understand": False}
    assert {result.item_id for result in db.search("green festival", **how) if result.relevance >= 0.6} >= {"c"}
    kept = [result.item_id for result in db.search("midsummer unknownword", min_relevance=0.6, **how)]
    assert "c" not in kept


def test_titles_score_as_in_a_database_without_text_in_pictures(db: firstsight.Database) -> None:
    without = dict(words(Store.open(Path(db.uri).parent / "plain"), "winter parka"))
    scores = dict(words(Store.open(db.uri), "winter parka"))
    assert scores.pop("c") > 0
    assert scores == pytest.approx(without)


def test_a_result_names_the_picture_and_the_place_of_the_words(db: firstsight.Database) -> None:
    results = {result.item_id: result for result in db.search("midsummer festival", k=60)}
    match = results["c"].picture_text
    assert match is not None
    assert (match.text, match.part, match.view_id) == ("Midsummer guitar festival", "image", "c#image-0")
    assert match.box == tuple((x, y) for x, y in BOX)  # type: ignore[misc, str-unpack]
    assert Path(str(match.uri)).name == "p.png"
    assert results["c"].to_dict()["picture_text"]["box"] == BOX
    assert results["a"].picture_text is None
    assert "picture_text" not in results["a"].to_dict()
    (other,) = (result.picture_text for result in db.search("促销", k=60) if result.item_id == "d")
    assert other is not None
    assert other.text == "夏季促销"


def test_the_python_block_of_the_page_on_ocr_runs(db: firstsight.Database, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "ocr.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    exec(compile(block, "docs/ocr.md", "exec"), {"db": db})
    assert capsys.readouterr().out.startswith("Midsummer guitar festival ")
