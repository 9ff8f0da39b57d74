"""Python blocks of docs pages run as written: python, understanding, export, and the encoder object of encoders."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import fields
from pathlib import Path

import pytest

import firstsight
from tests.cli.calling import call_in_process, parse_json_lines

DOCS = Path(__file__).parent.parent / "docs"


def blocks(name: str, language: str = "python") -> list[str]:
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_python_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks("python.md"):
        exec(compile(block, "docs/python.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == [
        "2 items encoded",
        "['a1']",
        "Red running shoes",
        "there is no item 'no such item' in shop-db",
        "Red running shoes 49.0",
        '{"item_id": "a1", "',
        "float64 49.0",
        "Red running shoes (384,) ['title']",
    ]
    db = firstsight.open("shop-db")
    assert (db.count(), db.get("b2").columns["price"], db.get("c3").title) == (3, 17.0, "Blue mug")


def test_the_page_on_facts_runs(
    tmp_path: Path, sample_db: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop-db").symlink_to(sample_db)
    for block in blocks("understanding.md"):
        exec(compile(block, "docs/understanding.md", "exec"), {})
    assert capsys.readouterr().out.startswith("[('#")


@pytest.mark.slow
def test_the_export_page_runs(
    tmp_path: Path, sample_db: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIRSTSIGHT_DB", str(sample_db))
    (tmp_path / "shop-db").symlink_to(sample_db)
    facts, commands = sorted(blocks("export.md", "bash"), key=len)
    for line in [*facts.splitlines(), *commands.splitlines()]:
        words = shlex.split(line.partition(" > ")[0])
        code, out, err = call_in_process(monkeypatch, capsys, *words[1:])
        assert (words[0], code) == ("firstsight", 0), err
    assert len(out.splitlines()) == firstsight.open(sample_db).count()
    for block in blocks("export.md"):
        exec(compile(block, "docs/export.md", "exec"), {})
    trained, *others = capsys.readouterr().out.splitlines()
    assert int(trained.partition("%")[0]) > 90
    assert others == [
        "starter 384",
        "['guitar-acoustic', 'guitar-electric', 'bass-guitar']",
        "float32 384 True",
        *(line for line in others if line.endswith("(160, 90)")),
        "float32 384",
        "Array(Float32, shape=(384,))",
        "True starter",
    ]
    assert [line.split()[0] for line in others if line.endswith("(160, 90)")] == ["0", "1", "2"]  # its three shots


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


def test_the_page_on_products_in_videos_runs(
    tmp_path: Path, sample_db: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIRSTSIGHT_DB", str(shutil.copytree(sample_db, tmp_path / "shop-db")))
    (commands,) = blocks("timed-products.md", "bash")
    for line in commands.splitlines():
        words = shlex.split(line)
        code, out, err = call_in_process(monkeypatch, capsys, *words[1:])
        assert (words[0], code) == ("firstsight", 0), err
    assert parse_json_lines(out)[0]["state"] == "accepted"
    (block,) = blocks("timed-products.md")
    exec(compile(block, "docs/timed-products.md", "exec"), {})
    *_, video, product, similar, result = capsys.readouterr().out.splitlines()
    assert video == result == "['espresso-cup', 'electric-kettle', 'grapes']"
    assert (product, similar) == ("[('video-kitchen-haul', 6)]", "['video-kitchen-haul']")
