"""Side tables that are often written stay small."""

from __future__ import annotations

from pathlib import Path

from firstsight.storage.side_tables import MAX_FRAGMENTS
from firstsight.storage.store import Store
from firstsight.storage.video_print_table import delete_prints, open_prints
from firstsight.vectors import EncoderSpec
from tests.duplicates.video_codes import scenes, video, write_prints


def test_small_files_of_many_writes_are_merged(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "db", EncoderSpec("drawn", 32, 32, "d"))
    film = video(scenes([2], 2))
    for number in range(MAX_FRAGMENTS + 2):
        write_prints(store, {f"film-{number}": film})
    table = open_prints(store)
    assert table is not None
    assert table.count_rows() == MAX_FRAGMENTS + 2
    assert table.stats()["fragment_stats"]["num_fragments"] <= 4  # type: ignore[index]


def test_a_delete_of_nothing_writes_no_version(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "db", EncoderSpec("drawn", 32, 32, "d"))
    write_prints(store, {"film": video(scenes([2], 2))})
    before = open_prints(store)
    assert before is not None
    with store.writing():
        delete_prints(store, ["other"])
    after = open_prints(store)
    assert after is not None
    assert after.version == before.version
