"""`firstsight facts`: which facts a database has, and their update."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from firstsight.cli import options
from firstsight.cli.commands import command, group
from firstsight.cli.exits import INTERRUPTED, TOO_MANY_FAILURES
from firstsight.cli.interrupt import Interrupt
from firstsight.cli.output import print_json_lines, print_message, print_table, wants_json
from firstsight.cli.progress import Progress

if TYPE_CHECKING:
    from firstsight.understanding.facts.fact_settings import FactSettings
    from firstsight.understanding.facts.fact_update import FactUpdateCounts

EXAMPLES = ["facts status", "facts update --db shop-db"]
app = group("Show and update what is found in pictures and texts.", examples=EXAMPLES)


@command(app, examples=["facts status", "facts status --json"])
def status(*, json: options.Json = False, db: options.DatabaseFlags) -> None:
    """Show which facts are on, and how many pictures or items have them.

    firstsight index turns facts on and off; firstsight facts update computes those that are missing.
    """
    state = db.open().facts.status()
    if wants_json(json):
        print_json_lines([state.to_dict()])
        return
    print_table(
        ["fact", "version", "of", "total", "found", "outdated", "missing", "failed"],
        [(f.name, f.version, f.of, f.total, f.found, f.outdated, f.missing, f.failed) for f in state.facts],
        ["total", "found", "outdated", "missing", "failed"],
    )
    if not state.facts:
        print_message("no fact is on; turn one on with: firstsight index CATALOGUE --quality")
    for name, value in _settings(state.settings):
        print_message(f"{name}: {value}")
    if any(fact.outdated or fact.missing for fact in state.facts):
        print_message(f"compute what is missing: firstsight facts update --db {state.db}")


@command(app, examples=["facts update", "facts update --threads 1 --json"])
def update(
    *,
    threads: options.Threads = None,
    allow_private: options.AllowPrivate = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
    db: options.WriterFlags,
) -> None:
    """Compute missing and outdated facts of stored items.

    Pictures are decoded again, and nothing is encoded. Searches go on meanwhile. A stopped or killed update continues
    with the items that are left. If a picture could not be opened, or a function failed, the exit code is 3.
    """
    import firstsight
    from firstsight.indexer.index_report import Counts

    database = firstsight.open(db.db, policy=firstsight.MediaPolicy(allow_private=allow_private))
    interrupt = Interrupt("the current step is finished first")
    with Progress(quiet) as progress, interrupt.watching():

        def show(counts: FactUpdateCounts) -> None:
            interrupt.begin()
            progress.show(Counts(total=counts.total, items=counts.items, failed_media=counts.failed))

        report = database.facts.update(
            decode_threads=threads, wait_s=db.wait, on_progress=show, should_stop=interrupt.should_stop
        )
    if wants_json(json):
        print_json_lines([report.to_dict()])
    counts = report.counts
    if not quiet:
        print_message(
            f"{report.db}: {report.outcome} after {report.seconds:,.1f} s: {counts.updated:,} of {counts.items:,} "
            f"items updated, {counts.pictures:,} pictures and frames"
        )
    if counts.failed:
        print_message(f"{counts.failed:,} failed; the same command tries them again")
        for example in report.examples:
            print_message(f"  {example}")
    if report.outcome == "stopped":
        raise typer.Exit(INTERRUPTED)
    if counts.failed:
        raise typer.Exit(TOO_MANY_FAILURES)


def _settings(settings: FactSettings) -> list[tuple[str, str]]:
    return [
        ("languages", ", ".join(settings.languages) or "any"),
        ("detectors", ", ".join(settings.detectors) or "none"),
        *([("models for text in pictures", settings.ocr_models)] if settings.ocr_models else []),
    ]
