"""Fingerprints of videos in an index run: stored with their items, shared, kept, replaced and removed with them."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import firstsight
from firstsight.errors import MediaError
from firstsight.indexer.assembly import FilePrints, PendingItem
from firstsight.indexer.row_reader import CatalogItem
from firstsight.media.video_prints import PRINTS_PER_S, VideoPrints, as_codes
from firstsight.storage.store import Store
from firstsight.storage.video_print_table import TABLE, read_prints

CLIPS = Path(__file__).parents[2] / "sample_media" / "clips"


def rows(db: Path) -> dict[str, dict[str, Any]]:
    return {row["print_id"]: row for row in read_prints(Store.open(db)).to_pylist()}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of two items that share a video; one of them has another one as well."""
    folder = tmp_path_factory.mktemp("videos")
    for name in ("cat.mp4", "espresso-cup.mp4"):
        shutil.copy(CLIPS / name, folder / name)
    catalogue = folder / "c.jsonl"
    items = [{"item_id": "a", "videos": ["cat.mp4", "espresso-cup.mp4"]}, {"item_id": "b", "videos": ["cat.mp4"]}]
    catalogue.write_text("\n".join(map(json.dumps, items)))
    firstsight.open(folder / "db").index(catalogue)
    return folder


@pytest.fixture
def folder(indexed: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(indexed, tmp_path / "shop")
    return tmp_path / "shop"


def test_each_item_has_a_row_for_each_video(indexed: Path) -> None:
    found = rows(indexed / "db")
    assert list(found) == ["a#video-0", "a#video-1", "b#video-0"]
    assert [row["uri"] for row in found.values()] == ["cat.mp4", "espresso-cup.mp4", "cat.mp4"]
    for row in found.values():
        assert row["digest"] == hashlib.sha256((indexed / row["uri"]).read_bytes()).digest()
        assert len(VideoPrints.unpack(row["duration_s"], row).whole) == pytest.approx(
            row["duration_s"] * PRINTS_PER_S, abs=1
        )
        assert row["sound"] is None
    shared = [{**found[name], "print_id": "", "item_id": ""} for name in ("a#video-0", "b#video-0")]
    assert shared[0] == shared[1]


def test_rows_go_with_their_item(folder: Path) -> None:
    db = firstsight.open(folder / "db")
    db.remove(["a"])
    assert list(rows(folder / "db")) == ["b#video-0"]


def test_another_video_replaces_the_row(folder: Path) -> None:
    shutil.copy(CLIPS / "guitar-lesson.mp4", folder / "cat.mp4")
    items = [{"item_id": "a", "videos": ["cat.mp4"]}, {"item_id": "b", "videos": ["cat.mp4"]}]
    (folder / "c.jsonl").write_text("\n".join(map(json.dumps, items)))
    firstsight.open(folder / "db").index(folder / "c.jsonl")
    found = rows(folder / "db")
    assert list(found) == ["a#video-0", "b#video-0"]
    digest = hashlib.sha256((folder / "cat.mp4").read_bytes()).digest()
    assert {row["digest"] for row in found.values()} == {digest}


def test_the_status_counts_videos_without_fingerprints(folder: Path) -> None:
    assert firstsight.open(folder / "db").status().videos_without_prints == 0
    shutil.rmtree(folder / "db" / f"{TABLE}.lance")  # as in a database of an earlier version
    assert firstsight.open(folder / "db").status().videos_without_prints == 3


def test_fingerprints_of_an_unreachable_video_stay(indexed: Path) -> None:
    item = CatalogItem("a", "video", None, None, (), ("https://x/new.mp4", "https://x/v.mp4"), None, None, None, {})
    stored = {**rows(indexed / "db")["a#video-0"], "uri": "https://x/v.mp4"}
    pending = PendingItem(item, "", "", replaces=True)
    pending.keep_prints(stored)  # type: ignore[arg-type]
    assert pending.print_rows == []  # it was fetched, so it has new ones
    pending.fail("fetch", "https://x/v.mp4", MediaError("unreachable", "the server is down"))
    pending.keep_prints(stored)  # type: ignore[arg-type]
    assert [row["print_id"] for row in pending.print_rows] == ["a#video-1"]  # at its new place
    new = FilePrints(b"\0" * 32, VideoPrints(1.0, as_codes(b"\1" * 64)))
    pending.add_prints(0, "https://x/new.mp4", new)
    assert [row["uri"] for row in pending.print_rows] == ["https://x/v.mp4", "https://x/new.mp4"]
