"""Selection of the items of a slate together, where choosing one by one leaves a floor without items."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from firstsight.recommend.items import ItemSpace, Places
from firstsight.recommend.slates.rules.group_limits import GroupRules
from firstsight.recommend.slates.rules.slate_products import SlateProducts

MAX_CANDIDATES = 600
"""Candidates that are selected from: the best ones, and the best of each floor."""

MAX_PAIRS = 5_000
"""Pairs of near-duplicates from which nothing is selected: each is a constraint."""

TIME_LIMIT_S = 2.0

_PER_ITEM = 10.0  # more than any difference of values, so that slots are filled first
_PER_FLOOR = 10_000.0


def select_exactly(
    space: ItemSpace,
    pool: Places,
    usable: NDArray[np.bool_],
    values: NDArray[np.float32],
    slot_kinds: list[str | None],
    capacities: Mapping[str | None, int],
    *,
    groups: GroupRules,
    products: SlateProducts | None,
    copy_codes: Mapping[int, int] | None,
    near_duplicate: float,
) -> list[int]:
    """Select the candidates with the greatest sum of values under all rules of the slate, by integer programming.

    Floors count most, then the number of items, then the values.

    Args:
        space: all items.
        pool: (p,) rows of the candidates.
        usable: (p,) whether a candidate may be selected.
        values: (p,) 0 to 1.
        slot_kinds: the kind of slot that each candidate fits.
        capacities: number of slots by kind.
        groups: caps and floors.
        products: at most one variant of each.
        copy_codes: at most one item of each number, by row of the space.
        near_duplicate: cosine from which two items count as the same.

    Returns:
        Indices into the pool; empty if nothing was found in `TIME_LIMIT_S`, or with more than `MAX_PAIRS`.
    """
    rows = np.argsort(-values, kind="stable")
    rows = rows[usable[rows]]
    masks = [mask[pool] for _, mask, _ in groups.floors]
    share = MAX_CANDIDATES // (len(masks) + 1)
    rows = np.unique(np.concatenate([rows[:share], *(rows[mask[rows]][:share] for mask in masks)]))
    n, floors = len(rows), len(masks)
    at_most: list[tuple[NDArray[np.bool_], float]] = []
    kinds = np.array([str(slot_kinds[row]) for row in rows])
    at_most += [(kinds == str(kind), slots) for kind, slots in capacities.items()]
    for codes, most in groups.caps:
        at_most += [(codes[pool[rows]] == code, most) for code in np.unique(codes[pool[rows]]) if code >= 0]
    one_of = [] if products is None else [products.codes[pool[rows]]]
    if copy_codes is not None:
        one_of.append(np.array([copy_codes[int(place)] for place in pool[rows]]))
    for codes in one_of:
        known, counts = np.unique(codes[codes >= 0], return_counts=True)
        at_most += [(codes == code, 1.0) for code in known[counts > 1]]
    vectors = space.vectors[pool[rows]]
    same = np.argwhere(np.triu(vectors @ vectors.T >= near_duplicate, 1))
    if len(same) > MAX_PAIRS:
        return []
    at_most += [(np.isin(np.arange(n), pair), 1.0) for pair in same]
    used = [(mask, most) for mask, most in at_most if mask.sum() > most]
    upper = sparse.csr_array(np.array([mask for mask, _ in used], dtype=float).reshape(len(used), n))
    lower = sparse.csr_array(np.array([mask[rows] for mask in masks], dtype=float).reshape(floors, n))
    found = milp(
        np.concatenate([-_PER_ITEM - values[rows].astype(float), np.full(floors, _PER_FLOOR)]),
        integrality=np.concatenate([np.ones(n), np.zeros(floors)]),
        bounds=Bounds(0, np.concatenate([np.ones(n), np.full(floors, np.inf)])),
        constraints=[
            LinearConstraint(
                sparse.hstack([upper, sparse.csr_array((len(used), floors))]), -np.inf, [most for _, most in used]
            ),
            LinearConstraint(
                sparse.hstack([lower, sparse.eye_array(floors)]), [slots for _, _, slots in groups.floors], np.inf
            ),
        ],
        options={"time_limit": TIME_LIMIT_S},
    )
    return [] if found.x is None else rows[found.x[:n] > 0.5].tolist()
