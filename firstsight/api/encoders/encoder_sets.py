"""The encoders of a database: vectors of a second one, and switches between the two, in the Python API."""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from firstsight.api.connection import Connection, SetConnection
from firstsight.api.encoders.switch_checks import (
    encoder_names,
    refuse_encoder_in_force,
    refuse_gaps,
    refuse_models,
    require_other,
    require_previous,
)
from firstsight.api.models.dependent_models import DependentModel, models_of_other_encoders
from firstsight.api.models.personal_search import PersonalSearch
from firstsight.encoders.base import Encoder
from firstsight.encoders.reduced.reduced_encoder import wrap_for_database
from firstsight.errors import QueryError, StoreError
from firstsight.keywords import check_texts
from firstsight.records import Record
from firstsight.storage.indexes.text_index import index_texts, stored_language
from firstsight.storage.indexes.upkeep import run_upkeep
from firstsight.storage.recovery import recover
from firstsight.storage.reduction_table import has_reduction
from firstsight.storage.sets.set_changes import drop_set, put_in_force
from firstsight.storage.sets.standby_rows import count_gaps, find_gaps, sync_standby
from firstsight.storage.store import Store
from firstsight.storage.vector_sets import VectorSets

if TYPE_CHECKING:
    from firstsight.indexer.reindex.reindex_settings import ReindexCounts, ReindexReport, ReindexSettings
    from firstsight.retrieval.evaluation.encoder_comparison import EncoderComparison
    from firstsight.retrieval.evaluation.judgements import JudgedQuery

GRACE: Final = timedelta(hours=24)
"""Time after a switch for which `drop` keeps the vectors before it, for a rollback."""


@dataclass(frozen=True)
class EncoderState(Record):
    """The vectors of one encoder in a database."""

    number: int  # of the vector set; 0 are the vectors that the database began with
    encoder: str
    fingerprint: str
    dim: int
    state: str  # "in force", "previous" (before the last switch), "ready", or "building"
    items: int  # with a row in this set
    missing: int  # items whose vectors of this encoder are missing or out of date
    since: datetime | None  # UTC, of the state; None in a database that never had a second encoder


@dataclass(frozen=True)
class SwitchReport(Record):
    """Result of a switch or a rollback."""

    db: str
    before: str  # encoder that was in force
    after: str  # encoder in force now
    number: int  # its vector set
    missing: int  # items without its vectors, which searches by vectors do not find; above 0 only with `force`
    unusable: tuple[DependentModel, ...]  # models in use that belong to the encoder before; only with `force`


class Encoders:
    """Vectors of a second encoder beside those in force, and switches between the two."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def reindex(
        self,
        encoder: str | Encoder,
        *,
        settings: ReindexSettings | None = None,
        on_progress: Callable[[ReindexCounts], None] = lambda counts: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> ReindexReport:
        """Make the vectors of another encoder for all items, beside those in force; searches do not change.

        Each medium is opened once. The writer lock is held only for the write of each batch, so index runs go on; what
        they write meanwhile gets both vectors. A killed or stopped run continues at the next call. New vectors have all
        dimensions of the encoder, also where those in force are reduced: so the encoder in force gives whole vectors.

        Args:
            encoder: name, as for `load_encoder`, or an encoder.
            settings: rate and batch sizes.
            on_progress: called with the counts after each step, in the calling thread.
            should_stop: called several times a second; once it returns True, the run ends with the step it has begun.

        Returns:
            A report; `missing` counts the items that still lack a vector, such as of media that are unreachable now.

        Raises:
            QueryError: the encoder is the one in force.
            MissingDatabaseError: there is no database.
            EncoderError: the encoder cannot be loaded, or fails on every input.
            StoreError: the database has vectors of a third encoder, or cannot be written.
        """
        from firstsight.indexer.reindex.reindex_run import ReindexRun
        from firstsight.indexer.reindex.reindex_settings import ReindexSettings

        connection = self._connection
        store = connection.open()
        if isinstance(encoder, str) and store.spec.name in encoder_names(encoder) and not has_reduction(store):
            refuse_encoder_in_force(store)  # before its weights are loaded
        loaded = connection.load_named(encoder) if isinstance(encoder, str) else encoder
        if (standby := store.standby) is not None:  # it may have the reduced vectors of the same encoder
            loaded = wrap_for_database(store, standby.spec, loaded)
        if loaded.spec.fingerprint == store.spec.fingerprint:
            refuse_encoder_in_force(store)
        connection.keep_encoder(loaded)
        run = ReindexRun(
            store,
            loaded,
            connection.policy,
            settings or ReindexSettings(),
            on_progress=on_progress,
            should_stop=should_stop,
        )
        return run.run()

    def list(self) -> list[EncoderState]:
        """List the encoders that have vectors here, with the items that each lacks; compares all items.

        Raises:
            MissingDatabaseError: there is no database.
            StoreError: the database cannot be read.
        """
        store = self._connection.open()
        if store.sets is None:
            spec = store.spec
            count = store.items.count_rows()
            return [EncoderState(0, spec.name, spec.fingerprint, spec.dim, "in force", count, 0, None)]
        states = []
        for found in store.sets.sets:
            tables = store if found.number == store.number else store.of_set(found.number)
            missing = 0 if tables is store else count_gaps(store, tables)
            states.append(
                EncoderState(
                    *(found.number, found.encoder, found.fingerprint, found.dim),
                    _state(store.sets, found.number, found.state),
                    tables.items.count_rows(),
                    missing,
                    found.changed_at,
                )
            )
        return states

    def compare(
        self,
        encoder: str | int | None = None,
        *,
        queries: str | os.PathLike[str] | Sequence[str] | None = None,
        judgements: str | os.PathLike[str] | None = None,
        k: int = 10,
        mode: str = "vector",
        count: int = 100,
        seed: int = 0,
    ) -> EncoderComparison:
        """Search for the same queries on the vectors of both encoders; nothing changes.

        Args:
            encoder: name or set of the encoder to compare with the one in force; None for the other one.
            queries: texts, or a file with one text or JSON object a line. Without these and without judgements, the
                most frequent searches of the events, else titles of random items.
            judgements: a file of graded items, as for `db.evaluation.search`: measures of both encoders are added.
            k: number of results, 1 to 1,000.
            mode: "vector", "words" or "hybrid".
            count: maximum number of logged or generated queries.
            seed: random seed of generated queries.

        Returns:
            The share of results that both have, measures, latencies, and the results of each query.

        Raises:
            QueryError: there is no second encoder, the queries or judgements cannot be used, or a number is out of
                range.
            MissingDatabaseError: there is no database.
            EncoderError: an encoder cannot be loaded.
            OptionalDependencyError: there are judgements, and the extra `evaluate` is not installed.
        """
        from firstsight.api.searching import Searching
        from firstsight.retrieval.evaluation.encoder_comparison import compare_encoders

        if queries is not None and judgements is not None:
            raise QueryError("give queries or judgements, not both")
        store = self._connection.open()
        number = require_other(store, encoder)
        found, source, notes = self._shadow_queries(store, queries, judgements, count, seed)
        missing = count_gaps(store, store.of_set(number))
        if missing:
            notes.append(f"{missing:,} of {store.items.count_rows():,} items lack vectors of the other encoder")
        before, after = (SetConnection(self._connection, of) for of in (store.number, number))
        return compare_encoders(
            *(Searching(before, PersonalSearch(before)), Searching(after, PersonalSearch(after)), found),
            names=(before.open().spec.name, after.open().spec.name),
            db=store.uri,
            source=source,
            k=k,
            mode=mode,
            notes=notes,
        )

    def write_comparison_page(self, path: str | os.PathLike[str], comparison: EncoderComparison) -> None:
        """Write a comparison as an HTML page, with the queries that change most and their pictures.

        Raises:
            MissingDatabaseError: there is no database.
            OSError: the page cannot be written.
        """
        from firstsight.retrieval.pages.encoder_comparison_page import write_encoder_comparison

        connection = self._connection
        write_encoder_comparison(Path(path), comparison, connection.open(), policy=connection.policy)

    def _shadow_queries(
        self,
        store: Store,
        queries: str | os.PathLike[str] | Sequence[str] | None,
        judgements: str | os.PathLike[str] | None,
        count: int,
        seed: int,
    ) -> tuple[Sequence[JudgedQuery], str, builtins.list[str]]:
        """The queries, where they come from, and notes."""
        from firstsight.recommend.events.event_table import logged_queries
        from firstsight.retrieval.evaluation.judgements import read_judgements
        from firstsight.retrieval.evaluation.shadow_queries import (
            frequent_queries,
            read_queries,
            text_queries,
            title_queries,
        )

        if count < 1:
            raise QueryError(f"the number of queries must be 1 or more, not {count}")
        if judgements is not None:
            return read_judgements(os.fspath(judgements)), f"judged in {os.fspath(judgements)}", []
        if isinstance(queries, str | os.PathLike):
            return read_queries(Path(queries)), f"from {os.fspath(queries)}", []
        if queries is not None:
            check_texts("queries", queries)
            return text_queries(queries), "given", []
        if logged := frequent_queries(logged_queries(store), count):
            return logged, "the most frequent searches of the events", []
        note = "queries are titles of items, which people do not type; --queries or --judgements show more"
        return title_queries(store, count, seed), "titles of random items", [note]

    def switch(self, encoder: str | int | None = None, *, force: bool = False, wait_s: float = 0.0) -> SwitchReport:
        """Put the other encoder in force, in one commit that searches follow without a restart.

        Args:
            encoder: name of the encoder, or number of its set; None for the one that is not in force.
            force: switch although items lack its vectors, or models in use belong to the encoder in force. These items
                are marked for the next index run; these models do not work until they are fitted again.
            wait_s: maximum wait for another writer, in seconds.

        Raises:
            QueryError: there is no second encoder, or it is another one; items lack its vectors; or models in use
                belong to the encoder in force. The message has the commands that help.
            MissingDatabaseError: there is no database.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written; the same encoder stays in force.
        """
        store = self._connection.open()
        require_other(store, encoder)
        with store.writing(wait_s):
            return self._switch(store, require_other(store, encoder), force)

    def rollback(self, *, force: bool = False, wait_s: float = 0.0) -> SwitchReport:
        """Put the encoder before the last switch in force again; arguments and errors as for `switch`."""
        store = self._connection.open()
        require_previous(store)
        with store.writing(wait_s):
            return self._switch(store, require_previous(store), force)

    def drop(self, encoder: str | int, *, force: bool = False, wait_s: float = 0.0) -> EncoderState:
        """Drop the vectors of an encoder that is not in force, with their tables.

        Args:
            encoder: name of the encoder, or number of its set.
            force: also within 24 hours after it was in force.
            wait_s: maximum wait for another writer, in seconds.

        Returns:
            The encoder, as it was; `missing` is not counted.

        Raises:
            QueryError: the encoder is in force, has no vectors here, or was in force until a short time ago.
            MissingDatabaseError: there is no database.
            DatabaseBusyError: another process is still writing after `wait_s`.
            StoreError: the database cannot be written.
        """
        store = self._connection.open()
        with store.locked(wait_s):  # not `writing`, which needs the tables: they may be damaged
            number = require_other(store, encoder)
            assert store.sets is not None
            found = store.sets.get(number)
            assert found is not None
            age, items = datetime.now(UTC) - found.changed_at, 0
            if store.sets.previous == number and age < GRACE and not force:
                left = (GRACE - age).total_seconds() / 3600
                raise QueryError(
                    f"{found.encoder} was in force until {age.total_seconds() / 3600:.1f} hours ago, and a rollback "
                    f"needs its vectors; drop them in {left:.1f} hours, or now with --force"
                )
            state = _state(store.sets, number, found.state)
            with suppress(StoreError):
                items = store.of_set(number).items.count_rows()
            drop_set(store, number)
            facts = (found.number, found.encoder, found.fingerprint, found.dim, state)
            return EncoderState(*facts, items, 0, found.changed_at)

    def _switch(self, store: Store, number: int, force: bool) -> SwitchReport:
        recover(store)
        store.note_all_changed()
        sync_standby(store)
        target, before = store.of_set(number), store.spec.name
        gaps = [gap.item_id for gap in find_gaps(store, target)]
        blocking = models_of_other_encoders(store, target.spec.fingerprint)
        if not force:
            refuse_gaps(store, target, len(gaps))
            refuse_models(target, blocking)
        index_texts(target, stored_language(store))
        run_upkeep(store)
        if gaps:
            target.encode_again(gaps)
        target.refresh()
        put_in_force(store, number)
        return SwitchReport(store.uri, before, store.spec.name, number, len(gaps), tuple(blocking))


def _state(sets: VectorSets, number: int, state: str) -> str:
    if number == sets.in_force:
        return "in force"
    return "previous" if number == sets.previous and state == "ready" else state
