"""Functions for facts in the decoding children: what they get, what they return, and what they cannot break."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from firstsight.errors import MediaError
from firstsight.indexer.media_loading.facts_while_decoding import FunctionKills, open_with_facts, sample_with_facts
from firstsight.media.decode.picture_decoder import PictureDecoder
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.picture_facts import PictureFact
from firstsight.media.pictures import open_picture, open_picture_at_sizes
from tests.conftest import SAMPLE_CATALOGUE

CLIP = SAMPLE_CATALOGUE.parent / "clips" / "espresso-cup.mp4"


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "functions_of_a_test.py").write_text(
        "import os\n"
        "def sizes(picture, source):\n"
        "    return [*picture.size, source.width, source.height, source.part, dict(source.options)]\n"
        "def broken(picture, source): raise ValueError('no\\nidea')\n"
        "def infinite(picture, source): return float('inf')\n"
        "def long(picture, source): return 'x' * 70_000\n"
        "def paints(picture, source): picture.paste((0, 0, 0), (0, 0, *picture.size))\n"
        "def ends(picture, source): os._exit(3)\n"
        "def hangs(picture, source):\n"
        "    import time\n"
        "    time.sleep(600)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def fact(name: str, *, min_side: int | None = None) -> PictureFact:
    parts: tuple[Literal["image", "frame"], ...] = ("image", "frame")
    return PictureFact(name, f"functions_of_a_test:{name}", "1", min_side, parts, options={"a": 1})


def jpeg(path: Path, size: tuple[int, int]) -> bytes:
    rng = np.random.default_rng(1)
    small = rng.integers(0, 255, (size[1] // 20, size[0] // 20, 3), np.uint8)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path, quality=95)
    return path.read_bytes()


def test_a_function_gets_its_size_and_the_encoder_gets_the_same_pixels(functions: Path) -> None:
    data = jpeg(functions / "a.jpg", (900, 600))
    with PictureDecoder(workers=1) as decoder:
        before = decoder.open(data, min_side=200)
        picture, found = decoder.open_with_facts(data, [fact("sizes", min_side=100)], min_side=200)
        assert picture.tobytes() == before.tobytes()
        assert found.values == {"sizes": [225, 150, 900, 600, "image", {"a": 1}]}
        larger, found = decoder.open_with_facts(data, [fact("sizes"), fact("paints")], min_side=200)
    assert found.values == {"sizes": [900, 600, 900, 600, "image", {"a": 1}], "paints": None}
    assert larger.size == before.size
    difference = np.abs(np.asarray(larger, np.float32) - np.asarray(before, np.float32))
    assert difference.mean() < 1.0


@pytest.mark.parametrize(("orientation", "size"), [(1, (900, 600)), (6, (600, 900))])
def test_sizes_are_those_of_the_upright_picture(tmp_path: Path, orientation: int, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (900, 600), "red").save(tmp_path / "a.jpg", exif=exif)
    opened = open_picture_at_sizes(str(tmp_path / "a.jpg"), [200, None, 50])
    assert opened.size == size
    assert opened.pictures[1].size == size
    assert opened.pictures[0].size == open_picture(tmp_path / "a.jpg", min_side=200).size


def test_an_error_or_a_bad_value_costs_only_that_fact(functions: Path) -> None:
    data = jpeg(functions / "a.jpg", (300, 200))
    names = ["broken", "sizes", "infinite", "long", "missing"]
    with PictureDecoder(workers=1) as decoder:
        _, found = decoder.open_with_facts(data, [fact(name) for name in names])
    assert set(found.values) == {"sizes"}
    assert found.errors["broken"] == "ValueError: no idea"
    assert "not JSON compliant" in found.errors["infinite"]
    assert "70,002 bytes" in found.errors["long"]
    assert "has no attribute 'missing'" in found.errors["missing"]


def test_a_function_that_ends_the_child_costs_its_facts_and_not_the_picture(functions: Path) -> None:
    data = jpeg(functions / "a.jpg", (300, 200))
    with PictureDecoder(workers=1) as decoder:
        picture, found = open_with_facts(decoder, data, [fact("ends")], 100)
        assert picture.size == (300, 200) or picture.size == (150, 100)
        assert found is not None
        assert "ended its decoder" in found.errors["ends"]
        with pytest.raises(MediaError, match="broken or truncated"):
            open_with_facts(decoder, data[:200], [fact("ends")], 100)


def test_a_function_that_hangs_costs_only_its_own_fact(functions: Path) -> None:
    data = jpeg(functions / "a.jpg", (300, 200))
    with PictureDecoder(workers=1, timeout_s=2.0) as decoder:
        picture, found = open_with_facts(decoder, data, [fact("hangs"), fact("sizes")], 100)
    assert min(picture.size) >= 100
    assert found is not None
    assert set(found.values) == {"sizes"}
    assert "was not decoded within" in found.errors["hangs"]


def test_a_function_that_ends_three_children_does_not_run_any_more(
    functions: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = jpeg(functions / "a.jpg", (300, 200))
    kills = FunctionKills()
    with PictureDecoder(workers=1) as decoder:
        results = [open_with_facts(decoder, data, [fact("ends"), fact("sizes")], 100, kills)[1] for _ in range(4)]
    assert all(found is not None and "sizes" in found.values for found in results)
    assert [found is not None and "ends" in found.errors for found in results] == [True, True, True, False]
    (record,) = caplog.records
    assert record.getMessage() == (
        "the fact ends is not computed any more in this run: its function functions_of_a_test:ends ended or hung its "
        "decoder 3 times"
    )


def test_in_a_video_only_the_function_that_ends_the_child_fails(functions: Path) -> None:
    with VideoSampler(workers=1) as sampler:
        frames = sample_with_facts(
            lambda facts: sampler.frames_at(CLIP, [0.2, 0.6], min_side=100, facts=facts), [fact("ends"), fact("sizes")]
        )
    for frame in frames:
        assert frame.facts is not None
        assert set(frame.facts.values) == {"sizes"}
        assert "ended its decoder" in frame.facts.errors["ends"]


def test_functions_run_on_the_frames_that_are_chosen(functions: Path) -> None:
    with VideoSampler(workers=1) as sampler:
        before = sampler.sample_with_prints(CLIP, rule="auto", max_frames=4, min_side=100)
        sampled = sampler.sample_with_prints(CLIP, rule="auto", max_frames=4, min_side=100, facts=[fact("sizes")])
        (at,) = sampler.frames_at(CLIP, [0.5], min_side=100, facts=[fact("sizes", min_side=100)])
    assert [f.picture.tobytes() for f in sampled.frames] == [f.picture.tobytes() for f in before.frames]
    for frame in sampled.frames:
        assert frame.facts is not None
        width, height, *source = frame.facts.values["sizes"]  # type: ignore[misc, str-unpack]
        assert source == [width, height, "frame", {"a": 1}]
    assert at.facts is not None
    assert at.facts.values["sizes"][2:4] == [width, height]  # type: ignore[index]


def test_some_functions_need_a_new_child_after_fewer_files(functions: Path) -> None:
    data = jpeg(functions / "a.jpg", (300, 200))
    leaking = PictureFact("sizes", "functions_of_a_test:sizes", "1", files_per_child=1)
    with PictureDecoder(workers=1, facts=[leaking]) as decoder:
        decoder.open(data)
        (first,) = decoder.child_pids
        decoder.open(data)
        assert decoder.child_pids != [first]
