"""The content map: what it learns from events, when it is kept, how it is stored, and where it counts."""

from __future__ import annotations

import lancedb
import numpy as np
import pytest
from safetensors.numpy import save

import firstsight
from firstsight.errors import StoreError
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.model_factories import select_model_factories
from firstsight.recommend.models import blend_selection, content_map_fit, content_tuning
from firstsight.recommend.models.cold_start_model import (
    ColdStartModel,
    fit_cold_start_model,
    list_cold_start_models,
    load_tuned_content,
)
from firstsight.recommend.models.content_map import TABLE, ContentMap
from firstsight.recommend.models.content_map_fit import find_pairs, fit_content_map
from firstsight.recommend.models.content_tuning import choose_tuned_content
from firstsight.storage.store import Store
from tests.recommend.conftest import MakeStore, write_items
from tests.recommend.synthetic_events import START_US, make_preference_log

CLUSTERS = 8
SIGNAL = 8
"""Dimensions that tell the clusters apart; the other ones are louder and tell nothing."""


def noisy_space(items: int, *, seed: int = 0) -> ItemSpace:
    """Items whose taste lies in a few quiet dimensions: item n belongs to cluster n % CLUSTERS."""
    rng = np.random.default_rng(seed)
    vectors = np.zeros((items, 48))
    vectors[np.arange(items), np.arange(items) % CLUSTERS] = 0.5
    vectors[:, :SIGNAL] += 0.1 * rng.normal(size=(items, SIGNAL))
    vectors[:, SIGNAL:] = rng.normal(size=(items, 48 - SIGNAL)) / np.sqrt(48 - SIGNAL)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return ItemSpace.of([f"i{n:04d}" for n in range(items)], vectors.astype(np.float32))


WHOLE = noisy_space(248)
OLD = WHOLE.subset(np.arange(240))


@pytest.fixture(autouse=True)
def few_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blend_selection, "MAPPINGS", (("knn", 1.0),))
    monkeypatch.setattr(blend_selection, "ALPHAS", (10.0,))
    monkeypatch.setattr(blend_selection, "WEIGHTS", (0.0, 0.25, 1.0))
    monkeypatch.setattr(blend_selection, "SPLITS", 2)
    monkeypatch.setattr(content_tuning, "SPLITS", 2)
    monkeypatch.setattr(content_map_fit, "MAX_STEPS", 60)


def preferences(space: ItemSpace, users: int = 250) -> Interactions:
    return make_preference_log(space, users, clusters=CLUSTERS)


def random_events(space: ItemSpace, users: int = 120) -> Interactions:
    rng = np.random.default_rng(1)
    ids = np.repeat([f"u{n:03d}" for n in range(users)], 10).astype(object)
    return Interactions.of(space, ids, rng.integers(0, len(space), len(ids)), START_US + np.arange(len(ids)))


def test_pairs_are_items_of_one_user_within_three_events() -> None:
    space = noisy_space(8)
    users = np.array(["a"] * 5 + ["b"] * 2, dtype=object)
    log = Interactions.of(space, users, np.array([0, 1, 1, 2, 3, 4, 5]), START_US + np.arange(7))
    found = sorted(map(tuple, find_pairs(log).tolist()))
    assert found == [(0, 1), (0, 1), (0, 2), (1, 2), (1, 2), (1, 3), (1, 3), (2, 3), (4, 5)]
    assert len(find_pairs(Interactions.none(space))) == 0


def test_the_map_draws_new_items_to_those_that_people_take_together() -> None:
    log = preferences(OLD)
    content_map = fit_content_map(log, OLD.vectors)
    new = np.arange(240, 248)
    before, after = WHOLE.vectors, content_map.apply(WHOLE.vectors)
    same = np.arange(240) % CLUSTERS == (new % CLUSTERS)[:, None]
    gaps = [
        (vectors[new] @ vectors[:240].T)[same].mean() - (vectors[new] @ vectors[:240].T)[~same].mean()
        for vectors in (before, after)
    ]
    assert gaps[1] > gaps[0] + 0.1
    assert np.linalg.norm(after, axis=1) == pytest.approx(np.ones(248), abs=1e-5)
    assert np.array_equal(content_map.inner, fit_content_map(log, OLD.vectors).inner)


def test_rows_without_content_stay_zeros_and_teach_nothing() -> None:
    content = OLD.vectors.copy()
    content[:2] = 0
    mapped = fit_content_map(preferences(OLD, 40), content).apply(content)
    assert not mapped[:2].any()
    assert np.isfinite(mapped).all()


def test_events_that_give_no_pair_leave_content_alone() -> None:
    nothing = fit_content_map(Interactions.none(OLD), OLD.vectors)
    assert nothing.apply(OLD.vectors) == pytest.approx(OLD.vectors, abs=1e-6)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no tensors", "safetensors"),
        (b"0" * 5_000_000, "too large"),
        (save({"inner": np.zeros((48, 4), np.float32)}), "lacks a matrix"),
        (save({"inner": np.zeros((47, 4), np.float32), "outer": np.zeros((4, 47), np.float32)}), "48 dimensions"),
        (save({"inner": np.zeros((48, 4), np.float32), "outer": np.zeros((5, 48), np.float32)}), "48 dimensions"),
        (save({"inner": np.zeros((48, 4)), "outer": np.zeros((4, 48))}), "float64"),
        (save({"inner": np.full((48, 4), np.nan, np.float32), "outer": np.zeros((4, 48), np.float32)}), "not finite"),
    ],
)
def test_a_stored_map_is_checked_before_it_is_used(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ContentMap.from_bytes(data, 48)


def test_a_map_is_read_as_it_was_written() -> None:
    rng = np.random.default_rng(0)
    made = ContentMap(rng.normal(size=(48, 4)).astype(np.float32), rng.normal(size=(4, 48)).astype(np.float32))
    again = ContentMap.from_bytes(made.to_bytes(), 48)
    assert np.array_equal(made.apply(OLD.vectors), again.apply(OLD.vectors))


def test_a_map_is_kept_only_if_held_out_items_gain() -> None:
    kept = choose_tuned_content(preferences(OLD), OLD.vectors)
    assert kept.content_map is not None
    assert kept.gain.low > 0
    assert "is used" in kept.sentence()
    left = choose_tuned_content(random_events(OLD), OLD.vectors)
    assert left.content_map is None
    assert left.gain.low <= 0
    assert f"{left.gain.mean:+.4f}" in left.sentence()


def test_a_tuned_model_scores_mapped_content_also_of_items_that_come_later(make_store: MakeStore) -> None:
    store = make_store(OLD)
    space = ItemSpace.load(store)
    log = preferences(space)
    plain = fit_cold_start_model(store, space, log)
    assert (plain.tuned, load_tuned_content(store, space)) == (False, None)
    lines: list[str] = []
    tuned = fit_cold_start_model(store, space, log, tune=True, on_progress=lines.append)
    assert tuned.tuned
    assert tuned.figures["tune_low"] > 0
    assert tuned.figures["recall_blend"] > plain.figures["recall_blend"]
    assert any("content map is used" in line for line in lines)
    write_items(store, WHOLE)
    later = ItemSpace.load(Store.open(store.uri))
    model = ColdStartModel.load(store, later)
    assert model is not None
    assert np.array_equal(later.vectors, WHOLE.vectors)
    new = np.arange(240, 248)
    mapped = load_tuned_content(store, later)
    assert mapped is not None
    assert np.array_equal(mapped, model.content)
    assert not np.allclose(mapped[new], later.vectors[new], atol=0.05)
    fan = History.of(np.arange(3, 240, 2 * CLUSTERS))  # of cluster 3
    assert int(new[np.argmax(model.scores([fan], new)[0])]) % CLUSTERS == 3


def test_a_map_that_does_not_help_is_left_out_with_its_figures(make_store: MakeStore) -> None:
    store = make_store(OLD)
    space = ItemSpace.load(store)
    lines: list[str] = []
    made = fit_cold_start_model(store, space, random_events(space), tune=True, on_progress=lines.append)
    assert (made.tuned, made.figures["tuned"]) == (False, 0)
    assert made.figures["tune_low"] <= 0
    assert any("is not used" in line for line in lines)
    assert load_tuned_content(store, space) is None
    assert list_cold_start_models(store)[0].to_dict()["tune_gain"] == made.figures["tune_gain"]


def test_a_damaged_or_missing_map_is_refused(make_store: MakeStore) -> None:
    store = make_store(OLD)
    space = ItemSpace.load(store)
    fit_cold_start_model(store, space, random_events(space))
    assert fit_cold_start_model(store, space, preferences(space), tune=True).version == 2
    assert [version.tuned for version in list_cold_start_models(store)] == [False, True]
    table = lancedb.connect(store.uri).open_table(TABLE)
    table.update(where="version = 2", values={"content_map": b"1234"})
    with pytest.raises(StoreError, match=r"cold-start model 2 .* is damaged .*safetensors"):
        ColdStartModel.load(store, space)
    table.delete("version = 2")
    with pytest.raises(StoreError, match=r"cold-start model 2 .* lacks its content map"):
        ColdStartModel.load(store, space)
    assert ColdStartModel.load(store, space, version=1) is not None


def test_users_for_an_item_are_found_by_mapped_content(make_store: MakeStore) -> None:
    store = make_store(OLD)
    space = ItemSpace.load(store)
    log = preferences(space)
    rows = [
        {"user_id": str(log.user_ids[user]), "item_id": str(space.item_ids[item]), "timestamp": int(time) // 1_000_000}
        for user, item, time in zip(log.users, log.items, log.times, strict=True)
    ]
    with firstsight.open(store.uri) as database:
        database.events.add(rows)
        assert database.cold_start.fit(tune=True).tuned
    write_items(store, WHOLE)  # items that come after the fit
    with firstsight.open(store.uri) as database:
        after = database.cold_start.interested_users("i0243", k=20)
        assert len(database.recommend("u000", k=5)) == 5
        database.cold_start.use(None)
    with firstsight.open(store.uri) as database:
        before = database.cold_start.interested_users("i0243", k=20)
    assert [user.score for user in after] != [user.score for user in before]
    near = [sum(int(user.because[1:]) % CLUSTERS == 243 % CLUSTERS for user in users) for users in (before, after)]
    assert near[1] >= max(near[0], 18)


def test_evaluation_offers_the_tuned_blend_by_name_only(make_store: MakeStore) -> None:
    store = make_store(OLD)
    space = ItemSpace.load(store)
    assert "tuned blend" not in select_model_factories(store, space)
    log = preferences(space)
    model = select_model_factories(store, space, ["tuned blend"])["tuned blend"]()
    model.fit(log)
    assert np.isfinite(model.scores(log.histories()[:3], np.arange(len(space)))).all()
