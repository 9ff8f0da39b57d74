"""Proposals of products in videos: made from frames, reviewed by people, kept while the video shows them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.errors import QueryError

CATALOGUE = Path(__file__).parents[2] / "sample_media" / "catalogue.csv"

SHOWN = {
    ("live-band-night", "violin", 3.0),
    ("live-band-night", "trumpet", 5.5),
    ("video-cat", "poster-cat", 0.0),
    ("video-guitar-lesson", "guitar-acoustic", 0.0),
    ("video-kitchen-haul", "espresso-cup", 0.0),
    ("video-kitchen-haul", "electric-kettle", 2.75),
    ("video-kitchen-haul", "grapes", 5.75),
}
"""Products that the sample clips show, with the start of their shot."""


@pytest.fixture
def db(sample_db: Path, tmp_path: Path, starter: Encoder) -> firstsight.Database:
    policy = firstsight.MediaPolicy(allow_anywhere=True)
    return firstsight.open(shutil.copytree(sample_db, tmp_path / "db"), encoder=starter, policy=policy)


def found(entries: tuple[firstsight.TimedProduct, ...]) -> set[tuple[str, str, float]]:
    return {(entry.video_id, entry.product_id, entry.start_s) for entry in entries}


def test_proposals_name_what_the_sample_clips_show_and_nothing_else(db: firstsight.Database) -> None:
    report = db.timed_products.propose()
    assert (report.videos, report.proposed, report.new) == (5, report.new, report.proposed)
    pending = db.timed_products.pending()
    assert {(video, product) for video, product, _ in found(pending)} <= {entry[:2] for entry in SHOWN}
    assert len(pending) >= 6
    starts = {entry[:2]: entry[2] for entry in SHOWN}
    for entry in pending:
        assert entry.start_s == pytest.approx(starts[entry.video_id, entry.product_id], abs=0.3)
        evidence = entry.evidence
        assert evidence is not None
        assert entry.end_s is not None
        assert entry.start_s <= evidence.time_s <= entry.end_s
        assert evidence.view_id.startswith(f"{entry.video_id}#frame-")
        assert evidence.picture_id.startswith(f"{entry.product_id}#image-")
        assert evidence.cosine > 0.8
        assert evidence.agreeing <= evidence.frames
    assert db.timed_products.of_video("video-cat") == ()  # results show only accepted entries
    assert len(db.timed_products.of_video("video-cat", include_proposed=True)) == 1


def test_decisions_hold_over_later_proposals(db: firstsight.Database) -> None:
    db.timed_products.propose(videos=["video-kitchen-haul", "video-cat"])
    entries = {entry.product_id: entry.entry_id for entry in db.timed_products.pending()}
    (accepted,) = db.timed_products.accept([entries["grapes"]], by="ana")
    assert (accepted.state, accepted.decided_by) == ("accepted", "ana")
    assert accepted.decided_at is not None
    db.timed_products.reject([entries["poster-cat"]], by="ben")

    again = db.timed_products.propose(videos=["video-kitchen-haul", "video-cat"])
    assert (again.decided, again.new, again.withdrawn) == (2, 0, 0)
    assert db.timed_products.of_product("poster-cat", include_proposed=True) == ()
    (shown,) = db.timed_products.of_video("video-kitchen-haul")
    assert shown.product_id == "grapes"
    strict = db.timed_products.propose(min_relevance=1.0)
    assert (strict.proposed, strict.withdrawn) == (0, again.proposed)
    assert db.timed_products.of_video("video-kitchen-haul") == (shown,)


def test_proposals_survive_an_index_run_that_encodes_the_video_again(db: firstsight.Database) -> None:
    db.timed_products.propose(videos=["video-cat"])
    before = db.timed_products.pending()
    rows = [
        {"item_id": "video-cat", "kind": "video", "title": "A cat", "videos": str(CATALOGUE.parent / "clips/cat.mp4")}
    ]
    db.add(rows)  # another address: the video of the proposal is gone
    assert db.timed_products.pending() == ()
    db.timed_products.propose(videos=["video-cat"])
    db.add([{**rows[0], "title": "The same cat"}])
    kept = db.timed_products.pending()
    assert [entry.start_s for entry in kept] == [entry.start_s for entry in before]
    other = CATALOGUE.parent / "clips" / "band-night.mp4"
    clip = Path(db.uri).parent / "clip.mp4"
    for source in (CATALOGUE.parent / "clips/cat.mp4", other):  # the file changes under its address
        shutil.copy(source, clip)
        db.add([{**rows[0], "videos": str(clip)}])
        if source != other:
            db.timed_products.propose(videos=["video-cat"])
            assert len(db.timed_products.pending()) == 1
    assert db.timed_products.pending() == ()


def test_a_blocked_product_is_neither_proposed_nor_shown(db: firstsight.Database) -> None:
    db.timed_products.propose(videos=["video-cat"])
    db.timed_products.accept([entry.entry_id for entry in db.timed_products.pending()], by="ana")
    db.safety.decide("poster-cat", "block", policy=["weapons"], reason="a test", by="ana")
    assert db.timed_products.of_video("video-cat") == ()
    assert len(db.timed_products.entries(include_blocked=True)) == 1


def test_wrong_calls_are_refused_by_name(db: firstsight.Database) -> None:
    with pytest.raises(QueryError, match="item 'grapes' has no video frames"):
        db.timed_products.propose(videos=["grapes"])
    with pytest.raises(QueryError, match="there is no item 'nothing'"):
        db.timed_products.propose(videos=["nothing"])
    with pytest.raises(QueryError, match=r"max_ratio is 1\.5; give a number from 0 to 1"):
        db.timed_products.propose(max_ratio=1.5)
    with pytest.raises(QueryError, match="there is no entry 'x'"):
        db.timed_products.accept(["x"], by="ana")
    with pytest.raises(QueryError, match="by is empty"):
        db.timed_products.accept([], by=" ")
    with pytest.raises(QueryError, match="there is no state 'new'; the states are proposed, accepted, rejected"):
        db.timed_products.entries(state="new")  # type: ignore[arg-type]
    with pytest.raises(QueryError, match="there is no item 'nothing'"):
        db.timed_products.of_video("nothing")
