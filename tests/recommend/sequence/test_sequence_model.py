"""The sequence model learns order, reads types, gaps and searches, and scores items without events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from firstsight.encoders.base import Vectors
from firstsight.errors import QueryError
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.events.searches import Searches, SearchLog
from firstsight.recommend.models.baselines import Popularity
from firstsight.recommend.sequence.sequence_recommender import SequenceRecommender
from firstsight.recommend.sequence.sequence_settings import SequenceSettings
from firstsight.recommend.sequence.token_sequences import (
    KINDS,
    QUERY,
    gap_buckets,
    kind_codes,
    token_sequence,
)
from firstsight.recommend.sequence.training_windows import make_windows
from tests.recommend.sequence.ordered_events import SMALL, hit_rate, next_items, ordered_log, random_space, successors

SPACE = random_space()
LOG = ordered_log(SPACE)
NEW = next_items(ordered_log(SPACE, 60, seed=1))
EVERY = np.arange(len(SPACE))


@pytest.fixture(scope="module")
def model() -> SequenceRecommender:
    """A model of the ordered log, stopped by held-out events of its own."""
    made = SequenceRecommender(SPACE, SPACE.vectors, SMALL)
    made.fit(LOG)
    made.learn()
    return made


def test_what_follows_what_is_found_where_popularity_finds_nothing(model: SequenceRecommender) -> None:
    popularity = Popularity()
    popularity.fit(LOG)
    histories = [sample.history for sample in NEW]
    assert hit_rate(model.scores(histories, EVERY), NEW) > 0.9
    assert hit_rate(popularity.scores(histories, EVERY), NEW) < 0.2


def test_one_user_has_the_scores_of_a_batch_and_of_all_candidates(model: SequenceRecommender) -> None:
    histories = [sample.history for sample in NEW[:5]] + [NEW[5].history.last(1), History.of(np.empty(0, np.int64))]
    batch = model.scores(histories, EVERY)
    alone = np.vstack([model.scores([history], EVERY[3:9]) for history in histories])
    np.testing.assert_allclose(batch[:, 3:9], alone, atol=1e-4)
    assert np.isfinite(batch).all()
    assert model.scores([], EVERY).shape == (0, len(EVERY))


def test_user_vectors_order_items_as_the_scores_do(model: SequenceRecommender) -> None:
    histories = [sample.history for sample in NEW[:8]]
    vectors = model.user_vectors(histories)
    order = np.argsort(-model.scores(histories, EVERY), axis=1)
    np.testing.assert_array_equal(np.argsort(-vectors.short_term @ model.item_vectors().T, axis=1), order)
    np.testing.assert_allclose(np.linalg.norm(vectors.short_term, axis=1), 1, atol=1e-5)
    mean = model.item_vectors()[histories[0].items].mean(axis=0)
    np.testing.assert_allclose(vectors.long_term[0], mean / np.linalg.norm(mean), atol=1e-5)
    assert not model.user_vectors([History.of(np.empty(0, np.int64))]).long_term.any()


def test_an_item_without_events_has_the_score_of_its_content() -> None:
    """The twin of an item, never seen, is as good a successor as the item itself."""
    twin = np.vstack([SPACE.vectors, SPACE.vectors[:1]])
    space = type(SPACE).of([*SPACE.item_ids.tolist(), "i999"], twin)
    model = SequenceRecommender(space, space.vectors, SMALL, epochs=SMALL.epochs)
    model.fit(replace(LOG, space=space))
    before = History.of(np.flatnonzero(successors(SPACE) == 0))
    scores = model.scores([before], np.arange(len(space)))[0]
    assert scores[-1] == pytest.approx(scores[0], abs=1e-4)
    assert np.argsort(-scores)[:2].tolist() in ([0, len(SPACE)], [len(SPACE), 0])


def test_types_decide_what_follows_when_only_they_tell() -> None:
    """After a purchase comes item 1, after a view item 2: only the type of the first event tells which."""
    users, bought = np.repeat(np.arange(80), 2), np.repeat(np.arange(80) % 2 == 0, 2)
    is_first = np.tile([True, False], 80)
    items = np.where(is_first, 0, np.where(bought, 1, 2)).astype(np.int64)
    types = np.where(bought & is_first, 9, 1).astype(np.int8)
    ids = np.array([f"u{user:03d}" for user in users], dtype=object)
    log = Interactions.of(SPACE, ids, items, np.tile([0, 10**9], 80), types=types)
    model = SequenceRecommender(SPACE, SPACE.vectors, SMALL, epochs=SMALL.epochs)
    model.fit(log)
    purchase, view = (
        History(np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones(1), np.array([code], np.int8)) for code in (9, 1)
    )
    assert model.scores([purchase, view], EVERY).argmax(axis=1).tolist() == [1, 2]


def test_a_search_changes_the_scores_of_a_model_that_learned_from_searches() -> None:
    """Every event is on what the user searched for: without the search, nothing tells the item."""
    rng = np.random.default_rng(0)
    items = rng.integers(0, 12, 200)
    ids = np.array([f"u{n:03d}" for n in range(200)], dtype=object)
    log = Interactions.of(SPACE, ids, items, np.full(200, 5_000_000))  # a click follows its search
    texts = np.array([f"query {item}" for item in items], dtype=object)
    log = replace(log, searches=SearchLog(np.arange(200), texts, np.full(200, 4_000_000), np.full(200, -1)))

    def read(queries: Sequence[str]) -> Vectors:
        return SPACE.vectors[[int(text.split()[1]) for text in queries]]

    model = SequenceRecommender(SPACE, SPACE.vectors, replace(SMALL, epochs=25), read_queries=read, epochs=25)
    model.fit(log)
    empty = History.of(np.empty(0, np.int64))
    asked = [
        replace(empty, searches=Searches(np.array([f"query {n}"], dtype=object), np.array([1]))) for n in (3, 7, 11)
    ]
    scores = model.scores([*asked, empty], EVERY)
    assert scores.argmax(axis=1)[:3].tolist() == [3, 7, 11]
    assert not np.allclose(scores[0], scores[3])


def test_searches_stand_before_the_events_of_their_time() -> None:
    history = History(
        np.array([4, 5]), np.array([10, 20]), np.ones(2), np.zeros(2, np.int8),
        Searches(np.array(["a", "?", "b"], dtype=object), np.array([10, 15, 30])),
    )  # fmt: skip
    codes = kind_codes(SPACE.kinds)
    tokens = token_sequence(history, codes, lambda text: {"a": 100, "b": 101}.get(text, -1))
    assert tokens.rows.tolist() == [100, 4, 5, 101]
    assert tokens.kinds.tolist() == [QUERY, 0, 0, QUERY]
    assert token_sequence(history, codes, lambda text: 100, limit=2).rows.tolist() == [5, 100]
    assert token_sequence(history, codes).rows.tolist() == [4, 5]


def test_kinds_of_items_have_codes_of_their_own() -> None:
    kinds = np.array(["video", "live", "product", "other"], dtype=object)
    assert [KINDS[code] for code in kind_codes(kinds)] == ["video", "live", "product", "product"]


def test_gaps_are_logarithmic_and_flat_for_a_log_with_order_only() -> None:
    times = np.cumsum([0, 0, 4, 60, 86_400, 10**9]) * 1_000_000
    buckets = gap_buckets(times)
    assert buckets[0] == 0
    assert (np.diff(buckets[1:]) > 0).all()
    assert gap_buckets(History.of(np.arange(5)).times).tolist() == [0] * 5


def test_each_event_is_a_target_once_in_windows_of_a_long_history() -> None:
    long = Interactions.of(SPACE, np.full(20, "u", dtype=object), np.arange(20) % 24, np.arange(20) * 10**9)
    windows, warm = make_windows(long, 8)
    targets = np.concatenate([window.targets for window in windows[::-1]])
    assert targets.tolist() == (np.arange(20) % 24).tolist()
    assert max(len(window.tokens) for window in windows) == 8
    assert warm.tolist() == list(range(20))


def test_a_sample_of_the_softmax_learns_the_same_rule() -> None:
    model = SequenceRecommender(SPACE, SPACE.vectors, replace(SMALL, softmax_items=8), epochs=SMALL.epochs)
    model.fit(LOG)
    assert hit_rate(model.scores([sample.history for sample in NEW], EVERY), NEW) > 0.8


def test_learned_item_vectors_are_an_option() -> None:
    model = SequenceRecommender(SPACE, SPACE.vectors, replace(SMALL, ids=True), epochs=6)
    model.fit(LOG)
    histories = [sample.history for sample in NEW[:4]]
    assert np.isfinite(model.scores(histories, EVERY)).all()
    assert model.id_items.tolist() == EVERY.tolist()


def test_the_same_seed_gives_the_same_scores() -> None:
    rows = []
    for _ in range(2):
        model = SequenceRecommender(SPACE, SPACE.vectors, replace(SMALL, dropout=0.2, epochs=2), epochs=2)
        model.fit(LOG)
        rows.append(model.scores([NEW[0].history], EVERY))
    np.testing.assert_array_equal(rows[0], rows[1])


def test_errors_say_what_to_do() -> None:
    with pytest.raises(QueryError, match="fit it first"):
        SequenceRecommender(SPACE, SPACE.vectors, SMALL).scores([], EVERY)
    model = SequenceRecommender(SPACE, SPACE.vectors, SMALL)
    model.fit(LOG.where(LOG.items == 0))
    with pytest.raises(QueryError, match="events on at least two items"):
        model.learn()
    with pytest.raises(QueryError, match="width 10 is not a multiple of heads 4"):
        SequenceSettings(width=10, heads=4)
    with pytest.raises(QueryError, match=r"dropout 1.5 of a sequence model is out of range; give 0 to 0\.9"):
        SequenceSettings(dropout=1.5)
