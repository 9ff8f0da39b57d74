"""Slates of a real database follow the searches in its log once a sequence model is fitted."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import firstsight
from firstsight.recommend.sequence.sequence_settings import SequenceSettings
from tests.recommend.slates.test_recommending import FRUIT, MUSIC

SETTINGS = SequenceSettings(
    layers=1, width=16, heads=2, events=8, dropout=0.0, content_dropout=0.0, batch=64, epochs=15, learning_rate=1e-2
)
SAME = ("hiking-boot", "sneakers-sky")


def make_log() -> list[dict[str, str]]:
    """Everybody begins with the same two items; what they click next is of the kind that they searched for."""
    start, rows = datetime.now(UTC) - timedelta(days=3), []
    for n in range(60):
        query, clicked = (("a guitar", sorted(MUSIC)), ("fresh fruit", sorted(FRUIT)))[n % 2]
        events = [*({"item_id": item} for item in SAME), {"query": query}]
        events += [{"item_id": clicked[(n + step) % len(clicked)]} for step in range(3)]
        rows += [
            {"user_id": f"u{n}", "timestamp": (start + timedelta(minutes=10 * n + place)).isoformat(), **event}
            for place, event in enumerate(events)
        ]
    for user, query in (("player", "a guitar"), ("eater", "fresh fruit")):
        now = datetime.now(UTC) - timedelta(hours=1)
        events = [*({"item_id": item} for item in SAME), {"query": query}]
        rows += [
            {"user_id": user, "timestamp": (now + timedelta(minutes=place)).isoformat(), **event}
            for place, event in enumerate(events)
        ]
    return rows


@pytest.mark.slow
def test_users_with_the_same_items_and_other_searches_get_other_slates(sample_db: Path, tmp_path: Path) -> None:
    path = shutil.copytree(sample_db, tmp_path / "db")

    def slates() -> tuple[firstsight.Slate, firstsight.Slate]:
        with firstsight.open(path) as db:  # an open database looks for new models once a minute
            return db.recommend("player", k=6, explore=0.0), db.recommend("eater", k=6, explore=0.0)

    with firstsight.open(path) as db:
        assert db.events.add(make_log()).searches == 62
    player, eater = slates()
    assert [one.item_id for one in player] == [one.item_id for one in eater]
    assert {one.kind for one in player.interests} <= {"recent", "lasting", "long_tail"}
    with firstsight.open(path) as db:
        version = db.sequence.fit(settings=SETTINGS, use=True)
    assert version.figures["searches"] == 62
    player, eater = slates()
    assert player.versions["sequence"] == version.version
    assert {"short_term", "long_term"} <= {interest.kind for interest in player.interests}
    assert sum(interest.share for interest in player.interests) == pytest.approx(1)
    assert "sequence" in player[0].terms
    for group, wanting, other in ((MUSIC, player, eater), (FRUIT, eater, player)):
        assert sum(one.item_id in group for one in wanting) > sum(one.item_id in group for one in other)
