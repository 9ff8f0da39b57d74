"""The first index run stems words in the language of most items."""

from __future__ import annotations

from pathlib import Path

import pytest

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.storage.indexes.text_index import STEMMED_LANGUAGES, stored_language
from firstsight.storage.store import Store
from firstsight.understanding.language.stemming_language import STEMMERS

GERMAN = [
    *("Rote Schuhe aus weichem Leder", "Blaue Taschen für den Strand", "Warme Jacken mit großer Kapuze"),
    *("Schwarze Hosen für den Winter", "Grüne Kleider mit kurzen Ärmeln", "Weiße Hemden aus Baumwolle"),
    *("Bunte Tassen für den Frühstückstisch", "Kleine Töpfe mit festem Deckel", "Scharfe Messer für die Küche"),
    *("Weiche Decken für das Sofa", "Große Spiegel für das Bad", "Leichte Stühle aus hellem Holz"),
]


def index(folder: Path, encoder: Encoder, titles: list[str], **options: str) -> firstsight.Database:
    db = firstsight.open(folder / "db", encoder=encoder)
    rows = [{"item_id": str(n), "title": title} for n, title in enumerate(titles)]
    db.index(rows, languages=["de", "en"], **options)  # type: ignore[arg-type]
    return db


def test_a_german_shop_is_stemmed_in_german_and_keeps_that(tmp_path: Path, starter: Encoder) -> None:
    db = index(tmp_path, starter, GERMAN)
    assert stored_language(Store.open(tmp_path / "db")) == "German"
    assert [result.item_id for result in db.search("Schuh", mode="words", k=1)] == ["0"]
    assert [result.item_id for result in db.search("Stuhl", mode="words", k=1)] == ["11"]
    db.add([{"item_id": f"new-{n}", "title": f"{title} for the garden"} for n, title in enumerate(["Red shoes"] * 40)])
    assert stored_language(Store.open(tmp_path / "db")) == "German"


def test_the_language_that_a_user_names_is_kept(tmp_path: Path, starter: Encoder) -> None:
    index(tmp_path, starter, GERMAN, language="other")
    assert stored_language(Store.open(tmp_path / "db")) == "other"


@pytest.mark.parametrize("titles", [GERMAN[:5], [*GERMAN[:6], *["Red running shoes with black laces"] * 6]])
def test_few_items_and_a_mixed_shop_keep_english(tmp_path: Path, starter: Encoder, titles: list[str]) -> None:
    index(tmp_path, starter, titles)
    assert stored_language(Store.open(tmp_path / "db")) == "English"


def test_every_stemmer_exists() -> None:
    assert set(STEMMERS.values()) <= set(STEMMED_LANGUAGES)
