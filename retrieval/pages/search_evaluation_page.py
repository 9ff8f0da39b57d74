"""Write an evaluation as one HTML page: the figures, and the worst queries with relevant items and results."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from firstsight.errors import MediaError
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.policy import MediaPolicy
from firstsight.media.stored_media import open_address
from firstsight.retrieval.evaluation.search_evaluation import MEASURES, QueryOutcome, SearchTask
from firstsight.retrieval.pages.templating import PAGES, page_template
from firstsight.retrieval.pages.thumbnails import jpeg_uri, load_picture
from firstsight.retrieval.results import locate
from firstsight.storage.store import Store
from firstsight.storage.tables import PICTURE_PARTS

MAX_WORST_QUERIES = 8
"""Number of queries shown for each task."""

MAX_SHOWN_ITEMS = 6
"""Maximum number of relevant items, and of results, shown for each query."""

THUMBNAIL = 160
"""Longer side of a picture on the page, in pixels."""

LABELS = {"ndcg": "NDCG", "rr": "RR", "recall": "recall", "p": "P"}


def write_search_evaluation(path: Path, tasks: Sequence[SearchTask], store: Store, *, policy: MediaPolicy) -> None:
    """Write tasks as a page without external resources. If a picture cannot be read, its place has the reason.

    Args:
        path: of the page; an existing file is replaced.
        tasks: the evaluated tasks.
        store: the evaluated database, for titles and pictures of the items.
        policy: limits for reading the pictures; local files are read from any folder, since the index has their paths.

    Raises:
        OSError: the page cannot be written.
    """
    shown = {task.name: worst_queries(task) for task in tasks}
    ids: set[str] = set()
    for outcome in itertools.chain.from_iterable(shown.values()):
        ids |= {*list(outcome.query.relevant_items)[:MAX_SHOWN_ITEMS], *outcome.item_ids[:MAX_SHOWN_ITEMS]}
    with VideoSampler() as sampler:
        pictures = ItemCards(store, replace(policy, allow_anywhere=True), sampler, sorted(ids))
        sections = [
            {
                "task": task,
                "queries": len(task.modes[0].outcomes),
                "worst": [_query(outcome, pictures) for outcome in shown[task.name]],
            }
            for task in tasks
        ]
    page = page_template(PAGES, "search_evaluation.html").render(
        database=store.uri,
        generated=any(task.chance is not None for task in tasks),
        sections=sections,
        labels={name: LABELS[name] for name in MEASURES},
    )
    path.write_text(page, encoding="utf-8")


def worst_queries(task: SearchTask, count: int = MAX_WORST_QUERIES) -> list[QueryOutcome]:
    """Worst queries of the best mode, worst first: by NDCG@k, then by the number of relevant items."""
    imperfect = [outcome for outcome in task.best.outcomes if outcome.values["ndcg"] < 1.0]
    return sorted(imperfect, key=lambda o: (o.values["ndcg"], -len(o.query.relevant_items), o.query.query_id))[:count]


def _query(outcome: QueryOutcome, pictures: ItemCards) -> dict[str, Any]:
    query = outcome.query
    ranks = {item_id: rank for rank, item_id in enumerate(outcome.item_ids, 1)}
    relevant = [
        pictures.card(item_id, f"grade {grade}, " + (f"rank {ranks[item_id]}." if item_id in ranks else "not found"))
        for item_id, grade in list(query.relevant_items.items())[:MAX_SHOWN_ITEMS]
    ]
    results = [
        pictures.card(item_id, f"{rank}.", relevant=query.grades.get(item_id, 0) > 0)
        for rank, item_id in enumerate(outcome.item_ids[:MAX_SHOWN_ITEMS], 1)
    ]
    return {
        "text": query.text,
        "name": query.text or query.query_id,
        "picture": None if query.image is None else pictures.query_picture(query.image),
        "ndcg": outcome.values["ndcg"],
        "relevant": relevant,
        "more": max(0, len(query.relevant_items) - MAX_SHOWN_ITEMS),
        "results": results,
    }


class ItemCards:
    """Cards of the items on the page: title and picture. Each picture is read only once."""

    def __init__(self, store: Store, policy: MediaPolicy, sampler: VideoSampler, item_ids: list[str]) -> None:
        self._policy = policy
        self._sampler = sampler
        self._items = store.item_rows(item_ids)
        self._views: dict[str, tuple[str, float | None]] = {}
        rows = store.view_rows(item_ids).select(["item_id", "view_id", "part", "uri", "time_s"]).sort_by("view_id")
        for row in rows.to_pylist():
            if row["part"] in PICTURE_PARTS and row["item_id"] in self._items:
                where = locate(open_address(row["uri"], store.uri), self._items[row["item_id"]]["catalog_dir"])
                # a picture of the item has priority over a frame of its video
                if row["part"] == "image" or row["item_id"] not in self._views:
                    self._views.setdefault(row["item_id"], (where, row["time_s"]))
        self._loaded: dict[tuple[str, float | None], tuple[str | None, str]] = {}

    def card(self, item_id: str, rank: str, *, relevant: bool = False) -> dict[str, Any]:
        row = self._items.get(item_id)
        view = self._views.get(item_id)
        picture, problem = (None, "no picture") if view is None else self._load(*view)
        return {
            "item_id": item_id,
            "title": (row["title"] or item_id) if row else f"{item_id}: not in the database",
            "picture": picture,
            "problem": problem,
            "rank": rank,
            "relevant": relevant,
        }

    def query_picture(self, uri: str) -> str | None:
        return self._load(uri, None)[0]

    def _load(self, uri: str, time_s: float | None) -> tuple[str | None, str]:
        key = (uri, time_s)
        if key not in self._loaded:
            try:
                loaded = load_picture(uri, time_s, self._policy, self._sampler, min_side=THUMBNAIL)
                self._loaded[key] = (jpeg_uri(loaded, THUMBNAIL, quality=80), "")
            except MediaError as error:
                self._loaded[key] = (None, str(error))
        return self._loaded[key]
