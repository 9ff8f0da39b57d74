"""`firstsight export`: write items, views or shots with their vectors to a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import print_json_lines, print_message, wants_json, writing
from firstsight.cli.progress import RowProgress

if TYPE_CHECKING:
    from firstsight.retrieval.export.file_formats import ExportSummary
    from firstsight.storage.tables import Part

app = group()

_STDOUT = Path("-")


@command(
    app,
    examples=[
        "export --to vectors.parquet",
        "export --to pictures.npz --views --part image",
        "export --to shoes.jsonl --columns item_id,title,price --where \"category = 'shoes'\"",
        "export --shots --to shots.parquet",
        "export --no-vectors | head -3",
    ],
)
def export(
    *,
    to: Annotated[
        Path,
        panels.output(
            "--to",
            metavar="FILE",
            help="File to write: .parquet, .npz (ids and vectors for numpy) or .jsonl. An existing file is replaced at "
            "the end. By default JSON lines on stdout.",
        ),
    ] = _STDOUT,
    views: Annotated[
        bool, panels.output("--views", help="One row for each encoded title, picture and video frame, not each item.")
    ] = False,
    shots: Annotated[
        bool,
        panels.output(
            "--shots",
            help="One row for each shot of each video: seconds, mean vector, fingerprint and thumbnail. Not for .npz.",
        ),
    ] = False,
    no_thumbnails: Annotated[
        bool, panels.output("--no-thumbnails", help="With --shots, read no thumbnails from the videos.")
    ] = False,
    columns: Annotated[
        list[str] | None,
        panels.output(
            "--columns",
            metavar="NAME,…",
            help="Columns, in this order (repeatable). Views may have columns of their items. Put a name with a comma "
            'in "double quotes". By default all columns.',
        ),
    ] = None,
    no_vectors: Annotated[bool, panels.output("--no-vectors", help="Leave out the vectors.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    where: options.Where = None,
    part: Annotated[
        list[str] | None,
        panels.filters(
            "--part", metavar="PART", help="With --views, only title, image, frame or transcript (repeatable)."
        ),
    ] = None,
    include_blocked: options.IncludeBlocked = False,
    allow_private: options.AllowPrivate = False,
    db: options.DatabaseFlags,
) -> None:
    """Write all items, or their views or shots, with their vectors, for other programs.

    It needs little memory, and the rows are of one moment, also if another process writes meanwhile.
    """
    from firstsight.media.policy import MediaPolicy
    from firstsight.retrieval.export.file_formats import json_lines, write_file
    from firstsight.retrieval.export.row_stream import RowSelection
    from firstsight.retrieval.export.shot_stream import open_stream

    if shots and views:
        raise typer.BadParameter("cannot be used with --views; choose one of them", param_hint="--shots")
    if no_thumbnails and not shots:
        raise typer.BadParameter("needs --shots", param_hint="--no-thumbnails")
    policy = MediaPolicy(allow_private=allow_private)
    selection = RowSelection(
        of="shots" if shots else "views" if views else "items",
        columns=None if columns is None else options.split_columns(columns),
        where=where,
        vectors=not no_vectors,
        parts=cast("list[Part]", part or []),  # checked by the export
        include_blocked=include_blocked,
        thumbnails=not no_thumbnails,
    )
    if to == _STDOUT:
        for batch in open_stream(db.store(), selection, policy).batches():
            sys.stdout.write(json_lines(batch))
        sys.stdout.flush()
        return
    with writing(to, "--to"), RowProgress("exporting", quiet) as progress:
        summary = write_file(db.store(), to, selection, progress.show, policy=policy)
    if wants_json(json):
        print_json_lines([summary.to_dict()])
    elif not quiet:
        print_message(_describe(summary))


def _describe(summary: ExportSummary) -> str:
    blocked = f"; {summary.blocked_items:,} blocked items left out" if summary.blocked_items else ""
    unreadable = f"; {summary.unreadable_videos:,} videos without thumbnails" if summary.unreadable_videos else ""
    size = f"{summary.bytes / 1e6:,.1f} MB"
    return f"wrote {summary.rows:,} {summary.table} to {summary.file} ({size}){blocked}{unreadable}"
