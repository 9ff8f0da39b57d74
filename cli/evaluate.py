"""`firstsight evaluate`: how well search ranks, by judgements or by the catalogue itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options
from firstsight.cli.output import print_json_lines, print_table, tell, wants_json

if TYPE_CHECKING:
    from firstsight.retrieval.evaluation import Task

EPILOG = """
[bold]Examples[/bold]

firstsight evaluate search

firstsight evaluate search --judgements judged.csv --html page.html

firstsight evaluate search --judgements judged.jsonl --mode vector --mode words --mode hybrid

firstsight evaluate search --group-by brand,category --queries 500 --json

Judgements have the columns query (or image, a path), item_id and grade, 0 for an item that does not answer the query.
Without them the queries come from the catalogue itself: a smoke test of the encoder, which cannot say how well search
serves the people who use it.
"""

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)


@app.callback()
def evaluate() -> None:
    """Measure how well search ranks."""


@app.command("search", epilog=EPILOG)
def search(
    judgements: Annotated[
        Path | None,
        typer.Option("--judgements", metavar="FILE", help="CSV, TSV, JSON Lines or Parquet.", show_default=False),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="Depth of the measures.")] = 10,
    mode: Annotated[
        list[str] | None,
        typer.Option(
            "--mode",
            metavar="MODE",
            help="vector, words or hybrid; may be given again, and then they are compared. All by default.",
            show_default=False,
        ),
    ] = None,
    queries: Annotated[int, typer.Option("--queries", help="Most queries of a task, without judgements.")] = 200,
    seed: Annotated[int, typer.Option("--seed", help="What draws the queries, without judgements.")] = 0,
    group_by: Annotated[
        str | None,
        typer.Option(
            "--group-by",
            metavar="COLUMN,…",
            help="Columns whose words name a group of items; color and category by default.",
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page with the worst queries.", show_default=False),
    ] = None,
    db: options.Db = None,
    encoder: options.Encoder = None,
    runtime: options.Runtime = "auto",
    device: options.Device = None,
    trust_remote_code: options.TrustRemoteCode = False,
    allow_private: options.AllowPrivate = False,
    json: options.Json = False,
) -> None:
    """NDCG, reciprocal rank, recall and precision at k, mode by mode, and whether the modes differ."""
    import firstsight
    from firstsight.retrieval.evaluation_report import write_evaluation

    policy = firstsight.MediaPolicy(allow_private=allow_private)
    how = options.encoder_options(runtime, device, trust_remote_code)
    database = firstsight.open(db, encoder=encoder, encoder_options=how, policy=policy)
    columns = None if group_by is None else [name.strip() for name in group_by.split(",") if name.strip()]
    tasks, store = database.evaluate(
        judgements, k=k, modes=mode or ("vector", "words", "hybrid"), queries=queries, seed=seed, group_by=columns
    )
    if html is not None:
        try:
            write_evaluation(html, tasks, store, policy=policy)
        except OSError as error:
            raise typer.BadParameter(f"{html} cannot be written ({error.strerror})", param_hint="--html") from None
        tell(f"wrote {html}")
    if wants_json(json):
        print_json_lines(task.as_dict() for task in tasks)
        return
    for task in tasks:
        _print(task)
    if judgements is None:
        tell("made from the catalogue itself: a smoke test; only judgements say how well search serves people")


def _print(task: Task) -> None:
    rows: list[tuple[object, ...]] = [
        (report.mode, *(f"{value:.3f}" for value in report.means.values()), len(report.outcomes))
        for report in task.modes
    ]
    if task.chance is not None:
        rows.append(("random order", "", "", f"{task.chance:.3f}", "", ""))
    heads = [f"{name}@{task.k}" for name in ("NDCG", "RR", "recall", "P")]
    print_table([task.name, *heads, "queries"], rows, right=[*heads, "queries"])
    for pair in task.comparisons:
        verdict = "they differ" if pair.p_holm < 0.05 else "it may be chance"
        tell(f"{pair.better} over {pair.worse}: NDCG {pair.difference:+.3f}, p {pair.p_holm:.4f}, {verdict}")
    for note in task.notes:
        tell(note)
