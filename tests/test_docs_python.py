"""The Python blocks of docs/python.md and the encoder object of docs/encoders.md run as written."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import firstsight

DOCS = Path(__file__).parent.parent / "docs"


def blocks(name: str) -> list[str]:
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_python_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks("python.md"):
        exec(compile(block, "docs/python.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == [
        "2 items encoded",
        "['a1']",
        "Red running shoes 49.0",
        '{"item_id": "a1", "',
        "float64 49.0",
        "Red running shoes (384,) ['title']",
    ]
    db = firstsight.open("shop-db")
    assert (db.count(), db.get("b2").columns["price"], db.get("c3").title) == (3, 17.0, "Blue mug")


def test_an_encoder_object_of_ones_own_indexes_and_searches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = (block for block in blocks("encoders.md") if "class MeanColour" in block)
    exec(compile(block, "docs/encoders.md", "exec"), {"__name__": "example"})
    assert capsys.readouterr().out == "blue\n"


def test_the_page_lists_every_field_of_catalog_options() -> None:
    text = (DOCS / "python.md").read_text(encoding="utf-8")
    for field in fields(firstsight.CatalogOptions):
        assert f"| `{field.name}` |" in text
