"""Conditions: parsed, checked against limits, rewritten, and read by LanceDB as the user wrote them."""

from __future__ import annotations

from collections import Counter

import pytest
from lancedb.table import Table

from benchmarks.conditions import compare, make_table
from benchmarks.drawn_conditions import generate
from firstsight.errors import QueryError
from firstsight.storage.sql.condition_parser import MAX_DEPTH, Condition, parse_condition
from firstsight.storage.sql.conditions import ConditionLimits, in_chunks, is_in, quote, quote_name

LIMITS = ConditionLimits(frozenset({"lower"}), frozenset({"secret"}), max_values=3, max_tokens=50, hint="see the list")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    return make_table(str(tmp_path_factory.mktemp("conditions")))


def test_generated_conditions_give_the_same_rows_or_are_refused(table: Table) -> None:
    compared = [compare(table, text) for text in generate(300, seed=11)]
    assert [one for one in compared if one.outcome == "other rows"] == []
    outcomes = Counter(one.outcome for one in compared)
    assert outcomes["same rows"] > 100
    assert outcomes["refused now"] < 15


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("price<50 and NOT on_sale", "price < 50 AND NOT on_sale"),
        ("price == 1 OR price <> 2", "price = 1 OR price != 2"),
        ("`with space` = 's' AND \"it's\" = 'u'", "`with space` = 's' AND `it's` = 'u'"),
        ("CamelCase = 'P' AND maker.Rank > -1", "CamelCase = 'P' AND maker.Rank > - 1"),
        ("title = 'it''s' || '\"'", "title = 'it''s' || '\"'"),
        ("text NOT LIKE '50\\%'", "text NOT LIKE '50\\%'"),
        ("day >= date '2021-01-01'", "day >= CAST('2021-01-01' AS DATE)"),
        ("created_at < timestamp '2021-01-01'", "created_at < CAST('2021-01-01' AS TIMESTAMP)"),
        ("stock::int unsigned = 1", "CAST(stock AS INT UNSIGNED) = 1"),
        ("array_has(['a', 'b'], tags[1])", "`array_has`(['a', 'b'], tags[1])"),
        ("TRIM(title) = 'a' AND ceil(price) = 2", "`trim`(title) = 'a' AND `ceil`(price) = 2"),
        ("price NOT BETWEEN 1 AND 2", "price NOT BETWEEN 1 AND 2"),
        ("NOT stock IN (1, 2)", "stock NOT IN (1, 2)"),
        ("NOT stock IS NULL", "stock IS NOT NULL"),
        ("on_sale IS NOT TRUE", "on_sale IS NOT TRUE"),
        ("coalesce(CASE WHEN on_sale THEN 1 END, 0) = 1", "`coalesce`(CASE WHEN on_sale THEN 1 END, 0) = 1"),
        ("price = 1.50 OR price = 1e0", "price = 1.50 OR price = 1e0"),
        ("text = 'a' AND day IS NULL", "text = 'a' AND day IS NULL"),
    ],
)
def test_a_condition_is_written_as_lancedb_reads_it(table: Table, text: str, written: str) -> None:
    assert parse_condition(text).sql == written
    table.search().where(f"({written})").limit(1).explain_plan()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("price < ", "ends too early"),
        ("price < 50 cheap", "'cheap' is not expected at character 12"),
        ("price < 50\nAND\n) OR 1", "')' is not expected at character 16"),
        ("title = 'a", "a quote is not closed"),
        ("price < 50; true", "has ; in it (at character 11)"),
        ("price - -- 1\n > 1", "has -- in it (at character 9)"),
        ("price /* a */ < 1", "has /* in it (at character 7)"),
        ("{# a #} price < 1", "has {# in it (at character 1)"),
        ("title = '\\' OR true", "has \\' in it (at character 10)"),
        ("title = E'\\'' OR true", "a quote is not closed"),
        ("title = 'a\\' OR 'b' = 'b'", "has \\' in it (at character 11)"),
        ("title = N'a'", "has a letter before a quote in it (at character 9)"),
        ("title = 'a' 'b'", "has two texts side by side in it"),
        ("price = ?", "has ? in it (at character 9)"),
        ("price IN (SELECT 1)", "'1' is not expected"),
        ("count(*) > 1", "has a * in it (at character 7)"),
        ("(price, 1) = (1, 2)", "has a list without IN before it in it (at character 2)"),
        ("price IN ()", "has an IN without values (at character 1); give a list of values"),
        ("price IS 3", "has an IS (at character 1); IS can be followed by NULL"),
        ("on_sale = true IS NULL", "compares the result of a comparison (at character 1); put parentheses"),
        ("price = stock = true", "compares the result of a comparison"),
        ("title || 1 + 2 = 'a3'", "mixes || and arithmetic (at character 10); put parentheses"),
        ("price::time = 1", "casts to a type that is not supported (at character 1); the types are BOOLEAN"),
        ("price::decimal(1) = 1", "gives DECIMAL a size"),
        ("n²= 1", "has 'n²' in it (at character 1); put backquotes"),
        ("(" * (MAX_DEPTH + 1) + "true" + ")" * (MAX_DEPTH + 1), "nests too deeply in one expression"),
        ("NOT " * 200 + "true", "nests too deeply in one expression"),
        ("title = '\ud800'", "has half a character in it (at character 10)"),
    ],
)
def test_a_refusal_names_what_is_wrong_and_where(text: str, said: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_condition(text)
    assert said in str(caught.value)
    assert str(caught.value).startswith("the filter ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("upper(title) = 'A'", "calls 'upper' (at character 1); it may call lower"),
        ("lower(`upper`(title)) = 'A'", "calls 'upper'"),
        ("title IN (lower('a'), UPPER ('b'))", "calls 'upper'"),
        ("secret = 1", "names 'secret', which is not a column that filters can use (at character 1); see the list"),
        ("price < 1 OR SECRET = 1", "names 'SECRET'"),
        ('lower("secret") = 1', "names 'secret'"),
        ("a.`Secret`[1] = 1", "names 'Secret'"),
        ("_rowid < 3", "names '_rowid'"),
        ("price IN (1, 2, 3, 4)", "has 4 values after IN (at character 1); the maximum is 3"),
        (" OR ".join(["price = 1"] * 20), "has 79 words, values and signs; the maximum is 50"),
    ],
)
def test_limits_are_kept(text: str, said: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_condition(text, LIMITS)
    assert said in str(caught.value)


def test_limits_let_through_what_they_allow() -> None:
    text = "LOWER(title) = 'secret' AND price IN (1, 2, 3)"
    assert parse_condition(text, LIMITS).sql == "`lower`(title) = 'secret' AND price IN (1, 2, 3)"


def ids_of(condition: Condition) -> str:
    def answer(comparison: str, negated: bool) -> str:
        return f"({'not ' if negated else ''}[{comparison}])"

    return condition.replace_column("semantic_id", answer, "compare it with a text").sql


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("semantic_id = '1-2'", "([= '1-2'])"),
        ("Semantic_ID != '1' OR price = 1", "(not [= '1']) OR price = 1"),
        ("NOT `semantic_id` NOT LIKE 'it''s%'", "NOT (not [LIKE 'it''s%'])"),
        ("semantic_id NOT IN ('1', '2') AND true", "NOT ([IN ('1', '2')]) AND TRUE"),
        ("title = 'semantic_id'", "title = 'semantic_id'"),
        ("`SEMANTIC_ID` = '1'", "`SEMANTIC_ID` = '1'"),
    ],
)
def test_comparisons_of_a_column_are_replaced(text: str, written: str) -> None:
    assert ids_of(parse_condition(text)) == written


@pytest.mark.parametrize(
    "text",
    [
        "semantic_id",
        "'1' = semantic_id",
        "semantic_id = title",
        "semantic_id LIKE '1!%' ESCAPE '!'",
        "semantic_id IN (1)",
    ],
)
def test_another_use_of_a_replaced_column_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match="uses semantic_id in a way that is not supported; compare it with a text"):
        ids_of(parse_condition(text))


def test_conditions_of_the_program_are_quoted(table: Table) -> None:
    assert quote("it's") == "'it''s'"
    assert is_in("version", [1, 2]) == "version IN (1, 2)"
    for column, value in (("it's", "u"), ('dq"x', "w"), ("title", "it's a band"), ("title", "\\")):
        assert table.count_rows(is_in(quote_name(column), [value])) > 0
    assert table.count_rows(is_in("item_id", [])) == 0
    assert [len(part) for part in in_chunks(["a"] * 2_500)] == [1_000, 1_000, 500]


def test_a_backslash_ends_no_text_in_lancedb(table: Table) -> None:
    """If it ever did, a text could end where the parser does not see it."""
    assert table.count_rows("title = '\\'") > 0
