"""Search results as one HTML page that holds its pictures and opens without a server."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from firstsight.errors import MediaError
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.policy import MediaPolicy
from firstsight.retrieval.pages.thumbnails import jpeg_uri, load_picture
from firstsight.retrieval.results import SearchResult, ViewMatch

THUMBNAIL = 320
"""Longest side of a picture on the page, in pixels: sharp at twice the density of its 160-pixel place."""

SHOWN_COLUMNS = 6
"""The catalogue's own columns printed under a title, at most."""

OWN = ("text", "created_at", "starts_at", "expires_at")


def write_contact_sheet(path: Path, asked: str, results: list[SearchResult], *, policy: MediaPolicy) -> None:
    """Write results as a page: pictures, titles, scores, the view that matched, a video's second.

    A picture that can no longer be read leaves its place empty, with the reason.

    Args:
        path: of the page; replaced where it exists.
        asked: what was searched for, as its heading.
        policy: limits for reading the pictures again; local files may lie anywhere, since the index named them.

    Raises:
        OSError: the page cannot be written.
    """
    policy = replace(policy, allow_anywhere=True)
    with VideoSampler() as sampler:
        cards = [_card(result, policy, sampler) for result in results]
    page = _template().render(asked=asked, cards=cards)
    path.write_text(page, encoding="utf-8")


def _template() -> jinja2.Template:
    text = (
        resources.files("firstsight.retrieval.pages")
        .joinpath("templates/contact_sheet.html")
        .read_text(encoding="utf-8")
    )
    # titles and columns are a catalogue's, so escaping is on for all of them
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True).from_string(text)


def _card(result: SearchResult, policy: MediaPolicy, sampler: VideoSampler) -> dict[str, Any]:
    picture, problem = None, "no picture"
    if result.picture is not None:
        try:
            view = result.picture
            assert view.uri is not None
            loaded = load_picture(view.uri, view.time_s, policy, sampler, min_side=THUMBNAIL)
            picture = jpeg_uri(loaded, THUMBNAIL)
        except MediaError as error:
            problem = str(error)
    columns = {name: value for name, value in result.columns.items() if name not in OWN and value is not None}
    return {
        "result": result,
        "picture": picture,
        "problem": problem,
        "matched": _matched(result.view),
        "second": None if result.picture is None else _clock(result.picture.time_s),
        "moments": [
            f"{_clock(moment.start_s)} to {_clock(moment.end_s)} ({moment.score:.2f})"
            for moment in result.moments or ()
        ],
        "columns": list(columns.items())[:SHOWN_COLUMNS],
    }


def _matched(view: ViewMatch | None) -> str:
    if view is None:
        return "nothing to compare"
    words = {"title": "its title", "image": "its picture", "frame": f"its video at {_clock(view.time_s)}"}
    return f"matched by {words[view.part]} ({view.score:.2f})"


def _clock(seconds: float | None) -> str | None:
    return None if seconds is None else f"{int(seconds) // 60}:{seconds % 60:04.1f}"
