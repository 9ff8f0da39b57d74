"""`firstsight evaluate search`: the quality of search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command
from firstsight.cli.evaluate.figures import print_figures
from firstsight.cli.output import print_json_lines, print_message, shown, writing

if TYPE_CHECKING:
    from firstsight.retrieval.evaluation.search_evaluation import SearchTask

SEARCH_EXAMPLES = [
    "evaluate search",
    "evaluate search --judgements judged.csv --html page.html",
    "evaluate search --judgements judged.jsonl --mode vector --mode words --mode hybrid",
    "evaluate search --group-by brand,category --queries 500 --json",
]
SEARCH_NOTE = (
    "Judgements have the columns query (or image, a path), item_id and grade (0 for an item that does not answer the "
    "query). Without judgements, queries are generated from the catalogue. This is a smoke test of the encoder; it "
    "does not show how well search works for users."
)


def register(app: typer.Typer) -> None:
    """Add this command to `firstsight evaluate`."""
    command(app, examples=SEARCH_EXAMPLES, note=SEARCH_NOTE)(search)


def search(
    *,
    judgements: Annotated[
        Path | None,
        panels.evaluation(
            "--judgements",
            metavar="FILE",
            help="File of judgements: CSV, TSV, JSON Lines or Parquet. By default queries are generated.",
        ),
    ] = None,
    mode: Annotated[
        list[str] | None,
        panels.evaluation(
            "--mode",
            metavar="MODE",
            help="Search mode to measure: vector, words or hybrid (repeatable, for a comparison). By default all.",
        ),
    ] = None,
    k: options.Depth = 10,
    queries: Annotated[
        int, panels.evaluation("--queries", metavar="N", help="Maximum generated queries of each task.")
    ] = 200,
    seed: Annotated[int, panels.evaluation("--seed", metavar="N", help="Random seed for generated queries.")] = 0,
    group_by: Annotated[
        str | None,
        panels.evaluation(
            "--group-by",
            metavar="COLUMN,…",
            help="Columns whose values become generated queries for groups of items. By default color,category.",
        ),
    ] = None,
    html: options.Html = None,
    output: options.TableFlags,
    allow_private: options.AllowPrivate = False,
    encoder: options.EncoderFlags,
    db: options.DatabaseFlags,
) -> None:
    """Measure NDCG, reciprocal rank, recall and precision of each search mode, and test whether modes differ."""
    columns = None if group_by is None else [name.strip() for name in group_by.split(",") if name.strip()]
    database = db.open(encoder, allow_private=allow_private)
    tasks = database.evaluation.search(
        judgements, k=k, modes=mode or ("vector", "words", "hybrid"), queries=queries, seed=seed, group_by=columns
    )
    if html is not None:
        with writing(html, "--html"):
            database.evaluation.write_search_page(html, tasks)
        print_message(f"wrote {html}")
    if output.as_json:
        print_json_lines(task.to_dict() for task in tasks)
        return
    if output.csv:
        output.print_csv_tables(["task", "mode"], [_search_table(task) for task in tasks])
        return
    for task in tasks:
        _print(task)
    if judgements is None:
        print_message("queries were generated from the catalogue: a smoke test; use --judgements to measure quality")


def _search_table(task: SearchTask) -> options.NamedTable:
    rows: list[tuple[object, ...]] = [
        (report.mode, *(shown(value, ".3f") for value in report.means.values()), len(report.outcomes))
        for report in task.modes
    ]
    if task.chance is not None:
        rows.append(("random order", "", "", shown(task.chance, ".3f"), "", ""))
    heads = [f"{name}@{task.k}" for name in ("NDCG", "RR", "recall", "P")]
    return task.name, [*heads, "queries"], rows


def _print(task: SearchTask) -> None:
    print_figures(_search_table(task))
    for pair in task.comparisons:
        verdict = "they differ" if pair.p_holm < 0.05 else "may be chance"
        print_message(f"{pair.better} over {pair.worse}: NDCG {pair.difference:+.3f}, p {pair.p_holm:.4f}, {verdict}")
    for note in task.notes:
        print_message(note)
