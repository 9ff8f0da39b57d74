"""An evaluation as one HTML page: the figures, and the worst queries with what was wanted and what came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from firstsight.errors import MediaError
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.policy import MediaPolicy
from firstsight.retrieval.evaluation.search_evaluation import MEASURES, QueryOutcome, Task
from firstsight.retrieval.pages.thumbnails import jpeg_uri, load_picture
from firstsight.retrieval.results import locate
from firstsight.storage.store import Store

MAX_WORST_QUERIES = 8
"""Queries shown of each task."""

MAX_SHOWN_ITEMS = 6
"""Items shown as wanted and as found, at most, for each query."""

THUMBNAIL = 160
"""Longest side of a picture on the page, in pixels."""

LABELS = {"ndcg": "NDCG", "rr": "RR", "recall": "recall", "p": "P"}


def write_search_evaluation(path: Path, tasks: Sequence[Task], store: Store, *, policy: MediaPolicy) -> None:
    """Write tasks as a page that needs nothing but itself; a picture that cannot be read leaves its place empty.

    Args:
        path: of the page; replaced where it exists.
        store: of the database that was evaluated: titles and pictures of the items come from it.
        policy: limits for reading the pictures; local files may lie anywhere, since the index named them.

    Raises:
        OSError: the page cannot be written.
    """
    shown = {task.name: worst_queries(task) for task in tasks}
    outcomes = [outcome for some in shown.values() for outcome in some]
    ids = {i for o in outcomes for i in (*list(o.query.relevant_items)[:MAX_SHOWN_ITEMS], *o.found[:MAX_SHOWN_ITEMS])}
    with VideoSampler() as sampler:
        pictures = _ItemCards(store, replace(policy, allow_anywhere=True), sampler, sorted(ids))
        sections = [
            {
                "task": task,
                "queries": len(task.modes[0].outcomes),
                "worst": [_query(outcome, pictures) for outcome in shown[task.name]],
            }
            for task in tasks
        ]
    text = (
        resources.files("firstsight.retrieval.pages").joinpath("templates/evaluation.html").read_text(encoding="utf-8")
    )
    # queries and titles are a file's and a catalogue's, so escaping is on for all of them
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True).from_string(text)
    labels = {name: LABELS[name] for name in MEASURES}
    path.write_text(
        page.render(
            database=store.uri, smoke=any(t.chance is not None for t in tasks), sections=sections, labels=labels
        ),
        encoding="utf-8",
    )


def worst_queries(task: Task, count: int = MAX_WORST_QUERIES) -> list[QueryOutcome]:
    """The queries that the best mode answers worst, worst first: by NDCG@k, then by how much was wanted."""
    missed = [outcome for outcome in task.best.outcomes if outcome.values["ndcg"] < 1.0]
    return sorted(missed, key=lambda o: (o.values["ndcg"], -len(o.query.relevant_items), o.query.query_id))[:count]


def _query(outcome: QueryOutcome, pictures: _ItemCards) -> dict[str, Any]:
    query = outcome.query
    ranks = {item_id: rank for rank, item_id in enumerate(outcome.found, 1)}
    wanted = [
        pictures.card(item_id, f"grade {grade}, " + (f"came {ranks[item_id]}." if item_id in ranks else "did not come"))
        for item_id, grade in list(query.relevant_items.items())[:MAX_SHOWN_ITEMS]
    ]
    came = [
        pictures.card(item_id, f"{rank}.", right=query.grades.get(item_id, 0) > 0)
        for rank, item_id in enumerate(outcome.found[:MAX_SHOWN_ITEMS], 1)
    ]
    return {
        "text": query.text,
        "name": query.text or query.query_id,
        "picture": None if query.image is None else pictures.query_picture(query.image),
        "ndcg": outcome.values["ndcg"],
        "wanted": wanted,
        "more": max(0, len(query.relevant_items) - MAX_SHOWN_ITEMS),
        "came": came,
    }


class _ItemCards:
    """Titles and pictures of the items on the page; each picture is read once."""

    def __init__(self, store: Store, policy: MediaPolicy, sampler: VideoSampler, item_ids: list[str]) -> None:
        self._policy = policy
        self._sampler = sampler
        self._items = store.item_rows(item_ids)
        self._views: dict[str, tuple[str, float | None]] = {}
        rows = store.view_rows(item_ids).select(["item_id", "view_id", "part", "uri", "time_s"]).sort_by("view_id")
        for row in rows.to_pylist():
            if row["uri"] is not None and row["item_id"] in self._items:
                where = locate(row["uri"], self._items[row["item_id"]]["catalog_dir"])
                # an item's own picture before a frame of its video
                if row["part"] == "image" or row["item_id"] not in self._views:
                    self._views.setdefault(row["item_id"], (where, row["time_s"]))
        self._read: dict[tuple[str, float | None], tuple[str | None, str]] = {}

    def card(self, item_id: str, rank: str, *, right: bool = False) -> dict[str, Any]:
        row = self._items.get(item_id)
        view = self._views.get(item_id)
        picture, problem = (None, "no picture") if view is None else self._load(*view)
        return {
            "item_id": item_id,
            "title": (row["title"] or item_id) if row else f"{item_id}: not in the database",
            "picture": picture,
            "problem": problem,
            "rank": rank,
            "right": right,
        }

    def query_picture(self, uri: str) -> str | None:
        return self._load(uri, None)[0]

    def _load(self, uri: str, time_s: float | None) -> tuple[str | None, str]:
        key = (uri, time_s)
        if key not in self._read:
            try:
                loaded = load_picture(uri, time_s, self._policy, self._sampler, min_side=THUMBNAIL)
                self._read[key] = (jpeg_uri(loaded, THUMBNAIL, quality=80), "")
            except MediaError as error:
                self._read[key] = (None, str(error))
        return self._read[key]
