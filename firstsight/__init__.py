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
    from firstsight.api.status import ColumnStatus, Status
    from firstsight.database import Database
    from firstsight.encoders.base import Encoder, EncoderSpec
    from firstsight.encoders.encoder_options import EncoderOptions
    from firstsight.encoders.registry import load_encoder
    from firstsight.indexer.columns.catalog_options import CatalogOptions
    from firstsight.indexer.index_report import Counts, IndexReport
    from firstsight.indexer.index_settings import IndexSettings
    from firstsight.media.policy import MediaPolicy
    from firstsight.retrieval.export.vector_matrix import VectorMatrix
    from firstsight.retrieval.moments import Moment
    from firstsight.retrieval.query import Query
    from firstsight.retrieval.results import SearchResult, SearchResults, ViewMatch
    from firstsight.storage.upgrade import UpgradeReport

__version__ = "0.1.0"

__all__ = [
    "AuditLogError",
    "CatalogError",
    "CatalogOptions",
    "ColumnStatus",
    "Counts",
    "Database",
    "DatabaseBusyError",
    "Encoder",
    "EncoderError",
    "EncoderMismatchError",
    "EncoderOptions",
    "EncoderSpec",
    "FirstsightError",
    "IndexReport",
    "IndexSettings",
    "MediaError",
    "MediaPolicy",
    "MissingDatabaseError",
    "Moment",
    "OptionalDependencyError",
    "Query",
    "QueryError",
    "SafetyError",
    "SearchResult",
    "SearchResults",
    "Status",
    "StoreError",
    "UpgradeReport",
    "VectorMatrix",
    "ViewMatch",
    "__version__",
    "load_encoder",
    "open",
]

# imported at first use: lancedb and pyarrow take a second, too long for `firstsight --help`
_LAZY = {
    "CatalogOptions": "firstsight.indexer.columns.catalog_options",
    "ColumnStatus": "firstsight.api.status",
    "Counts": "firstsight.indexer.index_report",
    "Database": "firstsight.database",
    "Encoder": "firstsight.encoders.base",
    "EncoderOptions": "firstsight.encoders.encoder_options",
    "EncoderSpec": "firstsight.encoders.base",
    "IndexReport": "firstsight.indexer.index_report",
    "IndexSettings": "firstsight.indexer.index_settings",
    "MediaPolicy": "firstsight.media.policy",
    "Moment": "firstsight.retrieval.moments",
    "Query": "firstsight.retrieval.query",
    "SearchResult": "firstsight.retrieval.results",
    "SearchResults": "firstsight.retrieval.results",
    "Status": "firstsight.api.status",
    "UpgradeReport": "firstsight.storage.upgrade",
    "VectorMatrix": "firstsight.retrieval.export.vector_matrix",
    "ViewMatch": "firstsight.retrieval.results",
    "load_encoder": "firstsight.encoders.registry",
}


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


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'firstsight' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return __all__
