"""Known videos: verdicts on whole videos."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import firstsight
from firstsight.media.fingerprints import Fingerprints
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.hashes.hash_bank import HashBank
from firstsight.safety.hashes.known_videos import KnownVideo, PrintedVideo, match_videos
from firstsight.storage.store import Store
from firstsight.vectors import EncoderSpec
from tests.duplicates.video_codes import noisy, scenes, video, write_prints

FILM = scenes([3, 5, 2, 6, 4, 5, 5], 2)
SAMPLE = Path(__file__).parents[3] / "sample_media"


def known(codes: Fingerprints, *, of_set: str = "bad", policy: str = "weapons", name: str = "film.mp4") -> PrintedVideo:
    digest = name.encode().ljust(32)[:32]
    policy = policy if of_set == "bad" else ""
    made = video(codes)
    return PrintedVideo(KnownVideo(digest, of_set, policy, name, made.duration_s), made)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "db", EncoderSpec("drawn", 32, 32, "d"))


def test_a_repost_inside_a_compilation_has_its_range(store: Store) -> None:
    joined = np.concatenate([scenes([20], 2, seed=5), noisy(FILM, 20), scenes([50], 2, seed=6)])
    write_prints(store, {"repost": video(joined), "other": video(scenes([5, 5, 9], 2, seed=8))})
    [match] = match_videos(store, [known(FILM)])
    assert (match.item_id, match.action, match.identical) == ("repost", "block", False)
    assert match.share > 0.95
    assert match.item_share == pytest.approx(0.3, abs=0.02)
    assert match.start_s == pytest.approx(20, abs=0.6)
    assert match.end_s == pytest.approx(50, abs=0.6)
    evidence = match.evidence()
    assert (evidence.policy_id, evidence.source) == ("weapons", "hash")
    assert evidence.time_s == pytest.approx(20, abs=0.6)
    assert "30% of this video, from 20." in evidence.note


def test_a_short_part_is_for_review_and_one_frame_is_nothing(store: Store) -> None:
    part = np.concatenate([scenes([20], 2, seed=5), FILM[:14], scenes([20], 2, seed=6)])
    frame = np.concatenate([scenes([20], 2, seed=7), FILM[:1], scenes([20], 2, seed=9)])
    write_prints(store, {"part": video(part), "frame": video(frame)})
    [match] = match_videos(store, [known(FILM)])
    assert (match.item_id, match.action) == ("part", "review")
    assert match.end_s - match.start_s == pytest.approx(7, abs=0.6)


def test_the_same_file_matches_whatever_it_shows(store: Store) -> None:
    write_prints(store, {"copy": video(FILM)}, digests={"copy": b"film.mp4".ljust(32)})
    [match] = match_videos(store, [known(FILM)])
    assert (match.identical, match.share, match.distance) == (True, 1.0, 0.0)


def test_a_known_good_video_excuses_what_it_explains(store: Store) -> None:
    write_prints(store, {"advert": video(FILM)})
    bad = known(noisy(FILM, 20))
    good = known(noisy(FILM, 5), of_set="good", name="advert.mp4")
    assert [m.known.set for m in match_videos(store, [bad, good])] == ["good"]
    partly = known(noisy(FILM[:20], 5), of_set="good", name="advert.mp4")
    assert {m.known.set for m in match_videos(store, [bad, partly])} == {"bad", "good"}


def test_videos_of_the_bank_are_logged_and_removed_by_name(store: Store) -> None:
    bank, log = HashBank(store), AuditLog.of(store.uri)
    assert bank.add([], log, by="ana", videos=[known(FILM), known(FILM)]) == 1
    [read] = bank.videos()
    assert read.prints.whole.tobytes() == FILM.tobytes()
    assert read.known.to_dict()["seconds"] == 30
    assert bank.remove([], log, by="ana", sources=["film.mp4"]) == 1
    assert bank.videos() == []
    assert [entry.record["action"] for entry in log.entries()] == ["add", "remove"]


def test_a_known_clip_blocks_its_item(sample_db: Path, tmp_path: Path) -> None:
    db = firstsight.open(shutil.copytree(sample_db, tmp_path / "copy"))
    added = db.safety.hashes.add([SAMPLE / "clips" / "guitar-lesson.mp4"], policy="weapons", by="ana")
    assert (added.videos, added.hashes, added.new) == (1, 0, 1)
    [match] = db.safety.hashes.match_videos()
    assert match.item_id == "video-guitar-lesson"
    assert match.view_id
    db.safety.score()
    assert db.safety.is_blocked("video-guitar-lesson")
    notes = [piece.note for piece in db.safety.explain("video-guitar-lesson").evidence]
    assert any("100% of this video" in note for note in notes)
