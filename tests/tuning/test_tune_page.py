"""The report of a tuning run: one page without external resources, whose texts and sizes a catalogue cannot abuse."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from firstsight.tuning.evaluation.held_out import HeldOutResults
from firstsight.tuning.evaluation.retrieval_measures import Measure, QueryResult
from firstsight.tuning.report.query_changes import largest_changes
from firstsight.tuning.report.tune_page import write_tune_page
from firstsight.tuning.tuning_data import TuningData, TuningItem
from tests.tuning.conftest import Tuned

EVIL = '<script>alert("x")</script>' + "long " * 400


def test_the_page_has_the_figures_the_curve_and_pictures(tuned: Tuned) -> None:
    page = (tuned.folder / "report.html").read_text(encoding="utf-8")
    figure = tuned.report.figures[0]
    assert f"<td>{figure.before:.3f}</td><td>{figure.after:.3f}</td>" in page
    assert "<svg" in page
    assert page.count("data:image/jpeg;base64,") > 5
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert 'lang="en"' in page
    assert len(page) < 2**20


def test_titles_are_escaped_and_cut_and_large_pictures_are_shrunk(tuned: Tuned, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)
    data = TuningData((TuningItem("a", "a", {"title": EVIL}, (0, 1)),), [Image.fromarray(noise), b"broken"], (0, 0))
    results = HeldOutResults(
        {"m": Measure("m", "")},
        {"m": [QueryResult(EVIL, "a", 0.0, 0, (0, 1), (False, True))]},
        {0.5: {"m": [QueryResult(EVIL, "a", 1.0, 0, (0, 1), (True, False))]}},
    )
    report = tuned.report
    report = replace(report, decisive="m", figures=results.figures(0.5), curve=(), refused=EVIL, model=None)
    write_tune_page(tmp_path / "page.html", report, results, data)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.count('<span class="none">') == 2  # the broken picture, before and after
    assert len(page) < 60_000


def test_the_largest_changes_come_first_and_unchanged_queries_never() -> None:
    def values(*numbers: float) -> list[QueryResult]:
        return [QueryResult(str(place), "c", number, 0, (), ()) for place, number in enumerate(numbers)]

    gained, lost = largest_changes(values(0.1, 0.5, 0.5, 0.9), values(0.3, 0.5, 1.0, 0.2), count=5)
    assert [after.query for _, after in gained] == ["2", "0"]
    assert [after.query for _, after in lost] == ["3"]


@pytest.mark.parametrize("refused", [True, False])
def test_the_page_says_whether_the_encoder_was_refused(tuned: Tuned, tmp_path: Path, refused: bool) -> None:
    report = replace(tuned.report, refused="too bad" if refused else "", model=None)
    write_tune_page(tmp_path / "page.html", report, HeldOutResults(), TuningData((), [], ()))
    assert ("too bad" in (tmp_path / "page.html").read_text(encoding="utf-8")) == refused
