"""Export of shots: their seconds, vectors and thumbnails, also of streams and of videos that are gone."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import firstsight
from firstsight.errors import QueryError
from firstsight.indexer.watch_settings import WatchSettings
from firstsight.retrieval.export.file_formats import write_file
from firstsight.retrieval.export.row_stream import RowSelection
from firstsight.storage.store import Store
from tests.indexer.shop import ColourEncoder, write_csv
from tests.media.streams import grey, grey_clip, write_clip


def shots(db: firstsight.Database, **settings: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = db.to_arrow(of="shots", **settings).read_all().to_pylist()
    return rows


@pytest.fixture
def db(tmp_path: Path) -> firstsight.Database:
    """A video of a red and a blue shot, a broken one, and a product without a video."""
    shop = tmp_path / "shop"
    shop.mkdir()
    noise = Image.effect_noise((320, 180), 60)
    black = Image.new("L", noise.size)
    red, blue = Image.merge("RGB", (noise, black, black)), Image.merge("RGB", (black, black, noise))
    write_clip(shop / "two.mp4", [red] * 40 + [blue] * 40, key_every=10, container="mp4")
    rows = [
        {"item_id": "two", "kind": "video", "title": "Two", "videos": "two.mp4"},
        {"item_id": "mug", "kind": "product", "title": "A mug", "videos": ""},
    ]
    made = firstsight.open(tmp_path / "db", encoder=ColourEncoder())
    made.index(write_csv(shop / "c.csv", rows))
    return made


def test_each_shot_is_a_row_with_its_vector_and_thumbnail(db: firstsight.Database) -> None:
    rows = shots(db)
    assert [(row["item_id"], row["shot"]) for row in rows] == [("two", 0), ("two", 1)]
    first, second = rows
    assert (first["start_s"], second["end_s"]) == (0.0, 8.0)
    assert first["end_s"] == second["start_s"] == pytest.approx(4.0, abs=0.6)
    views = {view.view_id: view for view in db.get("two").views}
    for row, channel in zip(rows, (0, 2), strict=True):
        with Image.open(io.BytesIO(row["thumbnail"])) as picture:
            assert (picture.format, picture.size) == ("JPEG", (160, 90))
            assert int(np.asarray(picture).mean(axis=(0, 1)).argmax()) == channel
        view = views[row["view_id"]]
        assert (row["time_s"], row["fingerprint"], row["uri"]) == (view.time_s, view.fingerprint, view.uri)
        members = [v.vector for v in views.values() if v.start_s == row["start_s"]]
        assert len(members) == row["frames"]
        mean = np.mean(members, axis=0)
        np.testing.assert_allclose(row["vector"], mean / np.linalg.norm(mean), atol=1e-6)


def test_a_video_that_is_gone_gives_rows_without_thumbnails_and_a_count(
    db: firstsight.Database, tmp_path: Path
) -> None:
    (tmp_path / "shop" / "two.mp4").unlink()
    file = tmp_path / "shots.parquet"
    summary = write_file(Store.open(db.uri), file, RowSelection(of="shots"))
    assert (summary.table, summary.rows, summary.unreadable_videos) == ("shots", 2, 1)
    assert pq.read_table(file)["thumbnail"].to_pylist() == [None, None]


def test_columns_are_chosen_and_wrong_calls_refused(db: firstsight.Database, tmp_path: Path) -> None:
    assert shots(db, columns=["start_s", "shot"], vectors=False)[0].keys() == {"start_s", "shot"}
    assert "thumbnail" not in shots(db, thumbnails=False)[0]
    assert shots(db, where="kind = 'product'") == []
    with pytest.raises(QueryError, match="shots have no column 'title'; the columns are item_id, uri, shot"):
        shots(db, columns=["title"])
    with pytest.raises(QueryError, match="of is 'scenes'; give items, views or shots"):
        db.to_arrow(of="scenes")  # type: ignore[arg-type]
    with pytest.raises(QueryError, match=r"shots\.npz cannot hold shots; write a \.parquet or \.jsonl"):
        write_file(Store.open(db.uri), tmp_path / "shots.npz", RowSelection(of="shots"))
    with pytest.raises(QueryError, match="of is 'shots'; give items or views"):
        db.vectors(of="shots")


def test_frames_of_a_stream_that_is_over_have_their_stored_pictures(db: firstsight.Database, tmp_path: Path) -> None:
    clip = grey_clip(tmp_path / "c.ts", 4)
    db.indexing.watch(clip, item_id="mug", settings=WatchSettings(every_s=1, update_s=0))
    clip.unlink()
    rows = [row for row in shots(db) if row["item_id"] == "mug"]
    assert [row["time_s"] for row in rows] == [0, 1, 2, 3]
    assert [grey(Image.open(io.BytesIO(row["thumbnail"]))) for row in rows] == [0, 10, 20, 30]
