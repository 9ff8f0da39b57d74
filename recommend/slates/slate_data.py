"""Items, events and model of a database in memory, for slates."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.errors import QueryError
from firstsight.heads.model_shelf import ModelShelf
from firstsight.recommend.events.event_log import Events
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.models.cold_start_model import SHELF_SPEC, load_tuned_content
from firstsight.recommend.ranking.ranking_inputs import RankingInputs
from firstsight.recommend.ranking.ranking_store import ranking_state
from firstsight.recommend.semantic_ids.clusters import Clusters, assign_clusters
from firstsight.recommend.semantic_ids.semantic_id_store import load_codebooks
from firstsight.recommend.sequence.sequence_store import sequence_model_state
from firstsight.recommend.slates.rules.group_limits import GroupRules
from firstsight.recommend.slates.rules.slate_copies import CopyCodes, SlateCopies
from firstsight.recommend.slates.rules.slate_products import SlateProducts
from firstsight.recommend.slates.rules.slate_settings import SlateSettings
from firstsight.recommend.slates.slate_log import read_outcomes
from firstsight.recommend.slates.slate_maker import SlateMaker
from firstsight.storage.facts.item_values import ItemValue, find_item_value, known_values, read_item_values
from firstsight.storage.product_groups import GROUP_COLUMN, VARIANT_IDS_COLUMN, count_merged_variants
from firstsight.storage.store import Store

ColumnValues = tuple[NDArray[np.int64], NDArray[np.object_]]

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
    columns: dict[str, ColumnValues] = field(default_factory=dict)  # by name, once slates needed them
    inputs: RankingInputs | None = None  # of the ranking, apart from the events
    merged: NDArray[np.int64] | None = None  # (n,) number of variants of each item, once they were read
    near: SlateCopies | None = None  # near-duplicates, once a slate needed them
    versions: dict[str, int] = field(default_factory=dict)  # of the tables and models, for the log of slates
    mapped: list[Vectors | None] = field(default_factory=list)  # content of a tuned model, once users were ranked

    @classmethod
    def load(
        cls,
        store: Store,
        cached: SlateData | None,
        *,
        ranking: int | None = None,
        encode: Callable[[Sequence[str]], Vectors] | None = None,
    ) -> SlateData:
        """Get the data of the present state.

        Args:
            store: the database.
            cached: data from the last call with the same `ranking`; returned if it is current, and else reused in part.
            ranking: a version of the fitted rankings other than the one in use.
            encode: the encoder's text tower, for searches that a sequence model reads and whose vectors are not stored.

        Raises:
            QueryError: there is no such version, or the database has no items.
            EncoderMismatchError: a model in use was fitted on vectors of another encoder.
            StoreError: a model in use is damaged.
        """
        version = store.items_version
        events = Events(store) if cached is None else cached.events
        if cached is not None and cached.items_version != version:
            cached = None
        if cached is not None:
            is_fresh = time.monotonic() - cached.read_at < EVENTS_FRESH_S
            if is_fresh and cached.events_version:
                return cached
            if (events.version(), _model_states(store)) == (cached.events_version, cached.model_states):
                return cached
        return _read(store, events, cached, ranking=ranking, encode=encode)

    @classmethod
    def load_before(cls, store: Store, before: datetime, *, ranking: int | None = None) -> SlateData:
        """Get the data as of the events and slates before a moment; items and models are the present ones.

        There is no encoder, so a sequence model leaves out searches whose vectors are not stored. Those that it was
        trained with, or that a slate has read, are stored.

        Args:
            store: the database.
            before: with a zone.
            ranking: a version of the fitted rankings other than the one in use.

        Raises:
            QueryError: there is no such version, or the database has no items.
        """
        return _read(store, Events(store), None, before, ranking=ranking)

    def column_codes(self, store: Store, column: str) -> ColumnValues:
        """Number the values of a catalogue column: (n,), equal for equal values, -1 for no value; and the values.

        Raises:
            QueryError: there is no such column or fact.
        """
        if column not in self.columns:
            self.columns[column] = read_column_codes(store, self.maker.space, column)
        return self.columns[column]

    def group_rules(self, store: Store, settings: SlateSettings) -> GroupRules | None:
        """Caps and floors of a slate; None if it has none.

        Raises:
            QueryError: there is no such column or fact.
        """
        is_new = self.maker.recommender.counts == 0
        return GroupRules.of(*settings.group_limits(), column=partial(self.column_codes, store), is_new=is_new)

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
        return SlateProducts(self.column_codes(store, GROUP_COLUMN)[0], self.merged)

    def tuned_content(self, store: Store) -> Vectors | None:
        """(n, d) content of the items under the cold-start model in use, if it is tuned; else None.

        Raises:
            EncoderMismatchError: the model was fitted on vectors of another encoder.
            StoreError: the model is damaged.
        """
        if not self.mapped:
            self.mapped.append(load_tuned_content(store, self.maker.space))
        return self.mapped[0]

    def copies(self, store: Store) -> CopyCodes:
        """Near-duplicates of the items: each call compares the items that no call had before."""
        if self.near is None:
            self.near = SlateCopies(self.maker.space)
        return partial(self.near.codes, store)


def _read(
    store: Store,
    events: Events,
    cached: SlateData | None,
    before: datetime | None = None,
    *,
    ranking: int | None = None,
    encode: Callable[[Sequence[str]], Vectors] | None = None,
) -> SlateData:
    if cached is None:
        space = ItemSpace.load(store)
        books = load_codebooks(store)
        grouped = Clusters(space, assign_clusters(space, books[1] if books else None))
        titles = _read_column(store, space, "title")
        columns: dict[str, ColumnValues] = {}
        merged = None
        book_version = books[0] if books else None
    else:
        space, titles, columns, merged = cached.maker.space, cached.titles, cached.columns, cached.merged
        assert cached.maker.clusters is not None
        book_version = cached.versions.get("semantic_ids")
        grouped = cached.maker.clusters
    version, model_states = events.version(), _model_states(store)
    if cached is not None and cached.model_states == model_states and cached.inputs is not None:
        inputs = cached.inputs
    else:
        inputs = RankingInputs.load(store, space, ranking, encode=encode)
    try:
        interactions = events.interactions(space, before) if version else None
    except QueryError:  # events on items that are not indexed yet
        interactions = None
    maker = SlateMaker(
        space,
        interactions,
        clusters=grouped,
        ranking=inputs.ranking(interactions),
        sequence=inputs.sequence,
        outcomes=read_outcomes(store, space, grouped, interactions, before=before),
    )
    near = None if cached is None else cached.near
    versions = {
        "items": space.version,
        "events": version,
        **inputs.versions,
        "semantic_ids": book_version,
    }
    read_at = time.monotonic()
    return SlateData(
        *(space.version, version, model_states, read_at, events, maker, titles, columns, inputs, merged, near),
        versions={name: number for name, number in versions.items() if number},
    )


def _model_states(store: Store) -> tuple[int, int, int]:
    return (ModelShelf(store, SHELF_SPEC).state() or 0, ranking_state(store), sequence_model_state(store))


def read_column_codes(store: Store, space: ItemSpace, column: str) -> ColumnValues:
    """Number the values of a catalogue column or a fact; see `SlateData.column_codes`.

    Raises:
        QueryError: there is no such column or fact.
    """
    known = sorted(store.column_kinds())
    value = find_item_value(store, column, known)
    if value is None:
        listed = known_values(store, known)
        raise QueryError(f"there is no column {column!r} for caps, floors and groups; the catalogue has {listed}")
    values = _read_values(store, space, value)
    empty = np.array([value is None or value != value for value in values], dtype=bool)
    codes = np.full(len(values), -1, dtype=np.int64)
    names, codes[~empty] = np.unique(values[~empty].astype(str), return_inverse=True)
    return codes, names.astype(object)


def _read_column(store: Store, space: ItemSpace, name: str) -> NDArray[np.object_]:
    """Read a column of the items, (n,) in the order of the space; None for removed items."""
    return _read_values(store, space, ItemValue(name, name, None, store.items.schema.field(name).type))


def _read_values(store: Store, space: ItemSpace, value: ItemValue) -> NDArray[np.object_]:
    """Read a value of the items, (n,) in the order of the space; None for removed items."""
    read = dict(read_item_values(store, value))
    values = np.empty(len(space), dtype=object)
    for place, item_id in enumerate(space.item_ids.tolist()):  # NumPy would make a matrix of equally long lists
        values[place] = read.get(item_id)
    return values
