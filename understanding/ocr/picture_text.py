"""The function that reads the text in a picture; it runs in the decoding child.

The picture is brought to one of a few sizes first, for the memory of the text reader (`text_reader`). Tall pictures,
such as the long detail pages of shops, are read in pieces that overlap; wide ones are not cut, since that would cut
their lines.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from firstsight.media.picture_facts import JsonValue, PictureSource
from firstsight.media.pictures import crop_long
from firstsight.understanding.ocr.model_files import OcrModels
from firstsight.understanding.ocr.text_lines import TextLine, in_reading_order, is_text, within_limits

if TYPE_CHECKING:
    from firstsight.understanding.ocr.text_reader import TextReader

MIN_SIDE: Final = 736
"""Shorter side in pixels of the decoded picture. The longer side is then at least that of the detection."""

MAX_SIDE: Final = 1472
"""Longer side in pixels at which lines are read: twice the side at which they are detected."""

MAX_ASPECT: Final = 48
"""Longest shape of a picture, its longer by its shorter side; of longer ones, the middle is read."""

MIN_LEGIBLE: Final = 6
"""Shorter side in pixels below which a picture has no legible text."""

PIECE_ASPECT: Final = 2.0
MAX_PIECES: Final = 4
"""A picture taller than twice its width is read in pieces of about that shape, at most four."""

_OVERLAP: Final = 0.08  # of a piece, on each side: a whole line of text
_SIDES: Final = (96, 192, 288, 384, 480, 576, 672, 736)  # of the detector's input, multiples of 32


def read_text(picture: Image.Image, source: PictureSource) -> JsonValue:
    """Read the text in a picture.

    Args:
        picture: upright, in RGB.
        source: its options have the paths of the models (`OcrModels.to_options`).

    Returns:
        Lines in reading order, each with "text", "score" (0 to 1) and "box": four corners (x, y) as shares of width
        and height, clockwise from the text's top left. An empty list if there is no text.
    """
    if min(picture.size) < MIN_LEGIBLE:
        return []
    reader = load_reader(OcrModels.from_options(source.options))
    whole = picture.size
    middle = crop_long(picture, MAX_ASPECT)
    left, top = (whole[0] - middle.width) // 2, (whole[1] - middle.height) // 2
    lines: list[TextLine] = []
    for start, end, margin in _pieces(middle.size):
        first, last = max(0, start - margin), min(middle.height, end + margin)
        piece = middle.crop((0, first, middle.width, last))
        found = _read_piece(reader, piece, (left, top + first), whole)
        # a line belongs to the piece with its centre
        low, high = (0 if start == 0 else top + start), (whole[1] if end == middle.height else top + end)
        lines += [line for line in found if low <= line.middle * whole[1] <= high]
    return [_plain(line) for line in within_limits(in_reading_order(lines))]


@functools.lru_cache(maxsize=1)
def load_reader(models: OcrModels) -> TextReader:
    """Load the text reader; the latest one is kept."""
    from firstsight.understanding.ocr.text_reader import TextReader  # loads OpenCV and OpenVINO

    return TextReader(models)


def _pieces(size: tuple[int, int]) -> list[tuple[int, int, int]]:
    """First and last row of each piece of a picture, and the rows that are read beyond them."""
    width, height = size
    count = min(MAX_PIECES, math.ceil(height / (PIECE_ASPECT * width))) if height > PIECE_ASPECT * width else 1
    step = height / count
    return [(round(n * step), round((n + 1) * step), round(_OVERLAP * step)) for n in range(count)]


def _read_piece(
    reader: TextReader, piece: Image.Image, offset: tuple[int, int], whole: tuple[int, int]
) -> list[TextLine]:
    """Read a piece of a picture that begins at `offset` of the whole picture; boxes are shares of the whole."""
    factor = min(1.0, MAX_SIDE / max(piece.size))
    if factor < 1.0:
        size = (max(1, round(piece.width * factor)), max(1, round(piece.height * factor)))
        piece = piece.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    lines = []
    for found in reader.read(np.asarray(_on_canvas(piece))):
        text = " ".join(found.text.split())
        if not is_text(text, found.score):
            continue
        corners = [(offset[n] + found.box[:, n] / factor) / whole[n] for n in (0, 1)]
        box = tuple((_share(x), _share(y)) for x, y in zip(*corners, strict=True))
        lines.append(TextLine(text, round(found.score, 3), box))
    return lines


def _on_canvas(picture: Image.Image) -> Image.Image:
    """Put a picture at the top left of a canvas in the picture's mean colour."""
    size = canvas_size(picture.size)
    if size == picture.size:
        return picture
    canvas = Image.new("RGB", size, picture.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0)))
    canvas.paste(picture)
    return canvas


def canvas_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height to pad a picture of this size to, so that the detector sees few shapes.

    The longer side stays as it is if the detector shrinks the picture: small text needs every pixel of it.
    """
    longer = max(size)
    scale = min(1.0, MIN_SIDE / longer)
    width, height = (math.ceil(_bucket(side * scale) / scale) for side in size)
    return (min(width, longer), min(height, longer)) if scale < 1.0 else (width, height)


def _bucket(side: float) -> int:
    return next((bucket for bucket in _SIDES if bucket >= side), MIN_SIDE)


def _share(value: float) -> float:
    return round(min(1.0, max(0.0, float(value))), 4)


def _plain(line: TextLine) -> JsonValue:
    return {"text": line.text, "score": line.score, "box": [[x, y] for x, y in line.box]}
