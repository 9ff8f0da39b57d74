"""The example programs run as written, each with a database of its own: a new one, or a copy of the indexed sample."""

from __future__ import annotations

import runpy
import shutil
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
PRINTED = {
    "index_and_search": ["75 items encoded", "Red running shoes", "guitar-acoustic"],
    "embeddings_tour": ["75 items, 384 numbers each, length 1.000", "shoes: sneakers-", "embeddings.html"],
    "cold_start": ["480 new events", "because of", "a slate for the first of them"],
    "safety_head": [
        "average precision on held-out items",
        "guitar-acoustic: block",
        "after the decision: ['guitar-acoustic'",
    ],
}
"""Parts of what each program prints."""


def test_every_example_is_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == PRINTED.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", PRINTED)
def test_an_example_runs(
    name: str, sample_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if name != "index_and_search":  # the others then skip the unchanged items
        shutil.copytree(sample_db, tmp_path / "db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", str(tmp_path / "db")])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert [text for text in PRINTED[name] if text not in printed] == []
