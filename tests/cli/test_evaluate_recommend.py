"""`firstsight evaluate recommend` and `links` as their users meet them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from firstsight.storage.store import Store
from tests.cli.calling import Run, parse_json_lines
from tests.retrieval.synthetic_items import SyntheticItems


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of 160 items in eight directions, and of 60 users who each like one of these."""
    path = tmp_path_factory.mktemp("logged") / "db"
    SyntheticItems(path, items=160)
    rows = ["user_id,item_id,timestamp"]
    for user in range(60):
        rows += [
            f"u{user},i{user % 8 + 8 * ((user * 7 + event * 3) % 20):05d},{1_700_000_000 + 90_000 * event + user}"
            for event in range(14)
        ]
    (path.parent / "events.csv").write_text("\n".join(rows))
    return path


@pytest.mark.slow
def test_models_are_compared_on_the_events_of_the_database(run: Run, logged: Path, tmp_path: Path) -> None:
    db = ["--db", str(logged)]
    code, _, err = run("evaluate", "recommend", *db)
    assert code == 2
    assert "firstsight events add" in err
    assert run("events", "add", str(logged.parent / "events.csv"), *db)[0] == 0
    page = tmp_path / "page.html"
    names = [
        "random",
        "popularity",
        "mean profile",
        "max similarity",
        "ALS",
        "EASE",
        "blend",
        "fixed weights",
        "recommend",
    ]
    code, out, err = run("evaluate", "recommend", "--seeds", "1", "--first", "2", "-k", "5", "--html", str(page), *db)
    assert code == 0, err
    reports = parse_json_lines(out)
    assert [(report["protocol"], report["first"]) for report in reports] == [
        ("item-cold", None),
        ("user-cold", 2),
        ("time", None),
    ]
    for report in reports:
        assert sorted(one["model"] for one in report["models"]) == sorted(names)
    cold = {one["model"]: one["recall"] for one in reports[0]["models"]}
    assert min(cold["blend"], cold["recommend"], cold["mean profile"]) > 2 * cold["random"]
    assert page.read_text().count("<table>") == 6  # figures and exposure of each report


def test_what_an_evaluation_cannot_do_is_said(run: Run, logged: Path) -> None:
    db = ["--db", str(logged)]
    assert run("evaluate", "recommend", "--first", "one", *db)[0] == 2
    run("events", "add", str(logged.parent / "events.csv"), *db)
    for option, value, said in (
        ("--model", "magic", "the models are random"),
        ("--protocol", "magic", "the protocols are item-cold"),
        ("--share", "2", "between 0 and 1"),
    ):
        code, _, err = run("evaluate", "recommend", option, value, *db)
        assert (code, said in err) == (2, True), err


def test_next_items_of_a_file_need_no_events(run: Run, run_on_terminal: Run, logged: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for user in range(40):
        liked = [f"i{user % 8 + 8 * int(n):05d}" for n in rng.permutation(20)[:6]]
        rows += [
            {"split": "train", "user": user, "items": liked[:4]},
            {"split": "valid", "user": user, "history": liked[:4], "target": liked[4]},
            {"split": "test", "user": user, "history": liked[:5], "target": liked[5]},
        ]
    file, page = tmp_path / "samples.jsonl", tmp_path / "page.html"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    db = ["--db", str(logged)]
    asked = ["evaluate", "recommend", "--samples", str(file), "--model", "popularity", "--model", "max similarity"]
    code, out, err = run(*asked, "--html", str(page), "--exposure", "kind", *db)
    assert code == 0, err
    best, other = parse_json_lines(out)
    assert (best["model"], other["model"], best["n"]) == ("max similarity", "popularity", 40)
    assert best["hr@10"] > other["hr@10"]
    assert page.read_text().count("<table>") == 2
    code, shown, err = run_on_terminal(*asked, "--repeats", "leave-out", *db)
    assert code == 0, err
    assert "next, repeats left out" in shown
    assert "share of the first 20 by new items" in shown
    assert "40 test samples of 40 users" in err
    code, out, err = run(*asked, "--csv", *db)
    assert out.splitlines()[0].startswith("protocol,model,HR@10,HR behind,NDCG@10")
    file.write_text('{"split": "dev"}\n')
    code, _, err = run(*asked, *db)
    assert (code, "samples.jsonl, line 1: split is 'dev'" in err) == (1, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--protocol", "time", "--samples", "x.jsonl"], "is for --protocol next"),
        (["--order-only"], "is for --protocol next"),
        (["--protocol", "next", "--repeats", "drop"], "neither keep nor leave-out"),
        (["--samples", "x.jsonl", "--order-only"], "cannot be used with --samples"),
        (["--samples", "gone.jsonl"], "there is no file or folder 'gone.jsonl'"),
        (["--protocol", "next", "--exposure", "maker"], "there is no column 'maker'"),
        (["--protocol", "next", "--protocol", "time", "--csv"], "has other columns for next"),
    ],
)
def test_settings_of_next_that_do_not_fit_are_named(run: Run, logged: Path, options: list[str], said: str) -> None:
    code, _, err = run("evaluate", "recommend", "--model", "popularity", *options, "--db", str(logged))
    assert code in {1, 2}
    assert said in " ".join(err.replace("│", " ").split())


def test_events_without_times_are_not_split_by_time(run: Run, logged: Path, tmp_path: Path) -> None:
    db = ["--db", str(shutil.copytree(logged, tmp_path / "db"))]
    shutil.rmtree(tmp_path / "db" / "events.lance", ignore_errors=True)
    file = tmp_path / "order.csv"
    rows = [f"u{user},i{user % 8 + 8 * ((user + event) % 20):05d},{event}" for user in range(40) for event in range(6)]
    file.write_text("\n".join(["user_id,item_id,position", *rows]))
    assert run("events", "add", str(file), "--order", "position", *db)[0] == 0
    asked = ["evaluate", "recommend", "--model", "popularity", "--seeds", "1", "--first", "1", *db]
    code, _, err = run(*asked, "--protocol", "next")
    assert (code, "use --order-only" in err) == (2, True)
    code, _, err = run(*asked, "--protocol", "time")
    assert (code, "no moment divides them" in err) == (2, True)
    code, out, err = run(*asked)
    assert code == 0, err
    assert [report["protocol"] for report in parse_json_lines(out)] == ["item-cold", "user-cold"]
    assert "the protocol time is left out" in err
    code, out, err = run(*asked, "--protocol", "next", "--order-only")
    assert code == 0, err
    (row,) = parse_json_lines(out)
    assert (row["protocol"], row["n"]) == ("next", 40)
    assert row["samples"].startswith("split by the order")


def test_links_are_looked_for_among_the_nearest(run: Run, sample_db: Path, tmp_path: Path) -> None:
    store = Store.open(sample_db)
    ids = sorted(item_id for some in store.item_ids() for item_id in some)
    file = tmp_path / "links.csv"
    file.write_text(f"from,to,kind\n{ids[0]},{ids[1]},related\n{ids[1]},{ids[2]},related\n{ids[1]},gone,related\n")
    code, out, err = run("evaluate", "links", str(file), "-k", str(len(ids)), "--db", str(sample_db))
    assert code == 0, err
    (report,) = parse_json_lines(out)
    assert (report["kind"], report["queries"], report["links"]) == ("related", 2, 2)
    assert {one["model"]: one["recall"] for one in report["models"]} == {
        "nearest": 1.0,
        "most linked": 1.0,
        "random order": 1.0,
    }
    assert "1 of 3 links are left out" in err
    file.write_text("left,right\n1,2\n")
    code, _, err = run("evaluate", "links", str(file), "--db", str(sample_db))
    assert (code, "from and to" in err) == (1, True)


@pytest.mark.slow
def test_on_a_terminal_figures_are_tables(logged: Path, run: Run, run_on_terminal: Run, tmp_path: Path) -> None:
    db = ["--db", str(logged)]
    run("events", "add", str(logged.parent / "events.csv"), *db)
    file = tmp_path / "links.csv"
    file.write_text("from,to\ni00001,i00009\n")
    code, shown, err = run_on_terminal("evaluate", "links", str(file), *db)
    assert code == 0, err
    assert "recall@10" in shown
    assert "random order" in shown
    asked = ["--protocol", "time", "--model", "popularity", "--model", "random"]
    code, shown, err = run_on_terminal("evaluate", "recommend", *asked, *db)
    assert code == 0, err
    assert "popularity" in shown
    assert "users, 160 candidates each" in err
    code, shown, err = run_on_terminal("semantic-ids", "fit", *db)
    assert code == 0, err
    assert "residuals" in shown
