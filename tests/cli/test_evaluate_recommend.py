"""`firstsight evaluate recommend` and `links` as their users meet them."""

from __future__ import annotations

from pathlib import Path

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
    names = ["random", "popularity", "mean profile", "max similarity", "ALS", "EASE", "blend", "recommend"]
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
    assert page.read_text().count("<table>") == 3


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
