"""Colour words of queries, in the languages of the data file."""

from __future__ import annotations

import csv
import unicodedata
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import firstsight.understanding.colours
from firstsight.errors import QueryError
from firstsight.understanding.colours.colour_words import colour_languages, find_colours
from firstsight.understanding.colours.named_shades import COLOURS

DATA = Path(firstsight.understanding.colours.__path__[0]) / "colour_words.csv"


def found(text: str, *languages: str) -> list[tuple[str, str]]:
    """The colours of a text, each with its words."""
    return [(text[match.start : match.end], match.colour) for match in find_colours(text, languages or None)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("blue tees", [("blue", "blue")]),
        ("Navy-Blue trousers", [("Navy-Blue", "blue")]),
        ("burgundy dress", [("burgundy", "red")]),
        ("a very dark  green coat", [("dark  green", "green")]),
        ("black and white shoes", [("black", "black"), ("white", "white")]),
        ("off white rug", [("off white", "white")]),
        ("khaki shorts", [("khaki", "beige")]),
        ("blaues Hemd", [("blaues", "blue")]),
        ("dunkelgrüne Jacke", [("dunkelgrüne", "green")]),
        ("weiße Schuhe", [("weiße", "white")]),
        ("WEISSE SCHUHE", [("WEISSE", "white")]),
        ("chemise bleu marine", [("bleu marine", "blue")]),
        ("robe rouge foncé", [("rouge foncé", "red")]),
        ("zapatos rojos", [("rojos", "red")]),
        ("camiseta azul claro", [("azul claro", "blue")]),
        ("gonna gialla", [("gialla", "yellow")]),
        ("zwarte schoenen", [("zwarte", "black")]),
        ("vestido cor de rosa", [("cor de rosa", "pink")]),
        ("sapatos pretos", [("pretos", "black")]),
        ("红色连衣裙", [("红色", "red")]),
        ("深蓝牛仔裤", [("深蓝", "blue")]),
        ("白い靴", [("白い", "white")]),
        ("ネイビーのジャケット", [("ネイビー", "blue")]),
        ("حذاء أحمر", [("أحمر", "red")]),
        ("الفستان الأزرق", [("الأزرق", "blue")]),
    ],
)
def test_colour_words_are_found_with_their_place(text: str, expected: list[tuple[str, str]]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "orange juice",
        "white-noise machine",
        "Black Friday",
        "蓝牙耳机",
        "赤ちゃんの服",
        "thé vert",
        "infrared lamp",
        "blueberry",
        "tanks",
        "reddish",
        "",
        "   ",
    ],
)
def test_other_words_have_no_colour(text: str) -> None:
    assert found(text) == []


def test_a_word_of_two_meanings_counts_only_in_a_named_language() -> None:
    assert found("rose bush") == []
    assert found("robe rose", "fr") == [("rose", "pink")]
    assert found("viola") == []
    assert found("maglia viola", "it", "en") == [("viola", "purple")]


def test_only_the_named_languages_count() -> None:
    assert found("rote shoes", "en") == []
    assert found("rote shoes", "de", "en") == [("rote", "red")]


def test_a_modifier_alone_is_no_colour() -> None:
    assert found("light dress") == []
    assert found("light dress blue") == [("blue", "blue")]


def test_an_unknown_language_is_refused_with_the_known_ones() -> None:
    with pytest.raises(QueryError, match="no colour words of language 'xx'; there are: en, de, fr"):
        find_colours("blue", ["xx"])


def test_decomposed_accents_are_found_with_places_in_the_given_text() -> None:
    text = unicodedata.normalize("NFD", "une robe rouge foncé courte")
    (match,) = find_colours(text)
    assert unicodedata.normalize("NFC", text[match.start : match.end]).startswith("rouge foncé"[:-1])
    assert match.colour == "red"


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "it", "nl", "pt", "zh", "ja", "ar"])
def test_each_language_has_words_for_all_colours_that_are_found(language: str) -> None:
    assert language in colour_languages()
    with DATA.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["language"] == language]
    words = {row["colour"]: row["words"].split(";") for row in rows}
    assert set(words) >= set(COLOURS)
    for colour in COLOURS:
        for entry in words[colour]:
            word = entry.removeprefix("*").partition("(")[0]
            assert found(word, language) == [(word, colour)]


def test_no_word_means_two_colours_without_a_named_language() -> None:
    meanings: dict[str, set[str]] = defaultdict(set)
    with DATA.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["colour"] in COLOURS:
                for entry in row["words"].split(";"):
                    if not entry.startswith("*"):
                        meanings[entry.partition("(")[0].casefold()].add(row["colour"])
    assert {word: colours for word, colours in meanings.items() if len(colours) > 1} == {}


def test_a_long_text_of_modifiers_takes_no_quadratic_time() -> None:
    assert found("light " * 5_000 + "blue") == [("light light light blue", "blue")]


@given(st.text(max_size=60))
def test_any_text_gives_places_in_order_inside_it(text: str) -> None:
    end = 0
    for match in find_colours(text):
        assert end <= match.start < match.end <= len(text)
        assert match.colour in COLOURS
        end = match.end
