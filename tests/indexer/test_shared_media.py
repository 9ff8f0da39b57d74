"""Media that several items use: fetched, decoded and encoded once, with views and failures for each item."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import firstsight
from firstsight.errors import MediaError
from firstsight.indexer import pipeline
from firstsight.indexer.assembly import LoadedMedium, LoadedPicture, PendingItem, PictureInfo
from firstsight.indexer.index_settings import IndexSettings
from firstsight.indexer.media_loading import shared_media
from firstsight.indexer.media_loading.shared_media import EncodedMedium, MediaUse, SharedMedia
from firstsight.indexer.row_reader import CatalogItem
from firstsight.media.policy import MediaPolicy
from tests.indexer.shop import ColourEncoder, assert_same, contents, failures, index, picture, write_jsonl
from tests.media.conftest import Server
from tests.media.streams import write_clip

POLICY = MediaPolicy(allow_private=True, timeout_s=20.0, backoff_s=0.01, tries=2)


def index_remote(db: Path, source: Path, encoder: ColourEncoder, **policy: Any) -> firstsight.IndexReport:
    policy = {"allow_private": True, "timeout_s": 20.0, "backoff_s": 0.01, "tries": 2} | policy
    return firstsight.open(db, encoder=encoder, policy=MediaPolicy(**policy)).index(source)


def variants(uri: str, count: int, other: str = "") -> list[dict[str, Any]]:
    """Rows of variants that share one picture; with `other`, each has a picture of its own too."""
    return [
        {"item_id": f"v{n}", "title": f"size {n}", "images": [uri, other.format(n)] if other else [uri]}
        for n in range(count)
    ]


# ---- whole runs


def test_an_address_of_many_variants_is_fetched_and_encoded_once(db: Path, tmp_path: Path, server: Server) -> None:
    uri = server.answer("/shoe.png", picture(1))
    rows = variants(uri, 60)
    encoder = ColourEncoder()
    report = index_remote(db, write_jsonl(tmp_path / "c.jsonl", rows), encoder)
    assert (len(server.requests), encoder.images) == (1, 1)
    counts = report.counts
    assert (counts.media, counts.shared_media, counts.pictures, counts.encoded) == (60, 59, 60, 60)
    vectors = {row["view_id"]: row["vector"] for row in contents(db)["views"].values() if row["part"] == "image"}
    assert vectors.keys() == {f"v{n}#image-0" for n in range(60)}
    assert len({tuple(vector) for vector in vectors.values()}) == 1


@pytest.mark.slow
def test_variants_among_others_and_far_apart_share_their_picture(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "ITEMS_PER_LOOKUP", 50)
    (tmp_path / "shared.png").write_bytes(picture(0))
    for n in range(120):
        (tmp_path / f"own-{n}.png").write_bytes(picture(n + 1))
    source = write_jsonl(tmp_path / "c.jsonl", variants("shared.png", 120, other="own-{}.png"))
    encoder = ColourEncoder()
    report = index(db, source, encoder, settings=IndexSettings(batch_size=8, write_items=20))
    assert encoder.images == 121
    assert (report.counts.pictures, report.counts.shared_media) == (240, 119)
    for n in (0, 49, 50, 119):
        item = firstsight.open(db).get(f"v{n}")
        shown = {view.view_id: view.uri and Path(view.uri).name for view in item.views}
        assert shown == {f"v{n}#image-0": "shared.png", f"v{n}#image-1": f"own-{n}.png", f"v{n}#title": None}


@pytest.mark.slow
def test_the_result_is_that_of_separate_files(tmp_path: Path) -> None:
    rows = variants("shared.png", 30)
    (tmp_path / "shared.png").write_bytes(picture(5))
    index(tmp_path / "shared", write_jsonl(tmp_path / "c.jsonl", rows))
    for n, row in enumerate(rows):
        (tmp_path / f"{n}.png").write_bytes(picture(5))
        row["images"] = [f"{n}.png"]
    index(tmp_path / "separate", write_jsonl(tmp_path / "c.jsonl", rows))
    shared, separate = (firstsight.open(tmp_path / name) for name in ("shared", "separate"))
    for row in rows:
        one, other = shared.get(row["item_id"]), separate.get(row["item_id"])
        assert one.vector is not None
        assert other.vector is not None
        np.testing.assert_allclose(one.vector, other.vector, atol=1e-6)
        assert len(one.views) == len(other.views) == 2


@pytest.mark.slow
def test_each_item_lists_the_failure_of_a_shared_address(db: Path, tmp_path: Path, server: Server) -> None:
    rows = variants(server.answer("/down.png", status=503), 20)
    report = index_remote(db, write_jsonl(tmp_path / "c.jsonl", rows), ColourEncoder())
    assert len(server.requests) == 2  # tries
    assert report.reasons == {"unreachable": 20}
    assert (report.counts.media, report.counts.failed_media) == (20, 20)
    assert {row[0] for row in failures(db)} == {f"v{n}" for n in range(20)}
    server.answer("/down.png", picture(3))
    database = firstsight.open(db, encoder=ColourEncoder(), policy=POLICY)
    (again,) = database.indexing.retry()
    assert (len(server.requests), again.counts.encoded, failures(db)) == (3, 20, [])


def test_a_picture_that_breaks_the_encoder_is_a_failure_of_each_item(db: Path, tmp_path: Path) -> None:
    class WidthEncoder(ColourEncoder):
        def encode_images(self, images: Any) -> Any:
            if any(image.width > image.height for image in images):
                raise RuntimeError("too wide")
            return super().encode_images(images)

    Image.new("RGB", (60, 40), "red").save(tmp_path / "wide.png")
    index(db, write_jsonl(tmp_path / "c.jsonl", variants("wide.png", 4)), WidthEncoder())
    assert failures(db) == [(f"v{n}", "wide.png", "encode", "crashed", 1) for n in range(4)]


def test_a_shared_video_gives_all_its_frames_to_each_item(db: Path, tmp_path: Path) -> None:
    colours = ["black"] * 20 + ["white"] * 20 + ["navy"] * 20
    write_clip(tmp_path / "v.ts", [Image.new("RGB", (64, 64), colour) for colour in colours])
    rows = [{"item_id": f"v{n}", "videos": "v.ts"} for n in range(5)]
    encoder = ColourEncoder()
    report = index(db, write_jsonl(tmp_path / "c.jsonl", rows), encoder, settings=IndexSettings(frames=6))
    assert (encoder.images, report.counts.frames, report.counts.media) == (6, 30, 5)
    views = [firstsight.open(db).get(f"v{n}").views for n in range(5)]
    times = [[view.time_s or 0.0 for view in item] for item in views]
    assert times[0] == sorted(set(times[0]))
    assert times == [times[0]] * 5


def test_a_picture_listed_twice_in_an_item_has_one_view(db: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(1))
    encoder = ColourEncoder()
    index(db, write_jsonl(tmp_path / "c.jsonl", [{"item_id": "a", "images": ["a.png", "a.png"]}]), encoder)
    assert [view.view_id for view in firstsight.open(db).get("a").views] == ["a#image-0"]
    assert encoder.images == 1


@pytest.mark.slow
def test_uses_that_wait_for_a_medium_are_limited(
    db: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run stops planning at the limit, encodes a batch that is not full, and goes on."""
    monkeypatch.setattr(shared_media, "MAX_WAITING", 10)
    most = 0
    request = SharedMedia.request

    def noted(self: SharedMedia, use: MediaUse, stamp: str) -> Any:
        nonlocal most
        job = request(self, use, stamp)
        most = max(most, self._waiting)
        return job

    monkeypatch.setattr(SharedMedia, "request", noted)
    uris = [server.answer(f"/{n}.png", picture(n)) for n in range(4)]
    rows = [row | {"item_id": f"{n}-{row['item_id']}"} for n, uri in enumerate(uris) for row in variants(uri, 30)]
    encoder = ColourEncoder()
    report = index_remote(db, write_jsonl(tmp_path / "c.jsonl", rows), encoder)
    assert (most, encoder.images, len(server.requests), report.counts.encoded) == (10, 4, 4, 120)


@pytest.mark.slow
def test_items_with_many_shared_views_are_written_early(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "VIEWS_PER_WRITE", 30)
    names = [f"{n}.png" for n in range(10)]
    for n, name in enumerate(names):
        (tmp_path / name).write_bytes(picture(n))
    rows = [{"item_id": f"v{n}", "images": names} for n in range(40)]
    done: list[int] = []
    index(db, write_jsonl(tmp_path / "c.jsonl", rows), on_progress=lambda counts: done.append(counts.encoded))
    assert 10 <= len(set(done)) <= 15
    assert max(done) == len(contents(db)["items"]) == 40


@pytest.mark.slow
def test_a_stopped_run_completes_the_items_that_wait_for_a_shared_picture(db: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(1))
    source = write_jsonl(tmp_path / "c.jsonl", variants("a.png", 40))
    asked = iter(range(1000))
    report = index(db, source, should_stop=lambda: next(asked) >= 15)
    assert (report.outcome, report.counts.encoded) == ("stopped", 15)
    index(db, source)
    index(tmp_path / "whole", source)
    assert_same(contents(db), contents(tmp_path / "whole"))


@pytest.mark.slow
def test_views_of_a_shared_address_stay_while_its_server_is_down(db: Path, tmp_path: Path, server: Server) -> None:
    rows = variants(server.answer("/a.png", picture(1)), 5)
    index_remote(db, write_jsonl(tmp_path / "c.jsonl", rows), ColourEncoder())
    before = contents(db)["views"]
    server.answer("/a.png", status=503)
    rows = [row | {"title": "another"} for row in rows]
    index_remote(db, write_jsonl(tmp_path / "c.jsonl", rows), ColourEncoder())
    after = contents(db)["views"]
    assert len(failures(db)) == 5
    for n in range(5):
        assert after[f"v{n}#image-0"]["vector"] == before[f"v{n}#image-0"]["vector"]


@pytest.mark.slow
def test_refresh_asks_once_for_an_address(
    db: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "ITEMS_PER_LOOKUP", 7)
    version = ['"1"']

    def route(request: BaseHTTPRequestHandler) -> None:
        known = request.headers["If-None-Match"] == version[0]
        body = b"" if known else picture(int(version[0].strip('"')))
        request.send_response(304 if known else 200)
        request.send_header("ETag", version[0])
        if not known:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    server.routes["/a.png"] = route
    source = write_jsonl(tmp_path / "c.jsonl", variants(server.url("/a.png"), 20))
    index_remote(db, source, ColourEncoder())
    assert len(server.requests) == 1
    report = index_remote(db, source, ColourEncoder(), refresh=True)
    assert (len(server.requests), report.counts.unchanged) == (2, 20)
    version[0] = '"2"'
    report = index_remote(db, source, ColourEncoder(), refresh=True)
    assert (len(server.requests), report.counts.encoded) == (4, 20)  # one question, one download
    assert {row["version"] for row in contents(db)["views"].values() if row["part"] == "image"} == {'etag "2"'}


# ---- what is kept


class Deliveries:
    """Records what `SharedMedia` delivers."""

    def __init__(self) -> None:
        self.done: list[tuple[str, int, bool]] = []  # address, number of pictures, shared

    def __call__(self, use: MediaUse, encoded: EncodedMedium, shared: bool) -> None:
        self.done.append((use.uri, len(encoded.pictures), shared))


def use(uri: str) -> MediaUse:
    item = CatalogItem("a", "product", None, None, (uri,), (), None, None, None, {})
    return MediaUse(PendingItem(item, "", "", False), "image", 0, uri)


def encode(media: SharedMedia, uri: str, stamp: str = "") -> bool:
    """Use a medium and encode it if that is necessary; return whether it was."""
    job = media.request(use(uri), stamp)
    if job is None:
        return False
    loaded = LoadedPicture(Image.new("RGB", (1, 1)), PictureInfo(uri))
    media.loaded(job, LoadedMedium([loaded]))
    media.encoded(job, 0, loaded, np.ones(100, np.float32))
    return True


def test_the_media_used_last_are_kept_within_the_limit_of_memory() -> None:
    deliveries = Deliveries()
    media = SharedMedia(deliveries, kept_bytes=3 * 1_500)  # an entry has 1,400 bytes
    assert [encode(media, uri) for uri in "abcabc"] == [True] * 3 + [False] * 3
    assert encode(media, "d")  # instead of a, the one that was not used for the longest time
    assert [encode(media, uri) for uri in "bcd"] == [False] * 3
    assert encode(media, "a")
    assert deliveries.done[3:6] == [("a", 1, True), ("b", 1, True), ("c", 1, True)]


def test_a_medium_above_the_limit_of_memory_is_not_kept() -> None:
    media = SharedMedia(Deliveries(), kept_bytes=1_000)
    assert [encode(media, "a"), encode(media, "a")] == [True, True]


def test_a_file_that_changes_during_the_run_is_read_again() -> None:
    media = SharedMedia(Deliveries())
    assert [encode(media, "a", stamp) for stamp in ("1", "1", "2", "2")] == [True, False, True, False]


def test_a_failure_is_kept_too() -> None:
    deliveries = Deliveries()
    media = SharedMedia(deliveries)
    job = media.request(use("a"), "")
    assert job is not None
    assert media.request(use("a"), "") is None
    media.failed(job, MediaError("corrupt", "a is broken"))
    assert media.request(use("a"), "") is None
    assert deliveries.done == [("a", 0, False), ("a", 0, True), ("a", 0, True)]
