"""Recommendations, in the Python API: slates, similar items, interested users; these methods load no encoder."""

from __future__ import annotations

import os
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import NDArray

from firstsight.api.connection import Connection
from firstsight.errors import QueryError
from firstsight.keywords import check_texts

if TYPE_CHECKING:
    from firstsight.recommend.items import ItemSpace
    from firstsight.recommend.slates.rules.slate_products import SlateProducts
    from firstsight.recommend.slates.rules.slate_settings import SlateOptions, SlateSettings
    from firstsight.recommend.slates.slate_composer import Slot
    from firstsight.recommend.slates.slate_data import SlateData
    from firstsight.recommend.slates.slate_policy import SlatePolicy
    from firstsight.recommend.slates.slate_results import InterestedUsers, SimilarItems, Slate
    from firstsight.retrieval.moments import Moment
    from firstsight.storage.store import Store

LOG_WAIT_S = 10.0
"""Wait, in seconds, for another writer before a slate is logged; a slate without a log entry cannot be evaluated."""


class Recommender:
    """Slates, items similar to an item, and users interested in an item; it keeps all item vectors in memory."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._slate_data: SlateData | None = None

    def recommend(
        self,
        user: str | None = None,
        *,
        history: Sequence[str | Mapping[str, object]] | None = None,
        profile: str | os.PathLike[str] | None = None,
        cap_column: str | None = None,
        now: datetime | None = None,
        seed: int | None = None,
        log: bool = False,
        moments: bool = False,
        experiment: str = "",
        **settings: Unpack[SlateOptions],
    ) -> Slate:
        """Make a slate for a user from logged events, from a history, or from both.

        A user without events gets popular items, and new items by exploration; `Slate.events` is then 0. The first call
        loads the item vectors into memory (dim * 4 bytes per item), so that later calls take milliseconds.

        Args:
            user: id of a user in the logged events.
            history: item ids, oldest first, the last one just now; or events with item_id, timestamp and
                optionally weight. Added to the logged events.
            profile: a JSON file with user, history and age, instead of these arguments.
            cap_column: catalogue column for `cap`, the maximum number of items with an equal value in it.
            now: time of the slate, with a time zone; the present time by default.
            seed: random seed of exploration; the same seed gives the same slate. Random by default.
            log: write the slots with their propensities to the table `slates`; see `log_slates` for many slates.
            experiment: name of the A/B experiment that decides the user's bucket, `Slate.bucket`.
            moments: give each video the stretch that suits the user's nearest interest best: its frames are compared
                with the interest. None for a user without interests.
            settings: fields of `firstsight.recommend.slates.rules.slate_settings.SlateSettings`: k, quotas, explore,
                diversity, …

        Returns:
            At most k items, each once; without items that have ended, have not begun, are blocked, or have a minimum
            age above `age`. If the database knows products, one variant of each product, and none of the products in
            the user's events, unless `collapse="none"`.

        Raises:
            QueryError: a value is out of range, an item is unknown, the history or the database is empty.
            MissingDatabaseError: there is no database.
            DatabaseBusyError: another process is still writing after 10 s, so the slate was not logged.
            StoreError: the slate could not be logged.
        """
        from firstsight.recommend.events.interactions import History
        from firstsight.recommend.slates.ab_buckets import bucket_of
        from firstsight.recommend.slates.profiles import merge_histories, read_history, read_profile, utc_now
        from firstsight.recommend.slates.rules.slate_settings import SlateSettings

        if isinstance(history, str):  # its letters would count as item ids
            check_texts("history", history)
        if profile is not None:
            if user is not None or history is not None:
                raise QueryError("a profile has its own user and history; leave both out")
            read = read_profile(Path(profile))
            user, history = read.user, read.history
            settings.setdefault("age", read.age)
        slate_settings = SlateSettings(**settings)
        if (cap_column is None) != (slate_settings.cap is None):
            raise QueryError("a cap needs a column and a number: cap_column and cap, as in 2 of each brand")
        if cap_column is not None and slate_settings.cap is not None:
            slate_settings = replace(slate_settings, caps={**slate_settings.caps, cap_column: slate_settings.cap})
        if now is not None and now.tzinfo is None:
            raise QueryError(f"the time {now.isoformat()} has no time zone; add one, such as UTC")
        store = self._connection.open()
        loaded = self._load_slate_data(store)
        moment = now or utc_now()
        space = loaded.maker.space
        known = loaded.events.history(user, space, before=now) if user else History.of(np.zeros(0, dtype=np.int64))
        if history is not None:
            known = merge_histories(known, read_history(space, history, moment))
        products = loaded.products(store) if slate_settings.collapse is None else None
        groups = loaded.group_rules(store, slate_settings)
        policy = loaded.maker.policy(
            known,
            slate_settings,
            now_us=int(moment.timestamp() * 1_000_000),
            groups=groups,
            products=products,
            copies=None if slate_settings.allow_copies else loaded.copies(store),
        )
        slots, ranking = policy.draw(np.random.default_rng(seed)), policy.ranking
        slate = _slate(loaded, slots, policy, slate_settings, user, moment, products, events=len(known))
        slate = replace(slate, experiment=experiment, bucket=None if user is None else bucket_of(user, experiment))
        if moments:
            from firstsight.recommend.slates.slate_moments import slate_moments

            found = slate_moments(store, space, [slot.place for slot in slots], ranking.interests)
            items = (replace(item, moment=found.get(slot.place)) for item, slot in zip(slate, slots, strict=True))
            slate = replace(slate, items=tuple(items))
        if log:
            self.log_slates([slate])
        return slate

    def log_slates(self, slates: Iterable[Slate]) -> int:
        """Write the slots of slates with their propensities to the table `slates`, in one write for all of them.

        A slate is logged once, when it is shown: by `recommend(log=True)`, or here.

        Args:
            slates: results of `recommend`.

        Returns:
            Number of written slots.

        Raises:
            MissingDatabaseError: there is no database.
            DatabaseBusyError: another process is still writing after 10 s, so nothing was logged.
            StoreError: the slates could not be logged.
        """
        from firstsight.recommend.slates.slate_log import log_slates

        store = self._connection.open()
        with store.writing(LOG_WAIT_S):
            return log_slates(store, slates)

    def similar(
        self,
        item: str,
        *,
        k: int = 10,
        kinds: Sequence[str] = (),
        near_duplicate: float = 1.0,
        collapse: str | None = None,
        now: datetime | None = None,
    ) -> SimilarItems:
        """Find the items nearest to an item by content, so that items without clicks get equal results.

        If the item has frames, they are compared with the frames and pictures of the others, as in a search by clip:
        items without both are not found, and videos that contain the item's video come first. Each video among the
        results has its best moment.

        Args:
            item: item id.
            k: maximum number of results, 1 to 1,000.
            kinds: return only these kinds: product, video, live. Empty for all.
            near_duplicate: cosine of fused vectors, above 0 and at most 1, from which two results are near-duplicates
                and only the nearer one stays; 1 keeps all.
            collapse: None returns one variant of each product if the database knows products, and leaves out the
                item's own product; "none" returns every item.
            now: time for which items must be available; the present time by default.

        Raises:
            QueryError: the item is unknown or has no vector, a kind is unknown, or a value is out of range.
            MissingDatabaseError: there is no database.
        """
        from firstsight.recommend.slates.moments.best_moments import best_moments
        from firstsight.recommend.slates.moments.similar_clips import (
            Similarity,
            read_clip,
            similar_to_clip,
            wanted_moment,
        )
        from firstsight.recommend.slates.profiles import utc_now
        from firstsight.recommend.slates.rules.slate_settings import KINDS, check_collapse
        from firstsight.recommend.slates.slate_results import SimilarItem, SimilarItems
        from firstsight.retrieval.ranking.part_choice import has_frames
        from firstsight.retrieval.timed_product import timed_products_of_videos, videos_of_product

        _check_k(k)
        check_collapse(collapse)
        check_texts("kinds", kinds)
        for kind in kinds:
            if kind not in KINDS:
                raise QueryError(f"there is no kind {kind!r}; kinds are {', '.join(KINDS)}")
        if not 0 < near_duplicate <= 1:
            raise QueryError(f"near_duplicate is {near_duplicate}; it must be a cosine above 0 and at most 1")
        store = self._connection.open()
        loaded = self._load_slate_data(store)
        space = loaded.maker.space
        now_us = int((now or utc_now()).timestamp() * 1_000_000)
        products = loaded.products(store) if collapse is None else None
        place = _with_vector(space, item)
        clip = read_clip(store, item)
        if clip is None:
            by_vector = loaded.maker.similar(
                *(place, k), now_us=now_us, kinds=kinds, near_duplicate=near_duplicate, products=products
            )
            nearest = [Similarity(n, score) for n, score in by_vector]
        else:
            allowed = loaded.maker.may_be_similar(place, now_us, kinds, products)
            nearest = similar_to_clip(
                *(store, space, clip, k), allowed=allowed, near_duplicate=near_duplicate, products=products
            )
        places = [found.place for found in nearest]
        ids = [str(space.item_ids[n]) for n in places]
        variants = _count_variants(products, places, loaded.maker.showable(now_us, kinds))
        shown = timed_products_of_videos(store, ids)
        moments: dict[str, Moment] = {}
        if has_frames(store):
            wanted = wanted_moment(space, space.vectors[[place]] if clip is None else clip.frames)
            moments = best_moments(store, dict.fromkeys(ids, wanted))
        items = (
            SimilarItem(
                *(item_id, space.kinds[found.place], loaded.titles[found.place], found.score, count),
                products=shown.get(item_id),
                moment=moments.get(item_id),
                clip=found.clip,
            )
            for item_id, found, count in zip(ids, nearest, variants, strict=True)
        )
        return SimilarItems(tuple(items), item, videos_of_product(store, item))

    def interested_users(self, item: str, *, k: int = 10) -> InterestedUsers:
        """Find the users with items nearest to an item; users with events on the item itself are left out.

        Vectors of items are compared; if a tuned cold-start model is in use, its mapped content instead.

        Args:
            item: item id.
            k: maximum number of users, 1 to 1,000.

        Raises:
            QueryError: the item is unknown or has no vector, there are no events, or k is out of range.
            EncoderMismatchError, StoreError: the cold-start model in use is tuned, but belongs to another encoder or is
                damaged.
            MissingDatabaseError: there is no database.
        """
        from firstsight.recommend.slates.slate_results import InterestedUser, InterestedUsers

        _check_k(k)
        store = self._connection.open()
        loaded = self._load_slate_data(store)
        space, interactions = loaded.maker.space, loaded.maker.interactions
        place = _with_vector(space, item)
        if interactions is None:
            raise QueryError(
                f"{self._connection.uri} has no events and so no users; add events: firstsight events add FILE"
            )
        users = (
            InterestedUser(interactions.user_ids[ranked.user], ranked.score, space.item_ids[ranked.because])
            for ranked in loaded.maker.rank_users(place, k, loaded.tuned_content(store))
        )
        return InterestedUsers(tuple(users), item)

    def close(self) -> None:
        """Forget the item vectors."""
        self._slate_data = None

    def _load_slate_data(self, store: Store) -> SlateData:
        from firstsight.recommend.slates.slate_data import SlateData

        self._slate_data = SlateData.load(
            store, self._slate_data, encode=lambda texts: self._connection.encoder.encode_texts(texts)
        )
        return self._slate_data


def _slate(
    loaded: SlateData,
    slots: Sequence[Slot],
    policy: SlatePolicy,
    settings: SlateSettings,
    user: str | None,
    made_at: datetime,
    products: SlateProducts | None,
    *,
    events: int,
) -> Slate:
    from firstsight.recommend.slates.slate_results import Recommendation, Slate, UserInterest

    space = loaded.maker.space
    showable = loaded.maker.showable(int(made_at.timestamp() * 1_000_000), age=settings.age)
    variants = _count_variants(products, [slot.place for slot in slots], showable)
    items = tuple(
        Recommendation(
            space.item_ids[slot.place],
            space.kinds[slot.place],
            loaded.titles[slot.place],
            slot.score,
            slot.source,
            space.item_ids[slot.because] if slot.because >= 0 else None,
            slot.explore,
            slot.propensity,
            count,
            terms=policy.ranking.explain(slot.place),
            replaces=space.item_ids[slot.replaces] if slot.replaces >= 0 else None,
        )
        for slot, count in zip(slots, variants, strict=True)
    )
    counts = Counter(item.kind for item in items)
    missing = {kind: count - counts[kind] for kind, count in settings.counts().items() if counts[kind] < count}
    return Slate(
        items,
        slate_id=uuid.uuid4().hex,
        user_id=user,
        made_at=made_at,
        events=events,
        interests=tuple(
            UserInterest(interest.kind, space.item_ids[interest.medoid], interest.share, len(interest.members))
            for interest in policy.ranking.interests
        ),
        missing={**missing, **policy.ranked.missing},
        settings=settings.to_dict(),
        versions=loaded.versions,
    )


def _count_variants(
    products: SlateProducts | None, places: list[int], showable: NDArray[np.bool_]
) -> Sequence[int | None]:
    if products is None:
        return [None] * len(places)
    return products.count_variants(np.array(places, dtype=np.int64), showable)


def _with_vector(space: ItemSpace, item: str) -> int:
    place = space.place(item)
    if not space.has_vector[place]:
        raise QueryError(f"item {item!r} has no vector: nothing of it could be encoded; see its failures")
    return place


def _check_k(k: int) -> None:
    if not 1 <= k <= 1_000:
        raise QueryError(f"k is {k}; it must be 1 to 1,000")
