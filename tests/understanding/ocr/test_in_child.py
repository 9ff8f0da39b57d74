"""The text reader in the decoding child: within its memory limit, on pictures and on frames of a video."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from firstsight.media.decode.picture_decoder import PictureDecoder
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.picture_facts import JsonValue
from firstsight.understanding.ocr.ocr_facts import OcrFacts
from tests.understanding.ocr.rendered import render


def texts(value: JsonValue) -> list[str]:
    return [line["text"] for line in cast("list[dict[str, Any]]", value)]


def test_a_child_reads_pictures_of_many_sizes_within_its_memory() -> None:
    fact = OcrFacts().picture_fact
    sizes = [(1400, 1400), (300, 1300), (900, 310), (2000, 500), (640, 480), (150, 150), (8, 3000)]
    with PictureDecoder(workers=1) as decoder:
        for size in sizes:
            file = io.BytesIO()
            render([("Sale today", (5, 5))], size, 24).save(file, "PNG")
            _, found = decoder.open_with_facts(file.getvalue(), [fact], min_side=64)
            assert found.errors == {}
            assert texts(found.values["ocr"]) == ([] if size == (8, 3000) else ["Sale today"])


def test_frames_of_a_video_are_read_once_for_each_shot(tmp_path: Path) -> None:
    path = tmp_path / "shots.mp4"
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", 10)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for number in range(60):
            text, shade = (("First offer", 255), ("Second offer", 170))[number // 30]
            picture = np.minimum(np.asarray(render([(text, (60, 60))], (640, 360), 40)), shade).astype(np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        file.mux(stream.encode())
    with VideoSampler(workers=1) as sampler:
        facts = [OcrFacts().picture_fact]
        video = sampler.sample_with_prints(path, rule="auto", max_frames=8, min_side=64, facts=facts)
    read = [texts(frame.facts.values["ocr"]) for frame in video.frames if frame.facts is not None]
    assert read == [["First offer"], ["Second offer"]]
    assert [frame.time_s for frame in video.frames] == pytest.approx([1.5, 4.5], abs=1.5)
