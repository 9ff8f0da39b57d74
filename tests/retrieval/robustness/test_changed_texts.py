"""Typos and paraphrases: repeatable, growing, and safe for every language."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstsight.errors import QueryError
from firstsight.retrieval.evaluation.robustness.paraphrases import paraphrase, read_paraphrases
from firstsight.retrieval.evaluation.robustness.text_typos import NEIGHBOURS, TYPO_STRENGTHS, add_typos

TITLE = "Waterproof hiking jacket with three pockets"


@settings(max_examples=40)
@given(st.text(max_size=40), st.sampled_from(TYPO_STRENGTHS))
def test_any_text_takes_typos_and_never_becomes_empty(text: str, strength: int) -> None:
    typed = add_typos(text, strength)
    assert typed == add_typos(text, strength)
    assert bool(typed) == bool(text)


def differing(first: str, second: str) -> int:
    """Number of inserted, removed and replaced letters (Levenshtein)."""
    row = list(range(len(second) + 1))
    for n, letter in enumerate(first, 1):
        previous, row[0] = row[0], n
        for m, other in enumerate(second, 1):
            previous, row[m] = row[m], min(row[m] + 1, row[m - 1] + 1, previous + (letter != other))
    return row[-1]


def test_a_stronger_text_has_more_typos() -> None:
    counts = [differing(TITLE, add_typos(TITLE, strength)) for strength in TYPO_STRENGTHS]
    assert 1 <= counts[0] <= 4
    assert counts == sorted(counts)
    assert counts[-1] >= 6


def test_neighbours_touch_on_the_keyboard() -> None:
    assert set(NEIGHBOURS["s"]) == set("awedxz")
    assert all(key in NEIGHBOURS[other] for key, others in NEIGHBOURS.items() for other in others)


@pytest.mark.parametrize("title", ["红色跑步鞋大号新款", "赤いランニングシューズ", "حذاء رياضي أحمر", "लाल जूते"])
def test_other_scripts_lose_or_swap_letters_and_get_no_latin_ones(title: str) -> None:
    for seed in range(20):
        typed = add_typos(title, 5, seed=seed)
        assert typed != title
        assert set(typed) <= set(title)


def test_digits_and_joined_emoji_stay() -> None:
    family = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
    for seed in range(20):
        typed = add_typos(f"size 42 shoe {family}", 5, seed=seed)
        assert "42" in typed
        assert family in typed


@pytest.mark.parametrize("title", ["", " ", "x", "12345", "\ud800"])
def test_a_text_without_two_letters_stays(title: str) -> None:
    assert add_typos(title, 5) == title


@pytest.mark.parametrize("strength", [0, 6, 10**12])
def test_an_unknown_strength_is_an_error(strength: int) -> None:
    with pytest.raises(QueryError, match=f"typos have no strength {strength}; use 1 to 5"):
        add_typos(TITLE, strength)


@pytest.mark.parametrize(
    ("title", "rule", "expected"),
    [
        ("Red running shoes with black laces", "word-order", "with black laces Red running shoes"),
        ("Red running shoes with black laces", "number", "Red running shoe with black laces"),
        ("Blue Sweater", "synonyms", "Blue Jumper"),
        ("MULTICOLOUR SCARF", "spelling", "MULTICOLOR SCARF"),
        ("Gray scarf", "spelling", "Grey scarf"),
        ("Bag for the gym", "stop-words", "Bag gym"),
        ("Set of kitchen knives", "number", "Sets of kitchen knives"),
        ("Box", "number", "Boxes"),
        ("Black sunglasses", "number", None),
        ("Box", "word-order", None),
        ("", "word-order", None),
        ("the", "stop-words", None),
        ("Grey", "synonyms", None),
    ],
)
def test_each_rule_gives_one_paraphrase_or_none(title: str, rule: str, expected: str | None) -> None:
    assert paraphrase(title, rule) == expected


@pytest.mark.parametrize("title", ["Rote Jacke mit Bag", "Veste rouge pour homme", "Sac de sport", "红色跑步鞋"])
def test_english_rules_leave_other_languages(title: str) -> None:
    assert all(paraphrase(title, rule) is None for rule in ("synonyms", "spelling", "stop-words", "number"))
    assert paraphrase("Bag", "number", language="de") is None
    assert paraphrase("Zorgle", "number", language="en-GB") == "Zorgles"


def test_an_unknown_rule_is_an_error() -> None:
    with pytest.raises(QueryError, match="there is no paraphrase rule 'rhyme'; the rules are word-order"):
        paraphrase(TITLE, "rhyme")


def test_paraphrases_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "words.csv"
    path.write_text("title,paraphrase\nred shoe,crimson shoe\nred shoe,shoe in red\n")
    assert read_paraphrases(path) == {"red shoe": ("crimson shoe", "shoe in red")}
    path.write_text("title,paraphrase\nred shoe,\n")
    with pytest.raises(QueryError, match="it has no paraphrase"):
        read_paraphrases(path)
    with pytest.raises(QueryError, match="there is no file"):
        read_paraphrases(tmp_path / "none.csv")
