"""Rankings by moments and by clips equal a comparison with every row, and hidden moments are found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import firstsight
from firstsight import Query
from firstsight.encoders.base import Vector, unit
from firstsight.errors import QueryError
from firstsight.retrieval.query import PartChoice
from firstsight.retrieval.ranking.clip_identification import nearest_place
from firstsight.retrieval.ranking.clip_ranking import clip_similarity
from firstsight.retrieval.ranking.relevance import ITEM_SHARE, RandomPairCosines, RelevanceCalibration
from tests.duplicates.video_codes import noisy, scenes
from tests.retrieval.synthetic_items import SyntheticEncoder, SyntheticItems


@pytest.fixture(scope="module")
def items_db(tmp_path_factory: pytest.TempPathFactory) -> SyntheticItems:
    """Items of which every third has no frame, as a product has none."""
    items_db = SyntheticItems(tmp_path_factory.mktemp("moments") / "db")
    store = items_db.store
    without = [item_id for n, item_id in enumerate(items_db.items) if n % 3 == 0]
    with store.writing():
        store.delete_views([f"{item_id}#frame-3" for item_id in without])
    for item_id in without:
        items_db.views[item_id] = [view for view in items_db.views[item_id] if view[0] != "frame"]
    return items_db


def _standardised(cosine: float, background: RandomPairCosines) -> float:
    assert background.middle is not None
    assert background.width is not None
    return (cosine - background.middle) / background.width


def _expected_by_moment(items_db: SyntheticItems, text: str, minus: Sequence[str] = ()) -> list[str]:
    query = SyntheticEncoder().encode_texts([text])[0]
    calibration = RelevanceCalibration.sample(items_db.store)
    item, frame, moment = (calibration.background("words", part) for part in ("item", "frame", "moment"))

    def value(item_id: str, vector: Vector) -> float:
        fused = _standardised(float(items_db.items[item_id] @ vector), item)
        frames = [float(view @ vector) for part, view in items_db.views[item_id] if part == "frame"]
        if not frames:
            return fused
        return _standardised(ITEM_SHARE * fused + (1 - ITEM_SHARE) * _standardised(max(frames), frame), moment)

    def penalty(item_id: str, avoided: str) -> float:
        """In standard deviations: half of the cosine that an item without frames has with the same value."""
        vector, zero = SyntheticEncoder().encode_texts([avoided])[0], _standardised(0.0, item)
        return 0.5 * max(0.0, min(value(item_id, vector), _standardised(1.0, item)) - zero)

    values = {i: value(i, query) - max((penalty(i, term) for term in minus), default=0.0) for i in items_db.items}
    return sorted(values, key=lambda item_id: -values[item_id])


@pytest.mark.parametrize("where", [None, "price < 10", "rare"])
def test_a_ranking_by_moments_equals_a_comparison_with_every_row(items_db: SyntheticItems, where: str | None) -> None:
    expected = _expected_by_moment(items_db, "a query")
    if where is not None:
        rows = items_db.rows
        expected = [i for i in expected if (rows[i]["price"] < 10 if "price" in where else rows[i]["rare"])]
    found = items_db.db.search("a query", mode="vector", where=where, k=40)
    assert [result.item_id for result in found] == expected[:40]


def test_what_is_avoided_counts_by_moments_too(items_db: SyntheticItems) -> None:
    minus = ["another", "and that"]
    found = items_db.db.search(Query("a query", mode="vector", minus=minus, k=40))
    assert [result.item_id for result in found] == _expected_by_moment(items_db, "a query", minus)[:40]


@pytest.mark.parametrize("part", ["moment", "frame", "any", "clip"])
def test_one_frame_like_what_is_avoided_lowers_a_video(tmp_path: Path, part: PartChoice) -> None:
    """One of twenty frames, so the fused vector hardly knows it; the other frames suit the query."""
    other = SyntheticItems(tmp_path / "db", 400)
    query, avoided = SyntheticEncoder().encode_texts(["a query", "avoid this"])
    rng = np.random.default_rng(7)
    frames = unit(query + 0.1 * rng.normal(size=(20, 16)))
    with other.store.writing():
        for name, last in (("shows it", avoided), ("does not", frames[-1])):
            vectors = unit(np.concatenate([frames[:-1], last[None]]))
            row = other.rows["i00000"] | {"item_id": name, "vector": unit(vectors.mean(axis=0))}
            other.store.write_items([row | {"indexed_at": datetime.now(UTC)}])
            views = [
                {"view_id": f"{name}#frame-{n}", "item_id": name, "part": "frame", "uri": f"{name}.mp4"}
                | {"time_s": float(n), "vector": vector}
                for n, vector in enumerate(vectors)
            ]
            other.store.write_views(views, replaced=[])
        other.store.write_views([views[0] | {"view_id": "i00001#frame-9", "item_id": "i00001"}], replaced=[])
    parts: dict[str, Any] = {"items": ["i00001"]} if part == "clip" else {"text": "a query", "mode": "vector"}
    plain, lowered = (
        [r.item_id for r in other.db.search(Query(part=part, minus=minus, minus_weight=1.0, k=402, **parts))]
        for minus in ([], ["avoid this"])
    )
    falls = {name: lowered.index(name) - plain.index(name) for name in ("shows it", "does not")}
    assert falls["shows it"] > falls["does not"] + 3


def test_items_without_frames_keep_their_order(items_db: SyntheticItems) -> None:
    plain = items_db.db.search("a query", mode="vector", part="item", k=2_000)
    moments = items_db.db.search("a query", mode="vector", k=2_000)
    framed = {item_id for item_id, views in items_db.views.items() if any(part == "frame" for part, _ in views)}
    order = [[result.item_id for result in results if result.item_id not in framed] for results in (plain, moments)]
    assert order[0] == order[1]
    relevance = [{result.item_id: result.relevance for result in results} for results in (plain, moments)]
    assert all(relevance[0][i] == pytest.approx(relevance[1][i]) for i in order[0])


def test_minus_terms_and_pages_hold_for_moments(items_db: SyntheticItems) -> None:
    settings: dict[str, Any] = {"mode": "vector", "minus": ["another"]}
    first = items_db.db.search(Query("a query", k=20, **settings))
    second = items_db.db.search(Query("a query", k=20, offset=20, snapshot=first.snapshot, **settings))
    both = items_db.db.search(Query("a query", k=40, **settings))
    assert [r.item_id for r in (*first, *second)] == [r.item_id for r in both]
    assert [r.item_id for r in first] != [r.item_id for r in items_db.db.search("a query", mode="vector", k=20)]


def test_thresholds_end_a_ranking_by_moments(items_db: SyntheticItems) -> None:
    every = items_db.db.search("a query", mode="vector", k=2_000)
    kept = items_db.db.search("a query", mode="vector", k=2_000, min_relevance=0.4)
    assert [r.item_id for r in kept] == [r.item_id for r in every if r.relevance >= 0.4]
    assert len(kept) < len(every)


def test_every_result_with_a_frame_names_it(items_db: SyntheticItems) -> None:
    for result in items_db.db.search("a query", k=30):
        framed = any(part == "frame" for part, _ in items_db.views[result.item_id])
        assert result.view is not None
        assert (result.view.part == "frame") == framed


def test_a_short_moment_is_found_beside_titles_that_say_otherwise(items_db: SyntheticItems, tmp_path: Path) -> None:
    """The right frame is one of twenty, so the fused vector hardly knows it."""
    other = SyntheticItems(tmp_path / "db", 400)
    query = SyntheticEncoder().encode_texts(["the moment"])[0]
    rng = np.random.default_rng(5)
    frames = unit(np.concatenate([rng.normal(size=(19, 16)), 3 * query[None] + 0.4 * rng.normal(size=(1, 16))]))
    fused = unit(frames.mean(axis=0) + unit(rng.normal(size=16)))
    row = other.rows["i00000"] | {"item_id": "long", "title": "something else", "vector": fused}
    with other.store.writing():
        other.store.write_views(
            [
                {"view_id": f"long#frame-{n}", "item_id": "long", "part": "frame", "uri": "long.mp4", "time_s": 5.0 * n}
                | {"vector": vector}
                for n, vector in enumerate(frames)
            ],
            replaced=[],
        )
        other.store.write_items([row | {"indexed_at": datetime.now(UTC)}])
    before = [r.item_id for r in other.db.search("the moment", mode="vector", part="item", k=401)]
    now = other.db.search("the moment", mode="vector", k=401)
    ranks = before.index("long"), [r.item_id for r in now].index("long")
    assert ranks[1] < ranks[0] / 4
    view = now[ranks[1]].view
    assert view is not None
    assert view.time_s == 95.0


def test_a_clip_equals_a_comparison_with_every_row(items_db: SyntheticItems) -> None:
    """Two example items with frames are a clip of two frames."""
    examples = ["i00001", "i00002"]
    clip = np.array([v for i in examples for part, v in items_db.views[i] if part == "frame"], dtype=np.float32)
    values = {
        item_id: clip_similarity(clip, np.array([v for part, v in views if part != "title"], dtype=np.float32))
        for item_id, views in items_db.views.items()
        if item_id not in examples
    }
    expected = sorted(values, key=lambda item_id: -values[item_id])[:30]
    found = items_db.db.search(Query(items=examples, k=30))
    assert [result.item_id for result in found] == expected
    assert found[0].score == pytest.approx(values[expected[0]], abs=1e-5)


def test_part_clip_takes_videos_and_items_alone(items_db: SyntheticItems) -> None:
    with pytest.raises(QueryError, match="part clip compares frames with frames; give videos or items, and nothing"):
        items_db.db.search("a query", part="clip", mode="vector")
    # an item without frames has pictures
    assert len(items_db.db.search(item="i00000", part="clip", k=5)) == 5


def test_copies_are_no_random_pairs(tmp_path: Path) -> None:
    """Most items are copies of one picture; a frame that is equal to them stays relevant."""
    items_db = SyntheticItems(tmp_path / "db", 100)
    rng = np.random.default_rng(1)
    vectors, code = unit(items_db.centres[0] + 0.1 * rng.normal(size=(300, 16))), rng.bytes(32)
    views = [
        {"view_id": f"c{n}#frame-0-0", "item_id": f"c{n}", "part": "frame", "uri": "c.mp4", "time_s": 0.0}
        | {"vector": vector, "fingerprint": code}
        for n, vector in enumerate(vectors)
    ]
    rows = [
        items_db.rows["i00000"] | {"item_id": f"c{n}", "vector": v, "indexed_at": datetime.now(UTC)}
        for n, v in enumerate(vectors)
    ]
    with items_db.store.writing():
        items_db.store.write_views(views, replaced=[])
        items_db.store.write_items(rows)
    cosine = float(vectors[0] @ vectors[1])
    background = RelevanceCalibration.sample(items_db.store).background("pictures", "frame")
    with items_db.store.writing():
        for view in views:
            view["fingerprint"] = None
        items_db.store.write_views(views, replaced=[])
    mixed = RelevanceCalibration.sample(items_db.store).background("pictures", "frame")
    assert background.relevance(cosine) > 0.3 > mixed.relevance(cosine)


def test_a_clip_is_placed_where_its_codes_are_nearest() -> None:
    rng = np.random.default_rng(2)
    video = rng.integers(0, 256, (40, 32), dtype=np.uint8)
    found = nearest_place(video[10:16] ^ np.uint8(1), video)
    assert found is not None
    offset_s, distance, share = found
    assert offset_s == pytest.approx(5.0, abs=0.1)
    assert (distance, share) == (32.0, 1.0)
    assert nearest_place(rng.integers(0, 256, (6, 32), dtype=np.uint8), video) is None
    assert nearest_place(video[:0], video) is None


def test_dense_codes_place_a_clip_between_two_stored_codes() -> None:
    moving = scenes([3, 5, 2, 6, 4], rate=40)
    found = nearest_place(noisy(moving[40 * 6 + 13 : 40 * 9 + 13 : 5], 12), moving[::20], 8)
    assert found is not None
    assert found[0] == pytest.approx(6 + 13 / 40, abs=0.15)


def test_of_places_that_fit_equally_the_middle_is_given() -> None:
    """The change of two stills lies anywhere between two stored codes."""
    first, second = np.random.default_rng(3).integers(0, 256, (2, 1, 32), dtype=np.uint8)
    stored = np.concatenate([first.repeat(10, 0), second.repeat(10, 0)])  # changes after 4.5 s, at 5 s at the latest
    found = nearest_place(np.concatenate([first.repeat(8, 0), second.repeat(16, 0)]), stored, 8)
    assert found is not None
    assert found[0] == pytest.approx(3.75, abs=0.1)


def test_expired_items_are_left_out_unless_asked(tmp_path: Path) -> None:
    items_db = SyntheticItems(tmp_path / "db", 60)
    now = datetime.now(UTC)
    times = {"i00003": now - timedelta(hours=1), "i00004": now + timedelta(hours=1)}
    with items_db.store.writing():
        items_db.store.write_items(
            [items_db.rows[i] | {"expires_at": time, "indexed_at": now, "kind": "live"} for i, time in times.items()]
        )
    cases: list[dict[str, Any]] = [{"mode": "vector"}, {"mode": "words"}, {"where": "price >= 0"}, {"part": "frame"}]
    for settings in cases:
        text = "thing" if settings.get("mode") == "words" else "a query"
        shown = {result.item_id for result in items_db.db.search(Query(text, k=60, **settings))}
        assert "i00003" not in shown
        assert {"i00004", "i00005"} <= shown
        asked = items_db.db.search(Query(text, k=60, include_expired=True, **settings))
        assert len(asked) == 60


def test_the_best_moment_of_a_real_catalogue_is_named(sample_db: Path) -> None:
    db = firstsight.open(sample_db)
    results = db.search("a cat", kinds=["video"], k=3)
    assert results[0].item_id == "video-cat"
    assert all(result.view is not None and result.view.time_s is not None for result in results)
