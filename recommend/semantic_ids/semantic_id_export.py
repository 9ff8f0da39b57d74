"""Export of semantic IDs for generative recommenders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from firstsight.recommend.semantic_ids.codes import format_semantic_id
from firstsight.recommend.semantic_ids.semantic_id_store import not_fitted_error, read_codebook_row, read_codes
from firstsight.records import Record
from firstsight.storage.store import Store


@dataclass(frozen=True)
class SemanticId(Record):
    """The semantic ID of an item."""

    item_id: str
    semantic_id: str  # codes and copy as a text: "12-200-7-0"
    codes: tuple[int, ...]  # one per level, coarse to fine
    copy: int  # distinguishes items with equal codes; 0 for the first of them
    tokens: tuple[int, ...]  # codes and copy, each level shifted past the levels before, so that all are one vocabulary


def export_semantic_ids(store: Store, version: int | None = None) -> Iterator[SemanticId]:
    """Yield the IDs of all items in the database, in the order of their item ids, for a generative recommender.

    Args:
        store: the database.
        version: of the IDs; the newest by default.

    Raises:
        QueryError: there is no such version, or no semantic IDs at all.
        StoreError: the codebooks belong to another encoder.
    """
    row = read_codebook_row(store, version)
    if row is None:
        raise not_fitted_error(store)
    item_ids, codes, copies = read_codes(store, int(row["version"]))
    present = {item_id for ids in store.item_ids() for item_id in ids}
    shift = np.arange(row["levels"] + 1) * row["codes"]
    tokens = np.column_stack([codes, copies]) + shift
    for n in np.argsort(item_ids):
        if item_ids[n] in present:
            yield SemanticId(
                item_id=item_ids[n],
                semantic_id=format_semantic_id(codes[n], copies[n]),
                codes=tuple(codes[n].tolist()),
                copy=int(copies[n]),
                tokens=tuple(tokens[n].tolist()),
            )
