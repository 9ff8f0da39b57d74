"""`firstsight reindex`: the vectors of another encoder, beside those in force."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.exits import INTERRUPTED, TOO_MANY_FAILURES
from firstsight.cli.interrupt import Interrupt
from firstsight.cli.output import print_json_lines, print_message, wants_json
from firstsight.cli.progress import LINE_EVERY_S

if TYPE_CHECKING:
    from firstsight.indexer.reindex.reindex_settings import ReindexCounts, ReindexReport

EXAMPLES = [
    "reindex --encoder starter:tuned",
    "reindex --encoder open_clip:ViT-B-32/laion2b_s34b_b79k --db shop-db",
    "reindex --encoder starter:tuned --max-rate 20 --threads 1",
]
NOTE = (
    "Searches do not change until: firstsight encoder switch. Exit code 3: finished, but items lack the new vectors, "
    "such as those of media that are unreachable now."
)
app = group()


@command(app, examples=EXAMPLES, note=NOTE)
def reindex(
    *,
    max_rate: Annotated[
        float | None,
        panels.run("--max-rate", metavar="N", help="Maximum items per second. By default as fast as it can."),
    ] = None,
    pause: Annotated[
        float, panels.run("--pause", metavar="SECONDS", help="Rest after each batch, in seconds, so that others work.")
    ] = 0.0,
    batch_size: Annotated[int, panels.run("--batch-size", metavar="N", help="Pictures per call of the encoder.")] = 16,
    threads: options.Threads = None,
    allow_private: options.AllowPrivate = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
    encoder: options.EncoderFlags,
    db: options.DatabaseFlags,
) -> None:
    """Make the vectors of another encoder for all items, beside those in force.

    Each picture and video is opened once. Index runs go on meanwhile, and what they write gets both vectors. A stopped
    or killed run continues with the items that are left. It uses half of the processors, at low priority.
    """
    import firstsight
    from firstsight.indexer.reindex.low_priority import lower_priority
    from firstsight.indexer.reindex.reindex_settings import ReindexSettings, default_threads

    if encoder.encoder is None:
        raise typer.BadParameter("name the new encoder", param_hint="--encoder")
    running = replace(encoder.options(), threads=default_threads() if threads is None else threads)
    try:
        settings = ReindexSettings(max_rate, pause, batch_size, decode_threads=running.cpu_threads)
    except ValueError as error:  # a setting is out of range
        raise typer.BadParameter(str(error)) from None
    lower_priority(settings.decode_threads)
    policy = firstsight.MediaPolicy(allow_private=allow_private)
    database = firstsight.open(db.db, encoder_options=running, policy=policy)
    interrupt = Interrupt("the current step is written first")
    reporter = _Reporter(quiet)

    def show(counts: ReindexCounts) -> None:
        interrupt.begin()
        reporter.show(counts)

    with interrupt.watching():
        report = database.encoders.reindex(
            encoder.encoder, settings=settings, on_progress=show, should_stop=interrupt.should_stop
        )
    if wants_json(json):
        print_json_lines([report.to_dict()])
    if not quiet or report.missing:
        _print_summary(report)
    if report.outcome == "stopped":
        raise typer.Exit(INTERRUPTED)
    if report.missing:
        raise typer.Exit(TOO_MANY_FAILURES)


class _Reporter:
    """Prints a line of progress on stderr, at most one in ten seconds."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._started = self._last_line = time.monotonic()

    def show(self, counts: ReindexCounts) -> None:
        now = time.monotonic()
        if self._quiet or now - self._last_line < LINE_EVERY_S:
            return
        self._last_line = now
        rate = counts.items / (now - self._started)
        left = f", {(counts.total - counts.items) / rate:,.0f} s left" if rate else ""
        print_message(f"{counts.items:,} of {counts.total:,} items, {rate:,.1f}/s, {counts.failed:,} failed{left}")


def _print_summary(report: ReindexReport) -> None:
    counts = report.counts
    print_message(
        f"{report.db}: {report.outcome} after {report.seconds:,.1f} s: {counts.encoded:,} items, {counts.views:,} "
        f"vectors of {report.encoder}"
    )
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(report.reasons.items()))
    if report.missing:
        failed = f" ({counts.failed:,} views failed: {reasons})" if reasons else ""
        print_message(f"{report.missing:,} items lack its vectors{failed}; the same command tries them again")
        for example in report.examples:
            print_message(f"  {example}")
    elif report.outcome == "finished":
        print_message("put it in force with: firstsight encoder switch")
