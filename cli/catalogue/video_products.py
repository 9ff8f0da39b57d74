"""`firstsight video-products`: products in videos with their seconds, proposed from frames and reviewed by people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, cast

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import Cell, at_second, print_json_lines, print_message, shown, wants_json
from firstsight.cli.progress import RowProgress
from firstsight.cli.safety.options import name_or_login

if TYPE_CHECKING:
    from firstsight import TimedProduct
    from firstsight.storage.timed_product_table import EntryState

app = group(
    "List the products that videos show, propose them from frames, and decide about proposals.",
    examples=[
        "video-products propose",
        "video-products list --state proposed",
        "video-products accept video-7#mug-1#12.00 --by ana",
        "video-products reject video-7#mug-2#30.00 --by ana",
        "video-products list --product mug-1",
    ],
    note='The catalogue gives them in the column timed_products, e.g. "mug-1@0:12-0:20; mug-2@1:05".',
)

Entries = Annotated[
    list[str], typer.Argument(metavar="ENTRY", help="Ids of proposals, as printed by list and propose.")
]
By = Annotated[str | None, panels.run("--by", metavar="NAME", help="Person who decides. By default your login name.")]


@command(app, examples=["video-products propose", "video-products propose --video video-7 --max-ratio 0.5"])
def propose(
    *,
    video: Annotated[
        list[str] | None, panels.filters("--video", metavar="ID", help="Only this video (repeatable).")
    ] = None,
    min_relevance: Annotated[
        float,
        panels.ranking("--min-relevance", metavar="R", help="Minimum relevance of frame and picture, 0 to 1."),
    ] = 0.75,
    max_ratio: Annotated[
        float,
        panels.ranking(
            "--max-ratio",
            metavar="R",
            help="Maximum ratio of the distance to the product and to the nearest other product, 0 to 1.",
        ),
    ] = 0.7,
    min_agreement: Annotated[
        float,
        panels.ranking(
            "--min-agreement", metavar="SHARE", help="Minimum share of a shot's frames that are nearest to the product."
        ),
    ] = 0.5,
    json: options.Json = False,
    quiet: options.Quiet = False,
    db: options.WriterFlags,
) -> None:
    """Compare frames of videos with product pictures, and store proposals for a person to accept or reject."""
    with RowProgress("comparing", quiet) as progress:
        report = db.open().timed_products.propose(
            videos=video,
            min_relevance=min_relevance,
            max_ratio=max_ratio,
            min_agreement=min_agreement,
            wait_s=db.wait,
            on_progress=progress.show,
        )
    if wants_json(json):
        print_json_lines([report.to_dict()])
    elif not quiet:
        print_message(
            f"{report.videos:,} videos with {report.frames:,} frames: {report.proposed:,} proposals wait, "
            f"{report.new:,} of them new; {report.withdrawn:,} withdrawn"
        )


@command(
    app,
    "list",
    examples=[
        "video-products list",
        "video-products list --state proposed --json",
        "video-products list --video video-7",
        "video-products list --product mug-1",
    ],
)
def list_(
    *,
    video: Annotated[
        str | None, panels.filters("--video", metavar="ID", help="Only the products in this video.")
    ] = None,
    product: Annotated[
        str | None, panels.filters("--product", metavar="ID", help="Only the videos that show this product.")
    ] = None,
    state: Annotated[
        str | None,
        panels.filters("--state", metavar="STATE", help="Only proposed, accepted or rejected ones. By default all."),
    ] = None,
    k: Annotated[int, panels.output("-k", metavar="N", min=1, help="Maximum entries.")] = 100,
    output: options.TableFlags,
    db: options.DatabaseFlags,
) -> None:
    """List products in videos with their seconds and evidence, in order of video and second."""
    if video and product:
        raise typer.BadParameter("cannot be combined with --video", param_hint="--product")
    parts = db.open().timed_products
    found: Sequence[TimedProduct]
    if video or product:
        listed = (
            parts.of_video(video, include_proposed=True)
            if video
            else parts.of_product(product or "", include_proposed=True)
        )
        found = [entry for entry in listed if state in (None, entry.state)][:k]
    else:
        found = parts.entries(state=cast("EntryState | None", state), k=k)  # the call checks it
    if output.as_json:
        print_json_lines(entry.to_dict() for entry in found)
    else:
        output.print_table(
            ["video", "at", "to", "product", "title", "state", "cosine", "frames", "entry"],
            [_row(entry) for entry in found],
            right=["at", "to", "cosine", "frames"],
            empty="no products in videos",
        )


@command(app, examples=["video-products accept video-7#mug-1#12.00 --by ana"])
def accept(*, entries: Entries, by: By = None, db: options.WriterFlags) -> None:
    """Accept proposals: search results and similar items show them from now on."""
    decided = db.open().timed_products.accept(entries, by=name_or_login(by), wait_s=db.wait)
    print_message(f"accepted {len(decided):,}")


@command(app, examples=["video-products reject video-7#mug-2#30.00 --by ana"])
def reject(*, entries: Entries, by: By = None, db: options.WriterFlags) -> None:
    """Reject proposals. The same stretch is never proposed again."""
    decided = db.open().timed_products.reject(entries, by=name_or_login(by), wait_s=db.wait)
    print_message(f"rejected {len(decided):,}")


def _row(entry: TimedProduct) -> list[object]:
    evidence = entry.evidence
    return [
        *(entry.video_id, at_second(entry.start_s), at_second(entry.end_s), entry.product_id, entry.product_title),
        entry.state if entry.source == "frames" else "catalogue",
        shown(None if evidence is None else evidence.cosine, ".2f"),
        None if evidence is None else Cell(evidence.agreeing, f"{evidence.agreeing} of {evidence.frames}"),
        entry.entry_id,
    ]
