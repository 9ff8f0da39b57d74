"""firstsight understands an item at first sight: embeddings of products and videos before anyone has clicked.

import firstsight

db = firstsight.open("shop-db")
db.index("catalogue.csv")
for result in db.search("red running shoes", k=5, where="price < 50"):
    print(result.score, result.title, result.view)

encoder = firstsight.load_encoder("starter")
encoder.encode_texts(["a red shoe"])         # (1, 384) float32, unit rows
encoder.encode_images(["shoe.jpg"])          # paths, PIL pictures, arrays or bytes
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from firstsight.errors import (
    AuditLogError,
    CatalogError,
    DatabaseBusyError,
    EncoderError,
    EncoderMismatchError,
    FirstsightError,
    MediaError,
    MissingDatabaseError,
    OptionalDependencyError,
    QueryError,
    SafetyError,
    StoreError,
)

if TYPE_CHECKING:
    from firstsight.api.index_options import IndexOptions, RunOptions
    from firstsight.api.items import Failure, Item, View
    from firstsight.api.recommend_options import RecommendOptions, SimilarOptions
    from firstsight.api.status import ColumnStatus, RunRecord, Status
    from firstsight.database import Database
    from firstsight.duplicates.groups import DuplicateGroup
    from firstsight.duplicates.item_pairs import DuplicateEvidence, DuplicateOptions, DuplicatePair, DuplicateSettings
    from firstsight.encoders.base import Encoder
    from firstsight.encoders.encoder_options import EncoderOptions
    from firstsight.encoders.registry import load_encoder
    from firstsight.indexer.catalog_report import CatalogPreview
    from firstsight.indexer.columns.catalog_options import CatalogOptions
    from firstsight.indexer.columns.column_plan import ColumnUse
    from firstsight.indexer.columns.column_types import TypeChange
    from firstsight.indexer.columns.unused_media import UnusedMedia
    from firstsight.indexer.index_report import Counts, IndexReport
    from firstsight.indexer.index_settings import IndexSettings
    from firstsight.indexer.row_reader import CatalogItem
    from firstsight.indexer.watch_settings import WatchCounts, WatchReport, WatchSettings
    from firstsight.media.policy import MediaPolicy
    from firstsight.recommend.evaluation.link_evaluation import LinkEvaluation, LinkFigures, LinkReport
    from firstsight.recommend.evaluation.measures import Difference
    from firstsight.recommend.evaluation.recommender_evaluation import ModelFigures, ProtocolReport
    from firstsight.recommend.events.event_columns import EventColumns
    from firstsight.recommend.events.event_reports import AddedEvents, EventsPreview, EventsStatus
    from firstsight.recommend.events.event_rows import Event
    from firstsight.recommend.models.blend_scoring import BlendSettings
    from firstsight.recommend.models.cold_start_model import ColdStartVersion
    from firstsight.recommend.semantic_ids.semantic_id_export import SemanticId
    from firstsight.recommend.semantic_ids.semantic_id_store import SemanticIdVersion
    from firstsight.recommend.slates.slate_results import (
        InterestedUser,
        InterestedUsers,
        Recommendation,
        SimilarItem,
        SimilarItems,
        Slate,
        UserInterest,
    )
    from firstsight.recommend.slates.slate_settings import SlateOptions, SlateSettings
    from firstsight.records import Record, RecordList
    from firstsight.retrieval.evaluation.judgements import JudgedQuery
    from firstsight.retrieval.evaluation.search_evaluation import ModeComparison, ModeReport, QueryOutcome, SearchTask
    from firstsight.retrieval.moments import Moment
    from firstsight.retrieval.pages.map_colouring import Colouring
    from firstsight.retrieval.pages.space_map import MapPoint, SpaceMap
    from firstsight.retrieval.query import Query
    from firstsight.retrieval.query_settings import QuerySettings
    from firstsight.retrieval.reranker_store import RerankerVersion
    from firstsight.retrieval.results import SearchResult, SearchResults, ViewMatch
    from firstsight.storage.indexes.upkeep import TableState, TableUpkeep, UpkeepReport
    from firstsight.storage.indexes.vector_index import IndexTuning
    from firstsight.storage.upgrade import UpgradeChange, UpgradeReport
    from firstsight.vectors import EncoderSpec

__version__ = "0.1.0"

__all__ = [
    "AddedEvents",
    "AuditLogError",
    "BlendSettings",
    "CatalogError",
    "CatalogItem",
    "CatalogOptions",
    "CatalogPreview",
    "ColdStartVersion",
    "Colouring",
    "ColumnStatus",
    "ColumnUse",
    "Counts",
    "Database",
    "DatabaseBusyError",
    "Difference",
    "DuplicateEvidence",
    "DuplicateGroup",
    "DuplicateOptions",
    "DuplicatePair",
    "DuplicateSettings",
    "Encoder",
    "EncoderError",
    "EncoderMismatchError",
    "EncoderOptions",
    "EncoderSpec",
    "Event",
    "EventColumns",
    "EventsPreview",
    "EventsStatus",
    "Failure",
    "FirstsightError",
    "IndexOptions",
    "IndexReport",
    "IndexSettings",
    "IndexTuning",
    "InterestedUser",
    "InterestedUsers",
    "Item",
    "JudgedQuery",
    "LinkEvaluation",
    "LinkFigures",
    "LinkReport",
    "MapPoint",
    "MediaError",
    "MediaPolicy",
    "MissingDatabaseError",
    "ModeComparison",
    "ModeReport",
    "ModelFigures",
    "Moment",
    "OptionalDependencyError",
    "ProtocolReport",
    "Query",
    "QueryError",
    "QueryOutcome",
    "QuerySettings",
    "RecommendOptions",
    "Recommendation",
    "Record",
    "RecordList",
    "RerankerVersion",
    "RunOptions",
    "RunRecord",
    "SafetyError",
    "SearchResult",
    "SearchResults",
    "SearchTask",
    "SemanticId",
    "SemanticIdVersion",
    "SimilarItem",
    "SimilarItems",
    "SimilarOptions",
    "Slate",
    "SlateOptions",
    "SlateSettings",
    "SpaceMap",
    "Status",
    "StoreError",
    "TableState",
    "TableUpkeep",
    "TypeChange",
    "UnusedMedia",
    "UpgradeChange",
    "UpgradeReport",
    "UpkeepReport",
    "UserInterest",
    "View",
    "ViewMatch",
    "WatchCounts",
    "WatchReport",
    "WatchSettings",
    "__version__",
    "load_encoder",
    "open",
]

# imported at first use: lancedb and pyarrow take a second, too long for `firstsight --help`
_NAMES_OF_MODULES = {
    "firstsight.api.index_options": ("IndexOptions", "RunOptions"),
    "firstsight.api.items": ("Failure", "Item", "View"),
    "firstsight.api.recommend_options": ("RecommendOptions", "SimilarOptions"),
    "firstsight.api.status": ("ColumnStatus", "RunRecord", "Status"),
    "firstsight.database": ("Database",),
    "firstsight.duplicates.groups": ("DuplicateGroup",),
    "firstsight.duplicates.item_pairs": ("DuplicateEvidence", "DuplicateOptions", "DuplicatePair", "DuplicateSettings"),
    "firstsight.encoders.base": ("Encoder",),
    "firstsight.encoders.encoder_options": ("EncoderOptions",),
    "firstsight.encoders.registry": ("load_encoder",),
    "firstsight.indexer.catalog_report": ("CatalogPreview",),
    "firstsight.indexer.columns.catalog_options": ("CatalogOptions",),
    "firstsight.indexer.columns.column_plan": ("ColumnUse",),
    "firstsight.indexer.columns.column_types": ("TypeChange",),
    "firstsight.indexer.columns.unused_media": ("UnusedMedia",),
    "firstsight.indexer.index_report": ("Counts", "IndexReport"),
    "firstsight.indexer.index_settings": ("IndexSettings",),
    "firstsight.indexer.row_reader": ("CatalogItem",),
    "firstsight.indexer.watch_settings": ("WatchCounts", "WatchReport", "WatchSettings"),
    "firstsight.media.policy": ("MediaPolicy",),
    "firstsight.recommend.evaluation.link_evaluation": ("LinkEvaluation", "LinkFigures", "LinkReport"),
    "firstsight.recommend.evaluation.measures": ("Difference",),
    "firstsight.recommend.evaluation.recommender_evaluation": ("ModelFigures", "ProtocolReport"),
    "firstsight.recommend.events.event_columns": ("EventColumns",),
    "firstsight.recommend.events.event_reports": ("AddedEvents", "EventsPreview", "EventsStatus"),
    "firstsight.recommend.events.event_rows": ("Event",),
    "firstsight.recommend.models.blend_scoring": ("BlendSettings",),
    "firstsight.recommend.models.cold_start_model": ("ColdStartVersion",),
    "firstsight.recommend.semantic_ids.semantic_id_export": ("SemanticId",),
    "firstsight.recommend.semantic_ids.semantic_id_store": ("SemanticIdVersion",),
    "firstsight.recommend.slates.slate_results": (
        "InterestedUser",
        "InterestedUsers",
        "Recommendation",
        "SimilarItem",
        "SimilarItems",
        "Slate",
        "UserInterest",
    ),
    "firstsight.recommend.slates.slate_settings": ("SlateOptions", "SlateSettings"),
    "firstsight.records": ("Record", "RecordList"),
    "firstsight.retrieval.evaluation.judgements": ("JudgedQuery",),
    "firstsight.retrieval.evaluation.search_evaluation": ("ModeComparison", "ModeReport", "QueryOutcome", "SearchTask"),
    "firstsight.retrieval.moments": ("Moment",),
    "firstsight.retrieval.pages.map_colouring": ("Colouring",),
    "firstsight.retrieval.pages.space_map": ("MapPoint", "SpaceMap"),
    "firstsight.retrieval.query": ("Query",),
    "firstsight.retrieval.query_settings": ("QuerySettings",),
    "firstsight.retrieval.reranker_store": ("RerankerVersion",),
    "firstsight.retrieval.results": ("SearchResult", "SearchResults", "ViewMatch"),
    "firstsight.storage.indexes.upkeep": ("TableState", "TableUpkeep", "UpkeepReport"),
    "firstsight.storage.indexes.vector_index": ("IndexTuning",),
    "firstsight.storage.upgrade": ("UpgradeChange", "UpgradeReport"),
    "firstsight.vectors": ("EncoderSpec",),
}
_LAZY = {name: module for module, names in _NAMES_OF_MODULES.items() for name in names}


def open(
    db: str | os.PathLike[str] | None = None,
    *,
    encoder: str | Encoder | None = None,
    encoder_options: EncoderOptions | None = None,
    policy: MediaPolicy | None = None,
) -> Database:
    """Open a database; the first `index` creates a new one.

    Args:
        db: a folder, or an s3://, gs:// or az:// address; by default `$FIRSTSIGHT_DB`, else `./firstsight-db`.
        encoder: a name for `load_encoder`, or an encoder; by default the database's own, else `starter`.
        encoder_options: runtime, device and threads of the encoder; the database does not store them.
        policy: allowed sources and maximum sizes of media; each index run sets `root` to the catalogue's folder.
    """
    from firstsight.config import default_db
    from firstsight.database import Database
    from firstsight.encoders.encoder_options import EncoderOptions
    from firstsight.media.policy import MediaPolicy

    uri = os.fspath(db) if db is not None else default_db()
    return Database(uri, encoder, encoder_options or EncoderOptions(), policy or MediaPolicy())


if not TYPE_CHECKING:  # for a type checker, a module with `__getattr__` has every name

    def __getattr__(name: str) -> object:
        if name not in _LAZY:
            raise AttributeError(f"module 'firstsight' has no attribute {name!r}")
        return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    """Names to begin with: `help(firstsight)` would print each class in full."""
    return ["__version__", "load_encoder", "open"]
