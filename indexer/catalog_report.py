"""What a run reports and keeps about its catalogue: columns, notes and variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from firstsight.indexer.catalog import Catalog
from firstsight.indexer.columns.column_plan import ColumnUse
from firstsight.indexer.columns.column_types import TypeChange
from firstsight.indexer.columns.unused_media import UnusedMedia
from firstsight.indexer.index_report import IndexReport
from firstsight.indexer.row_reader import CatalogItem
from firstsight.records import Record
from firstsight.storage.product_groups import GROUP_COLUMN, note_variant_values
from firstsight.storage.store import Store

PREVIEW_ITEMS = 3
"""Items in a preview."""


@dataclass(frozen=True)
class CatalogPreview(Record):
    """Description of what an index run would read from a catalogue."""

    source: str  # as given
    format: str  # such as "CSV"
    items: int  # that the run would index
    skipped_rows: int  # bad rows, left out by `skip_bad_rows`
    merged_variants: int  # rows that belong to the item of an earlier variant
    columns: tuple[ColumnUse, ...]
    first_items: tuple[CatalogItem, ...]
    variant_columns: Mapping[str, Sequence[str]]  # columns that tell variants apart, with their values
    notes: tuple[str, ...]  # sentences about the catalogue, such as files that are left out
    unused_media: tuple[UnusedMedia, ...]  # unused columns that look like pictures or videos
    no_media_used: bool  # True if such a column exists and the run would use no picture, or no medium at all


def preview_catalog(catalog: Catalog) -> CatalogPreview:
    """Describe a checked catalogue and read its first items."""
    items = catalog.items()
    first_items = tuple(item for item, _ in zip(items, range(PREVIEW_ITEMS), strict=False))
    return CatalogPreview(
        source=catalog.source.name,
        format=catalog.source.format,
        items=catalog.size,
        skipped_rows=catalog.bad_rows,
        merged_variants=catalog.merged_rows,
        columns=catalog.columns(),
        first_items=first_items,
        variant_columns=catalog.variant_columns,
        notes=catalog.notes,
        unused_media=catalog.media.unused(),
        no_media_used=catalog.media.none_used,
    )


def describe_catalog(
    catalog: Catalog, report: IndexReport, stored_variants: int, type_changes: tuple[TypeChange, ...]
) -> IndexReport:
    """Add what is known about the catalogue to the report of a run."""
    return replace(
        report,
        unused_media=catalog.media.unused(),
        no_media_used=catalog.media.none_used,
        type_changes=type_changes,
        format=catalog.source.format,
        columns=catalog.columns(),
        notes=catalog.notes,
        merged_variants=catalog.merged_rows,
        stored_variants=stored_variants,
    )


def count_stored_variants(store: Store, catalog: Catalog) -> int:
    """Number of items in the database that are merged variants of the catalogue."""
    return sum(len(store.digests(item_ids)) for item_ids in catalog.merged_ids())


def note_variants(store: Store, catalog: Catalog) -> None:
    """Keep the columns that tell variants apart in the database, after its columns have been added."""
    if GROUP_COLUMN in catalog.kinds and catalog.variant_columns:
        note_variant_values(store, catalog.variant_columns)
