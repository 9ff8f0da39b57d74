"""Searches with clicked items, read from the events of a real database, in a tuning."""

from __future__ import annotations

from pathlib import Path

import pytest

import firstsight
from firstsight.errors import EncoderError, MissingDatabaseError
from firstsight.tuning.trainers import make_trainer
from firstsight.tuning.tune_settings import TuneSettings
from firstsight.tuning.tuning_data import TuningData
from tests.tuning.conftest import QUICK, Tuned
from tests.tuning.shop import SHAPES


def events(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{"user": f"u{n}", "timestamp": 1_700_000_000 + n, **row} for n, row in enumerate(rows)]


def test_the_queries_of_the_events_are_learned_and_measured(tuned: Tuned, tmp_path: Path) -> None:
    db = tmp_path / "shop-db"
    # "glim" is what users call the first shape; no title has the word
    with firstsight.open(db) as database:
        database.index(tuned.catalogue)
        items = [f"p{number}" for number in range(0, 36, len(SHAPES))]
        clicks: list[dict[str, object]] = [
            {"item": item, "event": "click", "query": "Glim " if n % 2 else "glim"} for n, item in enumerate(items)
        ]
        seen: dict[str, object] = {"item": "p1", "event": "impression", "query": "glim"}  # shown, but not opened
        database.events.add(events([*clicks, seen]))
    report = firstsight.tune(tuned.catalogue, tmp_path / "encoder", db=db, **QUICK)
    figure = report.figure("query -> clicked item R@10")
    assert figure is not None
    assert figure.after > figure.before


def test_a_missing_database_is_named(tuned: Tuned, tmp_path: Path) -> None:
    with pytest.raises(MissingDatabaseError, match="there is no database at"):
        firstsight.tune(tuned.catalogue, tmp_path / "encoder", db=tmp_path / "none", **QUICK)
    assert not (tmp_path / "encoder").exists()


def test_several_processes_do_not_tune_starter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(EncoderError, match="is tuned by one process"):
        make_trainer(
            "starter",
            firstsight.EncoderOptions(),
            TuningData((), (), ()),
            (),
            TuneSettings(),
            tmp_path,
            lambda line: None,
        )
