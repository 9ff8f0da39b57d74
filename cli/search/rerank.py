"""`firstsight rerank`: learn an order of results from judgements or events, and use it only where it helps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options
from firstsight.cli.output import print_json_lines, print_table, tell, wants_json

if TYPE_CHECKING:
    from firstsight.retrieval.rerank_store import RerankerVersion

EPILOG = """
[bold]Examples[/bold]

firstsight rerank fit --judgements judged.csv

firstsight rerank fit --events clicks.jsonl --mode vector --column price --column sales

firstsight rerank status

firstsight rerank promote

firstsight rerank drop

Judgements have the columns query, item_id and grade (0 for an item that does not answer the query); events have query,
item_id and event (impression, click, like, add_to_cart, purchase) or weight, a whole number. CSV, TSV, JSON Lines or
Parquet. LightGBM learns: pip install 'firstsight\\[rerank]'
"""

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True, epilog=EPILOG)

_EXAMPLE_FIT = "Examples: firstsight rerank fit --judgements judged.csv · firstsight rerank fit --events clicks.jsonl"


@app.callback()
def rerank() -> None:
    """Learn an order of results; used only where held-out queries show that it helps."""


@app.command("fit", epilog=_EXAMPLE_FIT)
def fit(
    judgements: Annotated[
        Path | None,
        typer.Option("--judgements", metavar="FILE", help="Rows of query, item_id and grade.", show_default=False),
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option(
            "--events", metavar="FILE", help="Rows of query, item_id and event, or weight.", show_default=False
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="NAME",
            help="A number or flag of the catalogue to learn from; may be given again. By default all of them.",
            show_default=False,
        ),
    ] = None,
    mode: Annotated[
        str, typer.Option("--mode", metavar="MODE", help="The searches that are reranked: hybrid, vector or words.")
    ] = "hybrid",
    db: options.Db = None,
    encoder: options.Encoder = None,
    runtime: options.Runtime = "auto",
    device: options.Device = None,
    trust_remote_code: options.TrustRemoteCode = False,
    json: options.Json = False,
) -> None:
    """Fit a version and measure it on held-out queries. Searches use it once it is promoted."""
    import firstsight

    how = options.encoder_options(runtime, device, trust_remote_code)
    database = firstsight.open(db, encoder=encoder, encoder_options=how)
    made = database.fit_reranker(judgements=judgements, events=events, columns=column, mode=mode, on_progress=tell)
    if wants_json(json):
        print_json_lines([made.as_dict()])
    else:
        _print([made])


@app.command("status", epilog="Example: firstsight rerank status --json")
def status(db: options.Db = None, json: options.Json = False) -> None:
    """List the versions with their held-out figures, and which are in use."""
    import firstsight

    versions = firstsight.open(db).rerankers()
    if wants_json(json):
        print_json_lines(version.as_dict() for version in versions)
    elif versions:
        _print(versions)
    else:
        tell("no reranker has been fitted: results come in the search's own order")


@app.command("promote", epilog="Examples: firstsight rerank promote · firstsight rerank promote 3")
def promote(
    version: Annotated[
        int | None, typer.Argument(metavar="[VERSION]", help="The newest by default.", show_default=False)
    ] = None,
    db: options.Db = None,
) -> None:
    """Use a version in searches of its mode, if held-out queries show that it helps; else refuse, with the figures."""
    import firstsight

    used = firstsight.open(db).promote_reranker(version)
    tell(f"reranker {used.version} orders the results of mode {used.mode} from now on")


@app.command("drop", epilog="Examples: firstsight rerank drop · firstsight rerank drop 3")
def drop(
    version: Annotated[
        int | None, typer.Argument(metavar="[VERSION]", help="All by default.", show_default=False)
    ] = None,
    db: options.Db = None,
) -> None:
    """Use a version no more, or none of them; all are kept and can be promoted again."""
    import firstsight

    dropped = firstsight.open(db).drop_reranker(version)
    named = ", ".join(f"reranker {one.version}" for one in dropped)
    tell(f"{named}: no longer in use" if dropped else "none was in use")


def _print(versions: list[RerankerVersion]) -> None:
    numbers = ["version", "queries", "NDCG@10 without", "with", "p"]
    print_table(
        ["version", "fitted", "mode", "in use", *numbers[1:], "columns"],
        [
            (
                version.version,
                f"{version.fitted_at:%Y-%m-%d %H:%M}",
                version.mode,
                "yes" if version.promoted else "",
                version.figures["queries"],
                f"{version.figures['ndcg_before']:.4f}",
                f"{version.figures['ndcg_after']:.4f}",
                f"{version.figures['p']:.4f}",
                ", ".join(version.columns),
            )
            for version in versions
        ],
        right=numbers,
    )
