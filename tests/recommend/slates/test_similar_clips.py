"""Items similar to an item with frames: frames are compared with frames, and every video names its second."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import firstsight
from benchmarks.video_parts.copy_kinds import KINDS, Helpers, make_copy
from firstsight import Query
from firstsight.retrieval.ranking.clip_ranking import clip_similarity
from tests.media.streams import needs_ffmpeg
from tests.retrieval.synthetic_items import SyntheticItems

SAMPLE = Path(__file__).parents[3] / "sample_media"


@pytest.fixture(scope="module")
def items_db(tmp_path_factory: pytest.TempPathFactory) -> SyntheticItems:
    """Items of which every third has no frame; every fifth is a live stream, and every tenth may not be shown."""
    items_db = SyntheticItems(tmp_path_factory.mktemp("similar") / "db")
    now = datetime.now(UTC)
    for n, (item_id, row) in enumerate(items_db.rows.items()):
        if n % 3 == 0:
            items_db.views[item_id] = [view for view in items_db.views[item_id] if view[0] != "frame"]
        row |= {"kind": "live" if n % 5 == 0 else "video" if n % 3 else "product", "indexed_at": now}
        row["expires_at"] = now - timedelta(days=1) if n % 10 == 2 else None
    with items_db.store.writing():
        items_db.store.delete_views([f"{i}#frame-3" for n, i in enumerate(items_db.items) if n % 3 == 0])
        items_db.store.write_items(list(items_db.rows.values()))
    return items_db


def expected_order(items_db: SyntheticItems, item_id: str) -> dict[str, float]:
    """Every item that may be shown, best first, by comparison with every row."""
    clip = np.array([vector for part, vector in items_db.views[item_id] if part == "frame"], dtype=np.float32)
    values = {
        other: clip_similarity(clip, np.array([v for part, v in views if part != "title"], dtype=np.float32))
        for other, views in items_db.views.items()
        if other != item_id and items_db.rows[other]["expires_at"] is None
    }
    return dict(sorted(values.items(), key=lambda pair: -pair[1]))


def test_an_item_with_frames_is_compared_as_in_a_search_by_clip(items_db: SyntheticItems) -> None:
    expected = expected_order(items_db, "i00001")
    found = items_db.db.similar("i00001", k=50)
    assert [item.item_id for item in found] == list(expected)[:50]
    assert [item.score for item in found] == pytest.approx(list(expected.values())[:50], abs=1e-5)
    searched = items_db.db.search(Query(items=["i00001"], k=50))
    assert [item.item_id for item in found] == [result.item_id for result in searched]


@pytest.mark.parametrize("kind", ["live", "product"])
def test_kinds_are_filtered_before_the_results_are_counted(items_db: SyntheticItems, kind: str) -> None:
    expected = [i for i in expected_order(items_db, "i00001") if items_db.rows[i]["kind"] == kind]
    assert [item.item_id for item in items_db.db.similar("i00001", k=700, kinds=[kind])] == expected[:700]
    later = datetime.now(UTC) + timedelta(hours=1)
    assert items_db.db.similar("i00001", k=20, kinds=[kind], now=later)[0].item_id == expected[0]


def test_near_duplicates_of_a_result_are_left_out(items_db: SyntheticItems) -> None:
    kept: list[str] = []
    for item_id in expected_order(items_db, "i00001"):
        if all(items_db.items[item_id] @ items_db.items[one] < 0.9 for one in kept):
            kept.append(item_id)
    assert [item.item_id for item in items_db.db.similar("i00001", k=25, near_duplicate=0.9)] == kept[:25]


def test_an_item_without_frames_is_compared_by_its_fused_vector(items_db: SyntheticItems) -> None:
    scores = {
        other: float(vector @ items_db.items["i00000"])
        for other, vector in items_db.items.items()
        if other != "i00000" and items_db.rows[other]["expires_at"] is None
    }
    expected = sorted(scores, key=lambda item_id: -scores[item_id])[:30]
    assert [item.item_id for item in items_db.db.similar("i00000", k=30)] == expected


@pytest.mark.parametrize("item", ["grapes", "live-band-night"])
def test_every_video_names_its_moment(sample_db: Path, item: str) -> None:
    found = firstsight.open(sample_db).similar(item, kinds=["video", "live"])
    assert found
    for result in found:
        assert result.moment is not None
        assert result.moment.view_id is not None
        assert result.moment.view_id.startswith(f"{result.item_id}#frame-")
        assert result.to_dict()["moment"]["start_s"] <= result.to_dict()["moment"]["end_s"]


def test_a_product_in_a_video_has_its_second(sample_db: Path) -> None:
    found = {item.item_id: item for item in firstsight.open(sample_db).similar("grapes")}
    moment = found["video-kitchen-haul"].moment
    assert moment is not None
    assert moment.start_s <= 7.0 <= moment.end_s
    assert all(item.moment is None for item in found.values() if item.kind == "product")


@needs_ffmpeg
def test_the_original_of_a_cut_comes_first_with_its_offset(tmp_path: Path) -> None:
    clips = SAMPLE / "clips"
    helpers = Helpers(clips / "cat.mp4", SAMPLE / "pictures" / "bicycle.jpg")
    make_copy("trim", clips / "kitchen-haul.mp4", helpers, tmp_path / "cut.mp4")
    for name, clip in (("whole", "kitchen-haul"), ("other", "guitar-lesson")):
        shutil.copyfile(clips / f"{clip}.mp4", tmp_path / f"{name}.mp4")
    catalogue = tmp_path / "catalogue.csv"
    rows = [f"{name},video,{name},{name}.mp4" for name in ("cut", "whole", "other")]
    catalogue.write_text("\n".join(["item_id,kind,title,video", *rows]))
    db = firstsight.open(tmp_path / "db")
    db.index(catalogue)
    found = db.similar("cut")
    assert [item.item_id for item in found] == ["whole", "other"]
    assert found[0].clip is not None
    assert found[0].clip.offset_s == pytest.approx(-KINDS["trim"].offset_s, abs=0.3)
    assert found[0].clip.uri == str(tmp_path / "whole.mp4")
    assert found[0].to_dict()["clip"]["share"] > 0.5
    assert found[1].clip is None
