"""Near-duplicates among stored videos with fingerprints of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from firstsight.duplicates.item_pairs import find_duplicates
from firstsight.duplicates.prints import candidates
from firstsight.duplicates.prints.candidates import candidate_pairs
from firstsight.retrieval.ranking.collapse import collapse_duplicates
from firstsight.storage.store import Store
from firstsight.vectors import EncoderSpec
from tests.duplicates.video_codes import noisy, scenes, video, write_prints

FILM = scenes([3, 5, 2, 6, 4, 5, 5], 2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "db", EncoderSpec("drawn", 32, 32, "d"))


def test_copies_are_paired_with_their_evidence(store: Store) -> None:
    others = {f"other{n}": video(scenes([5, 5, 5], 2, seed=10 + n)) for n in range(20)}
    long = np.concatenate([scenes([20], 2, seed=5), noisy(FILM, 20), scenes([50], 2, seed=6)])
    videos = {"film": video(FILM), "cut": video(FILM[20:50]), "compilation": video(long), **others}
    write_prints(store, videos)
    found = {(pair.item_id, pair.other_id): pair.evidence for pair in find_duplicates(store)}
    assert set(found) == {("compilation", "cut"), ("compilation", "film"), ("cut", "film")}
    cut = found["cut", "film"]
    assert (cut.kind, cut.identical, cut.region, cut.other_region) == ("video", False, "whole", "whole")
    assert cut.offset_s == pytest.approx(10, abs=0.2)
    assert cut.share == pytest.approx(1)
    assert cut.seconds == pytest.approx(15, abs=0.5)
    assert cut.view_id is None  # no frame is stored
    inside = found["compilation", "film"]
    assert inside.start_s == pytest.approx(20, abs=0.6)
    assert inside.share == pytest.approx(1)
    assert "cosine" not in inside.to_dict()


def test_evidence_from_the_other_side(store: Store) -> None:
    write_prints(store, {"film": video(FILM), "cut": video(FILM[20:50])})
    [pair] = find_duplicates(store)
    swapped = pair.swapped()
    assert swapped.evidence.offset_s == pytest.approx(-10, abs=0.2)
    assert swapped.evidence.start_s == pytest.approx(10, abs=0.2)
    assert swapped.swapped().evidence.offset_s == pytest.approx(pair.evidence.offset_s)


def test_identical_files_are_paired_even_if_they_are_black(store: Store) -> None:
    black = video(np.zeros((20, 32), np.uint8))
    write_prints(store, {"a": black, "b": black, "c": black}, digests={"a": b"1" * 32, "b": b"1" * 32})
    [pair] = find_duplicates(store)
    assert (pair.item_id, pair.other_id) == ("a", "b")
    assert (pair.evidence.identical, pair.evidence.share, pair.evidence.offset_s) == (True, 1.0, 0.0)


def test_a_copy_of_a_file_is_a_copy_of_its_copies(store: Store) -> None:
    videos = {"a": video(FILM), "b": video(FILM), "c": video(noisy(FILM, 10))}
    write_prints(store, videos, digests={"a": b"1" * 32, "b": b"1" * 32})
    assert [(p.item_id, p.other_id) for p in find_duplicates(store)] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [(p.item_id, p.other_id) for p in find_duplicates(store, only={"b"})] == [("a", "b"), ("b", "c")]


def test_a_shared_intro_makes_no_pair(store: Store) -> None:
    intro = scenes([3], 2, seed=99)
    write_prints(store, {f"v{n}": video(np.concatenate([intro, scenes([6, 6], 2, seed=20 + n)])) for n in range(30)})
    assert find_duplicates(store) == []


def test_results_collapse_by_fingerprints(store: Store) -> None:
    write_prints(store, {"film": video(FILM), "copy": video(noisy(FILM, 15)), "else": video(scenes([9], 2, seed=3))})
    assert collapse_duplicates(store, ["copy", "else", "film"]) == {"copy": ("film",), "else": ()}


@pytest.mark.parametrize("bits", [0, 20, 45])
def test_candidates_of_a_large_catalogue(monkeypatch: pytest.MonkeyPatch, bits: int) -> None:
    monkeypatch.setattr(candidates, "_FEW_CODES", 0)
    videos = [video(scenes([4, 4, 4], 2, seed=n)) for n in range(200)]
    copies = [video(noisy(made.whole, bits)) for made in videos[:20]]
    found = candidate_pairs([*videos, *copies])
    assert {(n, 200 + n) for n in range(20)} <= set(found)
    assert len(found) < 30
    probes = np.arange(220) == 205
    assert (5, 205) in candidate_pairs([*videos, *copies], probes=probes)
