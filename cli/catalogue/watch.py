"""`firstsight watch`: keep the latest frames of a live stream searchable."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.exits import ERROR, INTERRUPTED
from firstsight.cli.interrupt import Interrupt
from firstsight.cli.output import clock, print_json_lines, print_message, wants_json
from firstsight.cli.progress import LINE_EVERY_S

if TYPE_CHECKING:
    from firstsight.indexer.watch_settings import WatchCounts, WatchReport

EXAMPLES = [
    "watch https://cdn.example.com/show/live.m3u8 --item show-42",
    'watch rtsp://camera.local/stream --item camera-1 --title "The shop window" --allow-private',
    'watch talk.mp4 --item talk --title "A talk" --every 10 --window 600',
    "watch https://cdn.example.com/show/live.m3u8 --item show-42 --for 3600 --json",
]

app = group()


@command(app, examples=EXAMPLES)
def watch(
    *,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Stream: an http(s):// address of an HLS playlist or an endless video, an rtsp:// address, or a local "
            "file.",
        ),
    ],
    item: Annotated[str, panels.catalogue("--item", metavar="ID", help="Item that gets the frames as views.")],
    title: Annotated[
        str | None,
        panels.catalogue(
            "--title", metavar="TEXT", help="Title of a new item of kind live, if the item does not exist."
        ),
    ] = None,
    every: Annotated[
        float, panels.stream("--every", metavar="SECONDS", help="Seconds of the stream between two frames.")
    ] = 5.0,
    window: Annotated[
        float,
        panels.stream("--window", metavar="SECONDS", help="Seconds of the stream to keep; older frames are removed."),
    ] = 60.0,
    update: Annotated[
        float, panels.stream("--update", metavar="SECONDS", help="Minimum seconds between two writes to the database.")
    ] = 5.0,
    for_: Annotated[
        float | None,
        panels.stream(
            "--for", metavar="SECONDS", help="Stop after this many seconds. By default at the end of the stream."
        ),
    ] = None,
    stall: Annotated[
        float, panels.stream("--stall", metavar="SECONDS", help="Reconnect after this many seconds without data.")
    ] = 20.0,
    reconnect_for: Annotated[
        float,
        panels.stream("--reconnect-for", metavar="SECONDS", help="Give up after this many seconds without a frame."),
    ] = 60.0,
    allow_private: options.AllowPrivate = False,
    quiet: Annotated[bool, panels.output("--quiet", "-q", help="Print no progress.")] = False,
    json: options.Json = False,
    encoder: options.EncoderFlags,
    db: options.DatabaseFlags,
) -> None:
    """Keep the latest frames of a live stream as views of an item, searchable while the stream runs.

    Ctrl-C writes the frames received so far and stops. The writer lock is held only briefly, so index runs can work at
    the same time; start them with --wait.
    """
    from firstsight.indexer.watch_settings import WatchSettings

    try:
        settings = WatchSettings(
            every_s=every,
            window_s=window,
            update_s=update,
            for_s=for_,
            stall_s=stall,
            reconnect_for_s=reconnect_for,
        )
    except ValueError as error:  # a setting is out of range
        raise typer.BadParameter(str(error)) from None
    database = db.open(encoder, allow_private=allow_private)
    reporter = _Reporter(quiet, wants_json(json))
    interrupt = Interrupt("received frames are written first")

    def should_stop() -> bool:
        interrupt.begin()  # the watch calls this first when it begins
        return interrupt.should_stop()

    with interrupt.watching():
        report = database.indexing.watch(
            source,
            item_id=item,
            title=title,
            settings=settings,
            on_update=reporter.update,
            on_event=reporter.event,
            should_stop=should_stop,
        )
    reporter.end(report, database.uri)
    if report.outcome == "failed":
        raise typer.Exit(ERROR)
    if report.outcome == "stopped":
        raise typer.Exit(INTERRUPTED)


class _Reporter:
    """Prints counts, events and the final report: lines for people on stderr, JSON on stdout."""

    def __init__(self, quiet: bool, as_json: bool) -> None:
        self._quiet = quiet
        self._as_json = as_json
        self._last_line = 0.0

    def update(self, counts: WatchCounts) -> None:
        if self._as_json:
            print_json_lines([counts.to_dict()])
        if not self._quiet and time.monotonic() - self._last_line > LINE_EVERY_S:
            self._last_line = time.monotonic()
            print_message(_counted(counts))

    def event(self, event: str) -> None:
        if not self._quiet:
            print_message(event)

    def end(self, report: WatchReport, db: str) -> None:
        if self._as_json:
            print_json_lines([report.to_dict() | {"db": db}])
        if report.message:
            print_message(f"firstsight: {report.message}")
        if not self._quiet:
            print_message(f"{db}: {report.outcome} after {report.seconds:.1f} s: {_counted(report.counts)}")


def _counted(c: WatchCounts) -> str:
    parts = [f"{c.frames:,} frames, {c.window:,} of them in the index, {c.behind_s:.1f} s behind at {clock(c.time_s)}"]
    frames = ((c.dropped, "frames dropped"), (c.failed, "frames failed"))
    named = ((c.reconnects, "reconnects"), *frames, (c.busy, "writes postponed"))
    return ", ".join(parts + [f"{n:,} {what}" for n, what in named if n])
