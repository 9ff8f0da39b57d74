"""What `firstsight index` prints about the columns of a catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from firstsight.cli.output import print_json_lines, print_message

if TYPE_CHECKING:
    from firstsight.indexer.catalog_report import CatalogPreview
    from firstsight.indexer.columns.column_plan import ColumnUse
    from firstsight.indexer.row_reader import CatalogItem

_SHOWN_EXAMPLE = 36  # characters
_SHOWN_VALUE = 100  # characters
_SHOWN_EMPTY = 20  # columns
_SHOWN_MEDIA = 4  # per item


def print_preview(preview: CatalogPreview, *, quiet: bool, as_json: bool) -> None:
    """Print the columns and first items: as JSON on stdout, if `as_json`, else for people."""
    if as_json:
        print_json_lines([preview.to_dict()])
    if not quiet:
        for line in preview_lines(preview) if not as_json else (*catalogue_lines(preview), *preview.notes):
            print_message(line)
    for unused in preview.unused_media:
        print_message(unused.message)


def preview_lines(preview: CatalogPreview) -> Iterator[str]:
    """The columns of a catalogue and its first items, for people."""
    yield from catalogue_lines(preview)
    yield from preview.notes  # a run reports them as warnings
    for item in preview.first_items:
        yield ""
        yield from _item_lines(item)


def catalogue_lines(preview: CatalogPreview) -> Iterator[str]:
    """A small table: what each column is used for, how often it is filled, an example, and why it is not used."""
    counts = ["1 item" if preview.items == 1 else f"{preview.items:,} items"]
    if preview.merged_variants:
        n = preview.merged_variants
        counts.append(f"{n:,} more {'row is a variant of one' if n == 1 else 'rows are variants'} of them")
    if preview.skipped_rows:
        counts.append(f"{preview.skipped_rows:,} bad rows left out")
    yield f"{preview.source}: {preview.format}, {', '.join(counts)}"
    filled = [use for use in preview.columns if use.filled]
    yield from _table(("column", "read as", "filled", "example"), [_cells(use) for use in filled])
    if empty := [use.column for use in preview.columns if not use.filled]:
        more = len(empty) - _SHOWN_EMPTY
        yield f"empty: {', '.join(empty[:_SHOWN_EMPTY])}" + (f" and {more:,} more" if more > 0 else "")
    for use in filled:
        if use.note and use.note != "dropped":
            yield f"{use.column}: {use.note}"


def _cells(use: ColumnUse) -> tuple[str, str, str, str]:
    if use.note == "dropped":
        read_as = "dropped"
    elif use.field:
        read_as = use.field
    elif use.stored_as:
        read_as = "column" if use.stored_as == use.column else f"column {use.stored_as}"
    else:
        read_as = "-"
    example = use.example if len(use.example) <= _SHOWN_EXAMPLE else use.example[: _SHOWN_EXAMPLE - 1] + "…"
    return use.column, read_as, f"{_percent(use.filled)} %", example


def _percent(share: float) -> int:
    """A share in percent; 0 and 100 only if it is exactly that."""
    return int(100 * share) if share in (0, 1) else min(99, max(1, round(100 * share)))


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[number]) for row in (heading, *rows)) for number in range(len(heading))]
    for row in (heading, *rows):
        cells = [row[0].ljust(widths[0]), row[1].ljust(widths[1]), row[2].rjust(widths[2]), row[3]]
        yield "  ".join(cells).rstrip()


def _item_lines(item: CatalogItem) -> Iterator[str]:
    from firstsight.indexer.columns.column_values import as_text

    values: dict[str, object] = {"title": item.title, "text": item.text}
    values |= {"images": _media(item.images), "videos": _media(item.videos)}
    times = (item.created_at, item.starts_at, item.expires_at)
    values |= dict(zip(("created_at", "starts_at", "expires_at"), times, strict=True))
    values["timed_products"] = ", ".join(f"{shown.product_id} at {shown.start_s:g} s" for shown in item.timed_products)
    values |= item.columns
    filled = {name: value for name, value in values.items() if value not in (None, "")}
    width = max(map(len, filled), default=0)
    yield f"{item.item_id} ({item.kind})"
    for name, value in filled.items():
        text = " ".join(as_text(value).split())
        yield f"  {name.ljust(width)}  {text if len(text) <= _SHOWN_VALUE else text[: _SHOWN_VALUE - 1] + '…'}"


def _media(addresses: Iterable[str]) -> str:
    listed = list(addresses)
    more = len(listed) - _SHOWN_MEDIA
    return ", ".join(listed[:_SHOWN_MEDIA]) + (f" and {more} more" if more > 0 else "")
