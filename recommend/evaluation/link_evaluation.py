"""Item-to-item ground truth: which items a shop's people have linked, and how many of them are among the nearest."""

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

ALL_KINDS = "all"
_QUERIES = 256


@dataclass(frozen=True)
class LinkFigures:
    """One way to choose what to show beside an item, for one kind of link.

    Attributes:
        recall: share of the linked among the first k, mean over the queries, 0 to 1.
        ndcg: the same with earlier places counting more.
        behind_best: how much the best way's recall is above this one's; None for the best, and for chance.
    """

    model: str
    recall: float
    ndcg: float
    behind_best: Difference | None


@dataclass(frozen=True)
class LinkReport:
    """All ways for one kind of link."""

    kind: str
    k: int
    queries: int  # groups that something is linked from
    links: int
    candidates: int  # groups that are ranked for each
    models: tuple[LinkFigures, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "kind": self.kind,
            "k": self.k,
            "queries": self.queries,
            "links": self.links,
            "candidates": self.candidates,
            "models": [
                {
                    "model": one.model,
                    "recall": round(one.recall, 4),
                    "ndcg": round(one.ndcg, 4),
                    "behind_best": None
                    if one.behind_best is None
                    else {name: round(getattr(one.behind_best, name), 4) for name in ("mean", "low", "high")},
                }
                for one in self.models
            ],
        }


def evaluate_links(space: ItemSpace, links: Links, *, k: int = 10) -> list[LinkReport]:
    """How many of the linked are among the k nearest groups, kind by kind and over all; beside it two other ways.

    The likeness of two groups is the greatest cosine between an item of one and an item of the other. "Most linked"
    ranks by how often other groups link to a group, by links of the same kind: it has seen all other queries' answers.

    Raises:
        QueryError: k is below 1.
    """
    if k < 1:
        raise QueryError(f"the first {k} items hold nothing to measure; take k of 1 or more")
    everything = list(dict.fromkeys(pair for some in links.pairs.values() for pair in some))
    kinds = dict(links.pairs) if len(links.pairs) == 1 else {**links.pairs, ALL_KINDS: everything}
    return [_report(space, links, kind, pairs, k) for kind, pairs in kinds.items()]


def _report(space: ItemSpace, links: Links, kind: str, pairs: Sequence[tuple[int, int]], k: int) -> LinkReport:
    of: dict[int, list[int]] = {}
    for start, end in pairs:
        of.setdefault(start, []).append(end)
    queries = np.array(sorted(of), dtype=np.int64)
    targets = [np.array(sorted(of[query]), dtype=np.int64) for query in queries.tolist()]
    every = np.arange(len(links.groups), dtype=np.int64)
    linked = np.bincount([end for _, end in pairs], minlength=len(every)).astype(np.float32)
    ranked: dict[str, list[Places]] = {"nearest": [], "most linked": []}
    for start in range(0, len(queries), _QUERIES):
        some = queries[start : start + _QUERIES]
        popular = np.tile(linked, (len(some), 1))
        for row, query in enumerate(some.tolist()):
            popular[row, of[query]] -= 1  # its own links are what is asked for
        for name, scores in (("nearest", _group_similarity(space, links, some)), ("most linked", popular)):
            scores[np.arange(len(some)), some] = -np.inf
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
    """What a random order finds, as an expectation rather than a draw."""
    discounts = 1 / np.log2(np.arange(2, min(k, candidates) + 2))
    wanted = np.array([len(one) for one in targets])
    ideal = np.cumsum(discounts)[np.minimum(wanted, len(discounts)) - 1]
    return LinkFigures(
        "random order", min(1.0, k / candidates), float(np.mean(wanted / candidates * discounts.sum() / ideal)), None
    )


def _group_similarity(space: ItemSpace, links: Links, queries: Places) -> NDArray[np.float32]:
    """(queries, groups) the greatest cosine between items of two groups."""
    known = np.flatnonzero(links.group_of >= 0)
    order = known[np.argsort(links.group_of[known], kind="stable")]
    groups = links.group_of[order]
    starts = np.searchsorted(groups, np.arange(len(links.groups)))
    ends = np.append(starts[1:], len(order))
    columns = space.vectors[order].T
    likeness = np.empty((len(queries), len(links.groups)), dtype=np.float32)
    for row, query in enumerate(queries.tolist()):
        own = order[starts[query] : ends[query]]
        likeness[row] = np.maximum.reduceat((space.vectors[own] @ columns).max(axis=0), starts)
    return likeness
