"""The map of the items as one HTML page: points on a canvas, pictures in sheets, nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image, ImageOps

from firstsight.errors import MediaError
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.pictures import crop_long
from firstsight.media.policy import MediaPolicy
from firstsight.retrieval.pages.space_map import Point, SpaceMap
from firstsight.retrieval.pages.thumbnails import jpeg_data, load_picture

TILE = 64
"""Side of a thumbnail, in pixels."""

PER_ROW = 16
"""Thumbnails in a row of a sheet, and rows: 256 to a JPEG of 1024 x 1024, decoded by the browser when hovered."""

MAX_PICTURE_BYTES = 16 * 2**20
"""All thumbnails of a page, by default; points beyond it have none."""

THREADS = 4
"""Pictures fetched and decoded at once."""


def write_space_map(
    path: Path,
    space: SpaceMap,
    name: str,
    *,
    policy: MediaPolicy,
    max_picture_bytes: int = MAX_PICTURE_BYTES,
    on_progress: Callable[[int], None] = lambda done: None,
) -> int:
    """Write a map as a page; a picture that cannot be read is left out.

    Args:
        path: of the page; replaced where it exists.
        name: of the database, for the heading.
        policy: limits for reading the pictures; local files may lie anywhere, since the index named them.
        max_picture_bytes: most bytes of thumbnails, as they stand in the page; 0 for none.
        on_progress: told how many points have been through.

    Returns:
        How many points have a thumbnail.

    Raises:
        OSError: the page cannot be written.
    """
    sheets: list[str] = []
    tiles: list[int] = []
    size = 0
    with closing(_sheets(space.points, replace(policy, allow_anywhere=True))) as made:
        for sheet, used in made if max_picture_bytes > 0 else ():
            if sheet is not None and size + len(sheet) > max_picture_bytes:
                break
            size += len(sheet or "")
            first = len(sheets) * PER_ROW**2
            tiles += [first + place if has else -1 for place, has in enumerate(used)]
            # a sheet that shows nothing keeps its number, so that a tile's place follows from its own
            sheets.append(sheet or "")
            on_progress(len(tiles))
    tiles += [-1] * (len(space.points) - len(tiles))
    pictured = sum(tile >= 0 for tile in tiles)
    _write(path, space, name, tiles, sheets)
    return pictured


def _sheets(points: Sequence[Point], policy: MediaPolicy) -> Generator[tuple[str | None, list[bool]], None, None]:
    """Sheets of thumbnails as data URIs, None for one that shows nothing, with which of its places are filled."""
    with VideoSampler() as sampler, ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(points), PER_ROW**2):
            part = points[start : start + PER_ROW**2]
            thumbnails = list(pool.map(lambda point: _thumbnail(point, policy, sampler), part))
            if not any(thumbnails):
                yield None, [False] * len(part)
                continue
            rows = -(-len(part) // PER_ROW)
            sheet = Image.new("RGB", (PER_ROW * TILE, rows * TILE), "white")
            for place, thumbnail in enumerate(thumbnails):
                if thumbnail is not None:
                    sheet.paste(thumbnail, (place % PER_ROW * TILE, place // PER_ROW * TILE))
            yield jpeg_data(sheet, quality=75), [thumbnail is not None for thumbnail in thumbnails]


def _thumbnail(point: Point, policy: MediaPolicy, sampler: VideoSampler) -> Image.Image | None:
    if point.picture is None:
        return None
    try:
        picture = load_picture(*point.picture, policy, sampler, min_side=TILE)
    except MediaError:
        return None
    # a side that rounds to no pixel at all would be an error
    return ImageOps.pad(crop_long(picture, TILE), (TILE, TILE), Image.Resampling.LANCZOS, color="white")


def _write(path: Path, space: SpaceMap, name: str, tiles: Sequence[int], sheets: Sequence[str]) -> None:
    columns = sorted({column for point in space.points for column, _ in point.columns})
    number = {column: n for n, column in enumerate(columns)}
    data = {
        "points": [
            [round(p.x, 5), round(p.y, 5), tile, p.item_id, p.title, [[number[c], value] for c, value in p.columns]]
            for p, tile in zip(space.points, tiles, strict=True)
        ],
        "columns": columns,
        "colourings": [vars(colouring) for colouring in space.colourings],
        "sheets": list(sheets),
        "tile": TILE,
        "perRow": PER_ROW,
    }
    templates = resources.files("firstsight.retrieval.pages").joinpath("templates")
    script = templates.joinpath("space_map.js").read_text(encoding="utf-8")
    text = templates.joinpath("space_map.html").read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True).from_string(text)
    html = page.render(
        name=name,
        space=space,
        pictured=sum(tile >= 0 for tile in tiles),
        script=script,
        # the browser runs this script and no other, whatever a title holds
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=embed_json(data),
    )
    path.write_text(html, encoding="utf-8")


def embed_json(data: Any) -> str:
    """JSON that can stand in a <script> element whatever its texts hold: no character of it means anything to HTML."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
