"""Interests of the sequence model beside the clusters of the history."""

from __future__ import annotations

import numpy as np
import pytest

from firstsight.recommend.events.interactions import DAY_US, History, Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.ranking.item_content import ItemContent
from firstsight.recommend.ranking.unfitted_ranking import unfitted_ranking
from firstsight.recommend.semantic_ids.clusters import Clusters
from firstsight.recommend.sequence.sequence_recommender import SequenceRecommender
from firstsight.recommend.slates.interests.interests import Interest, InterestSettings, combine_interests
from firstsight.recommend.slates.rules.slate_settings import SlateSettings
from firstsight.recommend.slates.slate_maker import SlateMaker
from tests.recommend.sequence.ordered_events import SMALL, ordered_log, random_space, successors

SPACE = random_space()
LOG = ordered_log(SPACE)
FOLLOWS = successors(SPACE)
NOW_US = int(LOG.times.max()) + DAY_US


@pytest.fixture(scope="module")
def model() -> SequenceRecommender:
    made = SequenceRecommender(SPACE, SPACE.vectors, SMALL, epochs=25)
    made.fit(LOG)
    made.learn()
    return made


def make_maker(model: SequenceRecommender | None, space: ItemSpace = SPACE, log: Interactions = LOG) -> SlateMaker:
    clusters = Clusters(space, (np.arange(len(space)) // 6).astype(np.int32))
    ranking = unfitted_ranking(ItemContent(space), log, sequence=model)
    return SlateMaker(space, log, clusters=clusters, ranking=ranking, sequence=model)


def test_shares_of_slots_sum_to_one_with_and_without_the_model(model: SequenceRecommender) -> None:
    for history in list(LOG.histories())[:5]:
        own = make_maker(None).rank(history, NOW_US).interests
        joined = make_maker(model).rank(history, NOW_US).interests
        assert sum(one.share for one in joined) == pytest.approx(1)
        assert {one.kind for one in joined} == {one.kind for one in own} | {"short_term", "long_term"}
        assert {one.kind: one.share for one in joined}["recent"] < {one.kind: one.share for one in own}["recent"]
        for one in joined:
            assert one.medoid in history.items


def test_shares_of_the_model_come_from_the_recent_and_the_lasting_share() -> None:
    def interest(kind: str, share: float) -> Interest:
        return Interest(kind, np.ones(1, dtype=np.float32), 0, np.zeros(1, dtype=np.int64), share)  # type: ignore[arg-type]

    settings = InterestSettings()
    sequence = [interest("short_term", settings.short_term_share), interest("long_term", settings.long_term_share)]
    found = combine_interests(
        interest("recent", 1), [interest("lasting", 1)], [interest("long_tail", 0)], settings, sequence
    )
    shares = {one.kind: one.share for one in found}
    expected = {"recent": 0.4, "short_term": 0.2, "lasting": 0.2, "long_term": 0.1, "long_tail": 0.1}
    # the lasting interest is the long-tail one, so its share goes to the others
    del expected["lasting"]
    assert shares == pytest.approx({kind: share / 0.8 for kind, share in expected.items()})


def test_what_follows_the_last_item_is_shown_as_short_term_interest(model: SequenceRecommender) -> None:
    maker = make_maker(model)
    shown = 0
    for start in range(len(SPACE)):
        first = int(start)
        second = int(FOLLOWS[first])
        history = History.of(np.array([first, second]), np.array([NOW_US - 2 * DAY_US, NOW_US - DAY_US]))
        settings = SlateSettings(k=10, explore=0)
        slots, ranking = maker.slate(history, settings, now_us=NOW_US, rng=np.random.default_rng(0))
        slot = next(slot for slot in slots if slot.place == FOLLOWS[second])
        assert slot.because in {first, second, -1}
        short = next(n for n, one in enumerate(ranking.interests) if one.kind == "short_term")
        assert ranking.affinity[short].argmax() == FOLLOWS[second]
        shown += slot.source == "short_term"
    assert shown > len(SPACE) / 2


def test_a_history_without_projected_vectors_has_no_interest_of_the_model() -> None:
    vectors = SPACE.vectors.copy()
    vectors[0] = 0
    space = ItemSpace.of(list(SPACE.item_ids), vectors)
    log = ordered_log(space, 40)
    model = SequenceRecommender(space, vectors, SMALL, epochs=1)
    model.fit(log)
    history = History.of(np.array([0]), np.array([NOW_US - DAY_US]))
    kinds = {one.kind for one in make_maker(model, space, log).rank(history, NOW_US).interests}
    assert not kinds & {"short_term", "long_term"}
