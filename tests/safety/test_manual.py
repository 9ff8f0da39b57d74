"""The Python example of docs/safety.md runs as written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.safety.conftest import POLICIES, Catalogue

MANUAL = (Path(__file__).parents[2] / "docs" / "safety.md").read_text(encoding="utf-8")


def test_the_python_example_trains_and_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    catalogue = Catalogue(tmp_path / "shop-db", 200)
    (tmp_path / "policies.yaml").write_text(POLICIES, encoding="utf-8")
    labels = [f"{item_id},weapons,{int(item_id in catalogue.bad)}" for item_id in catalogue.ids]
    (tmp_path / "labels.csv").write_text("\n".join(["item_id,policy,label", *labels]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```", MANUAL, re.MULTILINE | re.DOTALL)
    exec(code, {})
    scored, review, block = map(int, capsys.readouterr().out.split())
    assert scored == 200
    assert review + block >= len(catalogue.bad) / 2
