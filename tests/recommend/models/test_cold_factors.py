"""Collaborative factors: folding users in, and factors of items that nobody has clicked."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
from numpy.typing import NDArray

from firstsight.errors import OptionalDependencyError, QueryError
from firstsight.recommend.evaluation.measures import recall
from firstsight.recommend.evaluation.protocols import item_cold, user_cold
from firstsight.recommend.events.interactions import History
from firstsight.recommend.items import Places
from firstsight.recommend.models.cold_factors import FactorMapping, add_cold_factors
from firstsight.recommend.models.collaborative import ALS, REGULARIZATION, Factors, fit_factors, gram_of
from tests.recommend.synthetic_events import clustered_space, make_preference_log

SPACE = clustered_space(120)
LOG = make_preference_log(SPACE, 90)


def test_folding_in_gives_the_users_that_implicit_learned() -> None:
    from implicit.als import AlternatingLeastSquares
    from scipy import sparse
    from threadpoolctl import threadpool_limits

    factors = fit_factors(LOG, factors=8, alpha=5.0)
    with threadpool_limits(1, "blas"):
        peer = AlternatingLeastSquares(
            factors=8, regularization=REGULARIZATION, alpha=5.0, use_cg=False, random_state=0, iterations=1
        )
        peer.fit(sparse.csr_matrix(LOG.matrix()), show_progress=False)
        peer.item_factors, peer._YtY = factors.items, None  # what it keeps of its own items
        theirs = peer.recalculate_user(np.arange(90), sparse.csr_matrix(LOG.matrix()))
    assert factors.fold_in(LOG.histories()) == pytest.approx(theirs, rel=1e-2, abs=1e-3)


def test_a_user_without_events_is_the_mean_user() -> None:
    factors = fit_factors(LOG)
    nobody = History.of(np.empty(0, dtype=np.int64))
    assert factors.fold_in([nobody])[0] == pytest.approx(factors.mean_user)
    cold = Factors(np.zeros_like(factors.items), factors.gram, factors.mean_user, 1.0)
    assert cold.fold_in([LOG.history(0)])[0] == pytest.approx(factors.mean_user)


def test_als_finds_what_new_users_like() -> None:
    split = user_cold(LOG, first=5)
    model = ALS(alpha=5.0)
    with pytest.raises(QueryError, match="fit it"):
        model.scores(split.histories, split.candidates)
    model.fit(split.train)
    assert recall(split.rank(model, 20), split.targets).mean() > 0.6  # 20 of 120: chance is 0.17


def test_knn_factors_are_the_weighted_mean_of_the_nearest_warm_items() -> None:
    content = SPACE.vectors
    warm = np.arange(120) < 100
    given = np.random.default_rng(0).normal(size=(120, 4)).astype(np.float32) * warm[:, None]
    made = add_cold_factors(Factors(given, gram_of(given), np.zeros(4), 1.0), content, warm, "knn").items
    cosines = content[110] @ content[:100].T
    nearest = np.argsort(-cosines)[:10]
    weights = np.maximum(cosines[nearest], 0)
    assert made[110] == pytest.approx((weights @ given[nearest]) / weights.sum(), rel=1e-4)
    assert made[:100].tolist() == given[:100].tolist()


def test_ridge_recovers_a_linear_map() -> None:
    content = SPACE.vectors
    warm = np.arange(120) % 4 > 0
    truth = np.random.default_rng(0).normal(size=(16, 4))
    given = ((content @ truth + 0.5) * warm[:, None]).astype(np.float32)
    factors = Factors(given, gram_of(given), np.zeros(4), 1.0)
    made = add_cold_factors(factors, content, warm, "ridge", ridge=1e-6).items
    assert made[~warm] == pytest.approx(content[~warm] @ truth + 0.5, abs=1e-3)


@pytest.mark.parametrize("mapping", ["knn", "ridge"])
def test_cold_items_are_found_far_above_chance_by_mapped_factors(mapping: FactorMapping) -> None:
    split = item_cold(LOG, seed=1)
    warm = ~split.cold
    fitted = fit_factors(split.train, alpha=5.0)
    assert not fitted.items[split.candidates].any()
    factors = add_cold_factors(fitted, SPACE.vectors, warm, mapping)

    class Mapped(ALS):
        def scores(self, users: list[History], candidates: Places) -> NDArray[np.float32]:
            return factors.scores(users, candidates)

    assert recall(split.rank(Mapped(), 5), split.targets).mean() > 0.7  # 5 of 24: chance is 0.21


def test_an_item_without_content_has_no_factors() -> None:
    content = SPACE.vectors.copy()
    content[7] = 0
    warm = np.arange(120) >= 20
    given = np.ones((120, 3), dtype=np.float32) * warm[:, None]
    mappings: tuple[FactorMapping, ...] = ("knn", "ridge")
    for mapping in mappings:
        factors = Factors(given, gram_of(given), np.zeros(3), 1.0)
        made = add_cold_factors(factors, content, warm, mapping).items
        assert not made[7].any()
        assert np.isfinite(made).all()


def test_without_implicit_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: object, **more: object) -> object:
        if name.startswith("implicit"):
            raise ImportError(name)
        return real(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(OptionalDependencyError, match=r"firstsight\[recommend\]"):
        fit_factors(LOG)
