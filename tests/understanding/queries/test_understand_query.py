"""Rules that split a query into text, colours, words to avoid and price limits."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstsight.understanding.queries.understand_query import MAX_LENGTH, understand_query
from firstsight.understanding.queries.understood_query import UnderstoodQuery

QUERIES = Path(__file__).parents[3] / "benchmarks" / "query_slots.json"


def slots(query: str, *, prices: bool = True) -> tuple[str, list[str], list[str], float | None, float | None]:
    found = understand_query(query, prices=prices)
    return found.text, list(found.colours), list(found.minus), found.min_price, found.max_price


def test_each_part_of_a_query_goes_into_its_slot() -> None:
    found = understand_query("red running shoes not nike under 50")
    assert (found.text, found.search_text) == ("running shoes", "red running shoes")
    assert (found.colours, found.minus) == (("red",), ("nike",))
    assert (found.min_price, found.max_price, found.has_limits) == (None, 50, True)
    assert [span.slot for span in found.spans] == ["colour", "minus", "price"]


def test_queries_written_before_the_rules_have_their_slots() -> None:
    wrong = []
    for query in json.loads(QUERIES.read_text(encoding="utf-8")):
        expected = (query["text"], query["colours"], query["not"], query["min"], query["max"])
        if slots(query["query"]) != expected:
            wrong.append(query["query"])
    assert wrong == []


@pytest.mark.parametrize(
    ("query", "low", "high"),
    [
        ("lamp for less than $40", None, 40),
        ("lamp < 40", None, 40),
        ("lamp, price 20 to 40", 20, 40),
        ("lamp 20-40 euros", 20, 40),
        ("lamp 40 or less", None, 40),
        ("lamp over 20 under 40", 20, 40),
        ("lamp between 40 and 20", 20, 40),
        ("lamp under 1,299.50", None, 1299.5),
        ("Lampe unter 1.299,50 €", None, 1299.5),
        ("lamp under 2k", None, 2000),
        ("台灯 50到100元之间", 50, 100),
        ("ランプ 3,000円〜5,000円", 3000, 5000),
        ("lampa do 100 zł", None, 100),
        ("lamp no more than 40", None, 40),
        ("lamp under fifty dollars", None, 50),
        ("lamp in the 20 to 40 range", 20, 40),
        ("lamp around $50", 40, 60),
        ("Lampe ca. 50 Euro", 40, 60),
        ("约100元的灯", 80, 120),
    ],
)
def test_price_limits(query: str, low: float | None, high: float | None) -> None:
    found = understand_query(query)
    assert (found.min_price, found.max_price) == (low, high)
    assert len(found.text.split()) == 1


@pytest.mark.parametrize(
    "query",
    [
        "boots size 42",
        "boots size from 38 to 42",
        "dumbbell under 5 kg",
        "bulb under 60w",
        "toys 3 to 5 years",
        "under armour shorts",
        "multivitamin for women over 50",
        "jersey from 1998",
        "iphone 15 pro max",
        "game for at least 4 players",
        "Hantel bis 10 kg",
        "jouet moins de 3 ans",
        "童鞋 3岁以下",
        "book about 80 trees",
        "screws around 50 mm",
        "monitor over 20 under 10",  # limits that contradict each other
    ],
)
def test_sizes_ages_and_names_are_no_prices(query: str) -> None:
    assert understand_query(query) == UnderstoodQuery(query, query)


@pytest.mark.parametrize(
    "query",
    [
        "white noise machine",
        "orange juice squeezer",
        "black friday deals",
        "red bull",
        "gold plated chain",
        "no show socks",
        "not your mother's shampoo",
        "Grüner Tee",
        "black-eyed peas",
        "non-stick pan",
        "hands-free headset",
        "buy one get one free",
        "vin rouge bio",
        "緑茶",
        "白噪音机",
    ],
)
def test_names_that_hold_a_word_of_a_rule_stay_whole(query: str) -> None:
    assert understand_query(query).text == query


def test_a_name_is_a_name_only_with_the_words_that_make_it() -> None:
    assert slots("red wine vinegar")[:2] == ("red wine vinegar", [])
    assert slots("red wine glasses")[:2] == ("wine glasses", ["red"])


@pytest.mark.parametrize(
    ("query", "text", "minus"),
    [
        ("sugar free gum", "gum", ["sugar"]),
        ("talc-free powder", "powder", ["talc"]),
        ("gluten and dairy free cookies", "cookies", ["gluten", "dairy"]),
        ("alkoholfreies Bier", "Bier", ["alkohol"]),
        ("suikervrije thee", "thee", ["suiker"]),
        ("non-leather belt for men", "belt for men", ["leather"]),
    ],
)
def test_words_with_a_negating_prefix_or_suffix(query: str, text: str, minus: list[str]) -> None:
    assert slots(query)[::2][:2] == (text, minus)


def test_a_colour_after_a_negation_is_avoided() -> None:
    assert slots("not red shoes")[:3] == ("shoes", [], ["red"])
    assert slots("no navy blue or black shoes")[:3] == ("shoes", [], ["navy blue", "black"])
    assert slots("any colour but pink mug")[:3] == ("mug", [], ["pink"])


def test_a_word_with_hyphens_can_have_two_colours() -> None:
    assert slots("black-and-white rug")[:2] == ("rug", ["black", "white"])
    assert slots("schwarz-weißes Kissen")[:2] == ("Kissen", ["black", "white"])


def test_words_to_avoid_end_where_something_else_begins() -> None:
    assert slots("shirt without logo or print for men")[::2][:2] == ("shirt for men", ["logo", "print"])
    assert slots("belt not fake leather under 20")[2] == ["fake leather"]
    assert slots("hoodie no zipper gray")[1:3] == (["gray"], ["zipper"])
    assert slots("no sugar protein bars")[::2][:2] == ("protein bars", ["sugar"])
    assert slots("soap without sulfates, parabens or silicones")[2] == ["sulfates", "parabens", "silicones"]
    assert slots("shoes -nike -adidas")[2] == ["nike", "adidas"]
    assert slots("zapatos sin tacón en piel")[::2][:2] == ("zapatos en piel", ["tacón"])
    assert slots("革以外の財布")[::2][:2] == ("財布", ["革"])


def test_a_negation_alone_stays_the_text() -> None:
    assert slots("no logo") == ("no logo", [], [], None, None)


def test_price_words_stay_in_the_text_without_a_price_column() -> None:
    assert slots("lamp not red under 50", prices=False) == ("lamp under 50", [], ["red"], None, None)


def test_currencies_have_their_code_if_it_is_certain() -> None:
    assert [understand_query(f"lamp under {price}").currency for price in ("50 €", "£50", "$50", "50")] == [
        "EUR",
        "GBP",
        None,
        None,
    ]


def test_a_pasted_page_is_left_as_it_is() -> None:
    page = "shoes not nike under 50 " * 100
    assert len(page) > MAX_LENGTH
    assert understand_query(page) == UnderstoodQuery(page, page)


def test_only_words_of_the_named_languages_count() -> None:
    assert understand_query("Kleid ohne Gürtel", ["en"]).minus == ()
    assert understand_query("Kleid ohne Gürtel", ["de", "xx"]).minus == ("Gürtel",)


SHOPPER_WORDS = """
red blau black-and-white sugar free zuckerfrei non-leather around fifty
not ohne sans under bis 50 20 between and zwischen und , - $ € kg size cheap dress shoes for in no 以下 円
元 不要 的 أقل من بدون white noise over ,- 1.299,00 k + (x) nike or
"""
WORDS = st.sampled_from(SHOPPER_WORDS.split())


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=80), st.lists(WORDS, max_size=14).map(" ".join)))
def test_no_word_is_lost_and_nothing_is_raised(query: str) -> None:
    found = understand_query(query)
    covered = [False] * len(query)
    for span in found.spans:
        assert query[span.start : span.end].strip()
        covered[span.start : span.end] = [True] * (span.end - span.start)
    left = re.findall(r"\S+", "".join(" " if covered[n] else letter for n, letter in enumerate(query)))
    assert "".join(found.text.split()) == "".join(left)
    assert found.spans or found.text == query
    if found.min_price is not None and found.max_price is not None:
        assert found.min_price <= found.max_price
