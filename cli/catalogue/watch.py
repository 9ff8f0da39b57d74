"""`firstsight watch`: the latest frames of a running stream, searchable while it runs."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options
from firstsight.cli.exits import ERROR, INTERRUPTED
from firstsight.cli.interrupt import Interrupt
from firstsight.cli.output import clock, print_json_lines, tell, wants_json
from firstsight.cli.progress import LINE_EVERY_S

if TYPE_CHECKING:
    from firstsight.indexer.watch_settings import WatchCounts, WatchReport

EPILOG = """
[bold]Examples[/bold]

firstsight watch https://cdn.example.com/show/live.m3u8 --item show-42

firstsight watch rtsp://camera.local/stream --item camera-1 --title "The shop window" --allow-private

firstsight watch talk.mp4 --item talk --title "A talk" --every 10 --window 600

firstsight watch https://cdn.example.com/show/live.m3u8 --item show-42 --for 3600 --json
"""


def watch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="An http(s):// address of an HLS playlist or of a video sent without end, an rtsp:// address, or a "
            "local file.",
        ),
    ],
    item: Annotated[str, typer.Option("--item", metavar="ID", help="The item whose views the frames are.")],
    title: Annotated[
        str | None,
        typer.Option(
            "--title", metavar="TEXT", help="Make the item, of kind live, if there is none.", show_default=False
        ),
    ] = None,
    db: options.Db = None,
    encoder: options.Encoder = None,
    runtime: options.Runtime = "auto",
    device: options.Device = None,
    trust_remote_code: options.TrustRemoteCode = False,
    every: Annotated[
        float, typer.Option("--every", metavar="SECONDS", help="Of the stream, between two frames.")
    ] = 5.0,
    window: Annotated[
        float, typer.Option("--window", metavar="SECONDS", help="Of the stream; frames that are older go.")
    ] = 60.0,
    update: Annotated[
        float, typer.Option("--update", metavar="SECONDS", help="Between two writes to the index, at least.")
    ] = 5.0,
    for_: Annotated[
        float | None,
        typer.Option(
            "--for", metavar="SECONDS", help="End after so long. By default with the stream.", show_default=False
        ),
    ] = None,
    stall: Annotated[
        float, typer.Option("--stall", metavar="SECONDS", help="Connect anew when nothing has come for so long.")
    ] = 20.0,
    reconnect_for: Annotated[
        float, typer.Option("--reconnect-for", metavar="SECONDS", help="Give up when no frame has come for so long.")
    ] = 60.0,
    allow_private: options.AllowPrivate = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    json: options.Json = False,
) -> None:
    """Keep the latest frames of a running stream as views of an item, searchable while it runs.

    Ctrl-C writes what has come and ends. The writer lock is held for moments only: index runs go on beside it, best
    with --wait.
    """
    import firstsight

    database = firstsight.open(
        db,
        encoder=encoder,
        encoder_options=options.encoder_options(runtime, device, trust_remote_code),
        policy=firstsight.MediaPolicy(allow_private=allow_private),
    )
    shown = _Shown(quiet, wants_json(json))
    interrupt = Interrupt("what has come is written first")

    def should_stop() -> bool:
        interrupt.begin()  # the watch's first question is its beginning
        return interrupt.should_stop()

    with interrupt.watching():
        try:
            report = database.watch(
                source,
                item_id=item,
                title=title,
                on_update=shown.update,
                on_event=shown.event,
                should_stop=should_stop,
                every_s=every,
                window_s=window,
                update_s=update,
                for_s=for_,
                stall_s=stall,
                reconnect_for_s=reconnect_for,
            )
        except ValueError as error:  # a setting's
            raise typer.BadParameter(str(error)) from None
    shown.end(report, database.uri)
    if report.outcome == "failed":
        raise typer.Exit(ERROR)
    if report.outcome == "stopped":
        raise typer.Exit(INTERRUPTED)


class _Shown:
    """What a person and a program are told while it runs."""

    def __init__(self, quiet: bool, as_json: bool) -> None:
        self._quiet = quiet
        self._as_json = as_json
        self._last_line = 0.0

    def update(self, counts: WatchCounts) -> None:
        if self._as_json:
            print_json_lines([asdict(counts)])
        if not self._quiet and time.monotonic() - self._last_line > LINE_EVERY_S:
            self._last_line = time.monotonic()
            tell(_counted(counts))

    def event(self, event: str) -> None:
        if not self._quiet:
            tell(event)

    def end(self, report: WatchReport, db: str) -> None:
        if self._as_json:
            print_json_lines([asdict(report) | {"db": db}])
        if report.message:
            tell(f"firstsight: {report.message}")
        if not self._quiet:
            tell(f"{db}: {report.outcome} after {report.seconds:.1f} s: {_counted(report.counts)}")


def _counted(c: WatchCounts) -> str:
    parts = [f"{c.frames:,} frames, {c.window:,} of them in the index, {c.behind_s:.1f} s behind at {clock(c.time_s)}"]
    frames = ((c.dropped, "frames dropped"), (c.failed, "frames failed"))
    named = ((c.reconnects, "reconnects"), *frames, (c.busy, "writes put off"))
    return ", ".join(parts + [f"{n:,} {what}" for n, what in named if n])
