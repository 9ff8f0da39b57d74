"""Recommendation in the Python API: slates, similar items, interested users; no encoder is loaded for any of it."""

from __future__ import annotations

import os
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from firstsight.api.connection import DatabaseConnection
from firstsight.errors import QueryError

if TYPE_CHECKING:
    from firstsight.recommend.events.event_log import Events
    from firstsight.recommend.items import ItemSpace
    from firstsight.recommend.slates.interest_ranking import Ranking
    from firstsight.recommend.slates.slate_composer import Slot
    from firstsight.recommend.slates.slate_maker import SlateMaker
    from firstsight.recommend.slates.slate_results import InterestedUser, SimilarItem, Slate
    from firstsight.recommend.slates.slate_settings import SlateSettings
    from firstsight.storage.store import Store

LOG_WAIT_S = 10.0
"""For another process that is writing; a slate that is not logged cannot be evaluated later."""

EVENTS_FRESH_S = 60.0
"""How old everybody's events and the model may be before they are looked at again; a user's own are read each time."""


@dataclass
class _SlateData:
    """What slates of one state of the database are made from."""

    items_version: int
    events_version: int
    model_state: int  # version of the table of cold-start models
    read_at: float  # seconds of the monotonic clock
    events: Events
    maker: SlateMaker
    titles: NDArray[np.object_]
    columns: dict[str, NDArray[np.int64]] = field(default_factory=dict)  # of caps: each value as a number


class RecommendationsPart(DatabaseConnection):
    """Slates for users, and what belongs to an item."""

    _slate_data: _SlateData | None = None

    def recommend(
        self,
        user: str | None = None,
        *,
        history: Sequence[str | Mapping[str, Any]] | None = None,
        profile: str | os.PathLike[str] | None = None,
        cap_column: str | None = None,
        now: datetime | None = None,
        seed: int | None = None,
        log: bool = False,
        **settings: Any,
    ) -> Slate:
        """Make a slate for a user: by logged events, by a history given here, or both.

        A user without events gets what is popular, and new items by exploration; `Slate.events` is then 0. The items
        are kept in memory from the first call on (dim * 4 bytes each), so that later ones take milliseconds.

        Args:
            user: whose logged events count.
            history: item ids, oldest first, the last one just now; or events with item_id, timestamp and
                optionally weight. Comes on top of the logged events.
            profile: a JSON file with user, history and age, instead of the above.
            cap_column: a column of the catalogue; with `cap`, at most so many items of one value of it.
            now: the moment the slate is for, with a zone; now by default.
            seed: of exploration; the same seed gives the same slate. A new one by default.
            log: write the slots with their propensities to the table `slates`.
            settings: fields of `SlateSettings` in `firstsight.recommend.slates.slate_settings`: k, quotas, explore,
                diversity, …

        Returns:
            At most k items, no item twice, none that has ended, has not begun, is blocked or is above the age.

        Raises:
            QueryError: a value out of range, an unknown item, an empty history, or an empty database.
            DatabaseBusyError, StoreError: the slate could not be logged.
        """
        from firstsight.recommend.events.interactions import History
        from firstsight.recommend.slates.profiles import merge_histories, read_history, read_profile, utc_now
        from firstsight.recommend.slates.slate_settings import SlateSettings

        unknown = settings.keys() - {field.name for field in fields(SlateSettings)}
        if unknown:
            raise TypeError(f"recommend() got an unexpected keyword argument {sorted(unknown)[0]!r}")
        if profile is not None:
            if user is not None or history is not None:
                raise QueryError("a profile says whom the slate is for; leave out user and history")
            read = read_profile(Path(profile))
            user, history = read.user, read.history
            settings = {"age": read.age, **settings}
        how = SlateSettings(**settings)
        if (cap_column is None) != (how.cap is None):
            raise QueryError("a cap needs a column and a number: cap_column and cap, as in 2 of each brand")
        if now is not None and now.tzinfo is None:
            raise QueryError(f"the moment {now.isoformat()} has no zone; give one, such as UTC")
        store = self._open()
        loaded = self._load(store)
        moment = now or utc_now()
        space = loaded.maker.space
        known = loaded.events.history(user, space, before=now) if user else History.of(np.zeros(0, dtype=np.int64))
        if history is not None:
            known = merge_histories(known, read_history(space, history, moment))
        slots, ranking = loaded.maker.slate(
            known,
            how,
            now_us=int(moment.timestamp() * 1_000_000),
            rng=np.random.default_rng(seed),
            caps=None if cap_column is None else self._cap_codes(store, loaded, cap_column),
        )
        slate = _slate(loaded, slots, ranking, how, user, moment, events=len(known))
        if log:
            from firstsight.recommend.slates.slate_log import log_slate

            with store.writing(LOG_WAIT_S):
                log_slate(store, slate)
        return slate

    def similar(
        self,
        item: str,
        *,
        k: int = 10,
        kinds: Sequence[str] = (),
        near_duplicate: float = 1.0,
        now: datetime | None = None,
    ) -> list[SimilarItem]:
        """What sits next to an item, by content alone: as good for one that nobody has clicked.

        Args:
            k: 1 to 1,000.
            kinds: only these: product, video, live.
            near_duplicate: the cosine from which two of them show the same, and only the nearer stays; 1 for all.

        Raises:
            QueryError: an unknown item, one without a vector, an unknown kind, or a value out of range.
        """
        from firstsight.recommend.slates.profiles import utc_now
        from firstsight.recommend.slates.slate_results import SimilarItem
        from firstsight.recommend.slates.slate_settings import KINDS

        _check_k(k)
        for kind in kinds:
            if kind not in KINDS:
                raise QueryError(f"there is no kind {kind!r}; kinds are {', '.join(KINDS)}")
        if not 0 < near_duplicate <= 1:
            raise QueryError(f"near_duplicate is {near_duplicate}; it is a cosine above 0, at most 1")
        loaded = self._load(self._open())
        space = loaded.maker.space
        now_us = int((now or utc_now()).timestamp() * 1_000_000)
        found = loaded.maker.similar(
            _with_vector(space, item), k, now_us=now_us, kinds=kinds, near_duplicate=near_duplicate
        )
        return [SimilarItem(space.item_ids[n], space.kinds[n], loaded.titles[n], score) for n, score in found]

    def interested_users(self, item: str, *, k: int = 10) -> list[InterestedUser]:
        """The users who would want an item, by what of theirs is nearest to it; those who have it already left out.

        Raises:
            QueryError: an unknown item, one without a vector, or no events.
        """
        from firstsight.recommend.slates.slate_results import InterestedUser

        _check_k(k)
        loaded = self._load(self._open())
        space, everybody = loaded.maker.space, loaded.maker.interactions
        place = _with_vector(space, item)
        if everybody is None:
            raise QueryError(
                f"{self.uri} has no events, so that no user is known; add some: firstsight events add FILE"
            )
        return [
            InterestedUser(everybody.user_ids[one.user], one.score, space.item_ids[one.because])
            for one in loaded.maker.rank_users(place, k)
        ]

    # ---- inside

    def _load(self, store: Store) -> _SlateData:
        """The items and events in memory, read again where they have changed."""
        from firstsight.recommend.events.event_log import Events

        kept = self._slate_data
        version = int(store.items.version)
        events = Events(store) if kept is None else kept.events
        if kept is not None and kept.items_version == version:
            young = time.monotonic() - kept.read_at < EVENTS_FRESH_S
            if young and kept.events_version:
                return kept
            if (events.version(), _model_state(store)) == (kept.events_version, kept.model_state):
                return kept
        self._slate_data = self._read(store, events, None if kept is None or kept.items_version != version else kept)
        return self._slate_data

    def _read(self, store: Store, events: Events, kept: _SlateData | None) -> _SlateData:
        from firstsight.recommend.items import ItemSpace
        from firstsight.recommend.models.cold_start_model import ColdStartModel
        from firstsight.recommend.models.factor_recommender import FactorRecommender
        from firstsight.recommend.semantic_ids.clusters import Clusters, assign_clusters
        from firstsight.recommend.semantic_ids.semantic_id_store import load_codebooks
        from firstsight.recommend.slates.slate_log import read_outcomes
        from firstsight.recommend.slates.slate_maker import SlateMaker

        if kept is None:
            space = ItemSpace.load(store)
            books = load_codebooks(store)
            grouped = Clusters(space, assign_clusters(space, books[1] if books else None))
            titles = _column(store, space, "title")
            columns: dict[str, NDArray[np.int64]] = {}
        else:
            space, titles, columns = kept.maker.space, kept.titles, kept.columns
            assert kept.maker.clusters is not None
            grouped = kept.maker.clusters
        version, model_state = events.version(), _model_state(store)
        model = ColdStartModel.load(store, space)
        try:
            everybody = events.interactions(space) if version else None
        except QueryError:  # events on items that are not indexed yet
            everybody = None
        maker = SlateMaker(
            space,
            everybody,
            clusters=grouped,
            model=None if model is None else FactorRecommender(model),
            outcomes=read_outcomes(store, space, grouped, everybody),
        )
        return _SlateData(space.version, version, model_state, time.monotonic(), events, maker, titles, columns)

    def _cap_codes(self, store: Store, loaded: _SlateData, column: str) -> NDArray[np.int64]:
        if column not in loaded.columns:
            known = sorted(store.column_kinds())
            if column not in known:
                raise QueryError(
                    f"there is no column {column!r} to cap; the catalogue has {', '.join(known) or 'none'}"
                )
            values = _column(store, loaded.maker.space, column)
            empty = np.array([value is None or value != value for value in values], dtype=bool)
            codes = np.full(len(values), -1, dtype=np.int64)
            codes[~empty] = np.unique(values[~empty].astype(str), return_inverse=True)[1]
            loaded.columns[column] = codes
        return loaded.columns[column]


def _slate(
    loaded: _SlateData,
    slots: Sequence[Slot],
    ranking: Ranking,
    how: SlateSettings,
    user: str | None,
    made_at: datetime,
    *,
    events: int,
) -> Slate:
    from firstsight.recommend.slates.slate_results import Recommendation, Slate, UserInterest

    space = loaded.maker.space
    items = [
        Recommendation(
            space.item_ids[slot.place],
            space.kinds[slot.place],
            loaded.titles[slot.place],
            slot.score,
            slot.source,
            space.item_ids[slot.because] if slot.because >= 0 else None,
            slot.explore,
            slot.propensity,
        )
        for slot in slots
    ]
    given = Counter(item.kind for item in items)
    missing = {kind: count - given[kind] for kind, count in how.counts().items() if given[kind] < count}
    return Slate(
        items,
        slate_id=uuid.uuid4().hex,
        user_id=user,
        made_at=made_at,
        events=events,
        interests=tuple(
            UserInterest(one.kind, space.item_ids[one.medoid], one.share, len(one.members)) for one in ranking.interests
        ),
        missing=missing,
    )


def _model_state(store: Store) -> int:
    from firstsight.recommend.models.cold_start_model import TABLE
    from firstsight.storage.side_tables import open_side_table

    table = open_side_table(store, TABLE)
    return 0 if table is None else int(table.version)


def _column(store: Store, space: ItemSpace, name: str) -> NDArray[np.object_]:
    """(n,) a column of the items in the order of the space; None for an item that is not there any more."""
    table = store.items.search().select(["item_id", name]).limit(None).to_arrow()
    values = np.full(len(space), None, dtype=object)
    places = space.places(str(item_id) for item_id in table["item_id"].to_pylist())
    read = np.empty(len(places), dtype=object)
    read[:] = table[name].to_pylist()
    values[places[places >= 0]] = read[places >= 0]
    return values


def _with_vector(space: ItemSpace, item: str) -> int:
    place = space.place(item)
    if not space.has_vector[place]:
        raise QueryError(f"nothing of item {item!r} could be encoded, so that nothing is next to it; see its failures")
    return place


def _check_k(k: int) -> None:
    if not 1 <= k <= 1_000:
        raise QueryError(f"{k} results cannot be given; k is 1 to 1,000")
