"""Items, events and model of a database in memory, for slates."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import QueryError
from firstsight.heads.model_shelf import ModelShelf
from firstsight.recommend.events.event_log import Events
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.models.cold_start_model import SHELF_SPEC
from firstsight.recommend.ranking.ranking_inputs import RankingInputs
from firstsight.recommend.ranking.ranking_store import ranking_state
from firstsight.recommend.semantic_ids.clusters import Clusters, assign_clusters
from firstsight.recommend.semantic_ids.semantic_id_store import load_codebooks
from firstsight.recommend.sequence.sequence_store import sequence_model_state
from firstsight.recommend.slates.slate_copies import CopyCodes, SlateCopies
from firstsight.recommend.slates.slate_log import read_outcomes
from firstsight.recommend.slates.slate_maker import SlateMaker
from firstsight.recommend.slates.slate_products import SlateProducts
from firstsight.storage.product_groups import GROUP_COLUMN, VARIANT_IDS_COLUMN, count_merged_variants
from firstsight.storage.store import Store

EVENTS_FRESH_S = 60.0
"""Age, in seconds, after which events and model are checked for changes; a user's own events are read each time."""


@dataclass
class SlateData:
    """Data for slates, from one state of the database."""

    items_version: int
    events_version: int
    model_states: tuple[int, int, int]  # versions of the tables of cold-start, ranking and sequence models
    read_at: float  # seconds of the monotonic clock
    events: Events
    maker: SlateMaker
    titles: NDArray[np.object_]  # (n,) in the order of the items in `maker.space`
    columns: dict[str, NDArray[np.int64]] = field(default_factory=dict)  # for caps: a number for each value
    inputs: RankingInputs | None = None  # of the ranking, apart from the events
    merged: NDArray[np.int64] | None = None  # (n,) number of variants of each item, once they were read
    near: SlateCopies | None = None  # near-duplicates, once a slate needed them

    @classmethod
    def load(cls, store: Store, cached: SlateData | None, *, ranking: int | None = None) -> SlateData:
        """Get the data of the present state.

        Args:
            store: the database.
            cached: data from the last call with the same `ranking`; returned if it is current, and else reused in part.
            ranking: a version of the fitted rankings other than the one in use.

        Raises:
            QueryError: there is no such version, or the database has no items.
            EncoderMismatchError: a model in use was fitted on vectors of another encoder.
            StoreError: a model in use is damaged.
        """
        version = int(store.items.version)
        events = Events(store) if cached is None else cached.events
        if cached is not None and cached.items_version != version:
            cached = None
        if cached is not None:
            is_fresh = time.monotonic() - cached.read_at < EVENTS_FRESH_S
            if is_fresh and cached.events_version:
                return cached
            if (events.version(), _model_states(store)) == (cached.events_version, cached.model_states):
                return cached
        return _read(store, events, cached, ranking)

    def cap_codes(self, store: Store, column: str) -> NDArray[np.int64]:
        """Number the values of a catalogue column, for a cap: (n,), equal numbers for equal values, -1 for no value.

        Raises:
            QueryError: the catalogue has no such column.
        """
        if column not in self.columns:
            known = sorted(store.column_kinds())
            if column not in known:
                raise QueryError(
                    f"there is no column {column!r} to cap; the catalogue has {', '.join(known) or 'none'}"
                )
            values = _read_column(store, self.maker.space, column)
            empty = np.array([value is None or value != value for value in values], dtype=bool)
            codes = np.full(len(values), -1, dtype=np.int64)
            codes[~empty] = np.unique(values[~empty].astype(str), return_inverse=True)[1]
            self.columns[column] = codes
        return self.columns[column]

    def products(self, store: Store) -> SlateProducts | None:
        """Products of the items; None if the database knows none."""
        names = store.items.schema.names
        if GROUP_COLUMN not in names:
            return None
        if self.merged is None:
            self.merged = np.ones(len(self.maker.space), dtype=np.int64)
            if VARIANT_IDS_COLUMN in names:
                merged = _read_column(store, self.maker.space, VARIANT_IDS_COLUMN)
                self.merged = np.array([count_merged_variants(value) for value in merged], dtype=np.int64)
        return SlateProducts(self.cap_codes(store, GROUP_COLUMN), self.merged)

    def copies(self, store: Store) -> CopyCodes:
        """Near-duplicates of the items: each call compares the items that no call had before."""
        if self.near is None:
            self.near = SlateCopies(self.maker.space)
        return partial(self.near.codes, store)


def _read(store: Store, events: Events, cached: SlateData | None, number: int | None) -> SlateData:
    if cached is None:
        space = ItemSpace.load(store)
        books = load_codebooks(store)
        grouped = Clusters(space, assign_clusters(space, books[1] if books else None))
        titles = _read_column(store, space, "title")
        columns: dict[str, NDArray[np.int64]] = {}
        merged = None
    else:
        space, titles, columns, merged = cached.maker.space, cached.titles, cached.columns, cached.merged
        assert cached.maker.clusters is not None
        grouped = cached.maker.clusters
    version, model_states = events.version(), _model_states(store)
    if cached is not None and cached.model_states == model_states and cached.inputs is not None:
        inputs = cached.inputs
    else:
        inputs = RankingInputs.load(store, space, number)
    try:
        interactions = events.interactions(space) if version else None
    except QueryError:  # events on items that are not indexed yet
        interactions = None
    maker = SlateMaker(
        space,
        interactions,
        clusters=grouped,
        ranking=inputs.ranking(interactions),
        outcomes=read_outcomes(store, space, grouped, interactions),
    )
    near = None if cached is None else cached.near
    read_at = time.monotonic()
    return SlateData(
        *(space.version, version, model_states, read_at, events, maker, titles, columns, inputs, merged, near)
    )


def _model_states(store: Store) -> tuple[int, int, int]:
    return (ModelShelf(store, SHELF_SPEC).state() or 0, ranking_state(store), sequence_model_state(store))


def _read_column(store: Store, space: ItemSpace, name: str) -> NDArray[np.object_]:
    """Read a column of the items, (n,) in the order of the space; None for removed items."""
    table = store.items.search().select(["item_id", name]).limit(None).to_arrow()
    values = np.full(len(space), None, dtype=object)
    places = space.places(str(item_id) for item_id in table["item_id"].to_pylist())
    read = np.empty(len(places), dtype=object)
    read[:] = table[name].to_pylist()
    values[places[places >= 0]] = read[places >= 0]
    return values
