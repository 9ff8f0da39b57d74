"""Blends of content and collaborative scores, and their selection."""

from __future__ import annotations

import numpy as np
import pytest

from firstsight.errors import QueryError
from firstsight.recommend.evaluation.measures import recall
from firstsight.recommend.evaluation.protocols import item_cold
from firstsight.recommend.events.interactions import History
from firstsight.recommend.models import blend_selection
from firstsight.recommend.models.blend import Blend, MaxSimilarity
from firstsight.recommend.models.blend_scoring import BlendSettings, blend_scores, max_cosines, standardise_rows
from firstsight.recommend.models.blend_selection import check_enough_events, choose_settings
from firstsight.recommend.models.text_vectors import WordSpace, content_vectors
from tests.recommend.synthetic_events import clustered_space, make_preference_log

SPACE = clustered_space(120)
LOG = make_preference_log(SPACE, 90)


def test_content_is_the_greatest_cosine_to_the_history() -> None:
    vectors = SPACE.vectors
    found = max_cosines(vectors, [History.of(np.array([3, 5, 3]))], np.array([0, 9]))
    assert found[0, 0] == pytest.approx(max(vectors[3] @ vectors[0], vectors[5] @ vectors[0]), rel=1e-5)
    assert max_cosines(vectors, [History.of(np.empty(0, dtype=np.int64))], np.array([0, 9])).tolist() == [[0, 0]]


def test_scores_are_standardised_over_the_candidates_of_each_user() -> None:
    scores = np.array([[1, 2, 3], [5, 5, 5]], dtype=np.float32)
    made = standardise_rows(scores)
    assert made[0].mean() == pytest.approx(0, abs=1e-6)
    assert made[0].std() == pytest.approx(1)
    assert made[1].tolist() == [0, 0, 0]
    assert blend_scores(scores, -10 * scores, 0.5) == pytest.approx(np.zeros((2, 3)), abs=1e-6)
    assert blend_scores(scores, -10 * scores, 1.0) == pytest.approx(made)


def test_a_blend_finds_cold_items_and_never_does_worse_than_chance_parents() -> None:
    split = item_cold(LOG, seed=2)
    blend, content = Blend(SPACE.vectors), MaxSimilarity(SPACE.vectors)
    with pytest.raises(QueryError, match="fit it"):
        blend.scores(split.histories, split.candidates)
    blend.fit(split.train)
    found = recall(split.rank(blend, 5), split.targets).mean()
    assert found > 0.7  # 5 of 24: chance is 0.21
    assert found >= recall(split.rank(content, 5), split.targets).mean() - 0.02
    assert np.isfinite(blend.scores([History.of(np.empty(0, dtype=np.int64))], split.candidates)).all()


def test_where_content_says_nothing_the_weight_goes_to_neither_blindly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blend_selection, "MAPPINGS", (("knn", 1.0),))
    choice = choose_settings(LOG, SPACE.vectors)
    assert choice.blend >= max(choice.content, choice.collaborative)
    assert choice.blend > 2 * choice.chance or choice.chance > 0.5
    noise = np.random.default_rng(0).normal(size=SPACE.vectors.shape).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    blind = choose_settings(LOG, noise)
    assert blind.blend < choice.blend


def test_given_settings_are_kept() -> None:
    settings = BlendSettings(alpha=2.0, mapping="knn", weight=0.0)
    split = item_cold(LOG, seed=2)
    blend = Blend(SPACE.vectors, settings)
    blend.fit(split.train)
    assert blend.settings is settings
    content = MaxSimilarity(SPACE.vectors)
    assert split.rank(blend, 5).tolist() == split.rank(content, 5).tolist()


def test_too_few_events_are_refused() -> None:
    with pytest.raises(QueryError, match="add more events"):
        check_enough_events(LOG.where(LOG.users < 10))


def test_words_bring_together_what_shares_them() -> None:
    texts = ["Stanley steel staple"] * 5 + ["Bosch drill bit"] * 5 + ["Acme relay switch"] * 5 + ["", "zzz"]
    words = WordSpace.fit(texts)
    made = words.transform([*texts, "stanley STAPLE gun"])
    assert made[-1] @ made[0] > 0.9
    assert abs(made[-1] @ made[5]) < 0.1
    assert not made[15].any()
    assert not made[16].any()
    again = WordSpace(words.words, words.idf, words.components).transform(texts)
    assert again == pytest.approx(made[:-1])


def test_too_few_texts_leave_the_vectors_alone() -> None:
    words = WordSpace.fit(["one", "two"])
    made = words.transform(["one"] * len(SPACE))
    assert made.shape == (len(SPACE), 0)
    assert content_vectors(SPACE, made) is SPACE.vectors


def test_an_item_with_words_alone_still_has_unit_content() -> None:
    words = np.zeros((len(SPACE), 2), dtype=np.float32)
    words[0] = [0, 1]
    space = clustered_space(120)
    space.vectors[0] = 0
    space.vectors[1] = 0
    norms = np.linalg.norm(content_vectors(space, words), axis=1)
    assert norms[[0, 1, 2]] == pytest.approx([1, 0, 1])
