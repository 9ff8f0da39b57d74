"""The text reader in the decoding child: within its memory limit, on pictures and on frames of a video."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

import firstsight
from firstsight.media.decode.picture_decoder import PictureDecoder
from firstsight.media.picture_facts import JsonValue
from firstsight.understanding.ocr.ocr_facts import OcrFacts
from tests.indexer.shop import ColourEncoder
from tests.understanding.ocr.rendered import render


def texts(value: JsonValue) -> list[str]:
    return [line["text"] for line in cast("list[dict[str, Any]]", value)]


def test_a_child_reads_pictures_of_many_sizes_within_its_memory() -> None:
    fact = OcrFacts().picture_fact
    sizes = [(1400, 1400), (300, 1300), (900, 310), (150, 150), (8, 3000)]
    with PictureDecoder(workers=1) as decoder:
        for size in sizes:
            file = io.BytesIO()
            render([("Sale today", (5, 5))], size, 24).save(file, "PNG")
            _, found = decoder.open_with_facts(file.getvalue(), [fact], min_side=64)
            assert found.errors == {}
            assert texts(found.values["ocr"]) == ([] if size == (8, 3000) else ["Sale today"])


def make_video(path: Path) -> None:
    """A video of two shots, each with another text."""
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", 10)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for number in range(60):
            text, shade = (("First offer", 255), ("Second offer", 170))[number // 30]
            picture = np.minimum(np.asarray(render([(text, (60, 60))], (640, 360), 40)), shade).astype(np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        file.mux(stream.encode())


def test_an_index_run_reads_pictures_and_each_shot_of_a_video(tmp_path: Path) -> None:
    render([("Midsummer festival", (40, 60))]).save(tmp_path / "poster.png")
    render([]).save(tmp_path / "plain.png")
    make_video(tmp_path / "clip.mp4")
    rows: list[dict[str, Any]] = [
        *({"item_id": name, "title": "A thing", "images": [f"{name}.png"]} for name in ("poster", "plain")),
        {"item_id": "clip", "title": "A thing", "videos": ["clip.mp4"]},
        {"item_id": "bare", "title": "A thing"},
    ]
    db = firstsight.open(tmp_path / "db", encoder=ColourEncoder())
    db.index(rows, root=tmp_path, ocr=True, colours=False, settings=firstsight.IndexSettings(decode_threads=1))
    texts = {name: db.get(name).facts.get("ocr_text") for name in ("poster", "plain", "clip", "bare")}
    clip = "First offer\nSecond offer"
    assert texts == {"poster": "Midsummer festival", "plain": "", "clip": clip, "bare": None}
    (line,) = db.get("poster").views[0].facts["ocr"]
    assert (line["text"], len(line["box"])) == ("Midsummer festival", 4)

    (result,) = db.search("festival", mode="words")
    assert (result.item_id, result.columns["facts"]["ocr_text"]) == ("poster", "Midsummer festival")
    assert result.picture_text is not None
    assert result.picture_text.view_id == "poster#image-0"
    (second,) = (result.picture_text for result in db.search("second", mode="words"))
    assert second is not None
    assert (second.text, second.part) == ("Second offer", "frame")
    assert second.time_s == pytest.approx(4.5, abs=1.5)
    assert [found.item_id for found in db.search("thing", where="ocr_text LIKE '%festival%'")] == ["poster"]


def test_a_folder_without_models_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    db = firstsight.open(tmp_path / "db", encoder=ColourEncoder())
    (tmp_path / "models").mkdir()
    with pytest.raises(firstsight.EncoderError, match="has no recognition model"):
        db.index([{"item_id": "a", "title": "A thing"}], ocr=True, ocr_models=tmp_path / "models")
    assert not (tmp_path / "db").exists()
