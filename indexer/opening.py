"""Opening a LanceDB database, and making an empty one."""

from __future__ import annotations

import json
from dataclasses import asdict

from lancedb.table import Table

from firstsight.encoders.base import EncoderSpec
from firstsight.errors import StoreError, first_line
from firstsight.indexer import tables
from firstsight.indexer.sessions import shared_session


def is_remote(uri: str) -> bool:
    """Whether a database is at an object-store address."""
    return "://" in uri


def create_tables(uri: str, spec: EncoderSpec) -> None:
    """Make the empty tables, over those that a kill left half made.

    Raises:
        StoreError: they cannot be written.
    """
    metadata = json.dumps({"format": tables.FORMAT, "encoder": asdict(spec)}, sort_keys=True).encode()
    schemas = {
        "runs": tables.runs_schema(),
        "failures": tables.failures_schema(),
        "views": tables.views_schema(spec.dim),
        "items": tables.items_schema(spec.dim, metadata),  # last: a database exists once it does, and then it is whole
    }
    session = shared_session(uri)
    try:
        for name, schema in schemas.items():
            try:
                session.create_table(name, schema=schema, exist_ok=True)
            except ValueError:  # left over from making it for an encoder of another dimension
                session.create_table(name, schema=schema, mode="overwrite")
    except (RuntimeError, OSError) as error:
        raise StoreError(f"{uri} cannot be made ({first_line(error)}); choose another --db") from error


def stored_spec(uri: str, items: Table) -> EncoderSpec:
    """The encoder a database is bound to.

    Raises:
        StoreError: the table is of another program, or of a newer version of this one.
    """
    raw = (items.schema.metadata or {}).get(tables.SPEC_KEY)
    if raw is None:
        raise StoreError(f"{uri} has an items table that firstsight did not make; choose another --db")
    stored = json.loads(raw)
    if stored["format"] > tables.FORMAT:
        raise StoreError(f"{uri} was written by a newer firstsight (layout {stored['format']}); upgrade firstsight")
    return EncoderSpec(**stored["encoder"])
