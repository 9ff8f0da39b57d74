"""Personal search, in the Python API: versions fitted to clicks of searches, and their use by searches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from firstsight.api.connection import Connection
from firstsight.errors import FirstsightError
from firstsight.retrieval.personalisation import PERSONAL_CANDIDATES, Personaliser, is_personalisable
from firstsight.retrieval.query import Query
from firstsight.storage.snapshots import parse_personal_state
from firstsight.storage.store import Store

if TYPE_CHECKING:
    from firstsight.recommend.personal_search.personal_search_store import PersonalSearchShelf, PersonalSearchVersion
    from firstsight.recommend.personal_search.user_histories import UserHistories
    from firstsight.retrieval.ranking.readings import Candidate

FIT_WAIT_S = 60.0
"""Wait, in seconds, for another writer before a fitted version is stored."""


class PersonalSearch:
    """Order search results for a user of the events; versions are fitted to the clicks of logged searches."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._shelf: PersonalSearchShelf | None = None
        self._histories: UserHistories | None = None

    def fit(
        self, *, use: bool = True, wait_s: float = FIT_WAIT_S, on_progress: Callable[[str], None] = lambda step: None
    ) -> PersonalSearchVersion:
        """Fit a version to the newest 2,000 clicks of searches, and store it.

        Args:
            use: put the version into use if held-out clicks improve; otherwise it is only stored.
            wait_s: maximum wait for another writer before the version is stored, in seconds.
            on_progress: called with the name of each step.

        Returns:
            The version. Its `figures` have the mean reciprocal rank of held-out clicks with and without the boost.

        Raises:
            QueryError: there are no events, or fewer than 100 usable clicks.
            EncoderError, EncoderMismatchError: as for searches.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written.
        """
        from firstsight.recommend.events.event_log import Events
        from firstsight.recommend.items import ItemSpace
        from firstsight.recommend.personal_search.personal_search_fit import fit_personal_search
        from firstsight.recommend.personal_search.personal_search_store import add_version

        store = self._connection.open()
        on_progress("reading items and events")
        space = ItemSpace.load(store)
        interactions = Events(store).interactions(space)
        fitted = fit_personal_search(
            store, space, interactions, partial(self._rank_texts, store), on_progress=on_progress
        )
        return add_version(store, fitted, use=use, wait_s=wait_s)

    def versions(self) -> list[PersonalSearchVersion]:
        """List all versions, oldest first."""
        from firstsight.recommend.personal_search.personal_search_store import PersonalSearchShelf

        return PersonalSearchShelf(self._connection.open()).versions()

    def use(self, version: int | None, *, wait_s: float = FIT_WAIT_S) -> None:
        """Put a version into use instead of the present one.

        Args:
            version: number of a version; None to use none.
            wait_s: maximum wait for another writer, in seconds.

        Raises:
            QueryError: there is no such version, or its held-out clicks did not improve.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written.
        """
        from firstsight.recommend.personal_search.personal_search_store import use_version

        use_version(self._connection.open(), version, wait_s=wait_s)

    def _rank_texts(self, store: Store, texts: Sequence[str]) -> list[list[Candidate] | FirstsightError]:
        from firstsight.retrieval.search import rank_candidates

        queries = [Query(text, k=PERSONAL_CANDIDATES, rerank=False) for text in texts]
        return rank_candidates(
            store,
            queries,
            PERSONAL_CANDIDATES,
            encoder=lambda: self._connection.encoder,
            policy=self._connection.policy,
            calibration=partial(self._connection.calibration, store),
        )


class PersonalState:
    """What a personalised search used: the version, and the moment up to which the user's events count."""

    def __init__(self, personaliser: Personaliser, version: int, time_us: int) -> None:
        self.personaliser, self.version, self.time_us = personaliser, version, time_us


def find_personal_state(personal: PersonalSearch, store: Store, query: Query) -> PersonalState | None:
    """The boost of a query's user, for the searches of this package; None if the search is not personalised.

    A query with the snapshot of a personalised search gets the same version and the same events, so that its page
    belongs to the same ranking.

    Raises:
        QueryError: the snapshot names a version that does not exist.
    """
    if query.user is None or not is_personalisable(query):
        return None
    from firstsight.recommend.personal_search.interest_boost import UserBoost
    from firstsight.recommend.personal_search.personal_search_store import PersonalSearchShelf
    from firstsight.recommend.personal_search.user_histories import shared_histories

    if personal._shelf is None or personal._histories is None:
        personal._shelf, personal._histories = PersonalSearchShelf(store), shared_histories(store.uri)
    earlier = None if query.snapshot is None else parse_personal_state(query.snapshot)
    if query.snapshot is not None and earlier is None:
        return None  # the first page was not personalised
    version = personal._shelf.in_use() if earlier is None else personal._shelf.get(earlier[0])
    if version is None or version.fingerprint != store.spec.fingerprint:
        return None
    found = personal._histories.of_user(store, query.user, None if earlier is None else earlier[1])
    if found is None:
        return None
    space, history, time_us = found
    return PersonalState(UserBoost(space, history, version.settings), version.version, time_us)
