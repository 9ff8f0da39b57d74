"""Products that videos show, with their seconds, in the Python API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from firstsight.api.connection import Connection
from firstsight.errors import QueryError
from firstsight.keywords import check_texts
from firstsight.records import Record

if TYPE_CHECKING:
    from firstsight.retrieval.timed_product import TimedProduct
    from firstsight.storage.store import Store
    from firstsight.storage.timed_product_table import EntryState, TimedProductRow

PROPOSE_WAIT_S = 60.0
"""Default wait, in seconds, for another writer before proposals are stored."""

MAX_LISTED = 10_000
"""Maximum number of listed entries."""


@dataclass(frozen=True)
class ProposalReport(Record):
    """Result of `propose`."""

    videos: int  # that were compared
    frames: int  # of these videos
    proposed: int  # proposals that wait for a person now, of these videos
    new: int  # of them, those that were not there before
    withdrawn: int  # earlier proposals that the frames no longer support
    decided: int  # proposals left out, because a person or the catalogue has decided about this stretch


class TimedProducts:
    """Products in videos: "at 0:12 product X". They come from the catalogue, or from proposals that people accept."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def propose(
        self,
        *,
        videos: Sequence[str] | None = None,
        min_relevance: float = 0.75,
        max_ratio: float = 0.7,
        min_agreement: float = 0.5,
        wait_s: float = PROPOSE_WAIT_S,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> ProposalReport:
        """Compare the frames of videos with the pictures of products, and store proposals for `accept` and `reject`.

        A second call compares again: it adds new proposals and withdraws those that the frames no longer support. It
        never proposes a stretch again that a person has decided about. No encoder is loaded.

        Args:
            videos: ids of items with videos; by default all of them.
            min_relevance: minimum relevance of the cosine of frame and picture, 0 to 1.
            max_ratio: maximum ratio of the distance (1 - cosine) to the product and to the nearest other product, 0 to
                1. Smaller values propose fewer products of which the catalogue has similar ones.
            min_agreement: minimum share of the frames of a shot that are nearest to the product, 0 to 1.
            wait_s: maximum wait for another writer, in seconds.
            on_progress: called with the number of compared videos, and of all.

        Raises:
            QueryError: an item is unknown or has no video frames, or a number is out of range.
            MissingDatabaseError: there is no database.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written.
        """
        from firstsight.retrieval.timed_products.proposals import ProposalSettings, propose, without_decided
        from firstsight.storage.timed_product_table import delete_entries, read_entries, write_entries

        settings = ProposalSettings(min_relevance, max_ratio, min_agreement)
        store = self._connection.open()
        names = _videos(store, videos)
        background = self._connection.calibration(store).background("pictures", "image") if names else None
        totals = dict.fromkeys(("videos", "frames", "proposed", "new", "withdrawn", "decided"), 0)
        if background is None:
            return ProposalReport(**totals)
        for compared in propose(store, names, background, settings):
            with store.writing(wait_s):
                stored = read_entries(store, videos=compared.item_ids)
                rows = without_decided(compared.rows, stored)
                pending = {row["entry_id"] for row in stored if row["state"] == "proposed"}
                now = {row["entry_id"] for row in rows}
                delete_entries(store, sorted(pending - now))
                write_entries(store, rows)
            totals["videos"] += len(compared.item_ids)
            totals["frames"] += compared.frames
            totals["proposed"] += len(rows)
            totals["new"] += len(now - pending)
            totals["withdrawn"] += len(pending - now)
            totals["decided"] += len(compared.rows) - len(rows)
            on_progress(totals["videos"], len(names))
        return ProposalReport(**totals)

    def of_video(self, item_id: str, *, include_proposed: bool = False) -> tuple[TimedProduct, ...]:
        """The products that a video shows, in order of their seconds.

        Args:
            item_id: id of the video.
            include_proposed: include proposals that nobody has decided about.

        Raises:
            QueryError: there is no such item.
        """
        return self._of(item_id, "videos", include_proposed)

    def of_product(self, item_id: str, *, include_proposed: bool = False) -> tuple[TimedProduct, ...]:
        """The videos that show a product, with the seconds; arguments and errors as for `of_video`."""
        return self._of(item_id, "products", include_proposed)

    def entries(
        self, *, state: EntryState | None = None, k: int = 100, include_blocked: bool = False
    ) -> tuple[TimedProduct, ...]:
        """List entries in order of video and second.

        Args:
            state: only proposed, accepted or rejected entries; by default all.
            k: maximum number of entries, 1 to 10,000.
            include_blocked: include entries whose video or product a safety decision blocks.

        Raises:
            QueryError: the state is unknown, or k is out of range.
        """
        from firstsight.retrieval.timed_product import read_timed_products
        from firstsight.storage.timed_product_table import STATES

        if state is not None and state not in STATES:
            raise QueryError(f"there is no state {state!r}; the states are {', '.join(STATES)}")
        if not 1 <= k <= MAX_LISTED:
            raise QueryError(f"k is {k}; it must be 1 to {MAX_LISTED:,}")
        states = STATES if state is None else (state,)
        found = read_timed_products(self._connection.open(), states=states, include_blocked=include_blocked)
        return tuple(found[:k])

    def pending(self, *, k: int = 100) -> tuple[TimedProduct, ...]:
        """List proposals that nobody has decided about, with their evidence; `k` as for `entries`."""
        return self.entries(state="proposed", k=k)

    def accept(self, entry_ids: Sequence[str], *, by: str, wait_s: float = 0.0) -> tuple[TimedProduct, ...]:
        """Accept proposals: results show them from now on. A rejected proposal can be accepted later.

        Args:
            entry_ids: keys of proposals, such as "video-7#mug-1#12.00".
            by: the person who decides.
            wait_s: maximum wait for another writer, in seconds.

        Returns:
            The accepted entries.

        Raises:
            QueryError: an entry is unknown or comes from the catalogue, or `by` is empty.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written.
        """
        return self._decide(entry_ids, "accepted", by, wait_s)

    def reject(self, entry_ids: Sequence[str], *, by: str, wait_s: float = 0.0) -> tuple[TimedProduct, ...]:
        """Reject proposals: they are never made again. Arguments, result and errors as for `accept`."""
        return self._decide(entry_ids, "rejected", by, wait_s)

    def _of(self, item_id: str, side: str, include_proposed: bool) -> tuple[TimedProduct, ...]:
        from firstsight.retrieval.timed_product import read_timed_products

        check_texts("item_id", [item_id])
        store = self._connection.open()
        if not store.digests([item_id]):
            raise QueryError(f"there is no item {item_id!r} in {store.uri}")
        states: Sequence[EntryState] = ("accepted", "proposed") if include_proposed else ("accepted",)
        if side == "videos":
            return tuple(read_timed_products(store, videos=[item_id], states=states))
        return tuple(read_timed_products(store, products=[item_id], states=states))

    def _decide(self, entry_ids: Sequence[str], state: EntryState, by: str, wait_s: float) -> tuple[TimedProduct, ...]:
        from firstsight.retrieval.timed_product import read_timed_products
        from firstsight.storage.timed_product_table import STATES, read_entries, write_entries

        check_texts("entry_ids", entry_ids)
        if not by.strip():
            raise QueryError("by is empty; name the person who decides")
        store = self._connection.open()
        with store.writing(wait_s):
            rows = {row["entry_id"]: row for row in read_entries(store, entries=entry_ids)}
            decided: list[TimedProductRow] = []
            for entry_id in dict.fromkeys(entry_ids):
                row = rows.get(entry_id)
                if row is None:
                    raise QueryError(f"there is no entry {entry_id!r} in {store.uri}; list the entries first")
                if row["source"] == "catalogue":
                    raise QueryError(f"entry {entry_id!r} comes from the catalogue; change it there and index again")
                row["state"], row["decided_by"], row["decided_at"] = state, by.strip(), datetime.now(UTC)
                decided.append(row)
            write_entries(store, decided)
        return tuple(read_timed_products(store, entries=list(rows), states=STATES, include_blocked=True))


def _videos(store: Store, videos: Sequence[str] | None) -> list[str]:
    """Ids of the items with video frames, sorted.

    Raises:
        QueryError: one of `videos` is unknown or has no frames.
    """
    if videos is None:
        search = store.views.search().where("part = 'frame'").select(["item_id"]).limit(None)
        return sorted({str(name) for batch in search.to_batches(10_000) for name in batch["item_id"].to_pylist()})
    check_texts("videos", videos)
    shown = store.rows_by_id(store.views, list(videos), columns=["item_id"], condition="part = 'frame'")
    with_frames = {str(name) for rows in shown for name in rows["item_id"].to_pylist()}
    for name in videos:
        if name not in with_frames:
            known = bool(store.digests([name]))
            raise QueryError(
                f"item {name!r} has no video frames in {store.uri}"
                if known
                else f"there is no item {name!r} in {store.uri}"
            )
    return sorted(set(videos))
