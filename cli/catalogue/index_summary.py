"""The summary that `firstsight index` prints after a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from firstsight.cli.output import print_json_lines, print_message

if TYPE_CHECKING:
    from firstsight.indexer.index_report import IndexReport

MAX_PRINTED_PAIRS = 20
"""Near-duplicate pairs printed for people; --json has all."""


def print_reports(reports: list[IndexReport], db: str, *, quiet: bool, as_json: bool) -> None:
    """Print the reports as JSON on stdout, if `as_json`, and a summary on stderr; `quiet` keeps only the problems."""
    if as_json:
        print_json_lines(report.to_dict() | {"db": db} for report in reports)
    if not reports and not quiet:
        print_message("no media have failed, so there is nothing to retry")
    for report in reports:
        for line in _summary(report, db, quiet):
            print_message(line)


def _summary(report: IndexReport, db: str, quiet: bool) -> Iterator[str]:
    c = report.counts
    if not quiet:
        yield _counted(report, db)
    if report.reduction and not quiet:
        r = report.reduction
        yield (
            f"vectors of {r['dimensions']} instead of {r['of_dimensions']} dimensions by {r['method']}: recall@10 "
            f"{r['recall']:.3f} on {r['queries']:,} held-out vectors"
        )
    for change in report.type_changes:
        if change.lost or not quiet:
            yield change.message
    if report.merged_variants and not quiet:
        n = report.merged_variants
        rows = "1 row is a variant" if n == 1 else f"{n:,} rows are variants"
        yield f"{rows} in the item of another row; --variants variant keeps each row as an item"
    if report.stored_variants:
        n = report.stored_variants
        items = "1 item of an earlier run is" if n == 1 else f"{n:,} items of earlier runs are"
        yield f"{items} now part of another item; --prune removes such items"
    if c.failed_media:
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(report.reasons.items()))
        yield (
            f"{c.failed_media:,} of {c.media:,} media could not be used ({reasons}); "
            f"see: firstsight failures --db {db}; retry: firstsight index --retry --db {db}"
        )
    if c.failed_facts:
        yield (
            f"a fact of {c.failed_facts:,} media could not be found; see: firstsight failures --db {db}; "
            f"try again: firstsight facts update --db {db}"
        )
    if report.lacking_facts:
        lacking = ", ".join(f"{name} of {n:,} stored items" for name, n in sorted(report.lacking_facts.items()))
        yield f"not computed yet: {lacking}; compute without encoding: firstsight facts update --db {db}"
    if report.no_media_used:
        columns = ", ".join(unused.column for unused in report.unused_media)
        yield (
            f"no {'picture' if report.counts.media else 'picture and no video'} was read from the catalogue, but these "
            f"columns look like media: {columns}. Map or --drop them as the warnings say; exit code 3"
        )
    if c.failed_texts:
        yield f"{c.failed_texts:,} titles could not be encoded; see: firstsight failures --db {db}"
    if c.empty:
        yield f"{c.empty:,} items have no title, no text and no media, so searches cannot find them"
    if c.duplicates:
        yield f"{c.duplicates:,} encoded items are near-duplicates; list all groups: firstsight duplicates --db {db}"
        for pair in report.duplicates[:MAX_PRINTED_PAIRS]:
            yield f"  {pair.item_id} is a near-duplicate of {pair.other_id}"
        if len(report.duplicates) > MAX_PRINTED_PAIRS:
            yield f"  and {len(report.duplicates) - MAX_PRINTED_PAIRS:,} more pairs"
    if report.outcome == "stopped":
        yield "stopped before the end; run the same command again to go on from here"
    elif c.items < c.total:
        yield f"{c.total - c.items:,} items with failed media are not in this catalogue"


def _counted(report: IndexReport, db: str) -> str:
    c = report.counts
    parts = [f"{c.encoded:,} encoded"]
    parts += [f"{n:,} {what}" for n, what in ((c.refreshed, "refreshed"), (c.unchanged, "unchanged")) if n]
    parts += [f"{n:,} {what}" for n, what in ((c.pruned, "pruned"), (c.skipped_rows, "bad rows skipped")) if n]
    encoded = f"{c.texts:,} titles, {c.pictures:,} pictures, {c.frames:,} video frames"
    encoded += f", {c.lines:,} lines of timed text in {c.passages:,} passages" if c.lines else ""
    return f"{db}: {c.items:,} of {c.total:,} items in {report.seconds:.1f} s: {', '.join(parts)} ({encoded})"
