"""Fitting personal search on made clicks: used where taste decides clicks, and off where it does not.

Made clicks prove that the parts work together, not that real users gain.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from firstsight.errors import QueryError
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.events.searches import SearchLog
from firstsight.recommend.personal_search.personal_search_fit import MAX_WEIGHT, fit_personal_search
from firstsight.recommend.personal_search.personal_search_store import (
    PersonalSearchShelf,
    PersonalSearchVersion,
    add_version,
    use_version,
)
from firstsight.retrieval.ranking.readings import Candidate
from firstsight.storage.store import Store
from tests.recommend.conftest import MakeStore
from tests.recommend.synthetic_events import DAY_US, START_US, clustered_space

CLUSTERS = 6
SPACE = clustered_space(60, clusters=CLUSTERS)
TEXTS = [f"text {n}" for n in range(12)]


def rank(texts: Sequence[str]) -> list[list[Candidate]]:
    """Thirty items for each text, always the same."""
    answers = []
    for text in texts:
        order = np.random.default_rng(int(text.split()[1])).permutation(len(SPACE))[:30]
        answers.append([Candidate(str(SPACE.item_ids[n]), 0.5, 2 - 0.05 * place) for place, n in enumerate(order)])
    return answers


def clicks(taste: float, users: int = 60, searches: int = 6, seed: int = 0) -> Interactions:
    """Events of users who like one cluster, and later searches whose clicks follow rank and taste."""
    rng = np.random.default_rng(seed)
    liked = rng.integers(0, CLUSTERS, users)
    rankings = dict(zip(TEXTS, rank(TEXTS), strict=True))
    owners, items = np.repeat(np.arange(users), 5), []
    for user in owners:
        items.append(int(liked[user] + CLUSTERS * rng.integers(0, 10)))
    times = START_US + np.tile(np.arange(5), users) * 1_000_000
    names = np.array([f"u{user:03d}" for user in owners], dtype=object)
    events = Interactions.of(SPACE, names, np.array(items), times)
    texts, clicked, when = [], [], []
    for user in np.repeat(np.arange(users), searches):
        text = TEXTS[rng.integers(len(TEXTS))]
        places = SPACE.places([candidate.item_id for candidate in rankings[text]])
        utility = -0.1 * np.arange(len(places)) + taste * (places % CLUSTERS == liked[user])
        shares = np.exp(utility) / np.exp(utility).sum()
        texts.append(text)
        clicked.append(int(places[rng.choice(len(places), p=shares)]))
        when.append(START_US + DAY_US + int(rng.integers(0, DAY_US)))
    owners = np.repeat(np.arange(users), searches)
    order = np.lexsort((np.array(when), owners))
    log = SearchLog(
        owners[order], np.array(texts, dtype=object)[order], np.array(when)[order], np.array(clicked)[order]
    )
    return Interactions(
        SPACE, events.user_ids, events.users, events.items, events.times, events.weights, events.types, log
    )


@pytest.fixture
def store(make_store: MakeStore) -> Store:
    return make_store(SPACE)


def fit(store: Store, interactions: Interactions) -> PersonalSearchVersion:
    return fit_personal_search(store, SPACE, interactions, rank)


def test_a_taste_that_decides_clicks_is_learned_and_used(store: Store) -> None:
    version = fit(store, clicks(taste=3.0))
    figures = version.figures
    assert (figures["searches"], figures["held_out"], figures["found"]) == (360, 144, 1)
    assert version.improves
    assert figures["mrr_after"] > figures["mrr_before"] + 0.05
    assert figures["ndcg_after"] > figures["ndcg_before"]
    assert 0 < version.settings.weight <= MAX_WEIGHT
    assert fit(store, clicks(taste=3.0)).settings == version.settings
    stored = add_version(store, version, use=True, wait_s=0)
    assert (stored.version, stored.in_use) == (1, True)
    assert PersonalSearchShelf(store).in_use() == stored


@pytest.mark.parametrize("seed", range(3))
def test_clicks_without_a_taste_leave_searches_as_they_are(store: Store, seed: int) -> None:
    version = fit(store, clicks(taste=0.0, seed=seed))
    assert not version.improves
    stored = add_version(store, version, use=True, wait_s=0)
    assert not stored.in_use
    assert PersonalSearchShelf(store).in_use() is None
    with pytest.raises(QueryError, match="is not used: the mean reciprocal rank"):
        use_version(store, stored.version, wait_s=0)


def test_too_few_clicks_are_refused(store: Store) -> None:
    with pytest.raises(QueryError, match="90 searches are usable, and 100 are needed"):
        fit(store, clicks(taste=3.0, users=15))


def test_a_version_can_be_replaced_and_dropped(store: Store) -> None:
    shelf = PersonalSearchShelf(store)
    version = fit(store, clicks(taste=3.0))
    add_version(store, version, use=True, wait_s=0)
    add_version(store, version, use=False, wait_s=0)
    assert [(v.version, v.in_use) for v in shelf.versions()] == [(1, True), (2, False)]
    use_version(store, 2, wait_s=0)
    used = shelf.in_use()
    assert used is not None
    assert used.version == 2
    use_version(store, None, wait_s=0)
    assert shelf.in_use() is None
    assert shelf.get(1).settings == version.settings
    with pytest.raises(QueryError, match="there is no version of personal search 9"):
        use_version(store, 9, wait_s=0)


def test_only_events_before_a_search_count(store: Store) -> None:
    late = clicks(taste=3.0)
    moved = Interactions(
        *(SPACE, late.user_ids, late.users, late.items, late.times + 9 * DAY_US, late.weights, late.types),
        late.searches,
    )
    with pytest.raises(QueryError, match="0 searches are usable"):
        fit(store, moved)
