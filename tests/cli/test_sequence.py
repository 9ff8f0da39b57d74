"""`firstsight sequence`, on a copy of the sample index with events and searches of its own."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import firstsight
from firstsight.cli.recommend.sequence import ranking_hint
from firstsight.recommend.ranking.ranking_store import RankingVersion
from firstsight.recommend.ranking.ranking_weights import RankingWeights, TermWeight
from firstsight.storage.store import Store
from tests.cli.calling import Run


@pytest.mark.slow
def test_a_model_is_fitted_and_used_and_writes_vectors(run: Run, sample_db: Path, tmp_path: Path) -> None:
    at = ("--db", str(shutil.copytree(sample_db, tmp_path / "db")))
    assert run("sequence", "list", *at, "--json")[1] == ""
    code, _, err = run("sequence", "fit", *at)
    assert code == 2
    assert "firstsight events add" in err
    code, _, err = run("sequence", "project", *at)
    assert code == 2
    assert "no sequence model of" in err
    ids = sorted(item_id for some in Store.open(at[1]).item_ids() for item_id in some)
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = [
        {"user_id": f"u{user}", "item_id": ids[int(rng.integers(len(ids)))], "timestamp": 1_700_000_000 + n}
        for user in range(30)
        for n in range(4)
    ]
    rows += [{"user_id": "u1", "query": "a red mug", "timestamp": 1_700_000_002}]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("events", "add", str(log), *at)[0] == 0
    code, out, err = run("sequence", "fit", "--width", "16", "--layers", "1", "--epochs", "1", *at, "--json")
    assert code == 0, err
    assert "epoch 1: loss" in err
    made = json.loads(out)
    assert (made["version"], made["width"], made["users"], made["searches"]) == (1, 16, 30, 1)
    assert run("sequence", "use", "1", *at)[0] == 0
    assert json.loads(run("sequence", "list", *at, "--json")[1])["in_use"] is True
    assert json.loads(run("sequence", "project", *at, "--json")[1])["items"] == len(ids)
    with firstsight.open(at[1]) as db:
        db.add([{"item_id": "new-mug", "title": "A red mug"}])
    assert Store.open(at[1]).items.count_rows("sequence_vector IS NULL AND vector IS NOT NULL") == 0
    users = tmp_path / "users.parquet"
    code, _, err = run("sequence", "export-users", str(users), *at, "--quiet")
    assert code == 0, err
    assert pq.read_table(users).column_names == ["user_id", "events", "short_term", "long_term"]
    code, _, err = run("sequence", "export-users", str(tmp_path / "users.csv"), *at)
    assert code == 2
    assert "ends in none of .parquet, .arrow, .jsonl" in err
    assert run("sequence", "use", "soon", *at)[0] == 2


def test_a_ranking_without_a_weight_for_the_model_is_to_be_fitted_again() -> None:
    weights = RankingWeights({"popularity": TermWeight(1.0)}, {})
    ranking = RankingVersion(3, datetime.now(UTC), True, weights, {})
    assert "ranking 3 in use was fitted without" in (ranking_hint([ranking]) or "")
    assert ranking_hint([replace(ranking, in_use=False)]) is None
    weighed = RankingWeights({"sequence": TermWeight(1.0)}, {})
    assert ranking_hint([replace(ranking, weights=weighed)]) is None
