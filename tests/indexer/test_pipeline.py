"""Index runs: items, broken inputs, stops, encoders and batches."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import firstsight
from firstsight.encoders.base import Encoder, ImageInput, Vectors
from firstsight.errors import CatalogError, EncoderError, EncoderMismatchError
from firstsight.indexer.index_settings import IndexSettings
from tests.indexer.shop import (
    ColourEncoder,
    Rows,
    assert_same,
    contents,
    edit,
    failures,
    index,
    make_shop,
    picture,
    write_csv,
    write_jsonl,
)
from tests.media.streams import write_clip

# ---- the first run


def test_the_sample_catalogue_is_indexed_with_the_real_encoder(sample_db: Path, starter: Encoder) -> None:
    status = firstsight.open(sample_db).status()
    assert status.encoder == starter.spec
    assert status.items >= 60
    assert status.failures == 1
    item = firstsight.open(sample_db).get("sneakers-red")
    title = starter.encode_texts(["Red running shoes with black laces"])[0]
    image = starter.encode_images([sample_db_picture("sneakers-red.jpg")])[0]
    assert [view.part for view in item.views] == ["image", "title"]
    assert item.views[0].vector @ image > 0.99
    assert item.views[1].vector @ title > 0.999
    assert item.vector @ ((title + image) / np.linalg.norm(title + image)) > 0.99


def sample_db_picture(name: str) -> Path:
    return Path(__file__).parents[2] / "sample_media" / "pictures" / name


@pytest.mark.slow
def test_the_report_counts_what_was_done(db: Path, shop: Path) -> None:
    report = index(db, shop)
    counts = report.counts
    assert (report.outcome, report.reasons) == ("finished", {"corrupt": 2})
    assert (counts.total, counts.items, counts.encoded, counts.unchanged) == (12, 12, 12, 0)
    assert (counts.texts, counts.pictures, counts.media, counts.failed_media) == (12, 10, 12, 2)
    assert counts.failure_rate == pytest.approx(2 / 12)
    (run,) = firstsight.open(db).status().runs
    assert (run.outcome, run.counts["encoded"]) == ("finished", 12)


def test_every_stored_vector_has_unit_length(db: Path, shop: Path) -> None:
    index(db, shop)
    stored = contents(db)
    vectors = [row["vector"] for table in ("items", "views") for row in stored[table].values()]
    assert len(vectors) == 12 + 22
    np.testing.assert_allclose(np.linalg.norm(np.array(vectors), axis=1), 1, atol=1e-5)


@pytest.mark.slow
def test_a_broken_picture_is_listed_and_its_item_indexed_from_the_rest(db: Path, shop: Path) -> None:
    index(db, shop)
    assert failures(db) == [("item-0", "0.png", "decode", "corrupt", 1), ("item-1", "1.png", "decode", "corrupt", 1)]
    item = firstsight.open(db).get("item-0")
    assert [view.part for view in item.views] == ["title"]
    assert item.vector is not None
    np.testing.assert_allclose(item.vector, item.views[0].vector, atol=1e-6)


def test_a_missing_and_a_forbidden_picture_are_told_apart(db: Path, tmp_path: Path) -> None:
    rows = [{"item_id": "a", "title": "Tea", "images": "nowhere.png|../outside.png"}]
    (tmp_path / "outside.png").write_bytes(picture(1))
    (tmp_path / "shop").mkdir()
    index(db, write_csv(tmp_path / "shop" / "c.csv", rows))
    assert failures(db) == [
        ("a", "../outside.png", "fetch", "forbidden", 1),
        ("a", "nowhere.png", "fetch", "missing", 1),
    ]


def test_an_item_with_nothing_to_encode_is_stored_without_a_vector(db: Path, tmp_path: Path) -> None:
    report = index(
        db, write_jsonl(tmp_path / "c.jsonl", [{"item_id": "bare", "price": 5}, {"item_id": "b", "title": "x"}])
    )
    item = firstsight.open(db).get("bare")
    assert (item.vector, item.views, item.columns["price"]) == (None, (), 5.0)
    assert failures(db) == [("bare", "", "catalog", "empty", 1)]
    assert (report.counts.empty, report.counts.failed_media, report.reasons) == (1, 0, {})


def test_an_item_whose_every_medium_fails_is_stored_without_a_vector(db: Path, tmp_path: Path) -> None:
    index(db, write_jsonl(tmp_path / "c.jsonl", [{"item_id": "a", "images": "gone.png"}]))
    assert firstsight.open(db).get("a").vector is None


def test_an_item_without_a_title_is_encoded_from_its_text(db: Path, tmp_path: Path) -> None:
    index(db, write_jsonl(tmp_path / "c.jsonl", [{"item_id": "a", "text": "Hot tea."}]))
    (view,) = firstsight.open(db).get("a").views
    np.testing.assert_allclose(view.vector, ColourEncoder().encode_texts(["Hot tea."])[0], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "item_id", ["it's", "a#title", "a", 'quo"te', "日本語", "narrow\u202fspace", "x" * 512, "%_\\"]
)
def test_ids_of_all_sorts_are_stored_found_updated_and_removed(db: Path, tmp_path: Path, item_id: str) -> None:
    rows: Rows = [{"item_id": item_id, "title": "one"}, {"item_id": "other", "title": "stays", "images": "gone.png"}]
    index(db, write_jsonl(tmp_path / "c.jsonl", rows))
    rows[0] |= {"title": "two"}
    report = index(db, write_jsonl(tmp_path / "c.jsonl", rows))
    assert report.counts.encoded == 1
    assert firstsight.open(db).get(item_id).title == "two"
    index(db, write_jsonl(tmp_path / "c.jsonl", rows[1:]), prune=True)
    stored = contents(db)
    assert (list(stored["items"]), list(stored["views"])) == (["other"], ["other#title"])


@pytest.mark.slow
def test_items_from_every_format_are_the_same(tmp_path: Path, shop: Path) -> None:
    import csv

    import pyarrow as pa
    import pyarrow.parquet as pq

    with shop.open(newline="") as file:
        rows: Rows = [row | {"price": float(row["price"])} for row in csv.DictReader(file)]
    write_jsonl(shop.with_suffix(".jsonl"), rows)
    pq.write_table(pa.Table.from_pylist(rows), shop.with_suffix(".parquet"))
    for suffix in (".csv", ".jsonl", ".parquet"):
        index(tmp_path / suffix, shop.with_suffix(suffix))
    assert_same(contents(tmp_path / ".csv"), contents(tmp_path / ".jsonl"))
    assert_same(contents(tmp_path / ".csv"), contents(tmp_path / ".parquet"))


def test_a_folder_of_pictures_is_indexed_and_names_with_blanks_are_found(db: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures" / "tea time").mkdir(parents=True)
    (tmp_path / "pictures" / "tea time" / "red cup|new.png").write_bytes(picture(1))
    index(db, tmp_path / "pictures")
    item = firstsight.open(db).get("tea time/red cup|new.png")
    assert (item.title, len(item.views)) == ("red cup|new", 2)


def test_a_catalogue_with_a_mistake_leaves_no_database(db: Path, tmp_path: Path) -> None:
    with pytest.raises(CatalogError):
        index(db, write_jsonl(tmp_path / "c.jsonl", [{"item_id": "a"}, {"item_id": "a"}]))
    assert not db.exists()


def test_a_view_that_is_not_finite_costs_that_view(db: Path, tmp_path: Path) -> None:
    class Spoiled(ColourEncoder):
        def encode_texts(self, texts: Sequence[str]) -> Vectors:
            return super().encode_texts(texts) * np.float32(np.nan if "Tea" in texts else 1)

    (tmp_path / "a.png").write_bytes(picture(1))
    index(db, write_jsonl(tmp_path / "c.jsonl", [{"item_id": "a", "title": "Tea", "images": "a.png"}]), Spoiled())
    item = firstsight.open(db).get("a")
    assert [view.part for view in item.views] == ["image"]
    assert failures(db) == [("a", "", "encode", "corrupt", 1)]


class FailingColourEncoder(ColourEncoder):
    """Raises on titles with the word "poison" in them and on pictures wider than high."""

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        if any("poison" in text for text in texts):
            raise UnicodeError("cannot be tokenised")
        return super().encode_texts(texts)

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        if any(isinstance(image, Image.Image) and image.width > image.height for image in images):
            raise MemoryError
        return super().encode_images(images)


@pytest.mark.slow
def test_inputs_that_break_the_encoder_are_listed_and_their_items_indexed_from_the_rest(
    db: Path, tmp_path: Path
) -> None:
    rows = make_shop(tmp_path / "shop", 40)
    rows[3]["title"] = rows[21]["title"] = "poison"
    for n in (5, 21):
        Image.new("RGB", (60, 40), "red").save(tmp_path / "shop" / f"{n}.png")
    report = index(db, write_csv(tmp_path / "shop" / "c.csv", rows), FailingColourEncoder())
    counts = report.counts
    assert (counts.encoded, counts.texts, counts.failed_texts) == (40, 38, 2)
    assert (counts.pictures, counts.failed_media, report.reasons) == (38, 2, {"too_large": 2})
    assert counts.failure_rate == pytest.approx(2 / 40)
    assert failures(db) == [
        ("item-21", "", "encode", "crashed", 1),
        ("item-21", "21.png", "encode", "too_large", 1),
        ("item-3", "", "encode", "crashed", 1),
        ("item-5", "5.png", "encode", "too_large", 1),
    ]
    assert [view.part for view in firstsight.open(db).get("item-3").views] == ["image"]
    assert [view.part for view in firstsight.open(db).get("item-5").views] == ["title"]
    assert firstsight.open(db).get("item-21").vector is None
    (again,) = firstsight.open(db, encoder=ColourEncoder()).indexing.retry()
    assert (again.counts.encoded, failures(db)) == (3, [])


def test_a_frame_that_breaks_the_encoder_leaves_the_others_of_its_video(db: Path, tmp_path: Path) -> None:
    class GreyFailingEncoder(ColourEncoder):
        def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
            if any(np.asarray(image).mean() > 200 for image in images):
                raise RuntimeError("too bright")
            return super().encode_images(images)

    colours = ["black"] * 20 + ["white"] * 20 + ["navy"] * 20
    write_clip(tmp_path / "v.ts", [Image.new("RGB", (64, 64), colour) for colour in colours])
    rows = [{"item_id": "a", "videos": "v.ts"}]
    index(db, write_jsonl(tmp_path / "c.jsonl", rows), GreyFailingEncoder(), settings=IndexSettings(frames=6))
    assert len(firstsight.open(db).get("a").views) == 4
    assert failures(db) == [("a", "v.ts", "encode", "crashed", 1)]


def test_titles_alone_may_fail_too_often(db: Path, tmp_path: Path) -> None:
    rows = [{"item_id": f"i{n}", "title": "poison" if n < 2 else "tea"} for n in range(8)]
    report = index(db, write_jsonl(tmp_path / "c.jsonl", rows), FailingColourEncoder())
    assert (report.counts.media, report.counts.failure_rate) == (0, 0.25)


# ---- hostile media


@pytest.mark.slow
def test_a_folder_of_hostile_media_never_stops_the_run(db: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hostile"
    folder.mkdir()
    dice = random.Random(7)
    whole = {format: picture(1, format=format) for format in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")}
    for format, data in whole.items():
        for n in range(6):  # truncated, or with noise in the middle
            cut = dice.randrange(1, len(data))
            noise = data[:cut] + dice.randbytes(20) + data[cut + 20 :]
            (folder / f"{format}-{n}.jpg").write_bytes(data[:cut] if n % 2 else noise)
    for name, data in {
        "empty.jpg": b"",
        "html.jpg": b"<!doctype html><html></html>",
        "svg.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "zeros.png": bytes(1000),
        "bomb.png": whole["PNG"][:16] + b"\xff\xff\xff\x7f\xff\xff\xff\x7f" + whole["PNG"][24:],
        "noise.mp4": dice.randbytes(5000),
        "empty.mp4": b"",
        "picture.mp4": whole["PNG"],
    }.items():
        (folder / name).write_bytes(data)
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "outside.jpg").symlink_to(__file__)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "fine.png").write_bytes(picture(3))
    report = index(db, folder)
    assert report.outcome == "finished"
    assert report.counts.items == report.counts.total == 6 * 6 + 6 + 1 + 1
    assert [note.partition(":")[0] for note in report.notes] == [
        "1 left out as links that lead to no file",
        "2 left out as empty pictures or videos (0 bytes)",
        "1 left out as pipes or devices",
    ]
    assert report.counts.failed_media >= 25
    assert len(firstsight.open(db).get("fine.png").views) == 2
    assert {row[3] for row in failures(db)} <= set(firstsight.errors.FAILURE_REASONS)


# ---- stopping and failing


@pytest.mark.slow
def test_a_stopped_run_writes_what_it_has_in_hand_and_the_next_one_goes_on(db: Path, tmp_path: Path) -> None:
    shop = write_csv(tmp_path / "shop" / "c.csv", make_shop(tmp_path / "shop", 60, broken=2))
    asked = iter(range(1000))
    first = ColourEncoder()
    report = index(db, shop, first, should_stop=lambda: next(asked) >= 40)
    assert (report.outcome, report.counts.encoded) == ("stopped", 40)
    assert len(contents(db)["items"]) == 40
    second = ColourEncoder()
    report = index(db, shop, second)
    assert (report.outcome, report.counts.encoded, report.counts.unchanged) == ("finished", 20, 40)
    assert (first.texts + second.texts, first.images + second.images) == (60, 58)
    assert [run.outcome for run in firstsight.open(db).status().runs] == ["stopped", "finished"]
    index(tmp_path / "whole", shop)
    assert_same(contents(db), contents(tmp_path / "whole"))


@pytest.mark.slow
def test_a_stopped_run_does_not_prune(db: Path, shop: Path) -> None:
    index(db, shop)
    edit(shop, lambda rows: rows.__delitem__(0))
    report = index(db, shop, prune=True, should_stop=lambda: True)
    assert (report.outcome, report.counts.pruned, len(contents(db)["items"])) == ("stopped", 0, 12)


@pytest.mark.slow
def test_an_encoder_that_breaks_ends_the_run_and_keeps_what_was_written(db: Path, tmp_path: Path) -> None:
    class Breaks(ColourEncoder):
        def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
            if self.images >= 32:
                raise EncoderError("out of memory")
            return super().encode_images(images)

    shop = write_csv(tmp_path / "shop" / "c.csv", make_shop(tmp_path / "shop", 60))
    small = IndexSettings(batch_size=4, text_batch_size=4, write_items=8, pictures_ahead=8)
    with pytest.raises(EncoderError, match="out of memory"):
        index(db, shop, Breaks(), settings=small)
    kept = len(contents(db)["items"])
    assert 8 <= kept <= 32
    assert firstsight.open(db).status().runs[-1].outcome == "failed"
    report = index(db, shop, settings=small)
    assert (report.counts.unchanged, report.counts.encoded) == (kept, 60 - kept)
    index(tmp_path / "whole", shop, settings=small)
    assert_same(contents(db), contents(tmp_path / "whole"))


# ---- one encoder


@pytest.mark.slow
@pytest.mark.parametrize(
    "other", [ColourEncoder("another"), ColourEncoder("another", dim=32)], ids=["same dim", "other dim"]
)
def test_vectors_of_two_encoders_never_mix(db: Path, shop: Path, other: ColourEncoder) -> None:
    index(db, shop)
    before = contents(db)
    with pytest.raises(
        EncoderMismatchError, match=r"holds vectors of another version of colours \(c0105, here it is another\)"
    ):
        index(db, shop, other)
    assert_same(before, contents(db))


# ---- batches


@pytest.mark.slow
def test_the_encoder_sees_full_batches(db: Path, tmp_path: Path) -> None:
    shop = write_csv(tmp_path / "shop" / "c.csv", make_shop(tmp_path / "shop", 500))
    encoder = ColourEncoder()
    index(db, shop, encoder, settings=IndexSettings(write_items=100))
    assert encoder.images == encoder.texts == 500
    assert encoder.image_batches == [32] * 15 + [20]
    assert min(encoder.text_batches[:-1]) == 32  # each batch of pictures comes with the texts of its items


def test_items_without_pictures_are_encoded_and_written_as_they_come(db: Path, tmp_path: Path) -> None:
    rows = [{"item_id": f"i{n}", "title": f"thing {n}"} for n in range(3_000)]
    encoder = ColourEncoder()
    done: list[int] = []
    index(db, write_jsonl(tmp_path / "c.jsonl", rows), encoder, on_progress=lambda counts: done.append(counts.encoded))
    assert max(encoder.text_batches) == 128
    assert sorted(set(done)) == [0, 1024, 2048, 3000]


@pytest.mark.slow
def test_changed_columns_are_written_as_they_come(db: Path, tmp_path: Path) -> None:
    rows: Rows = [{"item_id": f"i{n}", "title": f"thing {n}", "price": 1} for n in range(3_000)]
    index(db, write_jsonl(tmp_path / "c.jsonl", rows))
    done: list[int] = []
    rows = [row | {"price": 2} for row in rows]
    index(db, write_jsonl(tmp_path / "c.jsonl", rows), on_progress=lambda counts: done.append(counts.refreshed))
    assert sorted(set(done)) == [0, 1000, 2000, 3000]


@pytest.mark.slow
def test_an_item_of_a_thousand_pictures_is_one_item(db: Path, tmp_path: Path) -> None:
    pictures = [picture(n) for n in range(10)]
    for n in range(1000):
        (tmp_path / f"{n}.png").write_bytes(pictures[n % 10])
    row = {"item_id": "album", "title": "album", "images": [f"{n}.png" for n in range(1000)]}
    encoder = ColourEncoder()
    index(db, write_jsonl(tmp_path / "c.jsonl", [row]), encoder)
    assert (encoder.images, max(encoder.image_batches)) == (1000, 32)
    assert len(firstsight.open(db).get("album").views) == 1001
