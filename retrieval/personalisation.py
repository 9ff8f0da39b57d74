"""Personal search: move the first candidates of a search by a bounded boost for one user.

Packages above this one know the user and their events; they pass a `Personaliser`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from firstsight.retrieval.query import Query
from firstsight.retrieval.ranking.readings import Candidate
from firstsight.retrieval.ranking.standard_scores import standardised

PERSONAL_CANDIDATES = 100
"""Number of items of a ranking that a boost can move: the same for every page, so all pages come from one order."""


class Personaliser(Protocol):
    """The preferences of one user among the candidates of a search."""

    def boosts(self, item_ids: Sequence[str]) -> NDArray[np.float64]:
        """Boost of each item: (n,), in standard deviations of the candidates' ranking scores; 0 for no boost."""


def is_personalisable(query: Query) -> bool:
    """Whether a query is like those that personal search learns from: a text alone, in the default mode and fusion.

    Filters, thresholds, collapse and diversity make no difference.
    """
    others = query.images or query.videos or query.items or query.vectors or query.minus or query.minus_images
    default = query.part is None and query.resolved_mode == "hybrid" and query.fusion == "weighted"
    return query.text is not None and not others and default


def personalise(candidates: Sequence[Candidate], personaliser: Personaliser) -> list[Candidate]:
    """Order candidates by their ranking score plus their boost; ties keep their order.

    An item takes the ranking score of its new place, as after reranking; its cosine and relevance do not change.
    """
    boosts = personaliser.boosts([candidate.item_id for candidate in candidates])
    totals = standardised([candidate.value for candidate in candidates]) + boosts
    order = np.argsort(-totals, kind="stable")
    return [
        replace(candidates[n], value=place.value, boost=float(boosts[n]))
        for n, place in zip(order.tolist(), candidates, strict=True)
    ]
