"""`firstsight index`: bring a database up to date with a catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstsight.cli import options
from firstsight.cli.exits import INTERRUPTED, TOO_MANY_FAILURES
from firstsight.cli.interrupt import Interrupt
from firstsight.cli.output import print_json_lines, tell, wants_json
from firstsight.cli.progress import Progress

if TYPE_CHECKING:
    from firstsight.indexer.index_report import Counts, IndexReport

EPILOG = """
[bold]Examples[/bold]

firstsight index catalogue.csv

firstsight index pictures/ --db shop-db

firstsight index feed.parquet --map title=name,images=image_url+extra_images --prune

zcat feed.jsonl.gz | firstsight index -

firstsight index lectures/ --frames every:30 --max-frames 240

firstsight index --retry

firstsight index feed.csv --refresh-media --media-cache ~/.cache/shop-media
"""


MOST_TOLD = 20
"""Pairs of near-duplicates that are told one by one; --json has all."""


def index(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="A .csv, .tsv, .jsonl or .parquet file, a folder of pictures and videos, or - for JSON Lines on "
            "stdin. With --retry it may be left out.",
            show_default=False,
        ),
    ] = None,
    db: options.Db = None,
    encoder: options.Encoder = None,
    runtime: options.Runtime = "auto",
    device: options.Device = None,
    trust_remote_code: options.TrustRemoteCode = False,
    mapping: Annotated[
        str,
        typer.Option(
            "--map",
            metavar="OURS=THEIRS,…",
            help="Rename columns: title=name,images=front+back. Ours are item_id, kind, title, text, images, videos, "
            "created_at, starts_at, expires_at.",
        ),
    ] = "",
    drop: Annotated[str, typer.Option("--drop", metavar="NAME,…", help="Columns not to keep.")] = "",
    encoding: Annotated[str, typer.Option("--encoding", help="Encoding of a CSV or JSON Lines file.")] = "utf-8",
    list_separator: Annotated[
        str, typer.Option("--list-separator", help="What stands between several media in one cell.")
    ] = "|",
    language: Annotated[
        str | None,
        typer.Option(
            "--language",
            metavar="NAME",
            help="Of titles and texts, for search by words: English, German, French, …, or other. "
            "By default the database's own, else English.",
            show_default=False,
        ),
    ] = None,
    frames: Annotated[
        str,
        typer.Option(
            "--frames",
            metavar="RULE",
            help="Frames taken from each video: auto (those that differ, shot by shot), uniform:N, every:SECONDS, "
            "keyframes or all.",
        ),
    ] = "auto",
    max_frames: Annotated[
        int,
        typer.Option(
            "--max-frames",
            min=1,
            max=1000,
            help="Most frames of one video. Where a rule names more, they are spread evenly over the video.",
        ),
    ] = 64,
    retry: Annotated[bool, typer.Option("--retry", help="Encode again just the items with failed media.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove items that SOURCE does not have.")] = False,
    warn_duplicates: Annotated[
        bool,
        typer.Option("--warn-duplicates", help="List the items encoded that are near-duplicates of stored ones."),
    ] = False,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Leave unusable catalogue rows out instead of refusing it all.")
    ] = False,
    max_failures: Annotated[
        float,
        typer.Option("--max-failures", min=0, max=1, help="Share of media, or of titles, that may fail."),
    ] = 0.05,
    allow_private: options.AllowPrivate = False,
    allow_anywhere: Annotated[
        bool, typer.Option("--allow-anywhere", help="Let the catalogue name files outside its own folder.")
    ] = False,
    wait: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for another writer.")] = 0.0,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, and no summary of a run that went well.")
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to fetch or decode one medium.")] = 30.0,
    per_host: Annotated[
        int, typer.Option("--fetches-per-host", min=1, help="Media fetched at once from one host; 32 in all.")
    ] = 8,
    refresh_media: Annotated[
        bool,
        typer.Option(
            "--refresh-media", help="Ask servers whether media that are in the index have changed at their address."
        ),
    ] = False,
    media_cache: Annotated[
        Path | None,
        typer.Option(
            "--media-cache",
            metavar="DIR",
            envvar="FIRSTSIGHT_MEDIA_CACHE",
            help="Keep fetched media in this folder, to fetch again only what has changed. By default nothing is kept.",
            show_default=False,
        ),
    ] = None,
    media_cache_size: Annotated[
        float, typer.Option("--media-cache-size", min=0, metavar="GIB", help="Size of that folder, in GiB.")
    ] = 10.0,
    json: options.Json = False,
) -> None:
    """Index a catalogue: encode what is new or changed, leave the rest alone.

    Safe to stop at any moment and run again. A medium that cannot be used costs itself: see firstsight failures.
    A column that looks like pictures or videos and is not used is a warning, and exit code 3 where no medium is used.
    """
    import firstsight

    if source is None and not retry:
        raise typer.BadParameter("name a catalogue, or use --retry", param_hint="SOURCE")
    if retry and warn_duplicates:
        raise typer.BadParameter(
            "--retry does not look for them; use firstsight duplicates", param_hint="--warn-duplicates"
        )
    if retry and prune:
        raise typer.BadParameter("--retry looks at failed items only; run --prune without it", param_hint="--prune")
    read = firstsight.CatalogOptions(
        mapping=_parsed(mapping),
        drop=frozenset(name.strip() for name in drop.split(",") if name.strip()),
        encoding=encoding,
        list_separator=list_separator,
        skip_bad_rows=skip_bad_rows,
    )
    try:
        made = firstsight.IndexSettings(frames=int(frames) if frames.isdecimal() else frames, max_frames=max_frames)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--frames") from None
    database = firstsight.open(
        db,
        encoder=encoder,
        encoder_options=options.encoder_options(runtime, device, trust_remote_code),
        policy=firstsight.MediaPolicy(
            allow_private=allow_private,
            allow_anywhere=allow_anywhere,
            timeout_s=timeout,
            fetches=max(32, per_host),
            fetches_per_host=per_host,
            refresh=refresh_media,
            cache_dir=media_cache and media_cache.expanduser(),
            cache_bytes=int(media_cache_size * 2**30),
        ),
    )
    interrupt = Interrupt("the batch in hand is finished first")
    with Progress(quiet) as progress, interrupt.watching():

        def show(counts: Counts) -> None:
            interrupt.begin()
            progress.show(counts)

        if retry:
            reports = database.retry(
                source,
                options=read if source else None,  # None: as each item was read when it failed
                settings=made if source else None,
                wait_s=wait,
                on_progress=show,
                on_warning=progress.warn,
                should_stop=interrupt.should_stop,
            )
        else:
            assert source is not None
            report = database.index(
                source,
                options=read,
                settings=made,
                prune=prune,
                language=language,
                warn_duplicates=warn_duplicates,
                wait_s=wait,
                on_progress=show,
                on_warning=progress.warn,
                should_stop=interrupt.should_stop,
            )
            reports = [report]
    _tell(reports, database.uri, quiet=quiet, as_json=wants_json(json))
    if any(report.outcome == "stopped" for report in reports):
        raise typer.Exit(INTERRUPTED)
    if any(report.counts.failure_rate > max_failures or report.no_media_used for report in reports):
        raise typer.Exit(TOO_MANY_FAILURES)


def _parsed(mapping: str) -> dict[str, tuple[str, ...]]:
    from firstsight.errors import CatalogError
    from firstsight.indexer.catalog import parse_mapping

    try:
        return parse_mapping(mapping)
    except CatalogError as error:
        raise typer.BadParameter(str(error), param_hint="--map") from None


def _tell(reports: list[IndexReport], db: str, *, quiet: bool, as_json: bool) -> None:
    """The reports on stdout, and in words on stderr; quiet leaves out the words of a run that went well."""
    if as_json:
        print_json_lines(_as_dict(report) | {"db": db} for report in reports)
    if not reports and not quiet:
        tell("nothing has failed, so there is nothing to try again")
    for report in reports:
        for line in _summary(report, db, quiet):
            tell(line)


def _as_dict(report: IndexReport) -> dict[str, Any]:
    duplicates = [{"item_id": p.item_id, "other_id": p.other_id, **p.evidence.as_dict()} for p in report.duplicates]
    return asdict(report) | {"duplicates": duplicates}


def _summary(report: IndexReport, db: str, quiet: bool) -> Iterator[str]:
    c = report.counts
    if not quiet:
        yield _counted(report, db)
    if c.failed_media:
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(report.reasons.items()))
        yield (
            f"{c.failed_media:,} of {c.media:,} media could not be used ({reasons}); "
            f"see: firstsight failures --db {db}; try them again: firstsight index --retry --db {db}"
        )
    if report.no_media_used:
        columns = ", ".join(unused.column for unused in report.unused_media)
        yield (
            f"no {'picture' if report.counts.media else 'picture and no video'} was read from the catalogue, though "
            f"columns look like them ({columns}): use them or --drop them as the warnings say; exit code 3"
        )
    if c.failed_texts:
        yield f"{c.failed_texts:,} titles could not be encoded; see: firstsight failures --db {db}"
    if c.empty:
        yield f"{c.empty:,} items have no title, no text and no media, so there is nothing to find them by"
    if c.duplicates:
        yield f"{c.duplicates:,} items encoded are near-duplicates; all groups: firstsight duplicates --db {db}"
        for pair in report.duplicates[:MOST_TOLD]:
            yield f"  {pair.item_id} is a near-duplicate of {pair.other_id}"
        if len(report.duplicates) > MOST_TOLD:
            yield f"  and {len(report.duplicates) - MOST_TOLD:,} more pairs"
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
    return f"{db}: {c.items:,} of {c.total:,} items in {report.seconds:.1f} s: {', '.join(parts)} ({encoded})"
