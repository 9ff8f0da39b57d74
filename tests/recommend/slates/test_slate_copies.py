"""Slates without near-duplicates of their own items or of the history."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import firstsight
from firstsight.duplicates.item_pairs import DuplicatePair, pairs_of_views
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.slates.rules import slate_copies
from firstsight.recommend.slates.rules.slate_copies import SlateCopies
from firstsight.storage.store import Store
from firstsight.vectors import EncoderSpec
from tests.duplicates.video_codes import noisy, scenes, video, write_prints

FILM = scenes([3, 5, 2, 6, 4], 2)
COPIES = [f"copy{n:02d}" for n in range(15)]
OTHERS = [f"other{n:02d}" for n in range(12)]
REPOSTS = ["repost0", "repost1", "repost2"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A watched video with 15 copies, another with three, and others; all have vectors of their own."""
    path = tmp_path / "db"
    store = Store.create(path, EncoderSpec("drawn", 32, 32, "d"))
    rng = np.random.default_rng(0)
    base = rng.normal(size=32)
    now = datetime.now(UTC)
    rows = []
    for item_id in ["film", *COPIES, *REPOSTS, *OTHERS]:
        vector = rng.normal(size=32) + (2 * base if item_id in ("film", *COPIES) else 0)
        row = {"item_id": item_id, "kind": "video", "digest": "d", "row_digest": "r", "catalog_dir": "/"}
        vector = (vector / np.linalg.norm(vector)).astype(np.float32)
        rows.append(row | {"run_id": "r", "indexed_at": now, "vector": vector})
    with store.writing():
        store.write_items(rows)
    shared = scenes([6, 6, 6], 2, seed=50)
    videos = {"film": video(FILM)} | {name: video(noisy(FILM, 20)) for name in COPIES}
    videos |= {name: video(noisy(shared, 10)) for name in REPOSTS}
    write_prints(store, videos | {name: video(scenes([5, 5, 5], 2, seed=100 + n)) for n, name in enumerate(OTHERS)})
    return path


def test_a_slate_has_no_copy_of_a_watched_video_and_one_of_each_group(path: Path) -> None:
    db = firstsight.open(path)
    for seed, explore in enumerate((0.0, 0.0, 0.5, 1.0)):
        slate = [item.item_id for item in db.recommend(history=["film"], k=10, explore=explore, seed=seed)]
        assert not set(slate) & {"film", *COPIES}
        assert len(set(slate) & set(REPOSTS)) <= 1
        assert len(slate) == 10


def test_copies_are_shown_on_request(path: Path) -> None:
    slate = firstsight.open(path).recommend(history=["film"], k=10, explore=0.0, near_duplicate=1.0, allow_copies=True)
    assert len({item.item_id for item in slate} & set(COPIES)) >= 8


def test_items_are_compared_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(path)
    space = ItemSpace.load(store)
    copies = SlateCopies(space)
    compared: list[set[str]] = []

    def compare(*args: Any, **named: Any) -> list[DuplicatePair]:
        compared.append(named["only"])
        return pairs_of_views(*args, **named)

    monkeypatch.setattr(slate_copies, "pairs_of_views", compare)
    first = space.places(["film", "copy00", "other00"])
    assert len(set(copies.codes(store, first).tolist())) == 2
    copies.codes(store, first)
    later = copies.codes(store, space.places(["copy05", "film", "other00"]))
    assert compared == [{"film", "copy00", "other00"}, {"copy05"}]
    assert later[0] == later[1] != later[2]
    monkeypatch.setattr(slate_copies, "MAX_ITEMS", 4)  # older groups are dropped
    codes = copies.codes(store, space.places(["repost0", "repost1"]))
    assert codes[0] == codes[1]
    assert compared[-1] == {"repost0", "repost1"}
