"""`firstsight evaluate` and `map`: figures, page and errors as its users meet them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.calling import Run, parse_json_lines


@pytest.mark.slow
def test_judged_queries_give_figures_and_a_page(run: Run, tmp_path: Path) -> None:
    judged = tmp_path / "judged.csv"
    judged.write_text("query,item_id,grade\nred running shoes,sneakers-red,3\n<b>a cat</b>,sneakers-red,1\n")
    page = tmp_path / "page.html"
    code, out, err = run("evaluate", "search", "--judgements", str(judged), "--html", str(page))
    assert code == 0, err
    (task,) = parse_json_lines(out)
    assert task["queries"] == 2
    assert set(task["modes"]["vector"]) == {"ndcg", "rr", "recall", "p"}
    html = page.read_text()
    assert "&lt;b&gt;a cat&lt;/b&gt;" in html
    assert "<b>a cat" not in html
    assert "data:image/jpeg" in html
    assert "http" not in html.split("</head>")[1]


def test_without_judgements_the_catalogue_asks_its_own_questions(run: Run) -> None:
    code, out, err = run("evaluate", "search", "--queries", "5")
    assert code == 0, err
    assert [task["task"] for task in parse_json_lines(out)] == [
        "title to its own picture",
        "picture to another of the same item",
        "color + category to items",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--judgements", "none.csv"], "there is no file 'none.csv'"),
        (["--group-by", "colr"], "'colr' is no column; the columns are item_id"),
        (["-k", "0"], "k must be between 1 and 1000, not 0"),
        (["--queries", "0"], "must be 1 or more, not 0"),
        (["--mode", "psychic"], "mode 'psychic' is not one of vector, words, hybrid"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(run: Run, arguments: list[str], said: str) -> None:
    code, out, err = run("evaluate", "search", *arguments)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())


@pytest.mark.slow
def test_a_page_that_cannot_be_written_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    code, _, err = run("evaluate", "search", "--queries", "2", "--html", str(tmp_path / "no" / "page.html"))
    assert code == 2
    assert "cannot be written" in err


@pytest.mark.slow
def test_the_map_is_written_and_says_what_is_on_it(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "map.html"
    code, out, err = run("map", "--html", str(page), "--method", "pca", "--color-by", "category", "--sample", "20")
    assert (code, out) == (0, "")
    assert "20 of 75 items" in err
    assert "<canvas" in page.read_text()


def test_a_map_by_a_column_that_is_not_there_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    code, _, err = run("map", "--html", str(tmp_path / "map.html"), "--color-by", "colr")
    assert code == 2
    assert "'colr' is no column to colour by" in err
    assert not (tmp_path / "map.html").exists()
