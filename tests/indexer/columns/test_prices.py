"""Prices become numbers and currencies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.indexer.columns.prices import NoPriceError, Price, decimal_mark, parse_price
from tests.indexer.columns.conftest import Check


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("57.00 USD", 57.0, "USD"),
        ("USD 57", 57.0, "USD"),
        ("€ 1.234,50", 1234.5, "EUR"),
        ("1.234,50€", 1234.5, "EUR"),
        ("1,299.00", 1299.0, None),
        ("1 299,00 kr", 1299.0, "kr"),
        ("1\u202f299,00\u00a0€", 1299.0, "EUR"),
        ("CHF 1'299.50", 1299.5, "CHF"),
        ("CHF 1’299.50", 1299.5, "CHF"),
        ("$1,234,567.89", 1234567.89, "$"),
        ("US$ 57.00", 57.0, "USD"),
        ("$57.00 USD", 57.0, "USD"),
        ("R$ 10,50", 10.5, "BRL"),
        ("£.99", 0.99, "GBP"),
        ("₹1,23,456.00", 123456.0, "INR"),
        ("¥1,000", 1000.0, "¥"),
        ("57,- €", 57.0, "EUR"),
        ("1.299,-", 1299.0, None),
        ("57.–", 57.0, None),
        ("-5,50 €", -5.5, "EUR"),
        ("Rs. 500", 500.0, "Rs"),
        ("eur 5", 5.0, "EUR"),
        ("1 234 567,89 Kč", 1234567.89, "CZK"),
        ("free", 0.0, None),
        ("12", 12.0, None),
        ("1e3", 1000.0, None),
        (57, 57.0, None),
        (57.5, 57.5, None),
        ({"amount": "57.00", "currency_code": "USD"}, 57.0, "USD"),
        ({"value": 57, "currency": "€"}, 57.0, "EUR"),
    ],
)
def test_one_price(text: object, amount: float, currency: str | None) -> None:
    price = parse_price(text, decimal_mark([text]))
    assert price is not None
    assert price.amount == pytest.approx(amount)
    assert (price.currency or "").rstrip(".") == (currency or "")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "3 for 10",
            "10 - 20 EUR",
            "10-20",
            "10–20 €",
            "from $5",
            "ab 10 €",
            "on request",
            "12.50 EUR/kg",
            "12:50",
            "5 %",
        ),
        *(
            "1,29,9",
            "56.99.00 USD",
            "10 20",
            "12.50 / 3",
            "size 42",
            "1.2.3",
            "99 ct",
            "x" * 200,
            "1" * 100,
            True,
            [5, 6],
            {},
        ),
        *(float("inf"), {"currency": "USD"}),
    ],
)
def test_what_is_no_single_price_is_refused(text: object) -> None:
    with pytest.raises(NoPriceError):
        parse_price(text)


@pytest.mark.parametrize("text", [None, "", "  ", float("nan")])
def test_empty_cells_have_no_price(text: object) -> None:
    assert parse_price(text) is None


@pytest.mark.parametrize(
    ("values", "first"),
    [
        (["1.234", "12,50"], 1234.0),
        (["1.234", "12.50"], 1.234),
        (["1.234 €", "999 €"], 1234.0),
        (["1.234"], 1.234),
        (["1.234 KWD"], 1.234),
        (["1,234", "12.50"], 1234.0),
        (["1,234", "12,50"], 1.234),
        (["1,234"], 1234.0),
        (["1.234.567", "1.234"], 1234567.0),
        (["0.999"], 0.999),
        (["0,999"], 0.999),
    ],
)
def test_the_whole_column_decides_the_decimal_mark(values: list[str], first: float) -> None:
    price = parse_price(values[0], decimal_mark(values))
    assert price is not None
    assert price.amount == pytest.approx(first)


@given(
    cents=st.integers(0, 10**10),
    style=st.sampled_from([(",", "."), (".", ","), (" ", ","), ("'", "."), ("\u202f", ","), ("", "."), ("", ",")]),
    form=st.sampled_from(["{}", "{} EUR", "EUR {}", "€{}", "{} €", "€ {}"]),
)
def test_amounts_with_two_decimals_round_trip_in_every_style(cents: int, style: tuple[str, str], form: str) -> None:
    gap, mark = style
    text = form.format(f"{cents // 100:,}".replace(",", gap) + f"{mark}{cents % 100:02d}")
    assert parse_price(text, decimal_mark([text])) == Price(cents / 100, "EUR" if "E" in form or "€" in form else None)


@given(st.text(max_size=80) | st.from_regex(r"[0-9 .,'€$-]{1,80}", fullmatch=True))
def test_any_text_is_a_price_or_refused(text: str) -> None:
    try:
        price = parse_price(text, decimal_mark([text]))
    except NoPriceError:
        return
    assert price is None or isinstance(price.amount, float)


# ---- columns


def test_prices_become_numbers_and_a_currency_column(check: Check) -> None:
    rows = [{"id": 1, "preis": "1.234,50 €", "sale": None}, {"id": 2, "preis": "12 €", "sale": None}, {"id": 3}]
    catalog = check(rows)
    assert catalog.kinds == {"preis": "text", "price": "number", "currency": "text"}
    assert [item.columns.get("price") for item in catalog.items()] == [1234.5, 12.0, None]
    assert [item.columns.get("currency") for item in catalog.items()] == ["EUR", "EUR", None]


def test_a_currency_column_wins(check: Check) -> None:
    (item,) = check([{"id": 1, "price": "$5", "currency": "CAD"}]).items()
    assert item.columns == {"price": 5.0, "currency": "CAD"}


def test_a_column_with_many_other_values_stays_text_and_the_plan_says_so(check: Check) -> None:
    catalog = check([{"id": 1, "price": "5.00 EUR"}, {"id": 2, "price": "3 for 10"}])
    assert [item.columns for item in catalog.items()] == [{"price": "5.00 EUR"}, {"price": "3 for 10"}]
    assert [use.note for use in catalog.columns()] == ["", "stays text: '3 for 10' is no single price"]


def test_a_few_other_values_are_left_empty_and_counted(check: Check) -> None:
    rows = [{"id": n, "price": f"{n}.00 EUR"} for n in range(39)] + [{"id": 39, "price": "3 for 10"}]
    catalog = check(rows)
    *_, before, last = catalog.items()
    assert (before.columns["price"], last.columns.get("price")) == (38.0, None)
    assert catalog.columns()[1].note == "1 of 40 values are left empty: '3 for 10' is no single price"


def test_texts_after_the_sample_still_decide(check: Check) -> None:
    rows = [{"id": n, "price": "5" if n < 1_100 else "on request"} for n in range(1_200)]
    catalog = check(rows)
    assert catalog.kinds["price"] == "text"
    assert {item.columns["price"] for item in catalog.items()} == {"5", "on request"}


def test_a_database_with_numbers_refuses_a_column_of_texts(check: Check) -> None:
    from firstsight.errors import CatalogError

    with pytest.raises(CatalogError, match=r"column 'price': 2 of 2 values are no prices \('on request' is no single"):
        check([{"id": n, "price": "on request"} for n in range(2)], stored={"price": "number"})


def test_a_database_with_texts_keeps_texts(check: Check) -> None:
    (item,) = check([{"id": 1, "price": "5.00 EUR"}], stored={"price": "text"}).items()
    assert item.columns["price"] == "5.00 EUR"


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("&euro; 12,00", 12.0, "EUR"),
        ("<span>10.00</span>", 10.0, None),
        ("10,00 € inkl. MwSt.", 10.0, "EUR"),
        ("12,00 € *", 12.0, "EUR"),
        (["10.00"], 10.0, None),
    ],
)
def test_html_notes_on_taxes_and_lists_of_one_price(text: object, amount: float, currency: str | None) -> None:
    assert parse_price(text, ",") == Price(amount, currency)


def test_texts_for_a_missing_price_leave_it_empty(check: Check) -> None:
    catalog = check([{"id": n, "price": "10.00", "sale_price": value} for n, value in enumerate(("N/A", "-", "9.50"))])
    assert [item.columns.get("sale_price") for item in catalog.items()] == [None, None, 9.5]


def test_a_sale_price_of_zero_means_that_there_is_none(check: Check) -> None:
    catalog = check([{"id": 1, "price": "0", "sale_price": "0.00"}, {"id": 2, "price": "7", "sale_price": "5"}])
    assert [dict(item.columns) for item in catalog.items()] == [
        {"price": 0.0, "sale_price": None},
        {"price": 7.0, "sale_price": 5.0},
    ]
