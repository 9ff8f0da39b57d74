"""The Python block of docs/tags.md runs as written."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "tags.md"


def test_the_python_block_runs(
    sample_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(sample_db, tmp_path / "shop-db")
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    exec(compile(block, "docs/tags.md", "exec"), {})
    reason, values, corrected = capsys.readouterr().out.splitlines()
    assert reason.startswith(("in use: mean accuracy of the values", "not in use: mean accuracy of the values"))
    assert values == "('shoes',)"
    assert corrected == "Red running shoes with black laces 1"
