"""The watch of a stream: a window of frames in the index while it runs."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import firstsight
from firstsight.api import indexing
from firstsight.api.items import Item, View
from firstsight.encoders.base import Encoder, ImageInput, Vectors, unit
from firstsight.errors import BrokenEncoderError, DatabaseBusyError, MediaError, QueryError
from firstsight.indexer.watch_settings import WatchCounts, WatchReport, WatchSettings
from firstsight.storage.facts.view_fact_table import read_view_facts
from firstsight.storage.live_pictures import read_live_pictures
from firstsight.storage.locks import watch_lock
from firstsight.storage.store import Store
from firstsight.storage.tables import Part
from firstsight.understanding.facts.detectors import detector_kinds
from firstsight.understanding.facts.fact_kind import FactItem
from firstsight.understanding.facts.item_facts import KindsOfFacts
from tests.indexer.shop import ColourEncoder, assert_same, contents, index, make_shop, write_csv
from tests.indexer.test_kill import killed_before_each_write
from tests.media.streams import FolderServer, grey, grey_clip, hls_in_real_time, needs_ffmpeg, write_clip, write_hls
from tests.understanding.facts.toy_detector import installed

ROOT = Path(__file__).parents[2]


def open_(db: Path, encoder: ColourEncoder | None = None) -> firstsight.Database:
    return firstsight.open(db, encoder=encoder or ColourEncoder())


def watch(db: Path, source: Path | str, item_id: str = "item-3", **how: Any) -> WatchReport:
    settings = {name: how.pop(name) for name in [*how] if name in WatchSettings.__dataclass_fields__}
    return open_(db).indexing.watch(
        source, item_id=item_id, settings=WatchSettings(**{"every_s": 1, "update_s": 0, **settings}), **how
    )


def live_views(db: Path, item_id: str = "item-3") -> list[View]:
    views = [view for view in open_(db).get(item_id).views if "#frame-live-" in view.view_id]
    return sorted(views, key=lambda view: int(view.view_id.rpartition("-")[2]))


def check_fused(item: Item, atol: float = 1e-5) -> None:
    parts: dict[str, list[Any]] = {}
    for view in item.views:
        parts.setdefault(view.part, []).append(view.vector)
    fused = unit(np.sum([unit(np.mean(vectors, axis=0)) for vectors in parts.values()], axis=0))
    assert item.vector is not None
    np.testing.assert_allclose(item.vector, fused, atol=atol)


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "shop" / "c.csv", make_shop(tmp_path / "shop", 5))


@pytest.fixture
def db(tmp_path: Path, catalogue: Path) -> Path:
    index(tmp_path / "db", catalogue)
    return tmp_path / "db"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return grey_clip(tmp_path / "c.ts", 8)


# ---- a real stream


@pytest.mark.slow
@needs_ffmpeg
def test_a_stream_is_found_by_what_it_shows_while_it_runs(tmp_path: Path, starter: Encoder) -> None:
    """Two products in turn, over HLS in real time, with the real encoder: the index follows."""
    pictures = [
        Image.open(ROOT / "sample_media" / "pictures" / name).convert("RGB").resize((320, 320))
        for name in ("guitar-acoustic.jpg", "bananas.jpg")
    ]
    clip = write_clip(tmp_path / "c.ts", [pictures[0]] * 30 + [pictures[1]] * 40)
    (tmp_path / "hls").mkdir()
    server = FolderServer(tmp_path / "hls")
    policy = firstsight.MediaPolicy(allow_private=True)
    searched = firstsight.open(tmp_path / "db", encoder=starter)
    seen: list[tuple[bool, float, float]] = []

    def on_update(counts: WatchCounts) -> None:
        (guitar,) = searched.search("an acoustic guitar", mode="vector", part="frame")
        (bananas,) = searched.search("bananas", mode="vector", part="frame")
        seen.append((encoder.poll() is None, guitar.score, bananas.score))

    with hls_in_real_time(clip, tmp_path / "hls") as encoder:
        report = firstsight.open(tmp_path / "db", encoder=starter, policy=policy).indexing.watch(
            server.url("live.m3u8"),
            item_id="show",
            title="A show",
            settings=WatchSettings(every_s=0.5, window_s=2, update_s=0.5),
            on_update=on_update,
        )
    server.stop()
    assert report.outcome == "finished"
    running = [(guitar, bananas) for alive, guitar, bananas in seen if alive]
    assert len(running) >= 2, "nothing was in the index before the stream was over"
    assert running[0][0] > running[0][1]
    assert seen[-1][2] > seen[-1][1]
    (found,) = searched.search("show", mode="words")  # its row was written several times; search by words finds it
    assert (found.item_id, found.kind) == ("show", "live")
    assert found.picture is not None
    assert found.picture.uri == f"live+{server.url('live.m3u8')}"


# ---- the window


@pytest.mark.slow
def test_the_window_slides_and_the_items_vector_follows(db: Path, clip: Path) -> None:
    at: list[list[float]] = []
    report = watch(db, clip, window_s=3, on_update=lambda counts: at.append([v.time_s or 0.0 for v in live_views(db)]))
    item = open_(db).get("item-3")
    assert [view.time_s for view in live_views(db)] == [5, 6, 7]
    assert [view.view_id for view in live_views(db)] == [f"item-3#frame-live-{n}" for n in (5, 6, 7)]
    assert sorted(view.part for view in item.views) == ["frame"] * 3 + ["image", "title"]
    check_fused(item)
    assert all(times == sorted(times) and times[-1] - times[0] < 3 for times in at)
    assert report.counts.frames == 8
    assert report.counts.window == 3
    assert report.counts.updates == len(at)
    assert report.counts.time_s == 7
    stored = read_live_pictures(Store.open(db), [f"item-3#frame-live-{n}" for n in range(8)])
    assert sorted(stored) == [f"item-3#frame-live-{n}" for n in (5, 6, 7)]  # those of the window
    assert [grey(Image.open(io.BytesIO(stored[view.view_id]))) for view in live_views(db)] == [50, 60, 70]
    open_(db).remove(["item-3"])
    assert read_live_pictures(Store.open(db), sorted(stored)) == {}


class GreyFailingEncoder(ColourEncoder):
    """Raises on frames of one grey level, and on titles with the word "poison" in them."""

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        if any(isinstance(image, Image.Image) and grey(image) == 60 for image in images):
            raise RuntimeError("no such grey")
        return super().encode_images(images)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        if any("poison" in text for text in texts):
            raise UnicodeError("cannot be tokenised")
        return super().encode_texts(texts)


def test_a_frame_that_breaks_the_encoder_costs_itself_and_is_listed(db: Path, clip: Path) -> None:
    report = open_(db, GreyFailingEncoder()).indexing.watch(
        clip, item_id="item-3", settings=WatchSettings(every_s=1, update_s=0)
    )
    assert (report.outcome, report.counts.frames, report.counts.failed) == ("finished", 7, 1)
    assert [view.time_s for view in live_views(db)] == [0, 1, 2, 3, 4, 5, 7]
    (failure,) = open_(db).indexing.failures()
    assert (failure.item_id, failure.uri, failure.stage) == ("item-3", str(clip), "encode")
    assert failure.message == "the frame at 6.0 s: the encoder failed on it (RuntimeError: no such grey)"
    assert open_(db).indexing.retry() == []  # frames of a stream cannot be retried


def test_a_title_that_breaks_the_encoder_leaves_the_frames(tmp_path: Path, clip: Path) -> None:
    watching = open_(tmp_path / "db", GreyFailingEncoder())
    watching.indexing.watch(clip, item_id="show", title="poison", settings=WatchSettings(every_s=2, update_s=0))
    item = watching.get("show")
    assert [view.part for view in item.views] == ["frame"] * 3
    assert [(row.uri, row.stage) for row in watching.indexing.failures() if not row.uri] == [("", "encode")]


def test_an_encoder_that_fails_on_every_frame_ends_the_watch(db: Path, clip: Path) -> None:
    class Broken(ColourEncoder):
        def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
            raise RuntimeError("device lost")

    with pytest.raises(BrokenEncoderError, match="device lost"):
        open_(db, Broken()).indexing.watch(clip, item_id="item-3", settings=WatchSettings(every_s=1, update_s=0))
    assert (live_views(db), open_(db).indexing.failures()) == ([], [])


@pytest.mark.slow
def test_the_catalogues_own_columns_and_other_items_stay(db: Path, clip: Path) -> None:
    before = contents(db)
    watch(db, clip)
    after = contents(db)
    row, was = after["items"]["item-3"], before["items"]["item-3"]
    assert {n: v for n, v in row.items() if n != "vector"} == {n: v for n, v in was.items() if n != "vector"}
    assert {k: v for k, v in after["items"].items() if k != "item-3"} == {
        k: v for k, v in before["items"].items() if k != "item-3"
    }


@pytest.mark.slow
def test_weights_of_the_run_that_made_the_item_are_kept(tmp_path: Path, catalogue: Path, clip: Path) -> None:
    weights: dict[Part, float] = {"title": 0.0, "image": 0.0, "frame": 1.0}
    index(tmp_path / "db", catalogue, settings=firstsight.IndexSettings(weights=weights))
    watch(tmp_path / "db", clip)
    item = open_(tmp_path / "db").get("item-3")
    frames = np.mean([view.vector for view in item.views if view.part == "frame"], axis=0)
    assert item.vector is not None
    np.testing.assert_allclose(item.vector, unit(frames), atol=1e-5)


@pytest.mark.slow
def test_a_second_watch_replaces_the_first_ones_frames(tmp_path: Path, db: Path, clip: Path) -> None:
    watch(db, clip)
    short = grey_clip(tmp_path / "short.ts", 2)
    watch(db, short)
    views = live_views(db)
    assert [view.time_s for view in views] == [0, 1]
    assert {view.uri for view in views} == {str(short)}


# ---- facts


class Redness:
    """A kind of fact whose column is the mean score of the toy detector over the frames."""

    name = "redness"
    fields = (pa.field("fact_redness", pa.float32()),)

    def __init__(self) -> None:
        self.picture_fact = detector_kinds(["red"])[0].picture_fact

    def values(self, items: Sequence[FactItem]) -> list[dict[str, Any]]:
        scores: list[list[float]] = []
        for item in items:
            found: list[Any] = [view.facts["detector_red"] for view in item.views if view.part == "frame"]
            scores.append([detection["score"] for (detection,) in found])
        return [{"fact_redness": float(np.mean(each)) if each else None} for each in scores]


def test_frames_get_the_facts_of_the_stored_settings_and_the_items_columns_follow(
    tmp_path: Path, catalogue: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = tmp_path / "db"
    with installed(tmp_path):
        index(db, catalogue, detectors=["red", "broken"], detect_language=False)
        before = open_(db).get("item-3")
        watch(db, clip, window_s=3)
        item = open_(db).get("item-3")
        assert item.facts["colours"] == before.facts["colours"]  # of its picture
        levels = [view.facts["detector_red"][0]["score"] for view in live_views(db)]
        np.testing.assert_allclose(levels, np.array([50, 60, 70]) / 255, atol=0.01)
        assert read_view_facts(Store.open(db), ["item-3"]).keys() == {"item-3#image-0"} | {
            view.view_id for view in live_views(db)
        }
        failure = next(row for row in open_(db).indexing.failures() if row.uri == str(clip))
        assert (failure.item_id, failure.stage) == ("item-3", "facts")
        assert "the fact detector_broken (toy_detectors:broken) failed" in failure.message
        (state,) = (fact for fact in open_(db).facts.status().facts if fact.name == "red")
        assert (state.missing, state.found) == (0, state.total)
        monkeypatch.setattr(indexing, "make_item_facts", lambda store: KindsOfFacts([Redness()]))
        watch(db, clip, window_s=3)
        assert open_(db).get("item-3").facts["redness"] == pytest.approx(60 / 255, abs=0.01)


def test_a_function_that_ends_the_child_ends_no_watch_and_old_facts_of_equal_view_ids_go(
    tmp_path: Path, clip: Path
) -> None:
    db, events = tmp_path / "db", list[str]()
    with installed(tmp_path):
        open_(db).index([{"item_id": "a", "title": "a"}], detectors=["red"], colours=False, detect_language=False)
        watch(db, clip, "show", title="A show")
        assert all(view.facts["detector_red"] for view in live_views(db, "show"))
        open_(db).index([{"item_id": "a", "title": "a"}], detectors=["red", "ends"])
        report = watch(db, clip, "show", on_event=events.append)
        assert (report.outcome, report.counts.frames) == ("finished", 8)
        assert [view.facts for view in live_views(db, "show")] == [{}] * 8
        assert len(events) == 1
        assert "(detector_red, detector_ends) ended their process" in events[0]
        (failure,) = open_(db).indexing.failures()
        assert (failure.item_id, failure.stage) == ("show", "facts")
        open_(db).index([{"item_id": "a", "title": "a"}], detectors=["red"])
        assert open_(db).facts.update().counts.pictures == 8  # from the stored pictures of frames
        assert all(view.facts["detector_red"] for view in live_views(db, "show"))


# ---- items


@pytest.mark.slow
def test_an_item_that_is_not_there_is_made_with_a_title_and_found_by_it(tmp_path: Path, clip: Path) -> None:
    db = tmp_path / "new"
    watch(db, clip, "show", title="The evening show")
    item = open_(db).get("show")
    assert (item.kind, item.title) == ("live", "The evening show")
    check_fused(item)
    watch(db, clip, "show", title="The evening show")  # the same command again
    watch(db, clip, "show")


def test_an_unknown_item_without_a_title_is_refused_and_so_is_another_title(db: Path, clip: Path) -> None:
    with pytest.raises(QueryError, match=r"no item 'show' in .*; give it a --title, or index its catalogue first"):
        watch(db, clip, "show")
    with pytest.raises(QueryError, match=r"item 'item-3' has a title, 'thing number 3'; leave --title out"):
        watch(db, clip, title="something else")
    with pytest.raises(firstsight.MissingDatabaseError):
        watch(db.parent / "nowhere", clip)


def test_a_stream_of_which_nothing_came_is_an_error_and_leaves_the_item_as_it_was(db: Path, tmp_path: Path) -> None:
    before = contents(db)
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    with pytest.raises(MediaError, match="is not a video"):
        watch(db, tmp_path / "broken.mp4")
    assert_same(contents(db), before)


# ---- during index runs


@pytest.mark.slow
def test_an_index_run_leaves_the_frames_of_an_unchanged_item(db: Path, catalogue: Path, clip: Path) -> None:
    watch(db, clip)
    watch(db, clip, "show", title="A show")
    before = contents(db)
    report = index(db, catalogue)
    assert report.counts.unchanged == 5
    assert_same(contents(db), before)
    assert open_(db).indexing.retry() == []


@pytest.mark.slow
def test_an_index_run_encodes_a_changed_item_without_its_frames_and_prunes_one_of_no_catalogue(
    db: Path, catalogue: Path, clip: Path
) -> None:
    watch(db, clip)
    watch(db, clip, "show", title="A show")
    rows = make_shop(catalogue.parent, 5)
    rows[3]["title"] = "another title"
    index(db, write_csv(catalogue, rows), prune=True)
    assert live_views(db) == []
    assert open_(db).status().items == 5
    check_fused(open_(db).get("item-3"))


@pytest.mark.slow
def test_a_running_watch_puts_its_frames_back_after_an_index_run(db: Path, catalogue: Path, clip: Path) -> None:
    rows = make_shop(catalogue.parent, 5)
    rows[3]["title"] = "another title"
    write_csv(catalogue, rows)
    reports: list[firstsight.IndexReport] = []

    def on_update(counts: WatchCounts) -> None:
        if not reports:
            reports.append(index(db, catalogue))
            assert live_views(db) == []

    watch(db, clip, on_update=on_update)
    assert reports[0].counts.encoded >= 1
    item = open_(db).get("item-3")
    assert item.title == "another title"
    assert [view.time_s for view in live_views(db)] == list(range(8))
    check_fused(item)
    assert [run.outcome for run in open_(db).status().runs] == ["finished"] * 3


@pytest.mark.slow
def test_a_running_watch_makes_its_item_again_and_ends_where_the_catalogues_is_gone(
    db: Path, catalogue: Path, clip: Path
) -> None:
    def prune(counts: WatchCounts) -> None:
        if counts.updates == 1:
            index(db, write_csv(catalogue, make_shop(catalogue.parent, 2)), prune=True)

    for _ in range(2):  # created by this watch, then by the earlier one
        watch(db, clip, "show", title="A show", every_s=0.1, on_update=prune)
        item = open_(db).get("show")
        assert sum(view.part == "frame" for view in item.views) == 80
        check_fused(item)
    index(db, write_csv(catalogue, make_shop(catalogue.parent, 5)))
    with pytest.raises(QueryError, match="was removed from"):
        watch(db, clip, every_s=0.1, on_update=prune)
    assert open_(db).status().runs[-1].outcome == "finished"
    assert "failed" in {run.outcome for run in open_(db).status().runs}


@pytest.mark.slow
def test_a_watch_waits_with_its_writes_while_another_process_writes(db: Path, clip: Path) -> None:
    with Store.open(db).writing(), pytest.raises(DatabaseBusyError):
        watch(db, clip, last_write_s=0)
    encoder = ColourEncoder()
    with ExitStack() as other:
        other.enter_context(Store.open(db).writing())

        def should_stop() -> bool:
            if encoder.images:  # so a write was tried
                other.close()
            return False

        report = open_(db, encoder).indexing.watch(
            clip, item_id="item-3", settings=WatchSettings(every_s=0.1, update_s=0), should_stop=should_stop
        )
    assert report.counts.busy == 1
    assert len(live_views(db)) == report.counts.frames == 80  # no frame was lost


def test_only_one_process_watches_for_an_item(db: Path, clip: Path) -> None:
    with watch_lock(db, "item-3"), pytest.raises(DatabaseBusyError, match="another process watches"):
        watch(db, clip)
    watch(db, clip)


# ---- its end


def test_told_to_stop_it_writes_what_has_come(db: Path, clip: Path) -> None:
    updates: list[WatchCounts] = []
    report = watch(db, clip, update_s=1e6, on_update=updates.append, should_stop=lambda: len(updates) > 0)
    assert report.outcome == "stopped"
    assert len(live_views(db)) == report.counts.window >= 1
    assert report.counts.window == report.counts.frames
    assert open_(db).status().runs[-1].outcome == "stopped"


@pytest.mark.slow
def test_it_ends_when_its_time_is_over(db: Path, tmp_path: Path) -> None:
    (tmp_path / "hls").mkdir()
    write_hls(tmp_path / "hls", grey_clip(tmp_path / "x.ts", 2), ended=False)
    server = FolderServer(tmp_path / "hls")
    policy = firstsight.MediaPolicy(allow_private=True)
    try:
        report = firstsight.open(db, encoder=ColourEncoder(), policy=policy).indexing.watch(
            server.url("live.m3u8"), item_id="item-3", settings=WatchSettings(every_s=1, for_s=2)
        )
    finally:
        server.stop()
    assert report.outcome == "finished"
    assert 2 <= report.seconds < 20
    assert [view.time_s for view in live_views(db)] == [0, 1]


def test_the_watch_is_a_row_of_runs(db: Path, clip: Path) -> None:
    during: list[str] = []
    report = watch(db, clip, on_update=lambda c: during.append(open_(db).status().runs[-1].outcome))
    run = open_(db).status().runs[-1]
    assert set(during) == {"watching"}
    assert (run.run_id, run.outcome, run.source) == (report.run_id, "finished", str(clip))
    assert run.settings["kind"] == "watch"
    assert run.settings["item_id"] == "item-3"
    assert run.counts == json.loads(json.dumps(vars(report.counts)))


@pytest.mark.parametrize(
    "wrong",
    [{"every_s": 0}, {"window_s": -1}, {"for_s": 0}, {"update_s": -1}, {"every_s": float("nan")}, {"window_s": 1e6}],
)
def test_settings_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be|more than"):
        WatchSettings(**wrong)


# ---- kills


@pytest.mark.slow
def test_a_watch_may_die_after_any_write(
    tmp_path: Path, db: Path, catalogue: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every other write an index run repairs the database; after the others a new watch continues."""
    settings: dict[str, Any] = {"every_s": 0.1, "window_s": 3, "update_s": 1e6}  # 80 frames: two updates, or more
    whole = tmp_path / "whole"
    shutil.copytree(db, whole)
    with killed_before_each_write(whole, tmp_path, monkeypatch) as copies:
        watch(whole, clip, **settings)
    expected = contents(whole)
    assert len(copies) >= 10
    for writes, died in enumerate(copies):
        if writes % 2:
            index(died, catalogue)
            item = open_(died).get("item-3")
            check_fused(item, atol=1e-4)
        else:
            watch(died, clip, **settings)
            again = contents(died)
            again["items"]["item-3"]["digest"] = expected["items"]["item-3"]["digest"]  # empty: to be encoded again
            assert_same(again, expected)
        assert {run.outcome for run in open_(died).status().runs} <= {"finished", "killed"}
        shutil.rmtree(died)
