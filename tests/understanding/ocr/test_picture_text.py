"""Text in pictures: what is read, where it is, and what counts as text."""

from __future__ import annotations

import io
import json
import random
import socket
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from firstsight.media.picture_facts import MAX_FACT_BYTES, PictureSource
from firstsight.media.pictures import open_picture
from firstsight.understanding.ocr import picture_text
from firstsight.understanding.ocr.model_files import packaged_models
from firstsight.understanding.ocr.ocr_facts import OcrFacts
from firstsight.understanding.ocr.picture_text import read_text
from firstsight.understanding.ocr.text_lines import TextLine, in_reading_order, is_text, within_limits
from tests.understanding.ocr.rendered import render

SAMPLE_MEDIA = Path(__file__).parents[3] / "sample_media"


@pytest.fixture(autouse=True)
def no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models are loaded in the first of these tests; nothing is downloaded."""

    def refuse(*_: object) -> None:
        raise AssertionError("the text reader opens a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def read(picture: Image.Image) -> list[dict[str, Any]]:
    source = PictureSource(*picture.size, "image", packaged_models().to_options())
    return cast("list[dict[str, Any]]", read_text(picture, source))


def texts(picture: Image.Image) -> list[str]:
    return [line["text"] for line in read(picture)]


def test_lines_are_read_in_reading_order_with_their_place() -> None:
    places = [("Only today", (320, 40)), ("Summer sale", (30, 44)), ("Free shipping", (30, 300))]
    lines = read(render(places))
    assert [line["text"] for line in lines] == ["Summer sale", "Only today", "Free shipping"]
    assert all(line["score"] > 0.9 for line in lines)
    left, top = lines[2]["box"][0]
    right, bottom = lines[2]["box"][2]
    assert left < right
    assert top < bottom
    assert (left, top) == (pytest.approx(30 / 600, abs=0.03), pytest.approx(305 / 400, abs=0.03))


def test_a_photo_that_a_camera_has_turned_is_read_upright() -> None:
    picture = render([("Running shoes", (40, 60))])
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.rotate(90, expand=True).save(file, "JPEG", quality=95, exif=exif)
    (line,) = read(open_picture(file.getvalue()))
    assert line["text"] == "Running shoes"
    assert line["box"][0] == [pytest.approx(40 / 600, abs=0.03), pytest.approx(66 / 400, abs=0.03)]


def test_text_upside_down_is_read() -> None:
    assert texts(render([("Running shoes", (40, 60))]).rotate(180)) == ["Running shoes"]


@pytest.mark.parametrize(
    "name", ["trumpet.webp", "bobble-hat.webp"]
)  # raw output: "IIIC" and "1.小0", scores of .99, .84
def test_a_picture_without_text_has_none(name: str) -> None:
    assert texts(open_picture(SAMPLE_MEDIA / "pictures" / name, min_side=picture_text.MIN_SIDE)) == []


@pytest.mark.parametrize("size", [(8, 4000), (4000, 8), (1, 1), (5, 900), (31, 33)])
def test_thin_and_tiny_pictures_have_no_text(size: tuple[int, int]) -> None:
    assert texts(Image.new("RGB", size, "white")) == []


def test_a_long_banner_is_read() -> None:
    assert texts(render([("Great shoes for the rain", (60, 3))], (1200, 40))) == ["Great shoes for the rain"]


def test_a_tall_page_is_read_in_pieces_and_each_line_once() -> None:
    places = [(f"Line number {n}", (40, 150 + 470 * n)) for n in range(7)]
    lines = read(render(places, (750, 3300), 40))
    assert [line["text"] for line in lines] == [text for text, _ in places]
    assert [line["box"][0][1] for line in lines] == [pytest.approx((y + 8) / 3300, abs=0.006) for _, (_, y) in places]


def test_the_detector_sees_few_shapes_of_input() -> None:
    """OpenVINO keeps compiled kernels for each shape, within the address space of a decoding child."""
    draw = random.Random(3)
    shapes = set()
    for _ in range(2000):
        size = draw.randint(8, 1472), draw.randint(8, 1472)
        canvas = picture_text.canvas_size(size)
        scale = min(1.0, 736 / max(canvas))
        shapes.add(tuple(round(int(side * scale) / 32) * 32 for side in canvas))
        if max(size) > 736:
            assert max(canvas) == max(size)  # small text is not shrunk
    assert min(side for shape in shapes for side in shape) >= 96
    assert len(shapes) <= 64


@pytest.mark.parametrize(
    ("text", "score", "counts"),
    [
        ("Sale", 0.99, True),
        ("XXL", 0.9, True),
        ("100", 0.9, True),
        ("50 %", 0.95, True),
        ("9 €", 0.95, True),
        ("促销", 0.9, True),
        ("ニュー", 0.9, True),
        ("Sale", 0.7, False),
        ("8", 0.99, False),
        ("白", 0.96, False),
        ("63", 0.86, False),
        ("1.小0", 0.9, False),
        ("IIIC", 0.99, False),
        ("— — —", 0.9, False),
    ],
)
def test_short_and_doubtful_lines_do_not_count(text: str, score: float, counts: bool) -> None:
    assert is_text(text, score) == counts


def test_a_page_full_of_text_stays_within_the_limit_of_a_fact() -> None:
    box = ((0.1234, 0.1234),) * 4
    lines = within_limits([TextLine("文字" * 400, 0.999, box) for _ in range(120)])
    plain = [{"text": line.text, "score": line.score, "box": [list(corner) for corner in line.box]} for line in lines]
    assert 0 < len(json.dumps(plain)) <= MAX_FACT_BYTES
    short = within_limits([TextLine("ab" * 16, 0.999, box) for _ in range(120)])
    assert len(short) == 120


def test_lines_of_a_row_are_read_from_left_to_right() -> None:
    def line(text: str, x: float, y: float) -> TextLine:
        return TextLine(text, 1.0, ((x, y), (x + 0.1, y), (x + 0.1, y + 0.05), (x, y + 0.05)))

    lines = [line("d", 0.5, 0.3), line("b", 0.5, 0.1), line("a", 0.1, 0.11), line("c", 0.1, 0.3)]
    assert [one.text for one in in_reading_order(lines)] == ["a", "b", "c", "d"]


def test_the_function_runs_in_the_decoding_child_with_paths_as_options() -> None:
    fact = OcrFacts().picture_fact
    assert fact.function == "firstsight.understanding.ocr.picture_text:read_text"
    assert set(fact.parts) == {"image", "frame"}
    assert all(Path(str(path)).is_file() for path in fact.options.values())
    assert json.loads(json.dumps(fact.to_request()))["options"] == dict(fact.options)
