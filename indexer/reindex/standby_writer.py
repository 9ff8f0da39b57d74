"""The vectors of a run's items by the encoder that is not in force, so that a switch or a rollback loses nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL.Image import Image

from firstsight.encoders.base import Encoder, Vector
from firstsight.encoders.isolation import Outcome, try_images, try_texts
from firstsight.errors import EncoderError, MediaError
from firstsight.indexer.assembly import PendingItem, View, fuse
from firstsight.storage.sets.standby_rows import OUTDATED, outdated_views, sync_columns
from firstsight.storage.sql.conditions import in_chunks, is_in
from firstsight.storage.store import Store
from firstsight.storage.tables import PROJECTION_COLUMN, Part

log = logging.getLogger(__name__)


class StandbyWriter:
    """Encodes and writes the items of one run for the vector set that is not in force.

    Without an encoder it does nothing: the items then have gaps there, which `reindex` closes. An encoder that fails on
    every input is not used again, and does not stop the run, whose items are written in any case.

    Args:
        encoder: of the set that is not in force; None if there is no such set, or its encoder cannot be loaded.
    """

    def __init__(self, encoder: Encoder | None = None) -> None:
        self._encoder = encoder

    @property
    def min_side(self) -> int:
        """Minimum length of a picture's shorter side for this encoder, in pixels."""
        return 0 if self._encoder is None else self._encoder.spec.min_side

    def encode_images(self, pictures: Sequence[Image]) -> list[Vector | None]:
        """Vectors of pictures; None for those that could not be encoded."""
        return self._encode(try_images, pictures)

    def encode_texts(self, texts: Sequence[str]) -> list[Vector | None]:
        """Vectors of texts; None for those that could not be encoded."""
        return self._encode(try_texts, texts)

    def _encode(self, encode: Callable[..., Sequence[Outcome]], inputs: Sequence[Any]) -> list[Vector | None]:
        if self._encoder is not None:
            try:
                outcomes = encode(self._encoder, list(inputs))
                # copies: a row of a batch would keep the vectors of the whole batch in memory
                return [None if isinstance(outcome, MediaError) else outcome.copy() for outcome in outcomes]
            except EncoderError as error:
                log.warning(
                    "the encoder %s fails (%s); items of this run get no vectors of it, until: "
                    "firstsight reindex --encoder %s",
                    *(self._encoder.spec.name, error, self._encoder.spec.name),
                )
                self._encoder = None
        return [None] * len(inputs)

    def _tables(self, store: Store) -> Store | None:
        """The tables of the other set, if its encoder is this one."""
        standby = None if self._encoder is None else store.standby
        if standby is None or self._encoder is None or standby.spec.fingerprint != self._encoder.spec.fingerprint:
            return None
        sync_columns(store, standby)
        return standby

    def write(
        self,
        store: Store,
        items: Sequence[PendingItem],
        rows: Sequence[Mapping[str, Any]],
        weights: Mapping[Part, float],
    ) -> None:
        """Write encoded items, after their rows in force; the caller holds the writer lock.

        Args:
            store: the tables in force.
            items: with their vectors of both encoders.
            rows: their rows of `items`, in the same order.
            weights: of the parts of an item.

        Raises:
            StoreError: the database cannot be written.
        """
        standby = self._tables(store)
        if standby is None or not items:
            return
        views = {pending.item.item_id: _standby_views(pending.views) for pending in items}
        view_rows = [view.row(item_id) for item_id, of_item in views.items() for view in of_item]
        standby.write_views(view_rows, replaced=list(views))
        standby.write_items([{**row, "vector": fuse(views[row["item_id"]], weights)} for row in rows])

    def write_watched(
        self,
        store: Store,
        row: Mapping[str, Any],
        added: Sequence[View],
        window: Sequence[View],
        weights: Mapping[Part, float],
    ) -> None:
        """Write the frames of a watched item, after its rows in force; the caller holds the writer lock.

        Args:
            store: the tables in force.
            row: of `items`, as it is in force now.
            added: its new views, with their vectors of both encoders.
            window: all frames of the stream that it has now.
            weights: of the parts of an item.

        Raises:
            StoreError: the database cannot be written.
        """
        standby = self._tables(store)
        if standby is None:
            return
        item_id = row["item_id"]
        standby.write_views([view.row(item_id) for view in _standby_views(added)], replaced=())
        outdated = outdated_views(store, standby, [item_id])
        current = {view.view_id for view in window}
        in_force = set(store.view_rows([item_id])["view_id"].to_pylist())
        stored_views = standby.view_rows([item_id]).to_pylist()
        for part in in_chunks([view["view_id"] for view in stored_views if view["view_id"] not in in_force]):
            standby.delete_rows(standby.views, is_in("view_id", part))
        kept = [
            View(view["view_id"], view["part"], np.asarray(view["vector"], np.float32))
            for view in stored_views
            if view["view_id"] in in_force - current
        ]
        stored, _ = standby.digests([item_id]).get(item_id, (None, ""))
        # without a digest, the item was made by a watch, and its title does not change
        is_current = not outdated and (stored is None or not row["digest"])
        digest = row["digest"] if is_current else stored or OUTDATED
        vector = fuse([*kept, *_standby_views(window)], weights)
        own = {name: value for name, value in row.items() if name != PROJECTION_COLUMN}  # that of the set in force
        standby.write_items([{**own, "digest": digest, "vector": vector}])


def _standby_views(views: Sequence[View]) -> list[View]:
    return [view for view in (each.for_standby() for each in views) if view is not None]
