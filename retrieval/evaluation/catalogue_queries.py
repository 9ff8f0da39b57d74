"""Evaluate search without judgements: generate queries with known answers from the catalogue.

The tasks test three things: whether a title finds its own picture, whether a picture finds another picture of the same
item, and whether a colour and a category find the items that have both. They also compare encoders and settings on
this catalogue. They do not measure how well search serves users: people do not type titles, nobody has judged these
answers, and an unjudged item may be as good as the expected one.
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
from firstsight.media.stored_media import open_address
from firstsight.retrieval.evaluation.judgements import JudgedQuery
from firstsight.retrieval.evaluation.search_evaluation import (
    ModeRankings,
    Searchable,
    SearchTask,
    check_depth,
    evaluate,
    measure,
    require_measures,
)
from firstsight.retrieval.reranker_store import RerankerVersion
from firstsight.retrieval.results import locate
from firstsight.storage.facts.item_values import ItemValue, find_item_value, known_values
from firstsight.storage.indexes.vector_index import vectors_of_column
from firstsight.storage.store import Store
from firstsight.storage.tables import is_shown_column

BATCH = 10_000
"""Number of views compared at once."""

GUESSED_COLUMNS = (("color", "colour", "farbe"), ("category", "product_type", "type"))
"""Columns to group by when the caller names none. They are used if the catalogue has one of each kind."""

MAX_GROUP_SHARE = 0.5
"""A group with more than this share of the items makes no query: nearly every item would be relevant."""


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
) -> list[SearchTask]:
    """Evaluate search with queries generated from the catalogue. Tasks without suitable items are skipped.

    Args:
        database: the search for the colour and category task.
        store: of the same database; the other two tasks compare its stored vectors.
        k: depth of every measure, 1 to 1,000.
        modes: modes of the colour and category task; the other two tasks compare vectors only.
        rerankers: for the colour and category task; each adds a row for its mode.
        queries: maximum number of queries per task, 1 or more.
        seed: random seed of the sample; the sample does not depend on the order of the items.
        group_by: columns or facts whose values together define a group of items, such as color and category; None:
            guess them by name.

    Raises:
        QueryError: a column does not exist, no task has suitable items, or `k` or `queries` is out of range.
    """
    require_measures()
    check_depth(k)
    if queries < 1:
        raise QueryError(f"the number of queries must be 1 or more, not {queries}")
    values = _group_values(store, group_by)
    total = store.items.count_rows()
    tasks = [
        _titles_to_pictures(store, k, queries, seed),
        _pictures_to_pictures(store, k, queries, seed),
        _groups(database, store, values, k, modes, rerankers, queries, seed, total) if values else None,
    ]
    possible = [task for task in tasks if task is not None]
    if not possible:
        raise QueryError(
            f"{store.uri} has no items with a title and a picture, none with two pictures, and no columns for a colour "
            "and a category; give --judgements, or --group-by COLUMN,COLUMN"
        )
    return possible


def _titles_to_pictures(store: Store, k: int, count: int, seed: int) -> SearchTask | None:
    pictured = set(_column(store, "part IN ('image', 'frame')", "item_id"))
    titles = _sample(_views(store, "part = 'title'", pictured), "view_id", count, seed)
    if not titles:
        return None
    text_of = {row["item_id"]: row["title"] or row["text"] or "" for row in _items(store, ["item_id", "title", "text"])}
    same_text: dict[str, set[str]] = defaultdict(set)  # items with the same title are equally relevant
    for item_id, text in text_of.items():
        same_text[text].add(item_id)
    queries = []
    for row in titles:
        text = text_of[row["item_id"]]
        queries.append(JudgedQuery(row["item_id"], text, None, dict.fromkeys(same_text[text] & pictured, 1)))
    rankings = nearest_by_views(store, _vectors(store, titles), k, "part IN ('image', 'frame')")
    return measure(
        queries,
        [ModeRankings("vector", rankings)],
        k=k,
        name="title to its own picture",
        about="The query is a title, compared with pictures and video frames only; its own item is relevant. "
        "No titles are compared, so the encoder must connect words with pictures.",
        notes=_sample_notes(len(queries), len(pictured), "items with a title and a picture"),
        chance=_chance(k, len(pictured)),
    )


def _pictures_to_pictures(store: Store, k: int, count: int, seed: int) -> SearchTask | None:
    view_ids: dict[str, list[str]] = defaultdict(list)
    views = store.views.search().where("part = 'image'").select(["item_id", "view_id"]).limit(None).to_arrow()
    for row in views.to_pylist():
        view_ids[row["item_id"]].append(row["view_id"])
    several = {item_id for item_id, ids in view_ids.items() if len(ids) > 1}
    # the first picture of each item, which a shop shows in its lists
    first = {min(view_ids[item_id]) for item_id in several}
    rows = [row for row in _views(store, "part = 'image'", several) if row["view_id"] in first]
    pictures = _sample(rows, "view_id", count, seed)
    if not pictures:
        return None
    folders = {row["item_id"]: row["catalog_dir"] for row in _items(store, ["item_id", "catalog_dir"])}
    queries = []
    for picture in pictures:
        where = locate(open_address(picture["uri"], store.uri), folders[picture["item_id"]])
        queries.append(JudgedQuery(picture["item_id"], None, where, {picture["item_id"]: 1}))
    own_views = [row["view_id"] for row in pictures]
    rankings = nearest_by_views(store, _vectors(store, pictures), k, "part = 'image'", own_views)
    return measure(
        queries,
        [ModeRankings("vector", rankings)],
        k=k,
        name="picture to another of the same item",
        about="The query is the first picture of an item, compared with all other pictures; its own item is relevant.",
        notes=_sample_notes(len(queries), len(several), "items with two pictures or more"),
        chance=_chance(k, len(view_ids)),
    )


def _groups(
    database: Searchable,
    store: Store,
    values: Sequence[ItemValue],
    k: int,
    modes: Sequence[str],
    rerankers: Sequence[RerankerVersion],
    count: int,
    seed: int,
    total: int,
) -> SearchTask | None:
    groups: dict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
    names = [value.name for value in values]
    for row in _items(store, list(dict.fromkeys(["item_id", *(value.column for value in values)]))):
        words = tuple(_words(value.of_row(row)) for value in values)
        if all(words):
            groups[words][row["item_id"]] = 1
    usable = [
        {"text": " ".join(words), "items": items}
        for words, items in groups.items()
        if len(items) <= max(1, MAX_GROUP_SHARE * total)
    ]
    sample = _sample(usable, "text", count, seed)
    if not sample:
        return None
    queries = [JudgedQuery(group["text"], group["text"], None, group["items"]) for group in sample]
    task = evaluate(
        database,
        queries,
        k=k,
        modes=modes,
        rerankers=rerankers,
        name=f"{' + '.join(names)} to items",
        about=f"The query has the words of {' and '.join(names)}; every item with all these values is relevant.",
    )
    notes = _sample_notes(len(queries), len(usable), "groups of items")
    return SearchTask(
        task.name, task.about, task.k, task.modes, task.comparisons, (*task.notes, *notes), _chance(k, total)
    )


def nearest_by_views(
    store: Store, vectors: Vectors, k: int, condition: str, excluded_views: Sequence[str] | None = None
) -> list[tuple[str, ...]]:
    """Find the k nearest items of several queries by the best view of each item: exact, in one pass over the views.

    Args:
        store: the database.
        vectors: (n, dim) float32, unit rows.
        k: number of items per query.
        condition: SQL condition over `views` that selects the views to compare.
        excluded_views: for each query a view_id to ignore: the view that the query was made from.

    Returns:
        n tuples of at most k item ids, best first; ties by id.
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
        item_scores = np.full((len(items), len(vectors)), -np.inf, dtype=np.float32)
        np.maximum.at(item_scores, codes, scores)
        for query, column in enumerate(item_scores.T):
            # one of the k best items overall is also one of the k best in the batch with its nearest view
            top = np.argsort(-column, kind="stable")[:k]
            merged = best[query]
            for code in top[np.isfinite(column[top])]:
                merged[items[code]] = max(float(column[code]), merged.get(items[code], -np.inf))
            best[query] = dict(sorted(merged.items(), key=lambda pair: (-pair[1], pair[0]))[:k])
    return [tuple(item_ids) for item_ids in best]


def _group_values(store: Store, names: Sequence[str] | None) -> list[ItemValue]:
    existing = [name for name in store.items.schema.names if is_shown_column(name)]
    if names is None:
        lower = {name.lower(): name for name in existing}
        guessed = [next((lower[name] for name in group if name in lower), None) for group in GUESSED_COLUMNS]
        names = [name for name in guessed if name is not None] if all(guessed) else []
    values = []
    for name in names:
        value = find_item_value(store, name, existing)
        if value is None:
            raise QueryError(f"--group-by {name!r} is no column; the columns are {known_values(store, existing)}")
        values.append(value)
    return values


def _words(value: object) -> str:
    """Convert a cell to query words; a category path gives its last part."""
    text = "" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return re.split(r"\s*[/>|]\s*", text.strip().strip("/>|"))[-1].strip()


def _sample(rows: Sequence[Mapping[str, Any]], key: str, count: int, seed: int) -> list[Mapping[str, Any]]:
    """Sample at most `count` rows; the sample and its order depend only on the seed and the keys."""
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
    """Read the vectors of views, in their order."""
    view_ids = [str(row["view_id"]) for row in rows]
    views = pa.concat_tables(store.rows_by_id(store.views, view_ids, key="view_id", columns=["view_id", "vector"]))
    place = {view_id: n for n, view_id in enumerate(views["view_id"].to_pylist())}
    vectors = vectors_of_column(views["vector"].combine_chunks())
    return vectors[[place[row["view_id"]] for row in rows]]


def _items(store: Store, names: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = store.items.search().select(names).limit(None).to_arrow().to_pylist()
    return rows
