"""Recommenders compared on one log."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from firstsight.errors import QueryError
from firstsight.recommend.evaluation import measures
from firstsight.recommend.evaluation.protocols import global_time
from firstsight.recommend.evaluation.recommender_evaluation import ProtocolReport, evaluate_recommenders
from firstsight.recommend.evaluation.recommender_page import write_recommender_page
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.models.baselines import EASE, MeanProfile, Popularity, RandomOrder
from firstsight.retrieval.pages.plots import round_axis_end
from tests.recommend.synthetic_events import clustered_space, make_preference_log

MODELS = {"random": RandomOrder, "popularity": Popularity, "mean profile": MeanProfile, "EASE": EASE}


@pytest.fixture(scope="module")
def log() -> Interactions:
    return make_preference_log(clustered_space(120), 150)


@pytest.fixture(scope="module")
def reports(log: Interactions) -> list[ProtocolReport]:
    return evaluate_recommenders(log, MODELS, seeds=2, first=(1, 4), k=10)


def by_model(report: ProtocolReport) -> dict[str, float]:
    return {one.model: one.mean("recall") for one in report.models}


def test_every_protocol_has_every_model_the_best_first(reports: list[ProtocolReport]) -> None:
    assert [report.name for report in reports] == ["item-cold", "user-cold, 1 known", "user-cold, 4 known", "time"]
    for report in reports:
        found = by_model(report)
        assert set(found) == set(MODELS)
        assert list(found.values()) == sorted(found.values(), reverse=True)


def test_content_finds_cold_items_and_nothing_else_does(reports: list[ProtocolReport]) -> None:
    cold = reports[0]
    assert cold.candidates == cold.cold == 24
    assert cold.models[0].model == "mean profile"
    for one in cold.models[1:]:
        assert one.against_best is not None
        assert one.against_best.low > 0
        assert np.isnan(one.mean("recall_warm"))
        assert one.mean("recall_cold") == one.mean("recall")


def test_figures_are_those_of_the_split(log: Interactions, reports: list[ProtocolReport]) -> None:
    split = global_time(log)
    model = Popularity()
    model.fit(split.train)
    ranked = split.rank(model, 10)
    shown = next(one for one in reports[-1].models if one.model == "popularity")
    assert reports[-1].seeds == 1
    assert shown.mean("recall") == pytest.approx(np.nanmean(measures.recall(ranked, split.targets)))
    assert shown.coverage == measures.coverage(ranked, split.candidates)
    assert shown.interval[0] < shown.mean("recall") < shown.interval[1]


def test_users_are_the_same_however_much_of_them_is_known(reports: list[ProtocolReport]) -> None:
    assert reports[1].users == reports[2].users


def test_figures_are_json_without_nan(reports: list[ProtocolReport]) -> None:
    text = json.dumps([report.to_dict() for report in reports], allow_nan=False)
    back = json.loads(text)
    assert back[0]["models"][0]["recall_warm"] is None
    assert back[0]["models"][0]["behind_best"] is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocols": ["leave-one-out"]}, "item-cold, user-cold, time"),
        ({"seeds": 0}, "1 or more seeds"),
        ({"k": 0}, "k of 1 or more"),
        ({"share": 1.5}, "between 0 and 1"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(log: Interactions, settings: dict[str, object], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        evaluate_recommenders(log, MODELS, **settings)  # type: ignore[arg-type]


def test_the_page_has_tables_and_plots_and_escapes_names(log: Interactions, tmp_path: Path) -> None:
    named = {"<b>random</b>": RandomOrder, "popularity": Popularity}
    some = evaluate_recommenders(log, named, protocols=["user-cold", "time"], seeds=1, first=(1, 4), k=10)
    write_recommender_page(tmp_path / "page.html", some, "a <database>")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<table>") == 6  # figures and exposure of each report
    assert page.count("<svg") == 7  # two for each report, and one over the number of known events
    assert "<b>random" not in page
    assert "&lt;b&gt;random&lt;/b&gt;" in page
    assert "a &lt;database&gt;" in page
    assert "nan" not in page.lower().replace("nano", "")


def test_axes_end_at_round_numbers() -> None:
    assert [round_axis_end(value) for value in (0.0, 0.013, 0.2, 0.21, 0.999, 7.0)] == pytest.approx(
        [1, 0.02, 0.2, 0.4, 1, 1]
    )
