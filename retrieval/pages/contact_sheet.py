"""Write search results as one HTML page with embedded pictures; it opens without a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from firstsight.errors import MediaError
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.policy import MediaPolicy
from firstsight.retrieval.pages.templating import PAGES, page_template
from firstsight.retrieval.pages.thumbnails import jpeg_uri, load_picture
from firstsight.retrieval.results import ClipMatch, SearchResult, ViewMatch

THUMBNAIL = 320
"""Longer side of a picture on the page, in pixels: twice its displayed size, for screens of double density."""

SHOWN_COLUMNS = 6
"""Maximum number of catalogue columns under a title."""

BUILT_IN_COLUMNS = ("text", "created_at", "starts_at", "expires_at")


def write_contact_sheet(path: Path, heading: str, results: Sequence[SearchResult], *, policy: MediaPolicy) -> None:
    """Write results as a page: pictures, titles, scores, the matching view, the position in a video.

    If a picture cannot be read, its place has the reason.

    Args:
        path: of the page; an existing file is replaced.
        heading: for example the query.
        results: best first.
        policy: limits for reading the pictures; local files are read from any folder, since the index has their paths.

    Raises:
        OSError: the page cannot be written.
    """
    policy = replace(policy, allow_anywhere=True)
    with VideoSampler() as sampler:
        cards = [_card(result, policy, sampler) for result in results]
    page = page_template(PAGES, "contact_sheet.html").render(heading=heading, cards=cards)
    path.write_text(page, encoding="utf-8")


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
    columns = {
        name: value
        for name, value in result.columns.items()
        if name not in BUILT_IN_COLUMNS and value is not None and not isinstance(value, dict)  # facts
    }
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
        "clip": _contains(result.clip),
        "columns": list(columns.items())[:SHOWN_COLUMNS],
    }


def _matched(view: ViewMatch | None) -> str:
    if view is None:
        return "no view to compare"
    parts = {"title": "its title", "image": "its picture", "frame": f"its video at {_clock(view.time_s)}"}
    parts["transcript"] = f"its words at {_clock(view.time_s)}"
    return f"matched by {parts[view.part]} ({view.score:.2f})"


def _contains(clip: ClipMatch | None) -> str | None:
    if clip is None:
        return None
    sign = "-" if clip.offset_s < -0.05 else ""
    changed = f", at {clip.speed:.2f} times the speed" if round(clip.speed, 2) != 1 else ""
    return f"contains {clip.share:.0%} of the clip, which begins at {sign}{_clock(abs(clip.offset_s))}{changed}"


def _clock(seconds: float | None) -> str | None:
    return None if seconds is None else f"{int(seconds) // 60}:{seconds % 60:04.1f}"
