"""Score terms, their weights, and the fit of weights to choices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from firstsight.recommend.events.event_types import type_code
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.models.score_scaling import KindScale
from firstsight.recommend.ranking.conditional_logit import Choices, fit_conditional_logit
from firstsight.recommend.ranking.held_out_events import hold_out
from firstsight.recommend.ranking.item_content import CosineScale, ItemContent
from firstsight.recommend.ranking.ranking_weights import RankingWeights, TermWeight
from firstsight.recommend.ranking.terms import ScoreTerms, is_general
from firstsight.recommend.ranking.unfitted_ranking import unfitted_ranking
from tests.recommend.synthetic_events import clustered_space, make_preference_log

SPACE = clustered_space(120)
LOG = make_preference_log(SPACE, 60, events=8)


def test_a_history_gives_every_term_a_value_for_every_item() -> None:
    prices = np.exp(np.linspace(0, 3, 120))
    prices[5] = np.nan
    terms = ScoreTerms(ItemContent(SPACE, prices=prices), LOG)
    bought = np.full(3, type_code("purchase"), dtype=np.int8)
    history = replace(History.of(np.array([2, 8, 8])), types=bought)
    values = dict(zip(terms.names, terms.values(history), strict=True))
    assert values["seen"].nonzero()[0].tolist() == [2, 8]
    assert values["seen last"].nonzero()[0].tolist() == [8]
    assert values["bought"].nonzero()[0].tolist() == [2, 8]
    assert int(np.argmax(values["last cosine"])) == 8
    assert values["popularity"] == pytest.approx(np.log1p(LOG.popularity()), rel=1e-5)
    assert values["price distance"][5] == 0
    assert values["price distance"][119] > values["price distance"][4]
    assert all(np.isfinite(row).all() for row in values.values())


def test_an_empty_history_has_general_terms_only() -> None:
    terms = ScoreTerms(ItemContent(SPACE), LOG)
    values = dict(zip(terms.names, terms.values(History.of(np.empty(0, dtype=np.int64))), strict=True))
    filled = [name for name, row in values.items() if row.any()]
    assert "popularity" in filled
    assert all(map(is_general, filled))


def test_kinds_have_intercepts_and_cosines_of_their_own_scale() -> None:
    kinds = np.array(["product", "video"], dtype=object)[np.arange(120) % 2]
    space = replace(SPACE, kinds=kinds)
    terms = ScoreTerms(ItemContent(space), Interactions.none(space))
    assert {"kind product", "kind video"} <= set(terms.names)
    values = dict(zip(terms.names, terms.values(History.of(np.array([2, 9]))), strict=True))
    for kind in ("product", "video"):
        assert float(values["mean cosine"][kinds == kind].mean()) == pytest.approx(0, abs=1e-5)


def test_principal_directions_keep_the_nearest_items() -> None:
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(3000, 128)) * np.arange(1, 129) ** -0.5
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    kinds = KindScale(np.full(3000, "product", dtype=object))
    history = History.of(rng.permutation(3000)[:20])
    scale = CosineScale(vectors, kinds)
    exact = scale.raw(history)[0].max(axis=0)
    scale.prepare()
    for prepared, plain in zip(scale.raw(history), CosineScale(vectors, kinds).raw(history), strict=True):
        assert prepared == pytest.approx(plain, abs=1e-5)
    quick = CosineScale(vectors, kinds, exact_items=100).raw(history)[0].max(axis=0)
    assert len(set(np.argsort(-exact)[:50]) & set(np.argsort(-quick)[:50])) >= 49


def test_the_logit_finds_the_weights_of_its_choices() -> None:
    rng = np.random.default_rng(0)
    terms = rng.normal(size=(3000, 20, 3)).astype(np.float32)
    terms[:, :, 2] = 1  # equal for all alternatives
    true = np.array([1.5, -0.7, 0.0])
    chosen = np.argmax(terms @ true + rng.gumbel(size=(3000, 20)), axis=1)
    weights = fit_conditional_logit(Choices(terms, chosen, np.zeros((3000, 20), dtype=np.float32)))
    assert weights == pytest.approx(true, abs=0.08)


def test_drawn_alternatives_count_for_those_that_were_not_drawn() -> None:
    rng = np.random.default_rng(1)
    terms = rng.normal(size=(4000, 200, 2)).astype(np.float32)
    terms[:, :50, 1] += 1
    true = np.array([1.0, 0.5])
    chosen = np.argmax(terms @ true + rng.gumbel(size=(4000, 200)), axis=1)
    first = terms[np.arange(4000), chosen][:, None]
    others = np.stack([rng.permutation(np.delete(np.arange(200), item))[:100] for item in chosen])
    drawn = np.concatenate([first, np.take_along_axis(terms, others[:, :, None], axis=1)], axis=1)
    log_weights = np.full((4000, 101), np.log(199 / 100), dtype=np.float32)
    log_weights[:, 0] = 0
    weights = fit_conditional_logit(Choices(drawn, np.zeros(4000, dtype=np.int64), log_weights))
    assert weights == pytest.approx(true, abs=0.08)


def test_held_out_users_are_unknown_to_the_models() -> None:
    held = hold_out(LOG, max_samples=50)
    assert len(held.samples) == 50
    assert not np.isin(held.users, held.train.users).any()
    lengths = {len(sample.history) for sample in held.samples}
    assert 0 in lengths
    assert max(lengths) > 3


def test_weights_change_with_the_length_of_a_history_and_survive_json() -> None:
    weights = RankingWeights({"popularity": TermWeight(1.0, -0.5)}, {"cold prior": TermWeight(0.25)})
    assert weights.warm["popularity"].at(0) == 1.0
    assert weights.warm["popularity"].at(5) == 0.75
    assert RankingWeights.from_json(weights.to_json()) == weights
    infinite = '{"warm": {"a": {"base": NaN, "by_share": 0}}, "cold": {}}'
    for damaged in ("[]", '{"warm": {}}', '{"warm": {"a": 1}, "cold": {}}', infinite):
        with pytest.raises(ValueError):
            RankingWeights.from_json(damaged)


def test_without_events_the_newest_items_come_first_for_everybody() -> None:
    space = replace(SPACE, created=np.arange(120))
    score = unfitted_ranking(ItemContent(space)).score(History.of(np.empty(0, dtype=np.int64)))
    assert np.argsort(-score)[:5].tolist() == [119, 118, 117, 116, 115]
