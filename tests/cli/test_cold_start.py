"""`firstsight cold-start`, on a copy of the sample index with events of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from firstsight.storage.store import Store
from tests.cli.calling import Run


@pytest.fixture
def own_db(sample_db: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sample_db, tmp_path / "db"))


@pytest.mark.slow
def test_a_model_is_fitted_listed_and_put_out_of_use(run: Run, own_db: Path, tmp_path: Path) -> None:
    at = ("--db", str(own_db))
    assert run("cold-start", "list", *at, "--json")[1] == ""
    code, _, err = run("cold-start", "fit", *at)
    assert code == 2
    assert "firstsight events add" in err
    ids = sorted(item_id for some in Store.open(str(own_db)).item_ids() for item_id in some)
    rng = np.random.default_rng(0)
    rows = [
        {"user_id": f"u{user}", "item_id": ids[int(rng.integers(len(ids)))], "timestamp": 1_700_000_000 + n}
        for user in range(40)
        for n in range(10)
    ]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("events", "add", str(log), *at)[0] == 0
    code, out, err = run("cold-start", "fit", *at, "--json")
    assert code == 0, err
    made = json.loads(out)
    assert (made["version"], made["in_use"], made["users"]) == (1, True, 40)
    assert made["recall_blend"] >= max(made["recall_content"], made["recall_collaborative"])
    assert run("cold-start", "use", "none", *at)[0] == 0
    assert json.loads(run("cold-start", "list", *at, "--json")[1])["in_use"] is False
    code, _, err = run("cold-start", "use", "9", *at)
    assert code == 2
    assert "its versions: 1" in err
    assert run("cold-start", "use", "soon", *at)[0] == 2
