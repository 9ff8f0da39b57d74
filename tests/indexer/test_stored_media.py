"""Pictures inside a catalogue: stored once in the database, shown by every reader, removed with their last item."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

import firstsight
from firstsight.database import open_tables
from firstsight.errors import MediaError
from firstsight.media.fetch.fetched_media import fetch_bytes
from firstsight.media.policy import MediaPolicy
from firstsight.media.stored_files import MediaWriter, remove_unused
from firstsight.media.stored_media import find_stored
from firstsight.retrieval.pages.contact_sheet import write_contact_sheet
from firstsight.service.gallery.view_media import ViewMedia, find_view
from tests.indexer.shop import ColourEncoder, failures, index, picture

FORM = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(folder: Path, pictures: list[Any], kind: pa.DataType = FORM) -> Path:
    folder.mkdir(exist_ok=True)
    ids = [f"i{n}" for n in range(len(pictures))]
    table = pa.table({"item_id": ids, "title": [f"thing {n}" for n in ids], "images": pa.array(pictures, kind)})
    pq.write_table(table, folder / "shop.parquet")
    return folder / "shop.parquet"


def stored(db: Path) -> list[str]:
    return sorted(path.name for path in (db / "media").rglob("*") if path.is_file())


def test_equal_pictures_are_stored_once_under_names_of_their_content(tmp_path: Path) -> None:
    one, two = picture(1), picture(2, format="JPEG")
    rows = [{"bytes": one, "path": "../../evil.sh"}, {"bytes": one, "path": None}, {"bytes": two, "path": "b.jpg"}]
    report = index(tmp_path / "db", write(tmp_path / "shop", rows))
    assert (report.counts.pictures, report.counts.failed_media) == (3, 0)
    assert [Path(name).suffix for name in sorted(stored(tmp_path / "db"), key=lambda name: name[-3:])] == [
        ".jpg",
        ".png",
    ]
    (view,) = (v for v in firstsight.open(tmp_path / "db").get("i0").views if v.part == "image")
    assert Path(str(view.uri)).read_bytes() == one


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.list_(FORM), pa.list_(pa.binary())])
def test_bytes_lists_of_bytes_and_lists_of_structs_are_pictures_too(tmp_path: Path, kind: pa.DataType) -> None:
    value: Any = {"bytes": picture(1), "path": "a"} if "struct" in str(kind) else picture(1)
    report = index(tmp_path / "db", write(tmp_path / "shop", [[value] if pa.types.is_list(kind) else value], kind))
    assert report.counts.pictures == 1


def test_a_second_run_encodes_only_changed_pictures_and_removes_the_old_file(tmp_path: Path) -> None:
    rows = [{"bytes": picture(n), "path": "same name"} for n in range(2)]
    index(tmp_path / "db", write(tmp_path / "shop", rows))
    before = stored(tmp_path / "db")
    rows[1]["bytes"] = picture(7)
    encoder = ColourEncoder()
    report = index(tmp_path / "db", write(tmp_path / "shop", rows), encoder)
    assert (report.counts.unchanged, encoder.images) == (1, 1)
    assert len(stored(tmp_path / "db")) == 2
    assert stored(tmp_path / "db") != before


def test_removed_and_pruned_items_take_their_files_along_unless_another_item_has_them(tmp_path: Path) -> None:
    shared, own, third = picture(1), picture(2), picture(3)
    rows = [{"bytes": data, "path": None} for data in (shared, shared, own, third)]
    index(tmp_path / "db", write(tmp_path / "shop", rows))
    db = firstsight.open(tmp_path / "db", encoder=ColourEncoder())
    db.remove(["i0", "i2"])
    assert len(stored(tmp_path / "db")) == 2
    db.index(write(tmp_path / "shop", rows[:2]), prune=True)
    assert len(stored(tmp_path / "db")) == 1


def test_optimize_removes_the_files_that_a_killed_run_left(tmp_path: Path) -> None:
    index(tmp_path / "db", write(tmp_path / "shop", [{"bytes": picture(1), "path": None}]))
    (kept,) = stored(tmp_path / "db")
    (tmp_path / "db" / "media" / "ab").mkdir(exist_ok=True)
    for name in ("ab" * 32 + ".png", ".new-killed"):
        (tmp_path / "db" / "media" / "ab" / name).write_bytes(b"left")
    assert firstsight.open(tmp_path / "db").maintenance.optimize().stray_files == 2
    assert stored(tmp_path / "db") == [kept]


def test_a_moved_database_still_finds_its_pictures(tmp_path: Path) -> None:
    index(tmp_path / "db", write(tmp_path / "shop", [{"bytes": picture(1), "path": None}]))
    (tmp_path / "db").rename(tmp_path / "moved")
    (result,) = firstsight.open(tmp_path / "moved", encoder=ColourEncoder()).search("thing i0")
    assert result.picture is not None
    assert result.picture.uri is not None
    assert Path(result.picture.uri).is_relative_to(tmp_path / "moved")
    assert Path(result.picture.uri).read_bytes() == picture(1)


def test_a_contact_sheet_and_the_gallery_show_stored_pictures(tmp_path: Path) -> None:
    index(tmp_path / "db", write(tmp_path / "shop", [{"bytes": picture(1), "path": None}]))
    (tmp_path / "shop" / "shop.parquet").unlink()
    db = firstsight.open(tmp_path / "db", encoder=ColourEncoder())
    write_contact_sheet(tmp_path / "page.html", "all", db.search("thing"), policy=MediaPolicy())
    assert "data:image/jpeg" in (tmp_path / "page.html").read_text(encoding="utf-8")
    view = find_view(open_tables(db), "i0#image-0")
    assert view is not None
    media = ViewMedia(MediaPolicy(), workers=1)
    assert media.thumbnail(view, 96).startswith(b"\xff\xd8")
    media.close()


def test_broken_and_too_large_bytes_are_failures_that_are_not_stored(tmp_path: Path) -> None:
    good, large = picture(1), picture(2, side=400, format="BMP")
    rows = [{"bytes": data, "path": None} for data in (good, b"<html>", large)]
    db = firstsight.open(tmp_path / "db", encoder=ColourEncoder(), policy=MediaPolicy(max_picture_bytes=100_000))
    report = db.index(write(tmp_path / "shop", rows))
    assert (report.counts.pictures, report.counts.failed_media) == (1, 2)
    assert sorted((row[0], row[3]) for row in failures(tmp_path / "db")) == [("i1", "corrupt"), ("i2", "too_large")]
    assert len(stored(tmp_path / "db")) == 1


def test_bytes_are_never_written_as_text_and_pictures_in_any_struct_are_found(tmp_path: Path) -> None:
    rows: dict[str, list[Any]] = {
        "item_id": ["a"],
        "title": ["tea"],
        "thumb": [{"bytes": picture(1), "note": ["x", None]}],
        "sound": [{"bytes": b"ID3", "note": "x"}],
        "parts": [[{"code": b"\xff\x00", "size": 3}]],
        "raw": [b"abc"],
    }
    pq.write_table(pa.Table.from_pydict(rows), tmp_path / "c.parquet")
    warned: list[str] = []
    report = index(tmp_path / "db", tmp_path / "c.parquet", on_warning=warned.append)
    assert (report.counts.pictures, report.counts.failed_media) == (1, 0)
    assert warned == [
        f"column {name!r}: binary data other than pictures and videos is left out (1 value)"
        for name in ("sound", "parts", "raw")
    ]
    columns = firstsight.open(tmp_path / "db").get("a").columns
    assert columns == {"sound": '{"note": "x"}', "parts": '[{"size": 3}]'}


def test_an_address_inside_another_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="names a file inside a database"):
        fetch_bytes(f"stored://{'a' * 64}.png", MediaPolicy())
    for uri in (f"stored://{'a' * 64}.png", "stored://../../etc/passwd", "stored://"):
        with pytest.raises(MediaError) as caught:
            fetch_bytes(uri, MediaPolicy(stored_media=str(tmp_path)))
        assert caught.value.reason == "missing"


class ObjectStore(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """fsspec's in-memory store for s3:// addresses."""

    protocol = "s3"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("s3://").lstrip("/")


def test_beside_an_object_store_database_pictures_are_objects() -> None:
    fsspec.register_implementation("s3", ObjectStore, clobber=True)
    try:
        writer = MediaWriter("s3://shop/db/media", max_picture_bytes=10**6, max_video_bytes=10**6)
        uri, other = writer.put(picture(1)), writer.put(picture(2))
        assert fetch_bytes(uri, MediaPolicy(stored_media="s3://shop/db/media")) == picture(1)
        assert remove_unused("s3://shop/db/media", {uri}, {uri, other}) == 1
        assert not ObjectStore().exists(find_stored(other, "s3://shop/db/media"))
        assert ObjectStore().exists(find_stored(uri, "s3://shop/db/media"))
    finally:
        _registry.pop("s3")
