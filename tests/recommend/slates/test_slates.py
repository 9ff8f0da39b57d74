"""Slates: interests, old and new ones, quotas, caps and exploration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.recommend.events.interactions import DAY_US, History, Interactions
from firstsight.recommend.items import ItemSpace, Places
from firstsight.recommend.models.blend import Blend
from firstsight.recommend.models.blend_scoring import BlendSettings
from firstsight.recommend.models.collaborative import Factors, gram_of
from firstsight.recommend.ranking.item_content import ItemContent
from firstsight.recommend.ranking.unfitted_ranking import unfitted_ranking
from firstsight.recommend.semantic_ids.clusters import Clusters
from firstsight.recommend.slates.exploration import ExplorationOutcomes
from firstsight.recommend.slates.interests.interests import InterestSettings
from firstsight.recommend.slates.rules.group_limits import GroupRules
from firstsight.recommend.slates.rules.slate_settings import SlateSettings
from firstsight.recommend.slates.slate_composer import Slot, spread
from firstsight.recommend.slates.slate_maker import SlateMaker

NOW = 1_790_000_000_000_000
TOPICS, EACH, DIM = 30, 60, 48


def topic_space(**columns: NDArray[np.generic]) -> ItemSpace:
    """Thirty topics of sixty items, the topic of item n being n // 60."""
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(TOPICS, DIM))
    vectors = np.repeat(centres, EACH, axis=0) + 0.6 * rng.normal(size=(TOPICS * EACH, DIM))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return ItemSpace.of([f"i{n:04}" for n in range(TOPICS * EACH)], vectors.astype(np.float32), **columns)


def topic(places: Places | int) -> NDArray[np.int64]:
    return np.asarray(places) // EACH


def clusters_of(space: ItemSpace) -> Clusters:
    return Clusters(space, topic(np.arange(len(space))).astype(np.int32))


def events_on(topics: list[int], days_ago: list[float]) -> History:
    """Events on other items of each topic at a number of days before now, oldest first."""
    places = [t * EACH + n % EACH for n, t in enumerate(topics)]
    order = np.argsort(-np.array(days_ago), kind="stable")
    times = NOW - (np.array(days_ago) * DAY_US).astype(np.int64)
    return History.of(np.array(places)[order], times[order])


def places_of(slots: list[Slot]) -> Places:
    return np.array([slot.place for slot in slots], dtype=np.int64)


PLAIN = SlateSettings(explore=0.0)


@pytest.fixture(scope="module")
def space() -> ItemSpace:
    return topic_space()


@pytest.fixture(scope="module")
def maker(space: ItemSpace) -> SlateMaker:
    return SlateMaker(space, clusters=clusters_of(space))


def make(maker: SlateMaker, history: History, slate_settings: SlateSettings = PLAIN, seed: int = 0) -> list[Slot]:
    return maker.slate(history, slate_settings, now_us=NOW, rng=np.random.default_rng(seed))[0]


def test_lasting_interests_are_the_topics_of_a_history_in_proportion(maker: SlateMaker) -> None:
    history = events_on([3] * 12 + [7] * 6 + [9] * 2, [5.0] * 20)
    lasting = [one for one in maker.rank(history, NOW).interests if one.kind == "lasting"]
    assert [int(topic(one.medoid)) for one in lasting] == [3, 7, 9]
    assert all((topic(one.members) == topic(one.medoid)).all() for one in lasting)
    shares = np.array([one.share for one in lasting])
    assert shares / shares.sum() == pytest.approx([0.6, 0.3, 0.1], abs=0.01)


def test_shares_of_interests_sum_to_one(maker: SlateMaker) -> None:
    history = events_on([3] * 5 + [7] * 5 + [9] * 20, [200.0] * 5 + [100.0] * 5 + [1.0] * 20)
    interests = maker.rank(history, NOW).interests
    assert {one.kind for one in interests} == {"recent", "lasting", "long_tail"}
    assert sum(one.share for one in interests) == pytest.approx(1)


def test_an_old_interest_comes_back_and_a_recency_only_model_misses_it(space: ItemSpace, maker: SlateMaker) -> None:
    recent = [4, 5, 6, 8] * 15
    history = events_on([20] * 4 + recent, [120.0, 110.0, 100.0, 95.0] + [n / 3 for n in range(60)])
    brought = [slot for slot in make(maker, history) if topic(slot.place) == 20]
    assert brought
    assert {slot.source for slot in brought} == {"long_tail"}
    assert {int(topic(slot.because)) for slot in brought} == {20}
    # without lasting and long-tail interests it is missed
    short = SlateMaker(space, interest_settings=InterestSettings(max_lasting=0))
    assert 20 not in topic(places_of(make(short, history, replace(PLAIN, k=100))))


def test_the_top_ten_follows_a_switch_of_interest_within_three_events(maker: SlateMaker) -> None:
    before = events_on([4, 5] * 30, [1 + n / 10 for n in range(60)])
    assert 25 not in topic(places_of(make(maker, before)[:10]))
    after = events_on([4, 5] * 30 + [25] * 3, [1 + n / 10 for n in range(60)] + [0.002, 0.001, 0.0])
    assert (topic(places_of(make(maker, after)[:10])) == 25).sum() >= 6


def test_a_slate_names_what_brought_each_item(space: ItemSpace, maker: SlateMaker) -> None:
    history = events_on([3] * 10, [float(n) for n in range(10)])
    for slot in make(maker, history):
        assert slot.because in history.items
        assert slot.source in {"recent", "lasting"}
        assert topic(slot.place) == 3


def test_what_the_user_knows_is_not_shown_unless_it_may_repeat(maker: SlateMaker) -> None:
    history = events_on([3] * 40, [float(n) for n in range(40)])
    assert not set(places_of(make(maker, history, replace(PLAIN, k=50)))) & set(history.items.tolist())
    again = make(maker, history, replace(PLAIN, k=50, repeat_after_days=20.0))
    repeated = set(places_of(again)) & set(history.items.tolist())
    assert repeated
    assert repeated <= set(history.before(NOW - 20 * DAY_US).items.tolist()) | {int(history.items[19])}


def test_popularity_decides_for_a_new_user_and_fades_out(space: ItemSpace) -> None:
    rng = np.random.default_rng(3)
    hits = rng.permutation(len(space))[:20]
    users = np.repeat([f"u{n}" for n in range(200)], 10).astype(object)
    items = np.concatenate([rng.permutation(hits)[:10] for _ in range(200)])
    maker = SlateMaker(space, Interactions.of(space, users, items, np.arange(2000)))
    nobody = make(maker, History.of(np.zeros(0, dtype=np.int64)))
    assert set(places_of(nobody)) == set(hits.tolist())
    assert {slot.source for slot in nobody} == {"popular"}
    popular = [
        np.isin(places_of(make(maker, events_on([3] * k, [float(n) for n in range(k)]))), hits).sum()
        for k in (1, 5, 30)
    ]
    assert popular[0] >= 15
    assert popular[0] > popular[1] > popular[2]


def test_neighbours_bring_what_users_alike_chose(space: ItemSpace) -> None:
    # half of the users choose topics 2 and 28 together, although their content differs
    rng = np.random.default_rng(4)
    pairs = [(f"u{n}", t * EACH + int(rng.integers(EACH))) for n in range(300) for t in (2, 2, 2, 28, 28, 28)]
    pairs += [(f"v{n}", int(rng.integers(len(space)))) for n in range(300) for _ in range(6)]
    users, items = np.array([u for u, _ in pairs], dtype=object), np.array([i for _, i in pairs])
    maker = SlateMaker(space, Interactions.of(space, users, items, np.arange(len(items))))
    shown = topic(places_of(make(maker, events_on([2] * 10, [float(n) for n in range(10)]), replace(PLAIN, k=30))))
    assert (shown == 28).sum() >= 5


def test_a_model_brings_items_without_events_that_content_would_not(space: ItemSpace) -> None:
    rng = np.random.default_rng(8)
    users = np.repeat([f"u{n}" for n in range(40)], 5).astype(object)
    known = Interactions.of(space, users, rng.integers(0, 20 * EACH, 200), np.arange(200))
    history = events_on([3] * 20, [float(n) for n in range(20)])
    slate_settings = replace(PLAIN, k=60)
    # users of topic 3 like topic 25, where nothing has events yet
    taste = np.zeros((len(space), 2), dtype=np.float32)
    taste[topic(np.arange(len(space))) == 3, 0] = 1
    taste[topic(np.arange(len(space))) == 25, 0] = 3
    taste[topic(np.arange(len(space))) == 7, 1] = 1
    factors = Factors(taste, gram_of(taste), np.array([0.1, 0.1]), 10.0)
    ranking = unfitted_ranking(ItemContent(space), known, blend=Blend(settings=BlendSettings(), factors=factors))
    with_model = topic(places_of(make(SlateMaker(space, known, ranking=ranking), history, slate_settings)))
    without = topic(places_of(make(SlateMaker(space, known), history, slate_settings)))
    assert (with_model == 25).sum() >= 3
    assert 25 not in without


def test_terms_add_up_to_the_relevance_of_an_item(space: ItemSpace) -> None:
    rng = np.random.default_rng(9)
    users = np.repeat([f"u{n}" for n in range(40)], 5).astype(object)
    maker = SlateMaker(space, Interactions.of(space, users, rng.integers(0, len(space), 200), np.arange(200)))
    ranking = maker.rank(events_on([3] * 5, [1.0] * 5), NOW)
    best = int(np.argmax(ranking.relevance))
    terms = ranking.explain(best)
    assert sum(terms.values()) == pytest.approx(float(ranking.relevance[best]), abs=1e-4)
    assert ranking.popularity[best] + ranking.personal[best] == pytest.approx(ranking.relevance[best], abs=1e-4)
    assert {"greatest cosine", "neighbours", "popularity"} <= terms.keys()


def test_ended_and_blocked_items_are_never_shown() -> None:
    n = TOPICS * EACH
    rng = np.random.default_rng(5)
    ended, blocked, later = rng.random((3, n)) < 0.3
    space = topic_space(expires=np.where(ended, NOW, NOW + 1), starts=np.where(later, NOW + 1, NOW), blocked=blocked)
    maker = SlateMaker(space, clusters=clusters_of(space))
    shown = places_of(make(maker, events_on([3] * 10, [1.0] * 10), SlateSettings(k=200, explore=0.3)))
    assert len(shown) == 200
    assert not (ended | blocked | later)[shown].any()


def three_kinds() -> ItemSpace:
    return topic_space(kinds=np.array(["product", "video", "live"], dtype=object)[np.arange(TOPICS * EACH) % 3])


@settings(max_examples=30, deadline=None)
@given(
    quotas=st.dictionaries(st.sampled_from(["product", "video", "live"]), st.integers(0, 6), max_size=3),
    explore=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    merge=st.sampled_from(["score", "rank"]),
    seed=st.integers(0, 1000),
)
def test_quotas_hold_exactly(quotas: dict[str, int], explore: float, merge: str, seed: int) -> None:
    space, maker = KINDS_MAKER
    slate_settings = SlateSettings(k=18, quotas=quotas, explore=explore, merge=merge)  # type: ignore[arg-type]
    shown = places_of(make(maker, events_on([3, 4, 5] * 4, [1.0] * 12), slate_settings, seed))
    kinds = space.kinds[shown].tolist()
    assert len(set(shown.tolist())) == len(shown)
    assert {kind: kinds.count(kind) for kind in quotas} == dict(quotas)
    assert len(shown) == (18 if len(quotas) < 3 else sum(quotas.values()))


_SPACE = three_kinds()
KINDS_MAKER = (_SPACE, SlateMaker(_SPACE, clusters=clusters_of(_SPACE)))


def test_shares_become_counts_by_largest_remainder() -> None:
    quotas = {"product": 0.5, "video": 0.25, "live": 0.25}
    assert SlateSettings(k=10, quotas=quotas).counts() == {"product": 5, "video": 2, "live": 3}
    assert SlateSettings(k=9, quotas={"live": 0.3}).counts() == {"live": 3}
    assert spread({"live": 1, "video": 2}, 6).count(None) == 3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"k": 0}, "0 slots"),
        ({"explore": 1.5}, "explore is 1.5"),
        ({"explore": float("nan")}, "explore is nan"),
        ({"quotas": {"book": 2}}, "'book'"),
        ({"quotas": {"live": 15, "video": 10}}, "more than the 20 slots"),
        ({"quotas": {"live": -1}}, "-1"),
        ({"quotas": {"live": 2.5}}, "2.5"),
        ({"quotas": {"live": float("nan")}}, "nan"),
        ({"cap": 0}, "cap of 0"),
        ({"near_duplicate": 0.0}, "near_duplicate"),
        ({"repeat_after_days": -1.0}, "repeat_after_days"),
    ],
)
def test_a_setting_out_of_range_is_named(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        SlateSettings(**wrong)  # type: ignore[arg-type]


def test_near_duplicates_collapse_and_caps_hold() -> None:
    space = topic_space()
    vectors = space.vectors.copy()
    vectors[3 * EACH + 30 : 4 * EACH] = vectors[3 * EACH + 30]  # half a topic is one picture
    maker = SlateMaker(replace(space, vectors=vectors))
    history = events_on([3] * 10, [1.0] * 10)
    shown = places_of(make(maker, history, replace(PLAIN, k=40)))
    assert (shown // EACH == 3).sum() == 21  # twenty others, and one of the thirty duplicates
    caps = np.arange(len(space)) % 4
    capped, _ = maker.slate(
        history,
        replace(PLAIN, k=12),
        now_us=NOW,
        rng=np.random.default_rng(0),
        groups=GroupRules(caps=((caps.astype(np.int64), 3),)),
    )
    assert np.bincount(caps[places_of(capped)]).tolist() == [3, 3, 3, 3]


def test_diversity_spreads_a_slate_over_topics(maker: SlateMaker, space: ItemSpace) -> None:
    def likeness(slate_settings: SlateSettings) -> float:
        vectors = space.vectors[places_of(make(maker, events_on([3, 4] * 5, [1.0] * 10), slate_settings))]
        return float((vectors @ vectors.T).mean())

    assert likeness(replace(PLAIN, diversity=0.6)) < likeness(PLAIN) - 0.02


@pytest.mark.slow
def test_exploration_takes_its_share_and_logs_the_probabilities_it_used(space: ItemSpace) -> None:
    maker = SlateMaker(space, clusters=clusters_of(space))
    history = events_on([3, 4] * 5, [1.0] * 10)
    slots = [slot for seed in range(200) for slot in make(maker, history, SlateSettings(k=15, explore=0.1), seed)]
    explored = [slot for slot in slots if slot.explore]
    assert len(explored) / len(slots) == pytest.approx(0.1, abs=0.01)
    assert all(slot.propensity == pytest.approx(0.9) for slot in slots if not slot.explore)
    assert all(0 < slot.propensity <= 0.1 for slot in explored)
    # with weights 1 / propensity, the draws count every open item once if the propensities are right; ten items of each
    # cluster are open
    drawn = [slot for seed in range(600) for slot in make(maker, history, SlateSettings(k=1, explore=1.0), seed)]
    open_clusters = {int(topic(slot.place)) for slot in drawn}
    assert np.mean([1 / slot.propensity for slot in drawn]) == pytest.approx(10 * len(open_clusters), rel=0.05)


def test_clusters_in_which_exploration_paid_are_explored_more(space: ItemSpace) -> None:
    clusters = clusters_of(space)
    known = Interactions.of(
        space, np.array(["u"] * len(space), dtype=object), np.arange(len(space)), np.arange(len(space))
    )  # every item has events, so only neighbouring clusters are open
    near = clusters.nearest[3, :3]
    good, bad = np.zeros(TOPICS, dtype=np.int64), np.zeros(TOPICS, dtype=np.int64)
    good[near[2]], bad[near[:2]] = 50, 50
    outcomes = ExplorationOutcomes(np.zeros(len(space), dtype=np.int64), good, bad)
    maker = SlateMaker(space, known, clusters=clusters, outcomes=outcomes)
    drawn = [
        slot
        for seed in range(30)
        for slot in make(maker, events_on([3] * 10, [1.0] * 10), SlateSettings(k=10, explore=0.3), seed)
        if slot.explore
    ]
    assert {slot.source for slot in drawn} == {"nearby"}
    assert {int(topic(slot.place)) for slot in drawn} == {int(near[2])}


def test_nothing_to_explore_leaves_the_slots_to_the_ranking(space: ItemSpace) -> None:
    clusters = Clusters(space, np.zeros(len(space), dtype=np.int32))
    known = Interactions.of(
        space, np.array(["u"] * len(space), dtype=object), np.arange(len(space)), np.arange(len(space))
    )
    slots = make(
        SlateMaker(space, known, clusters=clusters), events_on([3] * 10, [1.0] * 10), SlateSettings(explore=0.5)
    )
    assert len(slots) == 20
    assert not any(slot.explore for slot in slots)


def test_similar_items_are_of_the_same_topic_and_not_the_item_itself(maker: SlateMaker) -> None:
    found = maker.similar(200, 20, now_us=NOW)
    assert [place for place, _ in found if place == 200] == []
    assert {int(topic(place)) for place, _ in found} == {3}
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


def test_an_item_is_wanted_by_users_of_its_topic(space: ItemSpace) -> None:
    rng = np.random.default_rng(6)
    users = np.repeat([f"u{n:02}" for n in range(TOPICS)], 8).astype(object)
    items = np.concatenate([t * EACH + 1 + rng.permutation(EACH - 1)[:8] for t in range(TOPICS)])
    interactions = Interactions.of(space, users, items, np.arange(len(items)))
    maker = SlateMaker(space, interactions)
    (best, *_) = maker.rank_users(7 * EACH, 5)
    assert interactions.user_ids[best.user] == "u07"
    assert topic(best.because) == 7
    owned = int(interactions.history(7).items[0])
    assert "u07" not in [interactions.user_ids[one.user] for one in maker.rank_users(owned, 30)]


def test_comparing_in_principal_directions_first_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(4000, 128)) * np.arange(1, 129) ** -0.5
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    space = ItemSpace.of([f"i{n:04}" for n in range(4000)], vectors.astype(np.float32))
    history = History.of(rng.permutation(4000)[:40], NOW - np.arange(40)[::-1] * DAY_US)
    exact = places_of(make(SlateMaker(space), history))
    monkeypatch.setattr("firstsight.recommend.slates.interests.interest_ranking.EXACT_ITEMS", 100)
    quick = places_of(make(SlateMaker(space), history))
    assert len(set(exact.tolist()) & set(quick.tolist())) >= 19
