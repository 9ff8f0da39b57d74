"""Layout number and encoder of a database, and the tables of a new one."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final

import pyarrow as pa
from lancedb.table import Table

from firstsight.errors import StoreError, first_line
from firstsight.storage import tables
from firstsight.storage.sessions import shared_session
from firstsight.storage.vector_format import VectorFormat
from firstsight.vectors import EncoderSpec

_SETS_MARK: Final = 1_000
"""Added to the stored layout of a database with several vector sets."""


def is_remote(uri: str) -> bool:
    """Whether `uri` is an object-store address."""
    return "://" in uri


def create_tables(uri: str, spec: EncoderSpec, vectors: VectorFormat = "float32") -> None:
    """Create the empty tables of a database; completes the work of a killed call.

    Raises:
        StoreError: the tables cannot be written.
    """
    schemas = {
        "runs": tables.runs_schema(),
        "failures": tables.failures_schema(),
        **vector_schemas(spec, vectors),
    }
    session = shared_session(uri)
    try:
        for name, schema in schemas.items():
            try:
                session.create_table(name, schema=schema, exist_ok=True)
            except ValueError:  # from a killed call for vectors of another type
                session.create_table(name, schema=schema, mode="overwrite")
    except (RuntimeError, OSError) as error:
        raise StoreError(f"{uri} cannot be created ({first_line(error)}); choose another --db") from error


def vector_schemas(spec: EncoderSpec, vectors: VectorFormat = "float32") -> dict[str, pa.Schema]:
    """Schemas of the tables with vectors of an encoder; `items` comes last: a set with this table is complete."""
    metadata = json.dumps({"format": tables.CURRENT_LAYOUT, "encoder": asdict(spec)}, sort_keys=True).encode()
    return {
        "views": tables.views_schema(spec.dim, vectors),
        "items": tables.items_schema(spec.dim, metadata, vectors=vectors),
    }


def stored_spec(uri: str, items: Table) -> EncoderSpec:
    """Read the encoder that a database is bound to.

    Raises:
        StoreError: another program or a newer firstsight made the table.
    """
    stored_layout(uri, items)
    return EncoderSpec(**_stored(uri, items.schema)["encoder"])


def stored_layout(uri: str, items: Table) -> int:
    """Read the layout of a database: the layout it was made in, or a later one after an upgrade.

    Raises:
        StoreError: another program or a newer firstsight made the table.
    """
    made_in: int = _stored(uri, items.schema)["format"]
    layout = max(made_in, _noted_layout(items) % _SETS_MARK)
    if layout > tables.CURRENT_LAYOUT:
        raise StoreError(f"{uri} was written by a newer firstsight (layout {layout}); upgrade firstsight")
    return layout


def store_layout(items: Table, layout: int) -> None:
    """Store the layout after an upgrade, in one small commit."""
    _note_layout(items, layout + (_SETS_MARK if has_sets(items) else 0))


def has_sets(items: Table) -> bool:
    """Whether the database has, or had, vectors of a second encoder; `items` is the table of set 0."""
    return _noted_layout(items) >= _SETS_MARK


def mark_sets(uri: str, items: Table) -> None:
    """Mark the table of set 0, before a second encoder gets vectors.

    Earlier versions of firstsight read the mark as a newer layout and refuse the database: they would write to one set
    only.
    """
    if not has_sets(items):
        _note_layout(items, stored_layout(uri, items) + _SETS_MARK)


def _noted_layout(items: Table) -> int:
    metadata = items.schema.field(tables.KEYS["items"]).metadata or {}
    return int(metadata.get(tables.LAYOUT_KEY.encode(), b"0"))


def _note_layout(items: Table, noted: int) -> None:
    items.update_field_metadata({"path": tables.KEYS["items"], "metadata": {tables.LAYOUT_KEY: str(noted)}})


def _stored(uri: str, schema: pa.Schema) -> dict[str, Any]:
    try:
        stored = json.loads((schema.metadata or {})[tables.SPEC_KEY])
        return {name: stored[name] for name in ("format", "encoder")}
    except (KeyError, TypeError, ValueError):
        raise StoreError(f"{uri} has an items table that firstsight did not make; choose another --db") from None
