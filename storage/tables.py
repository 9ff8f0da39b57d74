"""The tables of a database: their columns, and what each column is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict, get_args

import pyarrow as pa

from firstsight.storage.columns import ColumnKind, arrow_type
from firstsight.storage.vector_format import VectorFormat
from firstsight.storage.vector_format import vector_type as vector_type

Part = Literal["title", "image", "frame", "transcript"]
"""The part of an item that a view shows; transcript: a passage of the timed text of a video."""

PARTS: tuple[str, ...] = get_args(Part)
"""Every part."""

PICTURE_PARTS: tuple[Part, ...] = ("image", "frame")
"""Parts whose views show a picture."""

HEAD_PARTS: tuple[str, ...] = ("title", *PICTURE_PARTS)
"""Parts that heads score, in a fixed order: arrays hold places in it."""

TIME = pa.timestamp("us", "UTC")

SPEC_KEY = b"firstsight"
"""Key of the JSON in the items table's schema metadata that binds a database to one encoder."""

CURRENT_LAYOUT = 3
"""Layout of new databases. Newer layouts are refused; the first write upgrades older ones (`upgrade.py`)."""

LAYOUT_KEY = "firstsight:layout"
"""Key of the layout that a database was upgraded to, in the metadata of the field `items.item_id`.

The schema's metadata has the encoder and the layout that the database was made in. LanceDB cannot change that metadata
without rewriting every row and building every index again. Metadata of a field changes in one small commit.
"""

SAFETY_COLUMNS: dict[str, pa.DataType] = {
    "safety_decision": pa.string(),  # review or block; null for shown and never scored items
    "safety_scores": pa.string(),  # JSON: policy -> probability
    "safety_policy_version": pa.string(),
    "safety_min_age": pa.int64(),  # years; null for any age
}
"""Columns that the first safety scoring adds to `items`; they have values for items in review and blocked items."""

PROJECTION_COLUMN = "sequence_vector"
"""Column that the first projection of items by a sequence model adds to `items` (`projection_column.py`)."""

CONVERSION_COLUMNS = ("_firstsight_converted", "_firstsight_replaced")
"""Columns of `items` while a column changes its type: its new values, then its old ones (`column_conversion.py`)."""

FACT_PREFIX = "fact_"
"""Prefix of the columns of `items` with facts (`facts/fact_columns.py`)."""


def is_fact_column(name: str) -> bool:
    """Whether a column of `items` has facts; no column of a catalogue is stored under such a name."""
    return name.startswith(FACT_PREFIX)


OWN_COLUMNS = (
    "item_id",
    "kind",
    "title",
    "text",
    "created_at",
    "starts_at",
    "expires_at",
    "vector",
    "digest",
    "row_digest",
    "catalog_dir",
    "indexed_at",
    "run_id",
    *SAFETY_COLUMNS,
    PROJECTION_COLUMN,
    *CONVERSION_COLUMNS,
)
"""Columns of `items` that do not come from extra columns of the catalogue."""

KEYS = {"items": "item_id", "views": "view_id", "failures": "failure_id", "runs": "run_id"}
"""The primary key of each table."""

HIDDEN_COLUMNS = frozenset(
    {"vector", "digest", "row_digest", "catalog_dir", "indexed_at", "run_id", PROJECTION_COLUMN, *CONVERSION_COLUMNS}
)
"""Columns of `items` that search results and filters leave out."""


def is_shown_column(name: str) -> bool:
    """Whether results and filters show a column of `items` under its own name; facts have names of their own."""
    return name not in HIDDEN_COLUMNS and not is_fact_column(name)


class FailureRow(TypedDict):
    """A row of `failures`: a medium of an item that could not be used."""

    item_id: str
    uri: str
    stage: str  # "catalog", "fetch", "decode", "speech", "facts" or "encode"
    reason: str  # one of firstsight.errors.FAILURE_REASONS
    message: str


def key_field(name: str) -> pa.Field[Any]:
    """The primary key of a table, a text."""
    # Lance reads this as the primary key; concurrent upserts of one new id then insert one row
    return pa.field(name, pa.string(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"})


def items_schema(
    dim: int, metadata: bytes, own: Mapping[str, ColumnKind] | None = None, vectors: VectorFormat = "float32"
) -> pa.Schema:
    """Schema of `items`: one row per item."""
    return pa.schema(
        [
            key_field("item_id"),
            pa.field("kind", pa.string(), nullable=False),
            pa.field("title", pa.string()),
            pa.field("text", pa.string()),
            pa.field("created_at", TIME),
            pa.field("starts_at", TIME),
            pa.field("expires_at", TIME),
            pa.field("vector", vector_type(dim, vectors)),  # fused from its views; null if nothing could be encoded
            pa.field("digest", pa.string(), nullable=False),  # of all encoder inputs: equal digests, equal vectors
            pa.field("row_digest", pa.string(), nullable=False),  # of the other columns
            pa.field("catalog_dir", pa.string(), nullable=False),  # base folder of relative media paths
            pa.field("indexed_at", TIME, nullable=False),
            pa.field("run_id", pa.string(), nullable=False),
            *(pa.field(name, arrow_type(kind)) for name, kind in (own or {}).items()),
        ],
        metadata={SPEC_KEY: metadata},
    )


def views_schema(dim: int, vectors: VectorFormat = "float32") -> pa.Schema:
    """Schema of `views`: one row per encoded title, image, frame or passage of timed text."""
    return pa.schema(
        [
            key_field("view_id"),
            pa.field("item_id", pa.string(), nullable=False),
            pa.field("part", pa.string(), nullable=False),
            pa.field("uri", pa.string()),  # as in the catalogue; null for a title
            pa.field("time_s", pa.float64()),  # second of a frame in its video; of a passage, its start
            pa.field("start_s", pa.float64()),  # start of the shot that the frame shows, or of the passage
            pa.field("end_s", pa.float64()),
            pa.field("fingerprint", pa.binary(32)),  # PDQ of the picture or frame; null for a title or a flat picture
            pa.field("version", pa.string()),  # ETag or Last-Modified of a remote medium when it was encoded
            pa.field("text", pa.string()),  # of a passage, one line of timed text per line; null for other parts
            pa.field("line_starts", pa.list_(pa.float64())),  # second of each line of `text`
            pa.field("language", pa.string()),  # tag of a passage's language, such as pt-BR; null if unknown
            pa.field("vector", vector_type(dim, vectors), nullable=False),
        ]
    )


def missing_view_columns(schema: pa.Schema) -> list[pa.Field[Any]]:
    """Columns that databases of earlier layouts lack in `views`; null means unknown in each of them."""
    return [field for field in views_schema(1) if field.name not in schema.names]


def failures_schema() -> pa.Schema:
    """Schema of `failures`: one row per medium that could not be used."""
    return pa.schema(
        [
            key_field("failure_id"),
            pa.field("item_id", pa.string(), nullable=False),
            pa.field("uri", pa.string(), nullable=False),  # empty for an item with nothing to encode
            pa.field("stage", pa.string(), nullable=False),
            pa.field("reason", pa.string(), nullable=False),
            pa.field("message", pa.string(), nullable=False),
            pa.field("attempts", pa.int64(), nullable=False),
            pa.field("last_seen", TIME, nullable=False),
            pa.field("run_id", pa.string(), nullable=False),
        ]
    )


def runs_schema() -> pa.Schema:
    """Schema of `runs`: one row per index run, watch, removal and upkeep.

    Counts and settings are JSON, so a new counter needs no new layout.
    """
    return pa.schema(
        [
            key_field("run_id"),
            pa.field("started_at", TIME, nullable=False),
            pa.field("finished_at", TIME),
            pa.field("outcome", pa.string(), nullable=False),  # running, watching, finished, stopped, failed, killed
            pa.field("source", pa.string(), nullable=False),
            pa.field("encoder", pa.string(), nullable=False),
            pa.field("fingerprint", pa.string(), nullable=False),
            pa.field("settings", pa.string(), nullable=False),
            pa.field("counts", pa.string(), nullable=False),
            pa.field("pending", pa.string()),  # JSON: note of the running write, for `recovery.recover`
        ]
    )
