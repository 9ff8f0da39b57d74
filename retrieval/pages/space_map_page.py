"""Write the map of the items as one HTML page: points on a canvas, thumbnails in sheets, no external resources."""

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

from PIL import Image, ImageOps

from firstsight.errors import MediaError
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.pictures import crop_long
from firstsight.media.policy import MediaPolicy
from firstsight.retrieval.pages.space_map import MapPoint, SpaceMap
from firstsight.retrieval.pages.templating import PAGES, page_template
from firstsight.retrieval.pages.thumbnails import jpeg_data, load_picture

TILE = 64
"""Side of a thumbnail, in pixels."""

PER_ROW = 16
"""Number of thumbnails per row of a sheet, and of rows. The 256 thumbnails make a JPEG of 1024 x 1024 pixels, which the
browser decodes on hover."""

MAX_PICTURE_BYTES = 16 * 2**20
"""Default maximum size of all thumbnails of a page, in bytes. Further points have no thumbnail."""

MAP_PAINTER = "map_painter.js"
"""JavaScript module with the colours and the painter of maps; the service serves it too."""

THREADS = 4
"""Number of pictures fetched and decoded at once."""


def write_space_map(
    path: Path,
    space: SpaceMap,
    name: str,
    *,
    policy: MediaPolicy,
    max_picture_bytes: int = MAX_PICTURE_BYTES,
    on_progress: Callable[[int], None] = lambda done: None,
) -> int:
    """Write a map as a page. A point whose picture cannot be read has no thumbnail.

    Args:
        path: of the page; an existing file is replaced.
        space: the map.
        name: of the database, for the heading.
        policy: limits for reading the pictures; local files are read from any folder, since the index has their paths.
        max_picture_bytes: maximum size of the thumbnails in the page, in bytes; 0: no thumbnails.
        on_progress: called with the number of processed points.

    Returns:
        Number of points with a thumbnail.

    Raises:
        OSError: the page cannot be written.
    """
    sheets: list[str] = []
    tiles: list[int] = []
    size = 0
    with closing(_sheets(space.points, replace(policy, allow_anywhere=True))) as generated:
        for sheet, filled in generated if max_picture_bytes > 0 else ():
            if sheet is not None and size + len(sheet) > max_picture_bytes:
                break
            size += len(sheet or "")
            first = len(sheets) * PER_ROW**2
            tiles += [first + place if has_picture else -1 for place, has_picture in enumerate(filled)]
            # an empty sheet keeps its number, since the tile number determines the sheet
            sheets.append(sheet or "")
            on_progress(len(tiles))
    tiles += [-1] * (len(space.points) - len(tiles))
    pictured = sum(tile >= 0 for tile in tiles)
    _write(path, space, name, tiles, sheets)
    return pictured


def _sheets(points: Sequence[MapPoint], policy: MediaPolicy) -> Generator[tuple[str | None, list[bool]], None, None]:
    """Yield sheets of thumbnails as data URIs, None for an empty sheet, each with a flag per place: filled or not."""
    with VideoSampler() as sampler, ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(points), PER_ROW**2):
            batch = points[start : start + PER_ROW**2]
            thumbnails = list(pool.map(lambda point: _thumbnail(point, policy, sampler), batch))
            if not any(thumbnails):
                yield None, [False] * len(batch)
                continue
            rows = -(-len(batch) // PER_ROW)
            sheet = Image.new("RGB", (PER_ROW * TILE, rows * TILE), "white")
            for place, thumbnail in enumerate(thumbnails):
                if thumbnail is not None:
                    sheet.paste(thumbnail, (place % PER_ROW * TILE, place // PER_ROW * TILE))
            yield jpeg_data(sheet, quality=75), [thumbnail is not None for thumbnail in thumbnails]


def _thumbnail(point: MapPoint, policy: MediaPolicy, sampler: VideoSampler) -> Image.Image | None:
    if point.picture is None:
        return None
    try:
        picture = load_picture(*point.picture, policy, sampler, min_side=TILE)
    except MediaError:
        return None
    # without the crop, the short side of a very long picture would round to 0 pixels
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
        "colourings": [colouring.to_dict() for colouring in space.colourings],
        "sheets": list(sheets),
        "tile": TILE,
        "perRow": PER_ROW,
    }
    templates = resources.files(PAGES).joinpath("templates")
    script = "\n".join(templates.joinpath(n).read_text(encoding="utf-8") for n in (MAP_PAINTER, "space_map.js"))
    html = page_template(PAGES, "space_map.html").render(
        name=name,
        space=space,
        pictured=sum(tile >= 0 for tile in tiles),
        script=script,
        # the browser runs only the script with this hash, so a title cannot add a script
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=embed_json(data),
    )
    path.write_text(html, encoding="utf-8")


def embed_json(data: Any) -> str:
    """Convert plain values to JSON that is safe in a <script> element: characters special to HTML are escaped."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
