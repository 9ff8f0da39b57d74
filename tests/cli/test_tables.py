"""Tables of items and rows: which columns are printed, and CSV."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from PIL import Image

import firstsight
from firstsight.database import open_tables
from tests.cli.calling import Run, parse_json_lines
from tests.cli.test_help import COMMANDS, LISTED


def read_csv(out: str) -> list[dict[str, str]]:
    """Rows of CSV by heading; checks the line ends."""
    assert out.count("\r\n") == len(out.splitlines())
    assert "\x1b" not in out
    return list(csv.DictReader(io.StringIO(out, newline="")))


def test_columns_of_the_table_and_of_the_catalogue_are_printed_in_the_order_given(
    run: Run, run_on_terminal: Run
) -> None:
    code, out, _ = run_on_terminal("search", "red running shoes", "-k", "2", "--columns", "price,item,title,score")
    assert code == 0
    heading, first, *_ = re.sub(r"\x1b\[[\d;]*m", "", out).splitlines()
    assert heading.split() == ["price", "item", "title", "score"]
    price = firstsight.open().get("sneakers-red").columns["price"]
    score = firstsight.open().search("red running shoes")[0].score
    assert " ".join(first.split()) == f"{price:g} sneakers-red Red running shoes with black laces {score:.3f}"


def test_csv_in_a_pipe_has_a_header_and_exact_values(run: Run) -> None:
    arguments = ("search", "red running shoes", "-k", "3")
    code, out, err = run(*arguments, "--csv")
    assert (code, err) == (0, "")
    rows = read_csv(out)
    results = parse_json_lines(run(*arguments)[1])
    assert list(rows[0]) == ["score", "relevance", "item", "kind", "title", "matched", "at"]
    assert [round(float(row["score"]), 4) for row in rows] == [result["score"] for result in results]
    assert [row["item"] for row in rows] == [result["item_id"] for result in results]


def test_columns_choose_the_columns_of_csv_too(run: Run) -> None:
    _, out, _ = run("search", "shoe", "-k", "2", "--csv", "--columns", "category,item", "--columns", "price")
    rows = read_csv(out)
    assert list(rows[0]) == ["category", "item", "price"]
    stored = firstsight.open().get(rows[0]["item"]).columns
    assert (rows[0]["category"], float(rows[0]["price"])) == (stored["category"], stored["price"])


@pytest.mark.parametrize(
    ("arguments", "name", "first"),
    [
        (("search", "running shoes"), "variants", "3"),
        (("search", "red running shoes"), "variants", ""),  # names a variant, so every item is listed
        (("search", "running shoes", "--collapse", "none"), "variants", ""),
        (("search", "running shoes", "--min-score", "1"), "variants", None),
        (("search", "running shoes"), "others", ""),
        (("similar", "sneakers-red", "--collapse", "none"), "variants", ""),
        (("similar", "sneakers-red", "-k", "1"), "variants", "1"),
        (("recommend", "--history", "sneakers-red", "--collapse", "none"), "variants", ""),
    ],
)
def test_a_column_that_only_some_results_have_can_always_be_chosen(
    run: Run, arguments: tuple[str, ...], name: str, first: str | None
) -> None:
    code, out, err = run(*arguments, "--csv", "--columns", f"item,{name}")
    assert code == 0, err
    assert out.splitlines()[0] == f"item,{name}"
    rows = read_csv(out)
    assert [row[name] for row in rows][:1] == ([] if first is None else [first])


def test_json_has_all_columns_whatever_is_chosen(run: Run) -> None:
    arguments = ("similar", "guitar-acoustic", "-k", "2")
    assert run(*arguments, "--columns", "title")[1] == run(*arguments)[1]
    assert run(*arguments, "--columns", "title", "--json")[1] == run(*arguments)[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "guitar"),
        ("similar", "guitar-acoustic"),
        ("recommend", "--history", "guitar-acoustic", "--seed", "1"),
        ("duplicates",),
        ("failures",),
        ("get", "guitar-acoustic"),
    ],
)
def test_every_table_of_items_takes_columns_of_the_catalogue(run: Run, arguments: tuple[str, ...]) -> None:
    code, out, _ = run(*arguments, "--csv", "--columns", "category,title")
    assert code == 0
    rows = read_csv(out)
    assert rows
    assert all(list(row) == ["category", "title"] for row in rows)
    assert any(row["title"] for row in rows)
    code, _, err = run(*arguments, "--csv", "--columns", "prize")
    assert code == 2
    said = " ".join(err.replace("│", " ").split())
    assert "there is no column 'prize'; the columns are" in said
    assert "category" in said


def test_an_unknown_column_is_an_error_also_without_results(run: Run) -> None:
    code, out, err = run("search", "shoe", "--where", "price > 1e9", "--csv", "--columns", "prize")
    assert (code, out) == (2, "")
    assert "there is no column 'prize'" in " ".join(err.replace("│", " ").split())


def test_csv_without_rows_has_the_header_and_a_message(run: Run) -> None:
    code, out, err = run("search", "shoe", "--where", "price > 1e9", "--csv")
    assert (code, err) == (0, "nothing matches\n")
    assert out == "score,relevance,item,kind,title,matched,at\r\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("search", "shoe", "--json", "--csv"), "cannot be used with --json"),
        (("search", "shoe", "--columns", '"title'), "a quote is not closed"),
        (("search", "shoe", "--columns", " , "), "names no column"),
        (("search", "--queries", "none.jsonl", "--csv"), "--csv and --columns are for a single query"),
        (("safety", "audit", "--csv"), "prints the entries of --list only"),
    ],
)
def test_wrong_usage_is_refused_before_any_work(run: Run, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())


def test_status_as_csv_lists_the_columns_with_types_and_empty_values(run: Run, run_on_terminal: Run) -> None:
    rows = {row["column"]: row for row in read_csv(run("status", "--csv")[1])}
    assert rows["price"]["type"] == "number"
    assert rows["title"]["type"] == "text"
    assert rows["created_at"]["type"] == "time"
    (state,) = parse_json_lines(run("status", "--json")[1])
    assert {c["name"]: str(c["empty"]) for c in state["columns"]} == {name: row["empty"] for name, row in rows.items()}
    empty = open_tables(firstsight.open()).items.count_rows("price IS NULL")
    assert rows["price"]["empty"] == str(empty)
    assert "price" in run_on_terminal("status")[1]


def test_texts_that_a_spreadsheet_would_run_are_escaped_and_commas_quoted(run: Run, tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), "red").save(tmp_path / "a.png")
    titles = ['=HYPERLINK("x")', "-20% off, today", "@home", "two\nlines", "-5", "plain"]
    rows = [["item_id", "title", "net, price"], *([f"i{n}", title, "-3.5"] for n, title in enumerate(titles))]
    with (tmp_path / "shop.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    db = str(tmp_path / "db")
    assert run("index", str(tmp_path / "shop.csv"), "--db", db, "--quiet")[0] == 0
    code, out, _ = run("search", "--item", "i5", "--db", db, "--csv", "--columns", 'item,title,"net, price"')
    assert code == 0
    found = {row["item"]: row for row in csv.DictReader(io.StringIO(out, newline=""))}
    assert [found[f"i{n}"]["title"] for n in range(5)] == [
        '\'=HYPERLINK("x")',
        "'-20% off, today",
        "'@home",
        "two\nlines",
        "-5",
    ]
    assert {row["net, price"] for row in found.values()} == {"-3.5"}


def test_commands_with_a_table_take_csv_and_those_with_items_take_columns() -> None:
    options = {path: {name for p in COMMANDS[path].params for name in p.opts} for path in LISTED}
    items = {path for path in LISTED if "--columns" in options[path]} - {"export"}  # writes a file, not a table
    assert items == {
        *("search", "recommend", "similar", "duplicates", "failures", "get", "quality"),
        *("safety queue", "safety hashes match"),
    }
    assert {path for path in LISTED if "--csv" in options[path]} == items | {
        *(
            "status",
            "optimize",
            "upgrade",
            "cold-start fit",
            "cold-start list",
            "semantic-ids fit",
            "semantic-ids list",
            "ranking fit",
            "ranking list",
            "ranking explain",
            "sequence fit",
            "sequence list",
            "personal-search fit",
            "personal-search list",
            "evaluate slates",
        ),
        *(
            "rerank fit",
            "rerank list",
            "evaluate search",
            "evaluate recommend",
            "evaluate links",
            "models list",
            "evaluate robustness",
            "encoder list",
            "encoder compare",
        ),
        *("keys list", "safety policies", "safety explain", "safety report", "safety audit", "safety hashes list"),
        *("tags train", "tags list", "tags explain", "tags report"),
        *("safety heads", "safety train", "safety retrain", "safety robustness", "video-products list"),
    }
