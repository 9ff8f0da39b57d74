"""The Python API of one database."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, Unpack, overload

from firstsight.api.connection import Connection, FollowedEncoders
from firstsight.api.duplicates import Duplicates
from firstsight.api.encoders.encoder_sets import Encoders
from firstsight.api.evaluation import Evaluation
from firstsight.api.events import EventLog
from firstsight.api.export import Export
from firstsight.api.facts.facts import Facts
from firstsight.api.index_options import IndexOptions, RunOptions
from firstsight.api.indexing import Indexing
from firstsight.api.items import Item, read_item
from firstsight.api.maintenance import Maintenance
from firstsight.api.models.cold_start import ColdStart
from firstsight.api.models.personal_search import PersonalSearch
from firstsight.api.models.ranking import RankingModels
from firstsight.api.models.rerankers import Rerankers
from firstsight.api.models.semantic_ids import SemanticIds
from firstsight.api.models.sequence import SequenceModels
from firstsight.api.quality import Quality
from firstsight.api.recommend_options import RecommendOptions, SimilarOptions
from firstsight.api.recommendations import Recommender
from firstsight.api.safety.safety import Safety
from firstsight.api.searching import OnError, Searching
from firstsight.api.status import Status, read_status
from firstsight.api.timed_products import TimedProducts
from firstsight.api.understanding.tags import Tags
from firstsight.encoders.base import Encoder, ImageInput
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.errors import FirstsightError
from firstsight.indexer.index_report import IndexReport
from firstsight.indexer.inputs.input_kinds import CatalogueInput
from firstsight.indexer.removal import remove_items
from firstsight.keywords import check_keywords, check_texts
from firstsight.media.policy import MediaPolicy
from firstsight.retrieval.export.row_stream import BATCH_ROWS
from firstsight.retrieval.query import Query
from firstsight.retrieval.query_settings import QuerySettings
from firstsight.retrieval.results import SearchResults
from firstsight.vectors import VectorInput

if TYPE_CHECKING:
    import pyarrow as pa

    from firstsight.recommend.slates.slate_results import SimilarItems, Slate
    from firstsight.retrieval.export.row_stream import ExportTable
    from firstsight.retrieval.export.vector_matrix import VectorMatrix
    from firstsight.storage.store import Store
    from firstsight.storage.tables import Part


class Database:
    """A database of items, bound to one encoder; index it, search it, recommend from it. For one thread at a time.

        with firstsight.open("shop-db") as db:
            db.index("catalogue.csv")
            for result in db.search("red running shoes", k=5, where="price < 50"):
                print(result.score, result.title)

    Each call sees the latest writes of other processes. More methods are on its parts; help(db.events) describes one:

        db.indexing      preview a catalogue, retry failed media, watch a live stream
        db.events        what users did, for recommendations
        db.ranking       the fitted order of recommendations, and why items are in their place
        db.cold_start    models that rank new items, and the users for a new item
        db.sequence      models of what comes next, and vectors of users
        db.rerankers     models that reorder search results
        db.personal_search  search results ordered for a user of the events
        db.semantic_ids  a few small numbers for each item
        db.duplicates    near-duplicate items
        db.timed_products  products in videos, with their seconds
        db.tags          categories and attributes, learned from labels
        db.safety        policies, scores, decisions and their log
        db.quality       problems of pictures, such as blur
        db.evaluation    measures of search and recommendation, and a map of the items
        db.facts         what is found in pictures and texts, such as colours
        db.encoders      vectors of a second encoder, and switches between the two
        db.maintenance   upkeep and upgrades
    """

    def __init__(
        self, uri: str, encoder: str | Encoder | None, encoder_options: EncoderOptions, policy: MediaPolicy
    ) -> None:
        """Use `firstsight.open` instead."""
        self._connection = connection = Connection(uri, encoder, encoder_options, policy)
        self.personal_search = PersonalSearch(connection)
        self._searching = Searching(connection, self.personal_search)
        self._recommender = Recommender(connection)
        self._export = Export(connection)
        self.indexing = Indexing(connection)
        self.events = EventLog(connection)
        self.ranking = RankingModels(connection)
        self.cold_start = ColdStart(connection, self._recommender)
        self.sequence = SequenceModels(connection)
        self.rerankers = Rerankers(connection)
        self.semantic_ids = SemanticIds(connection)
        self.duplicates = Duplicates(connection)
        self.timed_products = TimedProducts(connection)
        self.quality = Quality(connection)
        self.evaluation = Evaluation(connection, self._searching)
        self.encoders = Encoders(connection)
        self.maintenance = Maintenance(connection)
        self.safety = Safety(connection)
        self.facts = Facts(connection)
        self.tags = Tags(connection)

    @property
    def uri(self) -> str:
        """Folder or object-store address."""
        return self._connection.uri

    @property
    def encoder(self) -> Encoder:
        """The encoder; EncoderError: it cannot be loaded; EncoderMismatchError: the vectors are of another one."""
        return self._connection.encoder

    @overload
    def search(self, text: Query) -> SearchResults: ...

    @overload
    def search(
        self,
        text: str | None = None,
        *,
        image: ImageInput | None = None,
        video: str | os.PathLike[str] | None = None,
        item: str | None = None,
        vector: VectorInput | None = None,
        **settings: Unpack[QuerySettings],
    ) -> SearchResults: ...

    def search(
        self,
        text: str | Query | None = None,
        *,
        image: ImageInput | None = None,
        video: str | os.PathLike[str] | None = None,
        item: str | None = None,
        vector: VectorInput | None = None,
        **settings: Unpack[QuerySettings],
    ) -> SearchResults:
        """Search by a text, a picture, a video, an item id, a vector, or a mix; settings: help(firstsight.Query).

        Results come best first, each item once. QueryError: the query is wrong; MediaError: so is its picture or video.
        """
        return self._searching.search(text, image=image, video=video, item=item, vector=vector, **settings)

    @overload
    def search_many(
        self, queries: Sequence[Query], *, reranker: int | None = None, on_error: Literal["raise"] = "raise"
    ) -> list[SearchResults]: ...

    @overload
    def search_many(
        self, queries: Sequence[Query], *, reranker: int | None = None, on_error: Literal["return"]
    ) -> list[SearchResults | FirstsightError]: ...

    def search_many(
        self, queries: Sequence[Query], *, reranker: int | None = None, on_error: OnError = "raise"
    ) -> list[SearchResults] | list[SearchResults | FirstsightError]:
        """Answer queries in batches, faster than one by one; on_error="return" puts errors in the place of results."""
        return self._searching.search_many(queries, reranker=reranker, on_error=on_error)

    def similar(self, item: str, **options: Unpack[SimilarOptions]) -> SimilarItems:
        """Find the items nearest to an item; options: help(firstsight.SimilarOptions); QueryError: it is unknown."""
        check_keywords("similar", options, SimilarOptions)
        return self._recommender.similar(item, **options)

    def recommend(self, user: str | None = None, **options: Unpack[RecommendOptions]) -> Slate:
        """Make a slate for a user or a history: help(firstsight.RecommendOptions); QueryError: wrong item or option."""
        check_keywords("recommend", options, RecommendOptions)
        return self._recommender.recommend(user, **options)

    def log_slates(self, slates: Iterable[Slate]) -> int:
        """Log slates that were made without `log=True`, in one write; DatabaseBusyError: another process writes."""
        return self._recommender.log_slates(slates)

    def index(self, source: CatalogueInput, **options: Unpack[IndexOptions]) -> IndexReport:
        """Index a file, a folder or rows: encode new and changed items; arguments, errors: help(db.indexing.index)."""
        check_keywords("index", options, IndexOptions)
        return self.indexing.index(source, **options)

    def add(self, rows: CatalogueInput, **options: Unpack[RunOptions]) -> IndexReport:
        """Add a few items, or replace items that have the same ids; all other items stay; errors as for `index`."""
        return self.indexing.add(rows, **options)

    def remove(self, item_ids: Sequence[str], *, wait_s: float = 0.0) -> list[str]:
        """Remove items, return their ids, and ignore unknown ids; DatabaseBusyError: after `wait_s` seconds."""
        check_texts("item_ids", item_ids)
        store = self._connection.open()
        with store.writing(wait_s):
            return remove_items(store, item_ids)

    def get(self, item_id: str) -> Item:
        """Read an item with its vectors and views; QueryError: there is no such item."""
        check_texts("item_id", [item_id])
        return read_item(self._connection.open(), item_id)

    def to_arrow(
        self,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        vectors: bool = True,
        of: ExportTable = "items",
        *,
        parts: Sequence[Part] = (),
        include_blocked: bool = False,
        batch_rows: int = BATCH_ROWS,
        thumbnails: bool = True,
    ) -> pa.RecordBatchReader:
        """Stream items, or views or shots with `of`, as Arrow batches in constant memory, as they are at the call.

        `parts` limits views to titles, images or frames. QueryError: a column is unknown, or the filter is wrong.
        """
        return self._export.to_arrow(
            *(columns, where, vectors, of),
            parts=parts,
            include_blocked=include_blocked,
            batch_rows=batch_rows,
            thumbnails=thumbnails,
        )

    def vectors(
        self,
        where: str | None = None,
        of: ExportTable = "items",
        *,
        parts: Sequence[Part] = (),
        include_blocked: bool = False,
    ) -> VectorMatrix:
        """Read ids and vectors, sorted by id: `ids, matrix = db.vectors()`; QueryError: the filter is wrong."""
        return self._export.vectors(where, of, parts=parts, include_blocked=include_blocked)

    def count(self) -> int:
        """Count the items."""
        return int(self._connection.open().items.count_rows())

    def status(self) -> Status:
        """Read the contents of the database and its runs; it counts empty values: 0.1 s for 100,000 items."""
        return read_status(self._connection.open())

    def close(self) -> None:
        """Close the tables and forget the encoder; later calls raise StoreError."""
        self._connection.close()
        self._recommender.close()

    def __contains__(self, item_id: object) -> bool:
        return isinstance(item_id, str) and bool(self._connection.open().digests([item_id]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<firstsight.Database {self._connection.describe()}>"


def follow_encoders(db: Database, load: Callable[[str], Encoder]) -> FollowedEncoders | None:
    """Let a database load the encoder after a switch with `load`, for the service; not part of the API.

    Returns:
        The encoders that its last call has seen, without reading anything; None before its first call.
    """
    connection = db._connection
    connection.load_named, connection.follows = load, True
    return connection.followed_encoders()


def open_tables(db: Database) -> Store:
    """The tables of a database at their newest version, for the service; not part of the API.

    Raises:
        MissingDatabaseError: there is no database.
        StoreError: the database cannot be read.
    """
    return db._connection.open()


def release_tables(db: Database) -> None:
    """Close the tables of a database until its next call, so that an idle one keeps no replaced index open."""
    db._connection.release()
