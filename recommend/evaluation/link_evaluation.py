"""Evaluation with links: the share of items linked by a shop's staff that are among the nearest items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.recommend.evaluation import measures
from firstsight.recommend.evaluation.item_links import Links
from firstsight.recommend.evaluation.measures import Difference
from firstsight.recommend.items import ItemSpace, Places
from firstsight.records import Record, RecordList

ALL_KINDS = "all"
_QUERIES = 256


@dataclass(frozen=True)
class LinkFigures(Record):
    """Figures of one ranking of similar items, for one kind of link.

    Attributes:
        model: "nearest", "most linked" or "random order".
        recall: share of the linked groups among the first k, mean over the queries, 0 to 1.
        ndcg: the same with more weight on early positions, 0 to 1.
        behind_best: recall of the best ranking minus this one's; None for the best, and for the random order.
    """

    model: str
    recall: float
    ndcg: float
    behind_best: Difference | None


@dataclass(frozen=True)
class LinkReport(Record):
    """All rankings for one kind of link."""

    kind: str
    k: int
    queries: int  # groups with a link to another one
    links: int
    candidates: int  # groups that are ranked for each query
    models: tuple[LinkFigures, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON fields."""
        return {
            "kind": self.kind,
            "k": self.k,
            "queries": self.queries,
            "links": self.links,
            "candidates": self.candidates,
            "models": [
                {
                    "model": model.model,
                    "recall": round(model.recall, 4),
                    "ndcg": round(model.ndcg, 4),
                    "behind_best": None
                    if model.behind_best is None
                    else {name: round(getattr(model.behind_best, name), 4) for name in ("mean", "low", "high")},
                }
                for model in self.models
            ],
        }


@dataclass(frozen=True)
class LinkEvaluation(RecordList[LinkReport]):
    """A report for each kind of link in a file."""

    reports: tuple[LinkReport, ...]
    rows: int  # links in the file
    unknown: int  # links left out: an end is not in the database, or both ends are the same item


def evaluate_links(space: ItemSpace, links: Links, *, k: int = 10) -> list[LinkReport]:
    """Measure how many linked groups are among the k nearest, by kind and over all; with two rankings to compare.

    The similarity of two groups is the highest cosine between an item of one and an item of the other. "Most linked"
    ranks by the number of links from other groups, of the same kind: it knows the answers of all other queries.

    Args:
        space: the items.
        links: between groups of them.
        k: depth of the measures, 1 or more.

    Raises:
        QueryError: k is below 1.
    """
    if k < 1:
        raise QueryError(f"a ranking of {k} items cannot be measured; take k of 1 or more")
    everything = list(dict.fromkeys(pair for kind_pairs in links.pairs.values() for pair in kind_pairs))
    kinds = dict(links.pairs) if len(links.pairs) == 1 else {**links.pairs, ALL_KINDS: everything}
    return [_report(space, links, kind, pairs, k) for kind, pairs in kinds.items()]


def _report(space: ItemSpace, links: Links, kind: str, pairs: Sequence[tuple[int, int]], k: int) -> LinkReport:
    linked_from: dict[int, list[int]] = {}
    for start, end in pairs:
        linked_from.setdefault(start, []).append(end)
    queries = np.array(sorted(linked_from), dtype=np.int64)
    targets = [np.array(sorted(linked_from[query]), dtype=np.int64) for query in queries.tolist()]
    every = np.arange(len(links.groups), dtype=np.int64)
    link_counts = np.bincount([end for _, end in pairs], minlength=len(every)).astype(np.float32)
    ranked: dict[str, list[Places]] = {"nearest": [], "most linked": []}
    for start in range(0, len(queries), _QUERIES):
        batch = queries[start : start + _QUERIES]
        popular = np.tile(link_counts, (len(batch), 1))
        for row, query in enumerate(batch.tolist()):
            popular[row, linked_from[query]] -= 1  # the query's own links are its answers
        for name, scores in (("nearest", _group_similarity(space, links, batch)), ("most linked", popular)):
            scores[np.arange(len(batch)), batch] = -np.inf
            ranked[name].append(measures.rank(scores, every, k))
    recall = {name: measures.recall(np.concatenate(parts), targets) for name, parts in ranked.items()}
    ndcg = {name: measures.ndcg(np.concatenate(parts), targets) for name, parts in ranked.items()}
    best = max(recall, key=lambda name: float(recall[name].mean()))
    models = [
        LinkFigures(
            name,
            float(recall[name].mean()),
            float(ndcg[name].mean()),
            None if name == best else measures.difference(recall[best], recall[name]),
        )
        for name in sorted(recall, key=lambda name: -float(recall[name].mean()))
    ]
    models.append(_chance(targets, len(every) - 1, k))
    return LinkReport(kind, k, len(queries), len(pairs), len(every) - 1, tuple(models))


def _chance(targets: Sequence[Places], candidates: int, k: int) -> LinkFigures:
    """Expected figures of a random order."""
    discounts = 1 / np.log2(np.arange(2, min(k, candidates) + 2))
    counts = np.array([len(groups) for groups in targets])
    ideal = np.cumsum(discounts)[np.minimum(counts, len(discounts)) - 1]
    return LinkFigures(
        "random order", min(1.0, k / candidates), float(np.mean(counts / candidates * discounts.sum() / ideal)), None
    )


def _group_similarity(space: ItemSpace, links: Links, queries: Places) -> NDArray[np.float32]:
    """(queries, groups) highest cosine between items of two groups."""
    known = np.flatnonzero(links.group_of >= 0)
    order = known[np.argsort(links.group_of[known], kind="stable")]
    groups = links.group_of[order]
    starts = np.searchsorted(groups, np.arange(len(links.groups)))
    ends = np.append(starts[1:], len(order))
    columns = space.vectors[order].T
    similarity = np.empty((len(queries), len(links.groups)), dtype=np.float32)
    for row, query in enumerate(queries.tolist()):
        own = order[starts[query] : ends[query]]
        similarity[row] = np.maximum.reduceat((space.vectors[own] @ columns).max(axis=0), starts)
    return similarity
