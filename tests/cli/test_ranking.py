"""`firstsight ranking`, on a database of 160 items in eight directions whose users each like one of these."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.calling import Run, parse_json_lines
from tests.retrieval.synthetic_items import SyntheticItems


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ranked") / "db"
    SyntheticItems(path, items=160)
    rng = np.random.default_rng(0)
    rows = ["user_id,item_id,timestamp"]
    for user in range(60):
        liked = [f"i{user % 8 + 8 * int(n):05d}" for n in rng.permutation(20)[:8]]
        rows += [f"u{user},{item},{1_700_000_000 + 90_000 * n + user}" for n, item in enumerate(liked)]
    (path.parent / "events.csv").write_text("\n".join(rows))
    return path


@pytest.mark.slow
def test_a_ranking_is_fitted_listed_explained_and_put_out_of_use(run: Run, run_on_terminal: Run, logged: Path) -> None:
    db = ["--db", str(logged)]
    assert run("ranking", "list", *db)[1] == ""
    code, _, err = run("ranking", "fit", *db)
    assert (code, "firstsight events add" in err) == (2, True)
    assert run("events", "add", str(logged.parent / "events.csv"), *db)[0] == 0

    code, out, err = run("ranking", "explain", "--user", "u1", *db)
    assert code == 0, err
    assert {row["version"] for row in parse_json_lines(out)} == {None}
    assert "fixed weights" in err

    code, out, err = run("ranking", "fit", "--keep", *db)
    assert code == 0, err
    (kept,) = parse_json_lines(out)
    assert (kept["version"], kept["in_use"], kept["events"]) == (1, False, 480)
    assert "ranking 1 is not in use, because of --keep: NDCG@10" in err
    assert 0 <= kept["hr_before"] <= 1
    assert 0 <= kept["hr"] <= 1

    code, shown, err = run_on_terminal("ranking", "list", *db)
    assert code == 0, err
    assert "HR@10" in shown
    assert run("ranking", "use", "1", *db)[0] == 0
    code, out, _ = run("ranking", "list", *db)
    assert [row["in_use"] for row in parse_json_lines(out)] == [True]

    code, out, err = run("ranking", "explain", "--user", "u1", "-k", "3", *db)
    rows = parse_json_lines(out)
    assert [row["place"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert (row["version"], row["events"]) == (1, 8)
        assert sum(term["contribution"] for term in row["terms"]) == pytest.approx(row["score"], abs=1e-3)
    code, shown, err = run_on_terminal("ranking", "explain", "--user", "nobody", "--item", "i00007", *db)
    assert code == 0, err
    assert "i00007" in shown
    assert "user nobody has 0 events" in err

    assert run("ranking", "use", "none", *db)[0] == 0
    code, _, err = run("ranking", "use", "9", *db)
    assert (code, "its versions: 1" in err) == (2, True)
    assert run("ranking", "use", "soon", *db)[0] == 2
    for options, said in (
        (["--item", "gone"], "there is no item 'gone'"),
        (["--version", "7"], "its versions: 1"),
        (["-k", "0"], "k of 1 to 1,000"),
    ):
        code, _, err = run("ranking", "explain", "--user", "u1", *options, *db)
        assert (code, said in err) == (2, True), err
