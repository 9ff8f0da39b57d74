"""The Python examples of docs/safety.md and docs/safety-review.md run as written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import firstsight
from firstsight.encoders.base import Encoder
from tests.conftest import SAMPLE_CATALOGUE
from tests.safety.conftest import POLICIES, Catalogue

DOCS = Path(__file__).parents[2] / "docs"


def example(name: str) -> str:
    """The one block of Python of a page."""
    (code,) = re.findall(r"^```python\n(.*?)^```", (DOCS / name).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return str(code)


def test_the_python_example_trains_and_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    catalogue = Catalogue(tmp_path / "shop-db", 200)
    # drawn vectors have no encoder for prompts
    (tmp_path / "policies.yaml").write_text(re.sub(r", prompts.*?(?=\})", "", POLICIES), encoding="utf-8")
    labels = [f"{item_id},weapons,{int(item_id in catalogue.bad)}" for item_id in catalogue.ids]
    (tmp_path / "labels.csv").write_text("\n".join(["item_id,policy,label", *labels]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(compile(example("safety.md"), "docs/safety.md", "exec"), {})
    head, counts, *evidence = capsys.readouterr().out.splitlines()
    assert head.startswith("weapons ")
    scored, review, block = map(int, counts.split())
    assert scored == 200
    assert review + block >= len(catalogue.bad) / 2
    assert evidence[0].split()[1:3] == ["weapons", catalogue.bad["i00010"]]


@pytest.mark.slow
def test_the_review_example_decides_and_checks_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], starter: Encoder
) -> None:
    monkeypatch.chdir(tmp_path)
    (picture, *_) = sorted(SAMPLE_CATALOGUE.parent.glob("pictures/*guitar*"))
    (tmp_path / "knife.jpg").write_bytes(picture.read_bytes())
    (tmp_path / "clip.mp4").write_bytes((SAMPLE_CATALOGUE.parent / "clips" / "cat.mp4").read_bytes())
    rows = [{"item_id": "sku-123", "title": "Bread knife"}, {"item_id": "sku-124", "title": "Green mug"}]
    firstsight.open("shop-db", encoder=starter).index(rows)
    exec(compile(example("safety-review.md"), "docs/safety-review.md", "exec"), {})
    assert capsys.readouterr().out.splitlines()[-2:] == ["allow True", "1 True"]
