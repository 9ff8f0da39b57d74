"""Evaluation without judgements: queries made from the catalogue itself, whose answers the catalogue knows.

What it can say: whether titles and pictures meet in the encoder's space, whether two pictures of one thing do, and
whether words for a colour and a category find the items that have both; and whether another encoder, or another
setting, does better on this catalogue. What it cannot say: how well search serves the people who use it. Titles are
not what people type, nobody has judged these answers, and an unjudged item may be as good as the one wanted.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from firstsight.encoders.base import Vectors
from firstsight.errors import QueryError
from firstsight.retrieval.evaluation.judgements import JudgedQuery
from firstsight.retrieval.evaluation.search_evaluation import (
    ModeRankings,
    Searchable,
    Task,
    check_depth,
    evaluate,
    measure,
)
from firstsight.retrieval.reranker_store import RerankerVersion
from firstsight.retrieval.results import locate
from firstsight.storage.indexes.vector_index import vectors_of_column
from firstsight.storage.store import Store
from firstsight.storage.tables import HIDDEN_COLUMNS

BATCH = 10_000
"""Views compared at once."""

GUESSED_COLUMNS = (("color", "colour", "farbe"), ("category", "product_type", "type"))
"""Columns grouped by when none are named, where a catalogue has one of each."""

MAX_GROUP_SHARE = 0.5
"""A group of more than this share of the items is no query: nearly everything answers it."""


def build_catalogue_tasks(
    database: Searchable,
    store: Store,
    *,
    k: int = 10,
    modes: Sequence[str] = ("vector",),
    rerankers: Sequence[RerankerVersion] = (),
    queries: int = 200,
    seed: int = 0,
    group_by: Sequence[str] | None = None,
) -> list[Task]:
    """Evaluate search by queries made from the catalogue; a task that the catalogue has no material for is left out.

    Args:
        database: searched by the colour and category task.
        store: of the same database; the other two tasks compare its stored vectors.
        k: depth of every measure, 1 to 1,000.
        modes: for the colour and category task; the other two are about vectors.
        rerankers: for the colour and category task, each one more row beside its mode.
        queries: most queries of a task, drawn by `seed`; the same draw for the same items whatever their order.
        group_by: columns whose values together name a group of items, such as color and category; guessed by their
            names when None.

    Raises:
        QueryError: a column that is not there, no material for any task, or k out of range.
    """
    check_depth(k)
    if queries < 1:
        raise QueryError(f"the number of queries must be 1 or more, not {queries}")
    names = _group_columns(store, group_by)
    total = store.items.count_rows()
    tasks = [
        _titles_to_pictures(store, k, queries, seed),
        _pictures_to_pictures(store, k, queries, seed),
        _groups(database, store, names, k, modes, rerankers, queries, seed, total) if names else None,
    ]
    found = [task for task in tasks if task is not None]
    if not found:
        raise QueryError(
            f"{store.uri} has no items with a title and a picture, none with two pictures, and no columns for a colour "
            "and a category; give --judgements, or --group-by COLUMN,COLUMN"
        )
    return found


def _titles_to_pictures(store: Store, k: int, count: int, seed: int) -> Task | None:
    pictured = set(_column(store, "part IN ('image', 'frame')", "item_id"))
    titles = _sample(_views(store, "part = 'title'", pictured), "view_id", count, seed)
    if not titles:
        return None
    named = _items(store, ["item_id", "title", "text"])
    same: dict[str, set[str]] = defaultdict(set)  # items of one title answer it alike
    for row in named:
        same[row["title"] or row["text"] or ""].add(row["item_id"])
    said = {row["item_id"]: row["title"] or row["text"] or "" for row in named}
    asked = [
        JudgedQuery(row["item_id"], said[row["item_id"]], None, dict.fromkeys(same[said[row["item_id"]]] & pictured, 1))
        for row in titles
    ]
    found = nearest_by_views(store, _vectors(store, titles), k, "part IN ('image', 'frame')")
    return measure(
        asked,
        [ModeRankings("vector", found)],
        k=k,
        name="title to its own picture",
        about="A title is asked for among pictures and video frames alone; the item it belongs to is wanted. "
        "No title is compared, so only an encoder that joins words and pictures can do it.",
        notes=_sample_notes(len(asked), len(pictured), "items with a title and a picture"),
        chance=_chance(k, len(pictured)),
    )


def _pictures_to_pictures(store: Store, k: int, count: int, seed: int) -> Task | None:
    of_item: dict[str, list[str]] = defaultdict(list)
    views = store.views.search().where("part = 'image'").select(["item_id", "view_id"]).limit(None).to_arrow()
    for row in views.to_pylist():
        of_item[row["item_id"]].append(row["view_id"])
    several = {item_id for item_id, ids in of_item.items() if len(ids) > 1}
    # the first picture of each, which a shop shows in its lists
    first = {min(of_item[item_id]) for item_id in several}
    rows = [row for row in _views(store, "part = 'image'", several) if row["view_id"] in first]
    pictures = _sample(rows, "view_id", count, seed)
    if not pictures:
        return None
    folders = {row["item_id"]: row["catalog_dir"] for row in _items(store, ["item_id", "catalog_dir"])}
    asked = [
        JudgedQuery(row["item_id"], None, locate(row["uri"], folders[row["item_id"]]), {row["item_id"]: 1})
        for row in pictures
    ]
    own = [row["view_id"] for row in pictures]
    found = nearest_by_views(store, _vectors(store, pictures), k, "part = 'image'", own)
    return measure(
        asked,
        [ModeRankings("vector", found)],
        k=k,
        name="picture to another of the same item",
        about="An item's first picture is asked for among all other pictures; one of the same item is wanted.",
        notes=_sample_notes(len(asked), len(several), "items with two pictures or more"),
        chance=_chance(k, len(of_item)),
    )


def _groups(
    database: Searchable,
    store: Store,
    names: Sequence[str],
    k: int,
    modes: Sequence[str],
    rerankers: Sequence[RerankerVersion],
    count: int,
    seed: int,
    total: int,
) -> Task | None:
    groups: dict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
    for row in _items(store, ["item_id", *names]):
        words = tuple(_words(row[name]) for name in names)
        if all(words):
            groups[words][row["item_id"]] = 1
    usable = [
        {"text": " ".join(words), "items": items}
        for words, items in groups.items()
        if len(items) <= max(1, MAX_GROUP_SHARE * total)
    ]
    drawn = _sample(usable, "text", count, seed)
    if not drawn:
        return None
    asked = [JudgedQuery(group["text"], group["text"], None, group["items"]) for group in drawn]
    task = evaluate(
        database,
        asked,
        k=k,
        modes=modes,
        rerankers=rerankers,
        name=f"{' + '.join(names)} to items",
        about=f"The words of {' and '.join(names)} are asked for; every item that has them all is wanted.",
    )
    notes = _sample_notes(len(asked), len(usable), "groups of items")
    return Task(task.name, task.about, task.k, task.modes, task.comparisons, (*task.notes, *notes), _chance(k, total))


def nearest_by_views(
    store: Store, vectors: Vectors, k: int, condition: str, excluded_views: Sequence[str] | None = None
) -> list[tuple[str, ...]]:
    """The k items whose nearest view is nearest, for each of several queries: exact, in one pass over the views.

    Args:
        vectors: (n, dim) float32, unit rows.
        condition: SQL over `views`: which views are compared.
        excluded_views: a view_id for each query that is not compared with it: the one it was taken from.

    Returns:
        n tuples of at most k item ids, best first; of equal scores the lower id first.
    """
    best: list[dict[str, float]] = [{} for _ in vectors]
    reader = store.views.search().where(condition).select(["view_id", "item_id", "vector"]).limit(None)
    for batch in reader.to_batches(BATCH):
        if not batch.num_rows:
            continue
        scores = vectors_of_column(batch["vector"]) @ vectors.T
        if excluded_views is not None:
            place = {view_id: n for n, view_id in enumerate(batch["view_id"].to_pylist())}
            for query, view_id in enumerate(excluded_views):
                if view_id in place:
                    scores[place[view_id], query] = -np.inf
        ids = batch["item_id"].to_numpy(zero_copy_only=False)
        items, codes = np.unique(ids, return_inverse=True)
        of_item = np.full((len(items), len(vectors)), -np.inf, dtype=np.float32)
        np.maximum.at(of_item, codes, scores)
        for query, column in enumerate(of_item.T):
            # an item among the k best of all is among the k best of the batch that holds its nearest view
            top = np.argsort(-column, kind="stable")[:k]
            merged = best[query]
            for code in top[np.isfinite(column[top])]:
                merged[items[code]] = max(float(column[code]), merged.get(items[code], -np.inf))
            best[query] = dict(sorted(merged.items(), key=lambda pair: (-pair[1], pair[0]))[:k])
    return [tuple(found) for found in best]


def _group_columns(store: Store, asked: Sequence[str] | None) -> list[str]:
    there = [name for name in store.items.schema.names if name not in HIDDEN_COLUMNS]
    if asked is None:
        lower = {name.lower(): name for name in there}
        guessed = [next((lower[name] for name in names if name in lower), None) for names in GUESSED_COLUMNS]
        return [name for name in guessed if name is not None] if all(guessed) else []
    for name in asked:
        if name not in there:
            raise QueryError(f"--group-by asks for {name!r}, which is no column; the columns are {', '.join(there)}")
    return list(asked)


def _words(value: object) -> str:
    """A cell as somebody would say it: of a path of categories, the last."""
    text = "" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return re.split(r"\s*[/>|]\s*", text.strip().strip("/>|"))[-1].strip()


def _sample(rows: Sequence[Mapping[str, Any]], key: str, count: int, seed: int) -> list[Mapping[str, Any]]:
    """At most `count` rows, in an order that depends on the seed and their keys alone."""
    return sorted(rows, key=lambda row: hashlib.blake2b(f"{seed}\n{row[key]}".encode()).digest())[:count]


def _sample_notes(count: int, of: int, what: str) -> list[str]:
    return [f"{count:,} queries drawn from {of:,} {what}"] if count < of else [f"all {of:,} {what}"]


def _chance(k: int, candidates: int) -> float:
    return min(1.0, k / candidates)


def _column(store: Store, condition: str, name: str) -> Iterable[str]:
    rows = store.views.search().where(condition).select([name]).limit(None).to_arrow()
    return [str(value) for value in rows[name].to_pylist()]


def _views(store: Store, condition: str, item_ids: set[str]) -> list[dict[str, Any]]:
    rows = store.views.search().where(condition).select(["view_id", "item_id", "uri"]).limit(None).to_arrow()
    return [row for row in rows.to_pylist() if row["item_id"] in item_ids]


def _vectors(store: Store, rows: Sequence[Mapping[str, Any]]) -> Vectors:
    """The vectors of views, in their order."""
    view_ids = [str(row["view_id"]) for row in rows]
    found = pa.concat_tables(store.rows_by_id(store.views, view_ids, key="view_id", columns=["view_id", "vector"]))
    place = {view_id: n for n, view_id in enumerate(found["view_id"].to_pylist())}
    vectors = vectors_of_column(found["vector"].combine_chunks())
    return vectors[[place[row["view_id"]] for row in rows]]


def _items(store: Store, names: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = store.items.search().select(names).limit(None).to_arrow().to_pylist()
    return rows
