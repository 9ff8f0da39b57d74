"""Whatever is written while a database has two vector sets is in both, also after a kill at any moment."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import firstsight
from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.indexer.index_settings import IndexSettings
from firstsight.indexer.watch_settings import WatchSettings
from firstsight.storage.store import Store
from tests.indexer.shop import ColourEncoder, edit, make_shop, picture
from tests.indexer.test_kill import killed_before_each_write
from tests.media.conftest import Server
from tests.media.streams import grey_clip
from tests.reindex.conftest import NEW, OLD, loaded
from tests.reindex.vector_sets import assert_complete, rows_of_set

SMALL_WRITES = IndexSettings(batch_size=4, text_batch_size=4, write_items=4, pictures_ahead=8)


@pytest.fixture
def two(db: firstsight.Database) -> firstsight.Database:
    """The database with a ready second set."""
    assert db.encoders.reindex(NEW).missing == 0
    return db


def change(shop: Path) -> None:
    """Add, edit, remove and break items of the catalogue."""
    folder = shop.parent
    new = make_shop(folder / "new", 3)
    for n, row in enumerate(new):
        row |= {"item_id": f"new-{n}", "images": f"new/{row['images']}"}

    def apply(rows: list[dict[str, Any]]) -> None:
        rows[1]["title"] = "another title"
        rows[2]["price"] = 99
        rows[3]["images"] = ""
        del rows[5:7]
        rows += new

    edit(shop, apply)
    (folder / "4.png").write_bytes(picture(104))
    (folder / "8.png").write_bytes(b"broken")


def test_an_index_run_writes_both_sets_and_decodes_each_picture_once(two: firstsight.Database, shop: Path) -> None:
    change(shop)
    in_force = two.encoder
    assert isinstance(in_force, ColourEncoder)
    images = in_force.images
    two.index(shop, prune=True)
    assert_complete(two.uri)
    (standby,) = [encoder for encoder in loaded if encoder.spec.name == NEW]
    assert in_force.images - images == 5  # three new ones, one that changed, one whose item has another title
    assert standby.images == 12 + 5
    assert {state.missing for state in two.encoders.list()} == {0}
    items, _ = rows_of_set(two.uri, 1)
    assert (items["item-2"]["price"], items["item-1"]["title"]) == (99, "another title")
    assert "item-5" not in items


def test_after_a_switch_the_set_before_it_is_kept_up_to_date_too(two: firstsight.Database, shop: Path) -> None:
    two.encoders.switch()
    change(shop)
    two.index(shop, prune=True)
    two.remove(["item-9"])
    assert_complete(two.uri, (1, 0))
    assert two.encoders.rollback().missing == 0
    assert two.search("another title", k=1)[0].item_id == "item-1"


def test_single_writes_reach_both_sets(two: firstsight.Database, shop: Path, tmp_path: Path) -> None:
    two.add([{"item_id": "zz", "title": "new", "colour": "red"}, {"item_id": "item-4", "title": "only a title"}])
    assert_complete(two.uri)
    two.remove(["item-1", "zz"])
    assert_complete(two.uri)
    (shop.parent / "0.png").write_bytes(b"broken")
    two.index(shop)
    (shop.parent / "0.png").write_bytes(picture(0))
    two.indexing.retry()
    assert_complete(two.uri)
    two.add(
        [{"item_id": "item-2", "title": "thing", "price": "cheap"}], options=CatalogOptions(types={"price": "text"})
    )
    assert_complete(two.uri)
    assert rows_of_set(two.uri, 1)[0]["item-3"]["price"] == "3.5"
    two.maintenance.optimize()
    assert_complete(two.uri)
    assert {upkeep.after.table for upkeep in two.maintenance.optimize().tables} >= {"items", "items_e1", "views_e1"}


def test_safety_decisions_reach_both_sets(two: firstsight.Database) -> None:
    two.safety.decide("item-3", "block", policy="weapons", reason="a blade", by="reviewer")
    assert_complete(two.uri)
    assert rows_of_set(two.uri, 1)[0]["item-3"]["safety_decision"] == "block"
    two.encoders.switch()
    assert "item-3" not in [r.item_id for r in two.search("thing number 3", k=12)]


def test_facts_can_be_filtered_in_the_set_that_a_switch_puts_in_force(two: firstsight.Database, shop: Path) -> None:
    """Columns of structs reach the second set: by `reindex`, by an index run and by an update of facts."""
    edit(shop, lambda rows: rows[1].update(title="another title"))
    Image.new("RGB", (64, 64), (210, 20, 30)).save(shop.parent / "2.png")
    Image.new("RGB", (64, 64), (40, 90, 220)).save(shop.parent / "3.png")
    two.index(shop, quality=True)  # adds columns while there are two sets
    assert two.facts.update().counts.updated == 9  # the other three were encoded again
    two.tags.correct("item-3", {"category": "Shirts"})
    assert_complete(two.uri)
    before = {item.item_id: item.facts for item in (two.get("item-2"), two.get("item-3"))}
    red = {row.item_id for row in two.search("thing", k=12, where="colours.red > 0.2")}
    assert "item-2" in red
    assert "item-3" not in red
    two.encoders.switch()
    assert {row.item_id for row in two.search("thing", k=12, where="colours.red > 0.2")} == red
    assert {item_id: two.get(item_id).facts for item_id in before} == before
    (found,) = two.search("thing", where="tags.category = 'Shirts' AND colour = 'blue' AND quality.width < 65")
    assert found.item_id == "item-3"


def test_a_watch_writes_its_frames_to_both_sets(two: firstsight.Database, tmp_path: Path) -> None:
    clip = grey_clip(tmp_path / "clip.mkv", 6)
    settings = WatchSettings(every_s=1, update_s=0, window_s=3)
    two.indexing.watch(clip, item_id="item-3", settings=settings)
    two.indexing.watch(clip, item_id="live", title="a show", settings=settings)
    assert_complete(two.uri)
    assert any("#frame-live-" in view_id for view_id in rows_of_set(two.uri, 1)[1])
    two.remove(["item-3"])
    two.encoders.switch()
    assert two.indexing.watch(clip, item_id="live", settings=settings).outcome == "finished"
    assert_complete(two.uri, (1, 0))


def test_frames_passages_and_live_pictures_are_encoded_again(db: firstsight.Database, tmp_path: Path) -> None:
    clip = grey_clip(tmp_path / "clip.mkv", 8)
    (tmp_path / "clip.vtt").write_text(
        "WEBVTT\n\n00:01.000 --> 00:02.000\nred shoes\n\n00:02.000 --> 00:03.000\nblue\n"
    )
    db.index([{"item_id": "v", "title": "a video", "video": clip.name}], root=tmp_path)
    db.indexing.watch(clip, item_id="live", title="a show", settings=WatchSettings(every_s=1, update_s=0))
    parts = {view["part"] for view in rows_of_set(db.uri, 0)[1].values()}
    assert parts == {"title", "image", "frame", "transcript"}
    assert db.encoders.reindex(NEW).missing == 0
    assert_complete(db.uri)
    whole = firstsight.open(tmp_path / "whole", encoder=NEW)
    whole.index([{"item_id": "v", "title": "a video", "video": clip.name}], root=tmp_path)
    expected = {view.view_id: view.vector for view in whole.get("v").views}
    db.encoders.switch()
    for view in db.get("v").views:
        assert view.vector @ expected[view.view_id] > 0.999


def test_remote_pictures_are_fetched_again_and_unreachable_ones_are_reported(tmp_path: Path, server: Server) -> None:
    policy = firstsight.MediaPolicy(allow_private=True)
    db = firstsight.open(tmp_path / "db", encoder=OLD, policy=policy)
    rows = [
        {"item_id": f"i{n}", "title": f"thing {n}", "image": server.answer(f"/{n}.png", picture(n))} for n in range(4)
    ]
    assert db.index(rows).counts.failed_media == 0
    other = firstsight.open(tmp_path / "db")  # allows what the run had allowed
    server.answer("/2.png", status=503)
    report = other.encoders.reindex(NEW)
    assert (report.missing, report.counts.encoded) == (1, 3)
    server.answer("/2.png", picture(2))
    assert other.encoders.reindex(NEW).counts.items == 1
    assert_complete(db.uri)


def test_pictures_in_memory_are_read_from_the_database(tmp_path: Path) -> None:
    db = firstsight.open(tmp_path / "db", encoder=OLD)
    db.index([{"item_id": "a", "title": "a", "image": picture(1)}])
    assert db.encoders.reindex(NEW).missing == 0
    assert_complete(db.uri)


def test_a_standby_encoder_that_cannot_be_loaded_leaves_items_for_the_next_reindex(
    two: firstsight.Database, shop: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    writer = firstsight.open(two.uri, encoder=OLD)

    def gone(name: str) -> Any:
        if name == NEW:
            raise firstsight.EncoderError("its files are gone")
        return ColourEncoder

    assert writer.encoder.spec.name == OLD
    monkeypatch.setattr(writer._connection, "load_named", gone)
    change(shop)
    with caplog.at_level(logging.WARNING):
        writer.index(shop, prune=True)
    assert f"get no vectors of {NEW}" in caplog.text
    assert [state.missing for state in two.encoders.list()] == [0, 7]
    items, _ = rows_of_set(two.uri, 1)
    assert items.keys() == rows_of_set(two.uri, 0)[0].keys()
    assert items["item-2"]["price"] == 99
    with pytest.raises(firstsight.QueryError, match="7 of 13 items have no current vectors"):
        two.encoders.switch()
    report = two.encoders.reindex(NEW)
    assert (report.counts.items, report.missing) == (7, 0)
    assert_complete(two.uri)


def test_what_is_written_during_a_reindex_is_in_both_sets(db: firstsight.Database, shop: Path) -> None:
    from firstsight.indexer.reindex.reindex_settings import ReindexCounts, ReindexSettings

    other = firstsight.open(db.uri, encoder=OLD)
    steps: list[int] = []

    def write_meanwhile(counts: ReindexCounts) -> None:
        steps.append(counts.items)
        if len(steps) == 2:  # after the first step of five items
            change(shop)
            other.index(shop, prune=True)
            other.add([{"item_id": "meanwhile", "title": "meanwhile"}])

    report = db.encoders.reindex(
        NEW, settings=ReindexSettings(max_rate=1000, batch_size=2), on_progress=write_meanwhile
    )
    assert report.missing == 0
    assert_complete(db.uri)


# ---- a kill

EVERY = 3
"""A third of all moments is tried, since each takes a run and a reindex; set it to 1 after a change of writers."""


def kill_everywhere(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    before: Path,
    act: Callable[[Path], Any],
    finish: Callable[[Path], Any],
) -> int:
    """Kill `act` before each of its writes, run it again, then close the gaps: both sets are whole each time."""
    whole = shutil.copytree(before, tmp_path / "whole")
    with killed_before_each_write(whole, tmp_path, monkeypatch) as copies:
        act(whole)
    expected = rows_of_set(whole, 0)[0].keys()
    for db in copies[::EVERY]:
        act(db)
        finish(db)
        assert rows_of_set(db, 0)[0].keys() == expected
        assert_complete(db)
    return len(copies)


@pytest.mark.slow
def test_an_index_run_over_two_sets_may_die_at_any_write(
    two: firstsight.Database, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(shop)

    def act(db: Path) -> None:
        firstsight.open(db, encoder=OLD).index(shop, settings=SMALL_WRITES, prune=True)

    def finish(db: Path) -> None:
        firstsight.open(db).encoders.reindex(NEW)

    assert kill_everywhere(monkeypatch, tmp_path, Path(two.uri), act, finish) >= 15


@pytest.mark.slow
def test_a_reindex_may_die_at_any_write(
    db: firstsight.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(path: Path) -> None:
        report = firstsight.open(path).encoders.reindex(NEW)
        assert report.missing == 0

    assert kill_everywhere(monkeypatch, tmp_path, Path(db.uri), act, lambda path: None) >= 4


def test_a_stopped_reindex_goes_on_with_the_items_that_are_left(db: firstsight.Database) -> None:
    from tests.reindex.test_switch import stop_after_first_step

    stop_after_first_step(db)
    report = db.encoders.reindex(NEW)
    assert (report.counts.items, report.missing) == (7, 0)
    assert sum(encoder.images for encoder in loaded if encoder.spec.name == NEW) == 12
    assert_complete(db.uri)


def test_other_writers_wait_for_a_batch_of_a_reindex(db: firstsight.Database) -> None:
    import threading

    store = Store.open(db.uri)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with Store.open(db.uri).writing(brief=True):
            held.set()
            release.wait(5)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    timer = threading.Timer(0.3, release.set)
    timer.start()
    with store.writing(0.0):  # although it waits for no other writer
        pass
    holder.join()
    with closing(firstsight.open(db.uri)) as reader:
        assert reader.count() == 12
