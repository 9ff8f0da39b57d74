"""`firstsight quality`: problems of pictures, as a list and a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import Cell, print_json_lines, print_message, writing

if TYPE_CHECKING:
    from firstsight.understanding.quality.quality_list import QualityReport

EXAMPLES = [
    "quality",
    "quality --problem blurred --problem upscaled -k 20",
    "quality --where \"category = 'Tops'\" --html quality.html",
    "quality --json > problems.jsonl",
]

app = group()


@command(app, examples=EXAMPLES)
def quality(
    *,
    problem: Annotated[
        list[str] | None,
        panels.filters(
            "--problem",
            metavar="NAME",
            help="Only this problem: near_empty, blurred, upscaled, dark, bars, compressed, low_resolution, "
            "extreme_aspect or watermark (repeatable).",
        ),
    ] = None,
    where: options.Where = None,
    include_blocked: options.IncludeBlocked = False,
    k: Annotated[
        int | None, panels.output("-k", "--k", metavar="N", min=1, help="Maximum number of problems. By default all.")
    ] = None,
    html: Annotated[
        Path | None, panels.output("--html", metavar="FILE", help="HTML page with pictures to write.")
    ] = None,
    max_pictures: Annotated[
        int, panels.output("--max-pictures", metavar="N", min=0, help="Maximum number of pictures on the page.")
    ] = 500,
    allow_private: options.AllowPrivate = False,
    output: options.ItemTableFlags,
    db: options.DatabaseFlags,
) -> None:
    """List the problems of pictures, the most severe first, such as blur, darkness and bars.

    The database needs the measures: firstsight index CATALOGUE --quality. Watermarks are found if text is read too
    (--ocr).
    """
    part = db.open(allow_private=allow_private).quality
    report = part.find(problem or (), where=where, include_blocked=include_blocked, limit=k)
    if html is not None:
        print_message("reading pictures")
        with writing(html, "--html"):
            part.write_page(html, report, max_pictures=max_pictures)
    if output.as_json:
        print_json_lines(found.to_dict() for found in report)
    else:
        _print(report, output, db)
    _print_counts(report)
    if html is not None:
        print_message(f"wrote {html}")


def _print(report: QualityReport, output: options.ItemTableFlags, db: options.DatabaseFlags) -> None:
    from firstsight.understanding.quality.problems import PROBLEM_KINDS

    output.print_items(
        db,
        ["item", "problem", "measure", "value", "threshold", "what to do", "picture"],
        [
            (
                *(found.item_id, found.problem, found.measure),
                Cell(found.value, kind.shown(found.value)),
                Cell(found.threshold, kind.shown(found.threshold)),
                *(found.advice, found.uri),
            )
            for found in report
            for kind in [PROBLEM_KINDS[found.problem]]
        ],
        right=["value", "threshold"],
        empty="no picture has such a problem" if report.pictures else "",
    )


def _print_counts(report: QualityReport) -> None:
    counts = ", ".join(f"{name} {count:,}" for name, count in report.counts.items())
    if report.pictures:
        print_message(f"{report.pictures:,} pictures measured; pictures with a problem: {counts or 'none'}")
    if report.unmeasured:
        print_message(
            f"{report.unmeasured:,} pictures were not measured; run firstsight facts update, or index their catalogue "
            "with --quality"
        )
