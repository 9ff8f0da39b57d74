"""Colour words of a query: move the first candidates of a search by a bounded boost for items of these colours.

The boost is `weight * match * gate`, added to the ranking score in standard deviations of the candidates' scores:

    match   share of the query's colours in the item, 0 to 1; of n colours, each counts up to 1 / n, so that
            "black and white" prefers items with both
    gate    0 for an item at the mean of the candidates or below, 1 from `GATE_FULL` standard deviations above it, so
            that colour orders the items that fit the other words, and lifts no others. Where titles are compared too
            and make clear which items fit best, also 0 for an item `NEAR_NONE` standard deviations or more below the
            best `BEST` items, and 1 up to `NEAR_FULL` below them: red hats do not come before green shoes

Where only pictures are compared (`part` image or frame), the query vector is that of the text without its colour words,
with a share of that of the whole text: the colour words in a text vector also find other categories in that colour, and
the boost weighs the colour anyway.

The colours of items are in the column `fact_colours`. Items without colours keep their score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firstsight.retrieval.query import Query
from firstsight.retrieval.ranking.readings import Candidate
from firstsight.retrieval.ranking.standard_scores import standardised
from firstsight.storage.store import Store
from firstsight.storage.tables import PICTURE_PARTS
from firstsight.understanding.colours.colour_facts import COLOURS_COLUMN
from firstsight.understanding.queries.understand_query import understand_query

COLOUR_CANDIDATES: Final = 200
"""Number of items of a ranking that a colour can move: the same for every page, so all pages come from one order."""

GATE_FULL: Final = 1.0
"""Standard deviations above the mean of the candidates from which an item gets its whole boost."""

BEST: Final = 3
"""Number of items whose mean score stands for the best: a single one may be an exact match."""

NEAR_FULL: Final = 0.5
NEAR_NONE: Final = 1.25

WHOLE_TEXT_SHARE: Final = 0.25
"""Share of the whole text in the query vector. With 0.5 and 1, fewer results have the category of the query; with 0,
items without measured pictures would not be compared by colour at all."""


@dataclass(frozen=True)
class ColourWish:
    """Colours that a query asks for."""

    colours: tuple[str, ...]  # named colours, at least one
    text: str | None  # text without colour words that the query vector is made of, too; None for the whole text alone


def find_colour_wish(store: Store, query: Query) -> ColourWish | None:
    """Find the colours in the text of a query; None without any, in mode words, and in a database without colours."""
    if not query.understand or query.colour_weight == 0 or query.resolved_mode == "words":
        return None
    if query.text is None or query.text_weight == 0 or COLOURS_COLUMN not in store.items.schema.names:
        return None
    understood = understand_query(query.text, prices=False)
    if not understood.colours:
        return None
    return ColourWish(understood.colours, (understood.text or None) if query.part in PICTURE_PARTS else None)


def boost_colours(
    store: Store, candidates: Sequence[Candidate], colours: Sequence[str], weight: float, *, near_best: bool = False
) -> list[Candidate]:
    """Order candidates by their ranking score plus their boost; ties keep their order.

    An item takes the ranking score of its new place, as after reranking; its cosine and relevance do not change.

    Args:
        colours: named colours, at least one.
        weight: largest boost, in standard deviations of the candidates' ranking scores.
        near_best: only items that score nearly as well as the best ones get a boost.
    """
    scores = standardised([candidate.value for candidate in candidates])
    matches = _colour_matches(store, [candidate.item_id for candidate in candidates], colours)
    gates = np.clip(scores / GATE_FULL, 0, 1)
    if near_best:
        distances = np.sort(scores)[-BEST:].mean() - scores
        gates *= np.clip((NEAR_NONE - distances) / (NEAR_NONE - NEAR_FULL), 0, 1)
    boosts = weight * matches * gates
    order = np.argsort(-(scores + boosts), kind="stable")
    return [
        replace(candidates[n], value=place.value, colour_boost=float(boosts[n]))
        for n, place in zip(order.tolist(), candidates, strict=True)
    ]


def _colour_matches(store: Store, item_ids: Sequence[str], colours: Sequence[str]) -> NDArray[np.float64]:
    """How much each item has of these colours, (n,), 0 to 1; 0 for an item without colours."""
    found: dict[str, Mapping[str, Any] | None] = {}
    for rows in store.rows_by_id(store.items, item_ids, columns=["item_id", COLOURS_COLUMN]):
        found |= zip(map(str, rows["item_id"].to_pylist()), rows[COLOURS_COLUMN].to_pylist(), strict=True)
    most = 1 / len(colours)
    return np.array(
        [sum(min((found.get(i) or {}).get(colour) or 0.0, most) for colour in colours) for i in item_ids],
        dtype=np.float64,
    )
