"""The protocol `next`: how samples are made, and what is measured on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.recommend.evaluation.exposure import ItemGroups
from firstsight.recommend.evaluation.next_item_evaluation import NextItemReport, evaluate_next_items
from firstsight.recommend.evaluation.next_item_split import NextItemSplit, split_by_order, split_by_time
from firstsight.recommend.evaluation.recommender_evaluation import evaluate_recommenders
from firstsight.recommend.evaluation.recommender_page import write_recommender_page
from firstsight.recommend.events.event_times import position_us
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.events.searches import SearchLog
from firstsight.recommend.items import Places
from firstsight.recommend.models.baselines import MeanProfile, Popularity, RandomOrder
from firstsight.recommend.recommender import NextItem
from tests.recommend.synthetic_events import clustered_space, make_preference_log

MODELS = {"random": RandomOrder, "popularity": Popularity, "mean profile": MeanProfile}
SPACE = clustered_space(120)


@pytest.fixture(scope="module")
def log() -> Interactions:
    return make_preference_log(SPACE, 150)


@pytest.fixture(scope="module")
def split(log: Interactions) -> NextItemSplit:
    return split_by_time(log, history=5)


@pytest.fixture(scope="module")
def report(split: NextItemSplit) -> NextItemReport:
    return evaluate_next_items(split, MODELS, k=10)


def test_samples_are_split_by_the_moments_of_their_targets(log: Interactions, split: NextItemSplit) -> None:
    last_train = int(split.train.times.max())
    assert len(split.test) == pytest.approx(0.1 * 150 * 11, abs=2)
    assert len(split.validation) == pytest.approx(0.1 * 150 * 11, abs=2)
    for sample in (*split.validation, *split.test):
        assert 1 <= len(sample.history) <= 5
    first_test = min(int(sample.history.times[-1]) for sample in split.test)
    assert first_test <= int(log.times.max())
    later = [sample for sample in split.test if sample.history.times[-1] > last_train]
    assert later  # histories go on after the end of the training


def test_the_history_of_a_sample_is_what_the_user_did_before_it(log: Interactions, split: NextItemSplit) -> None:
    for sample, user in list(zip(split.test, split.users.tolist(), strict=True))[:20]:
        whole = log.history(user)
        place = int(np.searchsorted(whole.times, sample.history.times[-1])) + 1
        assert whole.items[place] == sample.item
        assert sample.history.items.tolist() == whole.items[max(0, place - 5) : place].tolist()


def test_searches_after_the_training_are_not_trained_on(log: Interactions) -> None:
    late, early = int(log.times.max()), int(log.times.min())
    texts = np.array(["lamp", "desk"], dtype=object)
    searches = SearchLog(np.array([0, 0]), texts, np.array([early, late]), np.array([-1, -1]))
    split = split_by_time(replace(log, searches=searches))
    assert split.train.searches.texts.tolist() == ["lamp"]


def test_a_log_without_times_is_split_by_order_only(log: Interactions) -> None:
    starts = np.searchsorted(log.users, log.users)
    times = np.array([position_us(int(n)) for n in np.arange(len(log)) - starts])
    ordered = replace(log, times=times)
    with pytest.raises(QueryError, match="--order-only"):
        split_by_time(ordered)
    with pytest.raises(QueryError, match="no moment divides them"):
        evaluate_recommenders(ordered, MODELS, protocols=["time"])
    split = split_by_order(ordered)
    assert len(split.test) == len(split.validation) == 150
    assert len(split.train) == 150 * 10
    whole = ordered.history(3)
    at = split.users.tolist().index(3)
    assert split.test[at].item == whole.items[-1]
    assert split.test[at].history.items.tolist() == whole.items[:-1].tolist()


@pytest.mark.parametrize(("users", "items"), [([0, 1], [1, 2]), ([0, 0], [1, 2])])
def test_too_few_events_are_refused(users: list[int], items: list[int]) -> None:
    names = np.array([f"u{user}" for user in users], dtype=object)
    few = Interactions.of(SPACE, names, np.array(items), 1_700_000_000_000_000 + np.arange(len(users)))
    with pytest.raises(QueryError, match=r"add more events|so they cannot be split"):
        split_by_time(few)
    with pytest.raises(QueryError, match="add more events"):
        split_by_order(few)
    with pytest.raises(QueryError, match="0 events is out of range"):
        split_by_time(few, history=0)


class Oracle:
    """Ranks one item first, another second; selects which."""

    name = "oracle"

    def __init__(self) -> None:
        self.selected: Sequence[NextItem] = ()

    def fit(self, train: Interactions) -> None:
        pass

    def select(self, validation: Sequence[NextItem]) -> None:
        self.selected = validation

    def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
        scores = np.zeros((len(users), len(candidates)), dtype=np.float32)
        scores[:, 7], scores[:, 3] = 2, 1
        return scores


def _samples(targets: list[int], histories: list[list[int]]) -> tuple[NextItem, ...]:
    return tuple(
        NextItem(History.of(np.array(items, dtype=np.int64)), target)
        for target, items in zip(targets, histories, strict=True)
    )


def test_figures_are_those_worked_out_by_hand() -> None:
    names = np.array(["a", "a"], dtype=object)
    train = Interactions.of(SPACE, names, np.array([7, 9]), np.arange(2))
    test = _samples([7, 3, 99, 3], [[9], [9], [9], [3]])
    made = NextItemSplit(train, _samples([7], [[9]]), test, np.array([0, 0, 1, 2]), "by hand")
    oracle = Oracle()
    report = evaluate_next_items(made, {"oracle": lambda: oracle})
    (model,) = report.models
    assert (report.n, report.n_warm, report.n_cold, report.users) == (4, 1, 3, 3)
    assert len(oracle.selected) == 1
    second = 1 / np.log2(3)
    assert model.figures["hr@5"] >= 0.75
    assert model.figures["warm_hr@5"] == model.figures["warm_ndcg@5"] == 1
    assert model.figures["ndcg@5"] == pytest.approx((1 + 2 * second) / 4, abs=0.12)  # the rest is in random order
    assert model.intervals["hr@5"][0] <= model.figures["hr@5"] <= model.intervals["hr@5"][1]
    without = evaluate_next_items(made, {"oracle": lambda: oracle}, repeats="leave-out")
    assert (without.n, without.left_out) == (3, {"test samples whose target is in the history": 1})


def test_left_out_items_of_the_history_are_not_ranked() -> None:
    train = Interactions.of(SPACE, np.array(["a"], dtype=object), np.array([7]), np.arange(1))
    made = NextItemSplit(train, (), _samples([3], [[7]]), np.array([0]), "by hand")
    kept, left = (
        evaluate_next_items(made, {"oracle": Oracle}, repeats=repeats).models[0].figures["ndcg@5"]
        for repeats in ("keep", "leave-out")
    )
    assert kept == pytest.approx(1 / np.log2(3))
    assert left == 1


def test_models_are_compared_over_the_same_samples(report: NextItemReport) -> None:
    best, *others = report.models
    assert best.model == "mean profile"
    assert not best.behind_best
    for model in others:
        behind = model.behind_best["hr@10"]
        assert behind.mean == pytest.approx(best.figures["hr@10"] - model.figures["hr@10"])
        assert 0 < behind.low < behind.mean < behind.high


def test_the_report_is_one_json_object_for_each_model(report: NextItemReport) -> None:
    rows = json.loads(json.dumps(report.to_dicts(), allow_nan=False))
    assert [row["model"] for row in rows] == [model.model for model in report.models]
    expected = {"hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20", "cold_hr@10", "n"}
    for row in rows:
        assert expected <= row.keys()
        assert row["cold_hr@10"] is None if report.n_cold == 0 else row["cold_hr@10"] >= 0
        assert row["exposure"][0]["by"] == "new items"


def test_exposure_is_measured_by_group_and_by_protocol(log: Interactions, split: NextItemSplit) -> None:
    sellers = ItemGroups.by_value("seller", [f"s{n % 6}" for n in range(120)])
    models = {"popularity": Popularity}
    by_next = evaluate_next_items(split, models, k=10, divisions=[sellers]).models[0].exposure
    assert [one.by for one in by_next] == ["new items", "seller"]
    assert by_next[0].groups[0].share == 0  # popularity shows no new item
    drawn = evaluate_recommenders(log, models, protocols=["item-cold"], seeds=2, k=5, divisions=[sellers])
    new, seller = drawn[0].models[0].exposure
    assert new.groups[0].share == new.groups[0].catalogue_share == 1
    assert sum(group.share for group in seller.groups) == pytest.approx(1)
    assert seller.k == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"repeats": "drop"}, "keep, leave-out"), ({"k": 0}, "k of 1 to 100"), ({"models": {}}, "no model")],
)
def test_what_cannot_be_evaluated_is_refused(split: NextItemSplit, settings: dict[str, object], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        evaluate_next_items(split, **{"models": MODELS} | settings)  # type: ignore[arg-type]


def test_the_page_has_a_table_for_figures_and_for_exposure(report: NextItemReport, tmp_path: Path) -> None:
    write_recommender_page(tmp_path / "page.html", [report], "a <database>")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<table>") == 2
    assert page.count("<svg") == 2
    assert "HR@10" in page
    assert "nan" not in page.lower()
