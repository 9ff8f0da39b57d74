"""`firstsight evaluate links`: similar items against links that people made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command
from firstsight.cli.evaluate.figures import figure, gap, print_figures
from firstsight.cli.output import print_json_lines, print_message

if TYPE_CHECKING:
    from firstsight.recommend.evaluation.link_evaluation import LinkReport

LINKS_EXAMPLES = ["evaluate links links.csv", "evaluate links links.csv --column parent -k 20"]
LINKS_NOTE = (
    "The file has the columns from and to (or item_id and linked_item_id, or parent and linked_parent), and optionally "
    "kind: CSV, TSV, JSON Lines or Parquet."
)


def register(app: typer.Typer) -> None:
    """Add this command to `firstsight evaluate`."""
    command(app, examples=LINKS_EXAMPLES, note=LINKS_NOTE)(links)


def links(
    *,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="File of links between items: CSV, TSV, JSON Lines or Parquet.")
    ],
    column: Annotated[
        str | None,
        panels.evaluation(
            "--column",
            metavar="NAME",
            help="Catalogue column that the links refer to, e.g. parent. By default item ids.",
        ),
    ] = None,
    k: options.Depth = 10,
    output: options.TableFlags,
    db: options.DatabaseFlags,
) -> None:
    """Measure how many linked items (related, upsell, …) are among the nearest items."""
    reports = db.open().evaluation.links(file, column=column, k=k)
    if reports.unknown:
        print_message(
            f"{reports.unknown} of {reports.rows} links are left out: an item is not in the database, or both "
            "are the same item"
        )
    if output.as_json:
        print_json_lines(report.to_dict() for report in reports)
        return
    if output.csv:
        output.print_csv_tables(["links", "model"], [_links_table(report) for report in reports])
        return
    for report in reports:
        _print_links(report)


def _links_table(report: LinkReport) -> options.NamedTable:
    heads = [f"recall@{report.k}", f"NDCG@{report.k}", "behind"]
    rows = [(model.model, figure(model.recall), figure(model.ndcg), gap(model.behind_best)) for model in report.models]
    return f"{report.kind}, {report.queries} queries", heads, rows


def _print_links(report: LinkReport) -> None:
    print_figures(_links_table(report))
