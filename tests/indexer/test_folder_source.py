"""Folders of pictures and videos: what becomes an item, and what is left out and named."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.errors import CatalogError
from firstsight.indexer import row_reader
from firstsight.indexer.formats import folder as folder_module
from firstsight.indexer.formats.folder import FolderSource
from firstsight.indexer.formats.source import BadRow
from firstsight.indexer.index_settings import IndexSettings
from tests.indexer.shop import ColourEncoder, contents, index, picture

JPEG = picture(1, format="JPEG")
PNG = picture(1)
MP4 = b"\x00\x00\x00\x1cftypisom\x00\x00\x02\x00isomiso2mp41"
HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"
MPEG_TS = (b"G" + bytes(187)) * 6


def read(folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Rows by their ids, and the notes."""
    source = FolderSource(str(folder), folder)
    rows = {}
    for _, row in source.rows():
        assert not isinstance(row, BadRow)
        rows[str(row["item_id"])] = dict(row)
    return rows, tuple(source.notes)


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


# ---- items


def test_every_picture_and_video_below_a_folder_is_an_item(tmp_path: Path) -> None:
    names = {"b/red_tea-pot.jpg": JPEG, "a.PNG": PNG, "clip.mp4": MP4, ".hidden.jpg": JPEG, ".git/x.jpg": JPEG}
    rows, notes = read(fill(tmp_path, names))
    assert list(rows.values()) == [
        {"item_id": "a.PNG", "kind": "product", "title": "a", "images": ["a.PNG"]},
        {"item_id": "b/red_tea-pot.jpg", "kind": "product", "title": "red tea pot", "images": ["b/red_tea-pot.jpg"]},
        {"item_id": "clip.mp4", "kind": "video", "title": "clip", "videos": ["clip.mp4"]},
    ]
    assert notes == ()


def test_a_camera_name_is_no_title(tmp_path: Path) -> None:
    rows, _ = read(fill(tmp_path, {"IMG_4000.JPG": JPEG, "IMG_4001 red shoe.JPG": JPEG}))
    assert [row["title"] for row in rows.values()] == [None, "red shoe"]


@pytest.mark.parametrize(
    ("name", "data", "column"),
    [
        ("no-extension", JPEG, "images"),
        ("photo.jpg_large", JPEG, "images"),
        ("photo.jpg.bak", PNG, "images"),
        ("clip", MP4, "videos"),
        ("clip.dat", b"\x00\x00\x01\xba\x44" + bytes(99), "videos"),
        ("video-named.jpg", MP4, "videos"),
        ("picture-named.mp4", PNG, "images"),
        ("00001.MTS", MPEG_TS, "videos"),
        ("MOV001.MOD", b"\x00\x00\x01\xba\x44" + bytes(99), "videos"),
    ],
)
def test_the_first_bytes_count_more_than_the_extension(name: str, data: bytes, column: str, tmp_path: Path) -> None:
    rows, notes = read(fill(tmp_path, {name: data}))
    assert rows[name][column] == [name]
    assert notes == ()


def test_files_with_the_extension_of_a_video_and_other_contents_are_left_out(tmp_path: Path) -> None:
    files = {"app.ts": b"export const a = 1;", "go.mod": b"module x", "a.mts": b"import x", "a.jpg": JPEG}
    rows, notes = read(fill(tmp_path, files))
    assert list(rows) == ["a.jpg"]
    assert notes == ("3 other files are left out, because they are no pictures or videos: 1 .mts, 1 .ts, 1 .mod",)


@pytest.mark.parametrize("text", [b"Our free guide", b"BMW catalogue", b"P3 printers", b"GIFs", b"ID3 sound"])
def test_a_text_without_extension_is_no_medium(text: bytes, tmp_path: Path) -> None:
    rows, notes = read(fill(tmp_path, {"README": text, "a.jpg": JPEG}))
    assert list(rows) == ["a.jpg"]
    assert "1 without extension" in notes[0]


# ---- left out


def test_files_that_are_not_read_are_counted_with_their_remedy(tmp_path: Path) -> None:
    files = dict.fromkeys(["1.CR2", "2.cr2", "3.nef", "x.psd", "y.svg", "z.pdf", "live.livp", "b.jxl"], b"II*\x00 data")
    rows, notes = read(fill(tmp_path, files | {"a.jpg": JPEG}))
    assert list(rows) == ["a.jpg"]
    (note,) = notes
    assert note.startswith("8 files are left out: ")
    assert "2 .cr2, 1 .nef (RAW pictures; export them as JPEG)" in note
    assert "1 .psd (files of design programs; export them as JPEG or PNG)" in note
    assert "1 .livp (live photos; export them as JPEG and MOV)" in note


@pytest.mark.parametrize("extension", ["cr3", "arw", "dng", "raf", "orf", "ico", "jp2", "eps", "ai", "zip", "rmvb"])
def test_known_kinds_that_are_not_read_have_a_remedy(extension: str, tmp_path: Path) -> None:
    _, notes = read(fill(tmp_path, {f"a.{extension.upper()}": b"x" * 99, "a.jpg": JPEG}))
    assert f"1 .{extension} (" in notes[0]
    assert "; " in notes[0]


def test_helper_files_of_phones_and_programs_are_ignored(tmp_path: Path) -> None:
    names = ["IMG_1.AAE", "GX01.THM", "GX01.LRV", "a.xmp", "Thumbs.db", "desktop.ini", "._a.jpg", ".DS_Store"]
    names += [".thumbnails/1.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "__MACOSX/a.jpg", "VIDEO_TS.IFO"]
    rows, notes = read(fill(tmp_path, dict.fromkeys(names, JPEG) | {"a.jpg": JPEG}))
    assert (list(rows), notes) == (["a.jpg"], ())


def test_empty_pictures_are_named_and_other_empty_files_ignored(tmp_path: Path) -> None:
    rows, notes = read(fill(tmp_path, {"a.jpg": JPEG, "b.jpg": b"", "notes.txt": b"", "c": b""}))
    assert list(rows) == ["a.jpg"]
    assert notes == ("1 left out as empty pictures or videos (0 bytes): b.jpg; copy them again",)


def test_heic_is_read_with_its_extra_and_named_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, {"IMG_1.HEIC": HEIC, "b.heif": HEIC, "renamed.jpg": HEIC, "jpeg.heic": JPEG, "a.jpg": JPEG})
    rows, notes = read(tmp_path)
    assert (len(rows), notes) == (5, ())
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "pillow_heif" else find_spec(name, *rest)
    )
    rows, notes = read(tmp_path)
    assert list(rows) == ["a.jpg", "jpeg.heic"]
    (note,) = notes
    assert note.startswith("3 files are left out: ")
    assert "(HEIC pictures; install their reader: pip install 'firstsight[heic]')" in note


def test_a_folder_without_media_is_an_error_that_names_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"has no picture or video that can be read; 1 file is left out: 1 \.cr2"):
        read(fill(tmp_path, {"a.cr2": b"raw"}))


# ---- links, permissions, names


def test_links_are_followed_to_files_only(tmp_path: Path) -> None:
    fill(tmp_path, {"a.jpg": JPEG, "sub/b.jpg": JPEG})
    (tmp_path / "c.jpg").symlink_to("sub/b.jpg")
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "dangling.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    rows, notes = read(tmp_path)
    assert list(rows) == ["a.jpg", "c.jpg", "sub/b.jpg"]
    assert notes == (
        "1 left out as linked folders: again; index each of them by its own path",
        "2 left out as links that lead to no file: dangling.jpg, loop.jpg",
    )


def test_a_link_out_of_the_folder_is_not_opened(tmp_path: Path) -> None:
    outside = fill(tmp_path, {"outside": JPEG}) / "outside"
    inside = tmp_path / "inside"
    fill(inside, {"a.jpg": JPEG})
    (inside / "secret").symlink_to(outside)
    rows, notes = read(inside)
    assert list(rows) == ["a.jpg"]
    assert "1 without extension" in notes[0]


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run as a user whom permissions apply to."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that other users can read; pytest's own folders are private."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


def test_an_unreadable_folder_is_named_and_the_others_are_read(public_folder: Path) -> None:
    fill(public_folder, {"a.jpg": JPEG, "private/b.jpg": JPEG, "z/c.jpg": JPEG})
    (public_folder / "private").chmod(0)
    source = FolderSource("photos", public_folder)
    with unprivileged():
        ids = [row["item_id"] for _, row in source.rows() if not isinstance(row, BadRow)]
    assert ids == ["a.jpg", "z/c.jpg"]
    assert source.notes == ("1 left out as unreadable folders (Permission denied): private; check their permissions",)
    assert source.unread_folders == ("private",)


def test_an_unreadable_top_folder_is_an_error(public_folder: Path) -> None:
    public_folder.chmod(0)
    with unprivileged(), pytest.raises(CatalogError, match="cannot be read"):
        read(public_folder)


def test_pruning_keeps_the_items_of_a_folder_that_cannot_be_read(public_folder: Path, db: Path) -> None:
    fill(public_folder, {"a.jpg": JPEG, "gone.jpg": PNG, "private/b.jpg": JPEG})
    index(db, public_folder)
    (public_folder / "gone.jpg").unlink()
    (public_folder / "private").chmod(0)
    real = FolderSource.rows

    def rows(self: FolderSource) -> Iterator[Any]:
        with unprivileged():
            yield from list(real(self))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FolderSource, "rows", rows)
        report = index(db, public_folder, prune=True)
    assert report.counts.pruned == 1
    assert contents(db)["items"].keys() == {"a.jpg", "private/b.jpg"}
    assert "unreadable folders" in report.notes[0]


def test_names_that_cannot_be_ids_are_left_out_and_named(tmp_path: Path) -> None:
    fill(tmp_path, {"a.jpg": JPEG, "b\nc.jpg": JPEG})
    with open(os.fsencode(tmp_path) + b"/caf\xe9.jpg", "wb") as file:
        file.write(JPEG)
    deep = tmp_path.joinpath(*["d" * 100] * 6)
    deep.mkdir(parents=True)
    (deep / "deep.jpg").write_bytes(JPEG)
    rows, notes = read(tmp_path)
    assert list(rows) == ["a.jpg"]
    assert "1 left out as files with control characters in their name: b\N{REPLACEMENT CHARACTER}c.jpg" in notes[0]
    assert r"1 left out as files whose name is not UTF-8: b'caf\xe9.jpg'; rename them" in notes
    assert any("more than 512 characters" in note for note in notes)
    assert folder_module.MAX_PATH == row_reader.MAX_ID


# ---- catalogues in the folder


@pytest.mark.parametrize("name", ["shop.csv", "feed.tsv", "items.json", "a b.jsonl", "x.parquet", "x.xlsx", "x.xml"])
def test_a_catalogue_in_the_folder_is_mentioned(name: str, tmp_path: Path) -> None:
    rows, notes = read(fill(tmp_path / "shop", {"a.jpg": JPEG, name: b"item_id,images"}))
    assert list(rows) == ["a.jpg"]
    path = f"'{tmp_path}/shop/{name}'" if " " in name else f"{tmp_path}/shop/{name}"
    assert notes == (f"the folder also holds {name}; to use its titles and prices run: firstsight index {path}",)


def test_of_several_catalogues_the_uppermost_is_named(tmp_path: Path) -> None:
    _, notes = read(fill(tmp_path, {"a/b/c.csv": b"x", "z.csv": b"x", "a.jpg": JPEG}))
    assert notes[0].startswith("the folder also holds 2 catalogues, such as z.csv; ")


def test_sidecars_of_pictures_are_no_catalogues(tmp_path: Path) -> None:
    names = ["a.jpg.json", "a.json", "a.jpg.supplemental-metadata.json", "C0001M01.XML", "metadata.json"]
    _, notes = read(fill(tmp_path, dict.fromkeys(names, b"{}") | {"a.jpg": JPEG, "C0001.MP4": MP4}))
    assert notes == ("5 other files are left out, because they are no pictures or videos: 4 .json, 1 .xml",)


# ---- whole runs


def test_the_report_and_the_warnings_have_the_notes(tmp_path: Path, db: Path) -> None:
    fill(tmp_path / "photos", {"IMG_1.jpg": JPEG, "IMG_2.cr2": b"raw"})
    warnings: list[str] = []
    report = index(db, tmp_path / "photos", on_warning=warnings.append)
    assert report.notes == ("1 file is left out: 1 .cr2 (RAW pictures; export them as JPEG)",)
    assert warnings == list(report.notes)
    item = firstsight.open(db).get("IMG_1.jpg")
    assert (item.title, [view.part for view in item.views]) == (None, ["image"])


@pytest.mark.slow
def test_pictures_with_camera_names_are_found_by_what_they_show(tmp_path: Path, db: Path, starter: Encoder) -> None:
    pictures = sorted((Path(__file__).parents[2] / "sample_media" / "pictures").glob("*.jpg"))[:30]
    (tmp_path / "photos").mkdir()
    names = {path.stem: f"IMG_{4000 + n}.jpg" for n, path in enumerate(pictures)}
    for path in pictures:
        shutil.copy(path, tmp_path / "photos" / names[path.stem])
    database = firstsight.open(db, encoder=starter)
    database.index(tmp_path / "photos")
    queries = {"a bicycle": "bicycle", "bananas": "bananas", "a drum kit": "drum-kit", "a football": "football"}
    for query, stem in queries.items():
        results = database.search(query, k=30)
        assert results[0].item_id == names[stem]
        assert results[0].relevance > 0.25
        assert results[0].relevance > results[10].relevance + 0.15


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "format", "codec", "size"),
    [
        ("00001.MTS", "mpegts", "libx264", (320, 240)),
        ("a.m2ts", "mpegts", "libx264", (320, 240)),
        ("a.3gp", "3gp", "mpeg4", (320, 240)),
        ("a.3g2", "3g2", "mpeg4", (320, 240)),
        ("VTS_01_1.VOB", "vob", "mpeg2video", (720, 576)),
        ("MOV001.MOD", "vob", "mpeg2video", (720, 576)),
        ("MOV001.TOD", "mpegts", "mpeg2video", (720, 576)),
        ("a.dv", "dv", "dvvideo", (720, 576)),
        ("a.mxf", "mxf", "mpeg2video", (720, 576)),
        ("a.m2v", "mpeg2video", "mpeg2video", (720, 576)),
        ("a.f4v", "f4v", "libx264", (320, 240)),
        ("a.qt", "mov", "mjpeg", (320, 240)),
    ],
)
def test_videos_of_camcorders_and_discs_are_decoded(
    name: str, format: str, codec: str, size: tuple[int, int], tmp_path: Path, db: Path
) -> None:
    """The picture turns from black to white in the middle, and so do the frames."""
    folder = tmp_path / "videos"
    folder.mkdir()
    try:
        with av.open(str(folder / name), "w", format=format) as container:
            stream = container.add_stream(codec, rate=25)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height = size
            stream.pix_fmt = {"mjpeg": "yuvj420p"}.get(codec, "yuv420p")
            for number in range(50):
                frame = np.full((size[1], size[0], 3), 255 * (number >= 25), np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            container.mux(stream.encode())
    except (av.FFmpegError, ValueError) as error:
        pytest.skip(f"this build of PyAV cannot write {format}: {error}")
    brightness: list[float] = []

    class Watching(ColourEncoder):
        def encode_images(self, images: Any) -> Any:
            brightness.extend(float(np.asarray(image).mean()) for image in images if isinstance(image, Image.Image))
            return super().encode_images(images)

    report = index(db, folder, Watching(), settings=IndexSettings(frames=4))
    assert (report.counts.failed_media, report.notes) == (0, ())
    assert min(brightness) < 40
    assert max(brightness) > 215
    views = firstsight.open(db).get(name).views
    assert all(0 <= (view.time_s or 0) < 2 for view in views if view.part == "frame")
