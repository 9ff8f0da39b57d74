"""Cold-start models, in the Python API: fit them to events, list them, choose one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from firstsight.api.connection import FIT_WAIT_S, Connection

if TYPE_CHECKING:
    from firstsight.api.recommendations import Recommender
    from firstsight.recommend.models.cold_start_model import ColdStartVersion
    from firstsight.recommend.slates.slate_results import InterestedUsers


class ColdStart:
    """Models that rank new items, fitted to the logged events, and the users for a new item."""

    def __init__(self, connection: Connection, recommender: Recommender) -> None:
        self._connection = connection
        self._recommender = recommender

    def fit(
        self,
        *,
        tune: bool = False,
        use: bool = True,
        wait_s: float = FIT_WAIT_S,
        on_progress: Callable[[str], None] = lambda step: None,
    ) -> ColdStartVersion:
        """Fit a model for ranking new items to all events, and store it as the next version.

        Args:
            tune: learn a map of the items' content from items that people took together, too. It is stored with the
                model if held-out new items gain, and else left out; `tuned` and `figures` of the version tell. Vectors
                of items do not change.
            use: put the model into use.
            wait_s: maximum wait for another writer before the model is stored, in seconds.
            on_progress: called with the name of each step.

        Returns:
            The version. Its `figures` have the recall@20 of held-out new items: of the model, of its parents, and of
            chance; with `tune` also the gain by the map, with its 95 % interval.

        Raises:
            QueryError: there are no events, or too few.
            OptionalDependencyError: implicit is not installed.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written.
        """
        from firstsight.recommend.events.event_log import Events
        from firstsight.recommend.items import ItemSpace
        from firstsight.recommend.models.cold_start_model import fit_cold_start_model

        store = self._connection.open()
        on_progress("reading items and events")
        space = ItemSpace.load(store)
        train = Events(store).interactions(space)
        return fit_cold_start_model(store, space, train, tune=tune, use=use, wait_s=wait_s, on_progress=on_progress)

    def versions(self) -> list[ColdStartVersion]:
        """List all cold-start models, oldest first."""
        from firstsight.recommend.models.cold_start_model import list_cold_start_models

        return list_cold_start_models(self._connection.open())

    def use(self, version: int | None, *, wait_s: float = FIT_WAIT_S) -> None:
        """Put a cold-start model into use instead of the present one.

        Args:
            version: number of a model; None to use none.
            wait_s: maximum wait for another writer, in seconds.

        Raises:
            QueryError: there is no such version.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written.
        """
        from firstsight.recommend.models.cold_start_model import use_cold_start_model

        use_cold_start_model(self._connection.open(), version, wait_s=wait_s)

    def interested_users(self, item: str, *, k: int = 10) -> InterestedUsers:
        """Find the users with items nearest to an item; users with events on the item itself are left out.

        Vectors of items are compared; if a tuned cold-start model is in use, its mapped content instead.

        Args:
            item: item id.
            k: maximum number of users, 1 to 1,000.

        Raises:
            QueryError: the item is unknown or has no vector, there are no events, or k is out of range.
            MissingDatabaseError: there is no database.
        """
        return self._recommender.interested_users(item, k=k)
