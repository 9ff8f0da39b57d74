"""`firstsight rerank`: train rerankers from judgements or events, and choose which one to use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import print_json_lines, print_message, shown

if TYPE_CHECKING:
    from firstsight.retrieval.reranker_store import RerankerVersion

EXAMPLES = [
    "rerank fit --judgements judged.csv",
    "rerank fit --events clicks.jsonl --mode vector --column price --column sales",
    "rerank list",
    "rerank use",
    "rerank drop",
]

NOTE = """
Judgements have the columns query, item_id and grade (0 for an item that does not answer the query). Events have query,
item_id and event (impression, click, like, add_to_cart, purchase) or weight, a whole number. Files are CSV, TSV, JSON
Lines or Parquet. Training needs LightGBM: pip install 'firstsight[rerank]'
""".strip().replace("\n", " ")

app = group("Train rerankers, and use one only if held-out queries show that it helps.", examples=EXAMPLES, note=NOTE)


@command(
    app, examples=["rerank fit --judgements judged.csv", "rerank fit --events clicks.jsonl --column price"], note=NOTE
)
def fit(
    *,
    judgements: Annotated[
        Path | None,
        panels.training("--judgements", metavar="FILE", help="File with the columns query, item_id and grade."),
    ] = None,
    events: Annotated[
        Path | None,
        panels.training("--events", metavar="FILE", help="File with the columns query, item_id, and event or weight."),
    ] = None,
    column: Annotated[
        list[str] | None,
        panels.training(
            "--column",
            metavar="NAME",
            help="Number or flag column of the catalogue to learn from (repeatable). By default all of them.",
        ),
    ] = None,
    mode: Annotated[
        str, panels.training("--mode", metavar="MODE", help="Search mode to rerank: hybrid, vector or words.")
    ] = "hybrid",
    output: options.TableFlags,
    encoder: options.EncoderFlags,
    db: options.DatabaseFlags,
) -> None:
    """Train a new version and measure it on held-out queries. Use it with firstsight rerank use."""
    made = db.open(encoder).rerankers.fit(
        judgements=judgements, events=events, columns=column, mode=mode, on_progress=print_message
    )
    if output.as_json:
        print_json_lines([made.to_dict()])
    else:
        _print([made], output)


@command(app, "list", examples=["rerank list --json"], old_names=["status"])
def list_(*, output: options.TableFlags, db: options.DatabaseFlags) -> None:
    """List all versions with their held-out figures, and which are in use."""
    versions = db.open().rerankers.versions()
    if output.as_json:
        print_json_lines(version.to_dict() for version in versions)
    else:
        _print(versions, output)


@command(app, examples=["rerank use", "rerank use 3"], old_names=["promote"])
def use(
    *,
    version: Annotated[
        int | None, typer.Argument(metavar="VERSION", help="Version number. By default the newest.")
    ] = None,
    db: options.DatabaseFlags,
) -> None:
    """Use a version for searches of its mode. Fails, with the figures, if it does not help on held-out queries."""
    used = db.open().rerankers.promote(version)
    print_message(f"reranker {used.version} now orders the results of mode {used.mode}")


@command(app, examples=["rerank drop", "rerank drop 3"])
def drop(
    *,
    version: Annotated[
        int | None, typer.Argument(metavar="VERSION", help="Version number. By default all in use.")
    ] = None,
    db: options.DatabaseFlags,
) -> None:
    """Stop using a version, or all. They are kept, and firstsight rerank use brings one back."""
    dropped = db.open().rerankers.drop(version)
    named = ", ".join(f"reranker {reranker.version}" for reranker in dropped)
    print_message(f"{named}: no longer in use" if dropped else "no reranker was in use")


def _print(versions: list[RerankerVersion], output: options.TableFlags) -> None:
    numbers = ["version", "queries", "NDCG@10 without", "with", "p"]
    output.print_table(
        ["version", "fitted", "mode", "in use", *numbers[1:], "columns"],
        [
            (
                version.version,
                shown(version.fitted_at, "%Y-%m-%d %H:%M"),
                version.mode,
                "yes" if version.promoted else "",
                version.figures["queries"],
                shown(version.figures["ndcg_before"], ".4f"),
                shown(version.figures["ndcg_after"], ".4f"),
                shown(version.figures["p"], ".4f"),
                ", ".join(version.columns),
            )
            for version in versions
        ],
        right=numbers,
        empty="there are no rerankers; results keep the search order",
    )
