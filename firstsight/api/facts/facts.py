"""Facts of a database, in the Python API: which are on, how many items have them, and their update."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from firstsight.api.connection import Connection
from firstsight.records import Record
from firstsight.storage.facts.fact_names import FactNames
from firstsight.storage.store import Store
from firstsight.understanding.fact_evidence import FactEvidence, explain_facts
from firstsight.understanding.facts.fact_settings import FactSettings, read_complete_facts, read_fact_settings
from firstsight.understanding.facts.fact_status import FactState, fact_states
from firstsight.understanding.facts.fact_update import FactUpdate, FactUpdateCounts, FactUpdateReport
from firstsight.understanding.kinds_of_facts import make_item_facts


@dataclass(frozen=True)
class FactStatus(Record):
    """The facts of a database."""

    db: str
    settings: FactSettings
    facts: tuple[FactState, ...]  # of each kind that is on
    filters: tuple[str, ...]  # names of facts for filters


def read_fact_status(store: Store) -> FactStatus:
    """Count the facts of each kind that is on; see `Facts.status`.

    Raises:
        QueryError: a detector is not installed any more.
    """
    settings = read_fact_settings(store)
    kinds = make_item_facts(store, settings).kinds
    states = fact_states(store, kinds, read_complete_facts(store))
    filters = tuple(name for name, _, _ in FactNames(store.items.schema).shown())
    return FactStatus(store.uri, settings, tuple(states), filters)


class Facts:
    """What is found in pictures and texts: `db.facts`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def settings(self) -> FactSettings:
        """Which facts are on; `db.index` changes them."""
        store = self._connection.open_if_exists()
        return FactSettings() if store is None else read_fact_settings(store)

    def status(self) -> FactStatus:
        """Count the facts of each kind that is on.

        It reads the facts of all views: a second for 100,000 pictures.

        Raises:
            MissingDatabaseError: there is no database.
            QueryError: a detector is not installed any more.
        """
        return read_fact_status(self._connection.open())

    def explain(self, item_id: str) -> FactEvidence:
        """Read the facts of an item with their evidence: colours, thresholds of problems, lines of text, tags.

        Args:
            item_id: id of the item.

        Raises:
            QueryError: there is no such item.
            MissingDatabaseError: there is no database.
        """
        return explain_facts(self._connection.open(), item_id)

    def update(
        self,
        *,
        decode_threads: int | None = None,
        wait_s: float = 600.0,
        on_progress: Callable[[FactUpdateCounts], None] = lambda counts: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> FactUpdateReport:
        """Compute missing and outdated facts of stored items: pictures are decoded again, nothing is encoded.

        Searches and other writers go on meanwhile. A stopped or killed update continues with the items that are left.

        Args:
            decode_threads: pictures and videos that are decoded at once; None for half of the processors.
            wait_s: maximum wait for another writer at each write, in seconds.
            on_progress: called with the counts after each step, in the calling thread.
            should_stop: called between steps; once it returns True, the update ends.

        Raises:
            MissingDatabaseError: there is no database.
            QueryError: a detector is not installed any more.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written.
        """
        store = self._connection.open()
        return FactUpdate(
            *(store, make_item_facts(store), self._connection.policy),
            decode_threads=decode_threads or max(1, (os.cpu_count() or 2) // 2),
            wait_s=wait_s,
            on_progress=on_progress,
            should_stop=should_stop,
        ).run()
