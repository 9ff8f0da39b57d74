"""`firstsight evaluate`: how well search ranks, how well items are recommended, and what stands beside an item."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options
from firstsight.cli.output import print_json_lines, print_table, tell, wants_json, writing

if TYPE_CHECKING:
    from firstsight.recommend.evaluation import ProtocolReport
    from firstsight.recommend.links import LinkReport
    from firstsight.recommend.measures import Difference
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
    """Measure how well search ranks, and how well items are recommended."""


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
        with writing(html, "--html"):
            write_evaluation(html, tasks, store, policy=policy)
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


RECOMMEND_EPILOG = """
[bold]Examples[/bold]

firstsight evaluate recommend

firstsight evaluate recommend --protocol item-cold --html page.html

firstsight evaluate recommend --protocol user-cold --first 1,5,10 --model popularity --model blend --json

The events are those of firstsight events add. Models: random, popularity, mean profile, max similarity, ALS, EASE,
blend, interests. Every candidate is ranked for every user; whether two models differ is a paired bootstrap over users.
"""

LINKS_EPILOG = """
[bold]Examples[/bold]

firstsight evaluate links links.csv

firstsight evaluate links links.csv --column parent -k 20

A file has the columns from and to (or item_id and linked_item_id, or parent and linked_parent), and optionally kind:
CSV, TSV, JSON Lines or Parquet.
"""


@app.command("recommend", epilog=RECOMMEND_EPILOG)
def recommend(
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol",
            metavar="NAME",
            help="item-cold, user-cold or time; may be given again. All by default.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", metavar="NAME", help="May be given again; all of those below by default.", show_default=False
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="Depth of the measures.")] = 20,
    seeds: Annotated[int, typer.Option("--seeds", help="Draws of the held-out items and users.")] = 3,
    share: Annotated[float, typer.Option("--share", help="Of items, users or events, held out.")] = 0.2,
    first: Annotated[
        str, typer.Option("--first", metavar="N,…", help="Events known of each held-out user, under user-cold.")
    ] = "1,5,10",
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page with tables and plots.", show_default=False),
    ] = None,
    db: options.Db = None,
    json: options.Json = False,
) -> None:
    """Recall, NDCG, coverage, novelty and popularity, model by model, on the events that are held out."""
    import firstsight
    from firstsight.recommend.evaluation import PROTOCOLS
    from firstsight.recommend.evaluation_page import write_page

    known = [part.strip() for part in first.split(",")]
    if not all(part.isdecimal() for part in known):
        raise typer.BadParameter(f"{first!r} is no list of whole numbers such as 1,5,10", param_hint="--first")
    database = firstsight.open(db)
    reports = database.evaluate_recommend(
        protocols=protocol or PROTOCOLS,
        models=model or (),
        k=k,
        seeds=seeds,
        share=share,
        first=sorted({int(part) for part in known}),
        on_progress=tell,
    )
    if html is not None:
        with writing(html, "--html"):
            write_page(html, reports, database.uri)
        tell(f"wrote {html}")
    if wants_json(json):
        print_json_lines(report.as_dict() for report in reports)
        return
    for report in reports:
        _print_recommend(report)


@app.command("links", epilog=LINKS_EPILOG)
def links(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Links between items: CSV, TSV, JSON Lines or Parquet.")],
    column: Annotated[
        str | None,
        typer.Option(
            "--column",
            metavar="NAME",
            help="The catalogue's column that the links name, such as parent; item ids by default.",
            show_default=False,
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="Depth of the measures.")] = 10,
    db: options.Db = None,
    json: options.Json = False,
) -> None:
    """How many of the items that people have linked (related, upsell, …) are among the nearest."""
    import firstsight

    reports, read = firstsight.open(db).evaluate_links(file, column=column, k=k)
    if read.unknown:
        tell(f"{read.unknown} of {read.rows} links are left out: an end is not in the database, or both are the same")
    if wants_json(json):
        print_json_lines(report.as_dict() for report in reports)
        return
    for report in reports:
        _print_links(report)


def _print_recommend(report: ProtocolReport) -> None:
    heads = [f"recall@{report.k}", f"NDCG@{report.k}", "behind", "cold", "warm", "coverage", "novelty", "popular", "s"]
    print_table(
        [report.name, *heads],
        [
            (
                one.model,
                _figure(one.mean("recall")),
                _figure(one.mean("ndcg")),
                _behind(one.against_best),
                _figure(one.mean("recall_cold")),
                _figure(one.mean("recall_warm")),
                _figure(one.coverage),
                f"{one.mean('novelty'):.1f}",
                _figure(one.mean("popularity_share")),
                f"{one.seconds:.1f}",
            )
            for one in report.models
        ],
        right=heads,
    )
    tell(f"{report.users:,} users, {report.candidates:,} candidates each, {report.cold:,} of them cold")


def _print_links(report: LinkReport) -> None:
    heads = [f"recall@{report.k}", f"NDCG@{report.k}", "behind"]
    print_table(
        [f"{report.kind}, {report.queries} queries", *heads],
        [(one.model, _figure(one.recall), _figure(one.ndcg), _behind(one.behind_best)) for one in report.models],
        right=heads,
    )


def _figure(value: float) -> str:
    return "" if value != value else f"{value:.3f}"  # NaN: there is none


def _behind(behind: Difference | None) -> str:
    if behind is None:
        return ""
    return f"{behind.mean:.3f} ({behind.low:.3f} to {behind.high:.3f})"
