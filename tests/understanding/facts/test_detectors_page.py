"""The page on detectors runs as written: the detector as an installed package, its policy, and its cut for blocks."""

from __future__ import annotations

import re
import shlex
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

import firstsight
from tests.cli.calling import call_in_process, call_on_a_terminal, parse_json_lines

PAGE = Path(__file__).parents[3] / "docs" / "detectors.md"
ITEMS = 160  # half of them red; 72 right ones show a precision of 0.95 with 95 % confidence
HALF = ITEMS // 2


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def block(language: str) -> str:
    (only,) = blocks(language)
    return only


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: the page's package, a catalogue of one-coloured pictures, labels and the page's policy."""
    package, metadata = tmp_path / "my_package", tmp_path / "my_package-1.0.dist-info"
    package.mkdir()
    metadata.mkdir()
    (package / "__init__.py").touch()
    (package / "detectors.py").write_text(block("python"), encoding="utf-8")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n", encoding="utf-8")
    group = re.sub(r'project\.entry-points\."(.*)"', r"\1", block("toml")).replace('"', "")
    (metadata / "entry_points.txt").write_text(group, encoding="utf-8")
    catalogue, labels = ["item_id,title,images"], ["policy,item_id,label"]
    for number in range(ITEMS):
        is_red = number % 2 == 0
        Image.new("RGB", (16, 16), (250 if is_red else 10, 40, number)).save(tmp_path / f"{number}.png")
        catalogue.append(f"{number},Thing {number},{number}.png")
        labels.append(f"red-things,{number},{int(is_red)}")
    (tmp_path / "catalogue.csv").write_text("\n".join(catalogue), encoding="utf-8")
    (tmp_path / "labels.csv").write_text("\n".join(labels), encoding="utf-8")
    (tmp_path / "policies.yaml").write_text(block("yaml"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIRSTSIGHT_DB", str(tmp_path / "db"))
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_page_runs(shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run = partial(call_in_process, monkeypatch, capsys)
    answers = []
    for line in "".join(blocks("console")).splitlines():
        prompt, name, *words = shlex.split(line)
        code, out, err = run(*words)
        assert (prompt, name, code) == ("$", "firstsight", 0), err
        answers.append(parse_json_lines(out))
    _, (state,), (before,), (cut,), (after,) = answers
    assert {fact["name"]: fact["found"] for fact in state["facts"]}["red"] == ITEMS
    (label,) = firstsight.open(shop / "db").get("0").views[0].facts["detector_red"]
    assert label["label"] == "RED"
    assert (before["allow"], before["review"], before["block"], before["unscored"]) == (HALF, HALF, 0, [])
    assert (cut["policy"], cut["positives"], cut["negatives"]) == ("red-things", HALF, HALF)
    assert 10 / 255 < cut["block"] <= 250 / 255
    assert (after["allow"], after["review"], after["block"]) == (0, 0, HALF)  # only what changed
    explained = ("safety", "explain", "0", "--policies", "policies.yaml")
    code, _, err = call_on_a_terminal(monkeypatch, capsys, *explained)
    assert code == 0
    assert "0: block" in err
    assert " has score 0.980 for RED by red, above 0.980 (detector)" in err
    assert {row["item_id"] for row in parse_json_lines(run("search", "thing", "-k", "200")[1])} == {
        str(number) for number in range(1, ITEMS, 2)
    }
