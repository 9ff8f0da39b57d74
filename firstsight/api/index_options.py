"""Options of the calls that write items."""

from __future__ import annotations

import os
from collections.abc import Callable

from firstsight.encoders.reduced.reduction import ReductionMethod
from firstsight.indexer.catalog_report import CatalogPreview
from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.indexer.index_report import Counts
from firstsight.indexer.index_settings import IndexSettings
from firstsight.storage.vector_format import VectorFormat
from firstsight.understanding.facts.fact_settings import FactOptions


class RunOptions(FactOptions, total=False):
    """The arguments of `firstsight.api.indexing.Indexing.index` that `add` and `retry` have as well."""

    root: str | os.PathLike[str] | None
    options: CatalogOptions | None
    settings: IndexSettings | None
    wait_s: float
    on_progress: Callable[[Counts], None]
    on_warning: Callable[[str], None]
    should_stop: Callable[[], bool]


class IndexOptions(RunOptions, total=False):
    """The arguments of `firstsight.api.indexing.Indexing.index`, by name."""

    prune: bool
    language: str | None
    vectors: VectorFormat | None
    dimensions: int | None
    reduce: ReductionMethod
    warn_duplicates: bool
    on_catalog: Callable[[CatalogPreview], None] | None
