"""Caps and floors: they hold exactly, together with quotas, copies, products and exploration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstsight.errors import QueryError
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.semantic_ids.clusters import Clusters
from firstsight.recommend.slates.rules.group_limits import GroupLimit, GroupRules, read_floors
from firstsight.recommend.slates.rules.slate_products import SlateProducts
from firstsight.recommend.slates.rules.slate_settings import SlateSettings
from firstsight.recommend.slates.slate_maker import SlateMaker

NOW = 1_790_000_000_000_000
N, SELLERS = 160, 5
SELLER = np.array([0] * 50 + [1] * 40 + [2] * 26 + [3] * 23 + [4] * 21)
NAMES = np.array(["s0", "s1", "s2", "s3", "s4"], dtype=object)
MORE_LIMITS = {"new": 0.2}


def sellers(seed: int = 0) -> SlateMaker:
    """Items of five sellers of unequal size, of two kinds, half of them with events; some are near-duplicates."""
    rng = np.random.default_rng(seed)
    vectors = np.repeat(rng.normal(size=(16, 16)), 10, axis=0) + 0.7 * rng.normal(size=(N, 16))
    vectors[::9] = vectors[1::9][: len(vectors[::9])]  # near-duplicates
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    kinds = np.array(["product", "video"], dtype=object)[rng.integers(0, 2, N)]
    space = ItemSpace.of([f"i{n:03}" for n in range(N)], vectors.astype(np.float32), kinds=kinds)
    users = np.repeat([f"u{n}" for n in range(30)], 4).astype(object)
    known = Interactions.of(space, users, rng.integers(0, N // 2, 120) * 2, np.arange(120))
    return SlateMaker(space, known, clusters=Clusters(space, (np.arange(N) // 10).astype(np.int32)))


MAKER = sellers()
SHUFFLED = np.random.default_rng(5).permutation(SELLER)
PRODUCTS = SlateProducts(np.where(np.arange(N) % 3 == 0, np.arange(N) // 6, -1), np.ones(N, dtype=np.int64))


def rules_of(slate_settings: SlateSettings) -> GroupRules | None:
    is_new = MAKER.recommender.counts == 0
    return GroupRules.of(*slate_settings.group_limits(), column=lambda name: (SHUFFLED, NAMES), is_new=is_new)


limits = st.dictionaries(st.sampled_from([f"seller={name}" for name in NAMES]), st.integers(0, 3), max_size=4)


@given(
    floors=limits,
    cap=st.none() | st.integers(3, 6),
    new=st.integers(0, 4),
    quotas=st.dictionaries(st.sampled_from(["product", "video"]), st.integers(0, 5), max_size=1),
    explore=st.sampled_from([0.0, 0.2, 1.0]),
    diversity=st.sampled_from([0.0, 0.4]),
    by_product=st.booleans(),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=120, deadline=None)
def test_floors_caps_and_quotas_hold_in_random_slates(
    floors: dict[str, int],
    cap: int | None,
    new: int,
    quotas: dict[str, int],
    explore: float,
    diversity: float,
    by_product: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    slate_settings = SlateSettings(
        k=12,
        floors={**floors, "new": new},
        caps={} if cap is None else {"seller": cap},
        quotas=quotas,
        explore=explore,
        diversity=diversity,
    )
    history = History.of(rng.integers(0, N, int(rng.integers(0, 12))))
    products = PRODUCTS if by_product else None
    groups = rules_of(slate_settings)
    policy = MAKER.policy(history, slate_settings, now_us=NOW, groups=groups, products=products)
    places = np.array([slot.place for slot in policy.draw(rng)])
    assert len(set(places.tolist())) == 12
    assert policy.ranked.missing == {}  # there are enough items of every group
    for group, slots in floors.items():
        assert (NAMES[SHUFFLED[places]] == group.removeprefix("seller=")).sum() >= slots
    assert (MAKER.recommender.counts[places] == 0).sum() >= new
    if cap is not None:
        assert np.bincount(SHUFFLED[places]).max() <= cap
    for kind, quota in quotas.items():
        assert (MAKER.space.kinds[places] == kind).sum() == quota
    if by_product:
        codes = PRODUCTS.codes[places]
        assert len(set(codes[codes >= 0].tolist())) == (codes >= 0).sum()
    cosines = MAKER.space.vectors[places] @ MAKER.space.vectors[places].T
    assert np.triu(cosines, 1).max() < slate_settings.near_duplicate


def test_a_floor_takes_the_best_items_of_its_group_and_leaves_the_others_in_order() -> None:
    history = History.of(np.arange(8))
    plain = SlateSettings(k=12, explore=0.0)
    before = [slot.place for slot in MAKER.policy(history, plain, now_us=NOW).ranked.slots]
    own = [place for place in before if SHUFFLED[place] == 4]
    floored = replace(plain, floors={"seller=s4": len(own) + 2})
    policy = MAKER.policy(history, floored, now_us=NOW, groups=rules_of(floored))
    after = [slot.place for slot in policy.ranked.slots]
    added = [place for place in after if SHUFFLED[place] == 4]
    assert len(added) == len(own) + 2
    assert set(own) <= set(added)
    assert after[:8] == before[:8]  # only the last slots change


def test_a_group_with_too_few_items_is_reported() -> None:
    short = SlateSettings(k=40, explore=0.0, floors={"seller=s4": 25, "seller=nobody": 1})
    policy = MAKER.policy(History.of(np.zeros(0, dtype=np.int64)), short, now_us=NOW, groups=rules_of(short))
    found = sum(SHUFFLED[slot.place] == 4 for slot in policy.ranked.slots)
    assert len(policy.ranked.slots) == 40
    assert 15 < found <= 21  # without near-duplicates
    assert policy.ranked.missing == {"seller=s4": 25 - found, "seller=nobody": 1}


def test_a_set_that_choosing_one_by_one_misses_is_found() -> None:
    # the best item of s4 is a near-duplicate of the only item of s3
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(30, 16))
    seller = np.array([0] * 27 + [3, 4, 4])
    vectors[28] = vectors[27]
    history = History.of(np.array([0]))
    vectors[27:29] = vectors[0] + 0.5 * vectors[27]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    space = ItemSpace.of([f"i{n:02}" for n in range(30)], vectors.astype(np.float32))
    maker = SlateMaker(space)
    for minimum in ((1, 1), (1, 2)):
        floors = tuple((f"s{n}", seller == n, slots) for n, slots in zip((3, 4), minimum, strict=True))
        plain = SlateSettings(k=5, explore=0.0)
        ranked = maker.policy(history, plain, now_us=NOW, groups=GroupRules(floors=floors)).ranked
        assert sum(ranked.missing.values()) == sum(minimum) - 2
        assert len(ranked.slots) == 5


def test_shares_of_floors_are_rounded_up_and_of_caps_down() -> None:
    assert read_floors({"new": 0.21, "seller=a=b": 2}, 10) == (GroupLimit("new", 3), GroupLimit("seller=a=b", 2))
    assert GroupLimit("seller=a=b", 2).value == "a=b"
    assert SlateSettings(k=10, caps={"seller": 0.29}).group_limits()[1] == (GroupLimit("seller", 2),)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"floors": {"seller": 1}}, "'seller' is no group for a floor"),
        ({"floors": {"seller=": 1}}, "no group for a floor"),
        ({"floors": {"seller=a": 21}}, "more than the 20 slots"),
        ({"floors": {"seller=a": 11, "seller=b": 10}}, "floors of seller need 21 slots"),
        ({"floors": {"seller=a": -1}}, "floor of -1"),
        ({"floors": {"new": float("nan")}}, "floor of nan"),
        ({"floors": {"new": 2.5}}, "floor of 2.5"),
        ({"floors": {"seller=a": 3}, "caps": {"seller": 2}}, "above its cap of 2"),
        ({"floors": {"new": 3}, "caps": {"new": 0.1}}, "above its cap of 2"),
        ({"caps": {"": 3}}, "no group for a cap"),
        ({"caps": {"seller": 0}}, "allows no items"),
    ],
)
def test_limits_that_cannot_hold_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        SlateSettings(**wrong)  # type: ignore[arg-type]
