"""Robustness of a search: figures, slices, the page, the command, and what cannot be measured."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.errors import QueryError
from firstsight.retrieval.evaluation.robustness.kept_recall import ClusterBootstrap
from firstsight.retrieval.evaluation.robustness.product_ranks import ProductIndex
from firstsight.retrieval.evaluation.robustness.slice_columns import slice_values
from tests.cli.calling import call_in_process, parse_json_lines
from tests.conftest import SAMPLE_CATALOGUE

SETTINGS = firstsight.RobustnessSettings(
    sample=8, corruptions=("gaussian-blur", "mirror"), strengths=(1, 5), by=("color",), smallest_slice=2, draws=200
)


@pytest.fixture(scope="module")
def report(sample_db: Path) -> firstsight.RobustnessReport:
    return firstsight.open(sample_db).evaluation.robustness(SETTINGS)


def test_every_task_change_and_strength_has_a_figure(report: firstsight.RobustnessReport) -> None:
    found = {(one.task, one.change, one.strength) for one in report if one.column is None and one.k == 10}
    for task in ("picture to product", "text to picture"):
        assert {(task, "gaussian-blur", 1), (task, "gaussian-blur", 5), (task, "gaussian-blur", None)} <= found
        assert {(task, "mirror", 1), (task, "all", None)} <= found
        assert (task, "mirror", 5) not in found
    assert {("typos", "typos", 1), ("typos", "typos", 5), ("paraphrases", "word-order", 1)} <= found
    assert (report.sampled, report.population, report.unreadable) == (8, 70, ())
    assert report.pictures_encoded == 8 * 4


def test_figures_are_shares_relative_to_intact_pictures(report: firstsight.RobustnessReport) -> None:
    for one in report:
        assert 0 <= one.recall <= 1
        if one.clean:
            assert one.kept == pytest.approx(one.recall / one.clean)
            assert one.low <= one.kept + 1e-9
            assert one.kept <= one.high + 1e-9
    (intact,) = {one.clean for one in report.select("picture to product", "gaussian-blur", 1)}
    assert intact == 1.0  # the intact picture is in the index
    blurred = {one.strength: one.kept for one in report.select("picture to product", "gaussian-blur", 1)}
    assert blurred[5] < blurred[1]


def test_slices_name_their_size_and_small_ones_are_left_out(report: firstsight.RobustnessReport) -> None:
    slices = [one for one in report if one.column is not None]
    assert {one.column for one in slices} <= {"category", "color", "language"}
    assert slices
    assert min(one.products for one in slices) == report.smallest_slice
    assert all(one.products >= 2 for one in slices)


def test_the_same_settings_give_the_same_figures(report: firstsight.RobustnessReport, sample_db: Path) -> None:
    again = firstsight.open(sample_db).evaluation.robustness(SETTINGS)
    assert json.dumps(again.to_dict()) == json.dumps(report.to_dict())


def test_the_page_has_plots_tables_and_pictures_and_needs_no_server(
    report: firstsight.RobustnessReport, sample_db: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    firstsight.open(sample_db).evaluation.write_robustness_page(page, report)
    html = page.read_text()
    assert html.count('<svg class="plot" ') == 3
    assert html.count('role="img" aria-label="Share of the recall kept under ') == 3
    assert html.count("data:image/jpeg;base64,") == 3 + 2
    assert "http" not in html.split("</head>")[1]
    assert not re.search(r"<img(?![^>]*alt=)", html)
    assert "The smallest measured slice has" in html


def test_a_catalogue_needs_no_database_and_unreadable_pictures_are_counted(tmp_path: Path, starter: Encoder) -> None:
    (tmp_path / "pictures").mkdir()
    shutil.copy(SAMPLE_CATALOGUE.parent / "pictures" / "tee-red.jpg", tmp_path / "pictures" / "<b>.jpg")
    rows = "item_id,title,images\na,<b>Red tee</b>,pictures/<b>.jpg\nb,,pictures/<b>.jpg\nc,Gone,pictures/gone.jpg\n"
    catalogue = tmp_path / "items.csv"
    catalogue.write_text(rows)
    db = firstsight.open(tmp_path / "none")
    settings = firstsight.RobustnessSettings(corruptions=("jpeg",), strengths=(3,))
    report = db.evaluation.robustness(settings, catalogue=catalogue, encoder=starter)
    assert (report.sampled, report.candidates, len(report.unreadable)) == (2, 2, 1)
    assert report.unreadable[0].startswith("c: ")
    assert {one.queries for one in report if one.task == "text to picture"} == {1}  # an empty title is no query
    assert report.smallest_slice is None
    db.evaluation.write_robustness_page(tmp_path / "page.html", report)
    assert "<b>" not in (tmp_path / "page.html").read_text()
    assert not (tmp_path / "none").exists()


def test_nothing_to_measure_is_one_sentence(tmp_path: Path, starter: Encoder) -> None:
    catalogue = tmp_path / "items.csv"
    catalogue.write_text("item_id,title,images\na,Red tee,gone.jpg\nb,Blue tee,gone2.jpg\n")
    db = firstsight.open(tmp_path / "none")
    with pytest.raises(QueryError, match="none of 2 sampled pictures can be opened"):
        db.evaluation.robustness(catalogue=catalogue, encoder=starter)
    catalogue.write_text("item_id,title\na,Red tee\n")
    with pytest.raises(QueryError, match="has no item with a picture"):
        db.evaluation.robustness(catalogue=catalogue, encoder=starter)
    with pytest.raises(firstsight.MissingDatabaseError):
        db.evaluation.robustness(encoder=starter)
    with pytest.raises(QueryError, match="sample must be 1 or more, not 0"):
        firstsight.RobustnessSettings(sample=0)
    with pytest.raises(QueryError, match="there is no strength 7"):
        firstsight.RobustnessSettings(strengths=(7,))


def test_judged_texts_and_own_paraphrases_replace_titles_and_rules(sample_db: Path, tmp_path: Path) -> None:
    judged = tmp_path / "judged.csv"
    judged.write_text("query,item_id,grade\nguitar,guitar-acoustic,3\nguitar,tulips,0\nbread,no-such-item,2\n")
    words = tmp_path / "words.csv"
    words.write_text("text,paraphrase\nguitar,six strings\n")
    settings = firstsight.RobustnessSettings(
        sample=3, corruptions=("jpeg",), strengths=(1,), judgements=judged, paraphrases=words
    )
    report = firstsight.open(sample_db).evaluation.robustness(settings)
    assert "1 of 2 judged texts have a relevant item in the sample" in report.notes
    assert {one.change for one in report if one.task == "paraphrases"} == {"file"}
    assert {one.clean for one in report if one.task == "text to picture"} == {1.0}


def test_the_command_prints_a_row_for_each_figure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sample_db: Path, tmp_path: Path
) -> None:
    arguments = ["evaluate", "robustness", "--db", str(sample_db), "--sample", "3", "--strengths", "2"]
    arguments += ["--corruption", "crop", "--smallest-slice", "2"]
    code, out, err = call_in_process(monkeypatch, capsys, *arguments, "--html", str(tmp_path / "page.html"))
    assert code == 0, err
    assert "3 of 70 items with a picture; up to 6 pictures (2 versions of each)" in err
    rows = parse_json_lines(out)
    assert {row["task"] for row in rows} == {"picture to product", "text to picture", "typos", "paraphrases"}
    assert {"encoder", "kept", "low", "high", "queries", "products", "column", "value"} <= set(rows[0])
    assert "<svg" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strengths", "1,x"], "'1,x' is no list of strengths such as 1,3,5"),
        (["--strengths", "8"], "there is no strength 8; use 1 to 5"),
        (["--corruption", "fog"], "there is no corruption 'fog'"),
        (["--by", "colr"], "--by 'colr' is no column; the columns are item_id"),
        (["--judgements", "none.csv"], "there is no file 'none.csv'"),
    ],
)
def test_wrong_usage_of_the_command_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sample_db: Path,
    arguments: list[str],
    message: str,
) -> None:
    code, out, err = call_in_process(
        monkeypatch, capsys, "evaluate", "robustness", "--db", os.fspath(sample_db), *arguments
    )
    assert (code, out) == (2, "")
    assert message in " ".join(err.replace("│", " ").split())


# ---- the arithmetic


def test_the_rank_counts_better_products_once_and_ties_not_at_all() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 2, 3]]
    index = ProductIndex.of(vectors, ["a", "b", "c", "c", "d"])
    query = np.array([[0.5, 0.6, 0.7, 0.1]], dtype=np.float32)
    assert index.ranks(query, index.relevance([frozenset("a")])).tolist() == [2.0]  # c has two better pictures
    assert index.ranks(query, index.relevance([frozenset("d")])).tolist() == [4.0]
    assert index.ranks(query, index.relevance([frozenset("ac")])).tolist() == [1.0]
    assert index.ranks(query, index.relevance([frozenset(["none"])])).tolist() == [np.inf]


def test_the_bootstrap_draws_products_and_not_their_pictures() -> None:
    clusters = np.array([f"product {n // 10}" for n in range(100)], dtype=object)
    hits = np.repeat(np.array([1.0, 1, 1, 1, 1, 1, 1, 0, 0, 0]), 10)
    clustered = ClusterBootstrap(clusters, 2_000, 0).kept(np.ones(100), hits)
    single = ClusterBootstrap(np.arange(100).astype(object), 2_000, 0).kept(np.ones(100), hits)
    assert clustered.share == single.share == pytest.approx(0.7)
    assert clustered.high - clustered.low > 2 * (single.high - single.low)


def test_without_a_failure_the_interval_is_that_of_the_exact_bound() -> None:
    kept = ClusterBootstrap(np.arange(20).astype(object), 500, 0).kept(np.ones(20), np.ones(20))
    assert (kept.share, kept.high) == (1.0, 1.0)
    assert kept.low == pytest.approx(0.025 ** (1 / 20))
    lost = ClusterBootstrap(np.arange(20).astype(object), 500, 0).kept(np.zeros(20), np.zeros(20))
    assert np.isnan(lost.share)


def test_numbers_become_quarters_and_other_values_stay() -> None:
    prices = slice_values([{"price": float(n)} for n in range(20)] + [{"price": None}], "price")
    assert sorted(prices.count(value) for value in set(prices) - {None}) == [5, 5, 5, 5]
    assert prices[-1] is None
    assert slice_values([{"c": "red"}, {"c": " "}, {"c": ["a", "b"]}, {}], "c") == ["red", None, "a, b", None]
