"""`firstsight rerank` as its users meet it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from tests.cli.calling import Run, parse_json_lines

THINGS = ("mug", "shoe", "guitar", "lamp", "tent", "clock", "bicycle", "hat")
SALES = {
    f"{colour} {thing}": n % 3 for n, (colour, thing) in enumerate(itertools.product(["red", "blue", "green"], THINGS))
}


def write_lines(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.slow
def test_a_reranker_is_fitted_listed_promoted_used_and_dropped(run: Run, tmp_path: Path) -> None:
    catalogue = write_lines(
        tmp_path / "c.jsonl", [{"item_id": title, "title": title, "sales": sold} for title, sold in SALES.items()]
    )
    judged = write_lines(
        tmp_path / "j.jsonl",
        [
            {"query": saying + thing, "item_id": title, "grade": sold}
            for saying, thing in itertools.product(["", "one ", "my new "], THINGS)
            for title, sold in SALES.items()
            if title.endswith(thing)
        ],
    )
    db = ["--db", str(tmp_path / "db")]
    assert run("index", catalogue, *db, "--quiet")[0] == 0
    assert run("rerank", "list", *db) == (0, "", "")
    code, out, err = run("rerank", "fit", "--judgements", judged, "--column", "sales", *db)
    assert code == 0, err
    (made,) = parse_json_lines(out)
    assert (made["version"], made["mode"], made["columns"], made["promoted"]) == (1, "hybrid", ["sales"], False)
    assert made["ndcg_after"] > made["ndcg_before"]
    assert made["p"] < 0.05
    assert run("rerank", "use", *db) == (0, "", "reranker 1 now orders the results of mode hybrid\n")
    assert [version["promoted"] for version in parse_json_lines(run("rerank", "list", *db)[1])] == [True]
    ranked = parse_json_lines(run("search", "a tent", "-k", "5", *db)[1])
    best = max((title for title in SALES if title.endswith("tent")), key=SALES.__getitem__)
    assert ranked[0]["item_id"] == best
    scores = [result["rank_score"] for result in ranked]
    assert scores == sorted(scores, reverse=True)
    kept = parse_json_lines(run("search", "a tent", "-k", "5", "--no-rerank", *db)[1])
    assert not any("rank_score" in result for result in kept)
    queries = write_lines(tmp_path / "q.jsonl", [{"text": "a tent"}, {"text": "a tent", "rerank": False}])
    answers = parse_json_lines(run("search", "--queries", queries, *db)[1])
    assert [answer.get("reranker") for answer in answers] == [1, None]
    (task,) = parse_json_lines(run("evaluate", "search", "--judgements", judged, "--mode", "hybrid", *db)[1])
    assert list(task["modes"]) == ["hybrid", "hybrid + reranker 1"]
    assert run("rerank", "drop", *db) == (0, "", "reranker 1: no longer in use\n")
    assert run("rerank", "drop", *db) == (0, "", "no reranker was in use\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fit"], "give one file to learn from: --judgements or --events"),
        (["fit", "--judgements", "none.csv"], "there is no file 'none.csv'"),
        (["use"], "there is no reranker in"),
        (["use", "9"], "there is no reranker 9 in"),
        (["drop", "9"], "there is no reranker 9 in"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(run: Run, arguments: list[str], said: str) -> None:
    code, out, err = run("rerank", *arguments)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["fit", "list", "use", "drop"])
def test_every_command_has_help_with_an_example(run: Run, command: str) -> None:
    code, out, _ = run("rerank", command, "--help")
    assert code == 0
    assert f"firstsight rerank {command}" in " ".join(out.split())


def test_help_names_the_extra(run: Run) -> None:
    assert "pip install 'firstsight[rerank]'" in " ".join(run("rerank", "--help")[1].split())
