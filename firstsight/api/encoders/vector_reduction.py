"""Fewer dimensions for a new database: a matrix that is fitted on a sample of the catalogue."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from firstsight.api.connection import Connection
from firstsight.encoders.base import Encoder
from firstsight.encoders.reduced.reduced_encoder import ReducedEncoder
from firstsight.encoders.reduced.reduction import ReductionMethod, fit_reduction
from firstsight.errors import QueryError, StoreError
from firstsight.storage.reduction_table import describe_reduction, write_reduction
from firstsight.storage.side_tables import DatabaseAddress
from firstsight.storage.store import Store
from firstsight.storage.vector_format import VectorFormat, vectors_of_column

if TYPE_CHECKING:
    from firstsight.indexer.catalog import Catalog
    from firstsight.indexer.pipeline import IndexRun

SAMPLE_ITEMS = 2_000
"""Maximum number of items whose titles and pictures a matrix is fitted on; they are encoded twice."""

MAX_VECTORS = 20_000


@dataclass(frozen=True)
class VectorShape:
    """How a new database stores vectors."""

    vectors: VectorFormat | None = None  # None: float32
    dimensions: int | None = None  # None: those of the encoder
    reduce: ReductionMethod = "pca"


def create_database(
    connection: Connection, catalog: Catalog, shape: VectorShape, make_run: Callable[[Store, set[str]], IndexRun]
) -> Store:
    """Create a database, with a matrix for fewer dimensions if they are wanted; arguments as for `reduce_encoder`."""
    if shape.dimensions is None:
        return connection.create(shape.vectors)
    encoder = reduce_encoder(connection.uri, connection.encoder, catalog, shape.reduce, shape.dimensions, make_run)
    return connection.create(shape.vectors, encoder)


def require_reduction(store: Store, method: str, dimensions: int) -> None:
    """Check that the vectors of a database are reduced in this way.

    Raises:
        StoreError: they are not.
    """
    stored = describe_reduction(store, store.spec.fingerprint)
    if stored is not None and (stored["method"], stored["dimensions"]) == (method, dimensions):
        return
    present = f"{store.spec.dim} dimensions" + (f" by {stored['method']}" if stored else ", not reduced")
    raise StoreError(
        f"{store.uri} has vectors of {present}, and a database keeps them; leave --dimensions out, or index into "
        "another --db"
    )


def reduce_encoder(
    uri: str,
    encoder: Encoder,
    catalog: Catalog,
    method: ReductionMethod,
    dimensions: int,
    make_run: Callable[[Store, set[str]], IndexRun],
) -> ReducedEncoder:
    """Fit a matrix on drawn items of a catalogue, and store it for a new database.

    Args:
        uri: of the database, which does not exist yet.
        encoder: with whole vectors.
        catalog: checked.
        method: "pca" or "matryoshka".
        dimensions: numbers of a reduced vector.
        make_run: makes a run that indexes items of the catalogue, by their ids, into a database.

    Raises:
        QueryError: the items give too few vectors, the matrix keeps too low a recall, or the run was stopped.
    """
    wanted = min(SAMPLE_ITEMS, catalog.size)
    drawn = set(np.random.default_rng(0).permutation(catalog.size)[:wanted].tolist())
    ids = {item.item_id for place, item in enumerate(catalog.items()) if place in drawn}
    with tempfile.TemporaryDirectory(prefix="firstsight-sample-") as folder:
        sample = Store.create(Path(folder) / "db", encoder.spec)
        with sample.writing():
            report = make_run(sample, ids).run({"kind": "sample"})
        if report.outcome == "stopped":
            raise QueryError("the run was stopped while it encoded a sample for fewer dimensions; nothing was written")
        table = sample.views.search().select(["vector"]).limit(MAX_VECTORS).to_arrow()
        measured = fit_reduction(vectors_of_column(table["vector"]), method, dimensions)
        sample.release()
    reduced = ReducedEncoder(encoder, measured.reduction)
    write_reduction(
        DatabaseAddress(uri),
        {
            "method": method,
            "base_fingerprint": encoder.spec.fingerprint,
            "fingerprint": reduced.spec.fingerprint,
            "matrix": measured.reduction.to_bytes(),
        },
        {
            "dimensions": dimensions,
            "of_dimensions": encoder.spec.dim,
            "recall": round(measured.recall, 4),
            "vectors": measured.vectors,
            "queries": measured.queries,
        },
    )
    return reduced
