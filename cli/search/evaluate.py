"""`firstsight evaluate`: measure search and recommendation quality."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import Cell, print_json_lines, print_message, print_table, shown, writing
from firstsight.cli.search.evaluate_slates import SLATES_EXAMPLES, SLATES_NOTE, slates

if TYPE_CHECKING:
    from firstsight.recommend.evaluation.link_evaluation import LinkReport
    from firstsight.recommend.evaluation.measures import Difference
    from firstsight.recommend.evaluation.recommender_evaluation import ProtocolReport
    from firstsight.retrieval.evaluation.search_evaluation import SearchTask

app = group(
    "Measure how well search and recommendation rank items.",
    examples=[
        "evaluate search --judgements judged.csv --html page.html",
        "evaluate recommend --protocol item-cold",
        "evaluate slates --diversity 0.3",
        "evaluate links links.csv",
    ],
)

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

RECOMMEND_EXAMPLES = [
    "evaluate recommend",
    "evaluate recommend --protocol item-cold --html page.html",
    "evaluate recommend --protocol user-cold --first 1,5,10 --model popularity --model blend --json",
]
RECOMMEND_NOTE = (
    "Events come from firstsight events add. Models: random, popularity, mean profile, max similarity, ALS, EASE, "
    "blend, interests. Every candidate is ranked for every user. A paired bootstrap over users tests whether "
    "two models differ."
)

LINKS_EXAMPLES = ["evaluate links links.csv", "evaluate links links.csv --column parent -k 20"]
LINKS_NOTE = (
    "The file has the columns from and to (or item_id and linked_item_id, or parent and linked_parent), and optionally "
    "kind: CSV, TSV, JSON Lines or Parquet."
)

Depth = Annotated[int, panels.evaluation("-k", "--k", metavar="N", help="Ranks to measure, from the first.")]
Html = Annotated[Path | None, panels.output("--html", metavar="FILE", help="HTML page with the results to write.")]


@command(app, examples=SEARCH_EXAMPLES, note=SEARCH_NOTE)
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
    k: Depth = 10,
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
    html: Html = None,
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


@command(app, examples=RECOMMEND_EXAMPLES, note=RECOMMEND_NOTE)
def recommend(
    *,
    protocol: Annotated[
        list[str] | None,
        panels.evaluation(
            "--protocol", metavar="NAME", help="Protocol: item-cold, user-cold or time (repeatable). By default all."
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        panels.evaluation(
            "--model", metavar="NAME", help="Model to measure (repeatable). By default all of those below."
        ),
    ] = None,
    k: Depth = 20,
    seeds: Annotated[
        int, panels.evaluation("--seeds", metavar="N", help="Random splits into training and held-out data.")
    ] = 3,
    share: Annotated[
        float,
        panels.evaluation("--share", metavar="SHARE", help="Share of items, users or events to hold out, 0 to 1."),
    ] = 0.2,
    first: Annotated[
        str, panels.evaluation("--first", metavar="N,…", help="Known events of each held-out user, for user-cold.")
    ] = "1,5,10",
    html: Html = None,
    output: options.TableFlags,
    db: options.DatabaseFlags,
) -> None:
    """Measure recall, NDCG, coverage, novelty and popularity of each model on held-out events."""
    from firstsight.recommend.evaluation.recommender_evaluation import PROTOCOLS

    known = [part.strip() for part in first.split(",")]
    if not all(part.isdecimal() for part in known):
        raise typer.BadParameter(f"{first!r} is no list of whole numbers such as 1,5,10", param_hint="--first")
    database = db.open()
    reports = database.evaluation.recommend(
        protocols=protocol or PROTOCOLS,
        models=model or (),
        k=k,
        seeds=seeds,
        share=share,
        first=sorted({int(part) for part in known}),
        on_progress=print_message,
    )
    if html is not None:
        with writing(html, "--html"):
            database.evaluation.write_recommend_page(html, reports)
        print_message(f"wrote {html}")
    if output.as_json:
        print_json_lines(report.to_dict() for report in reports)
        return
    if output.csv:
        output.print_csv_tables(["protocol", "model"], [_recommend_table(report) for report in reports])
        return
    for report in reports:
        _print_recommend(report)


@command(app, examples=LINKS_EXAMPLES, note=LINKS_NOTE)
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
    k: Depth = 10,
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


command(app, examples=SLATES_EXAMPLES, note=SLATES_NOTE)(slates)


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
    _print_table(_search_table(task))
    for pair in task.comparisons:
        verdict = "they differ" if pair.p_holm < 0.05 else "may be chance"
        print_message(f"{pair.better} over {pair.worse}: NDCG {pair.difference:+.3f}, p {pair.p_holm:.4f}, {verdict}")
    for note in task.notes:
        print_message(note)


def _recommend_table(report: ProtocolReport) -> options.NamedTable:
    heads = [f"recall@{report.k}", f"NDCG@{report.k}", "behind", "cold", "warm", "coverage", "novelty", "popular", "s"]
    rows = [
        (
            model.model,
            _figure(model.mean("recall")),
            _figure(model.mean("ndcg")),
            _behind(model.against_best),
            _figure(model.mean("recall_cold")),
            _figure(model.mean("recall_warm")),
            _figure(model.coverage),
            shown(model.mean("novelty"), ".1f"),
            _figure(model.mean("popularity_share")),
            shown(model.seconds, ".1f"),
        )
        for model in report.models
    ]
    return report.name, heads, rows


def _print_recommend(report: ProtocolReport) -> None:
    _print_table(_recommend_table(report))
    print_message(f"{report.users:,} users, {report.candidates:,} candidates each, {report.cold:,} of them cold")


def _links_table(report: LinkReport) -> options.NamedTable:
    heads = [f"recall@{report.k}", f"NDCG@{report.k}", "behind"]
    rows = [
        (model.model, _figure(model.recall), _figure(model.ndcg), _behind(model.behind_best)) for model in report.models
    ]
    return f"{report.kind}, {report.queries} queries", heads, rows


def _print_links(report: LinkReport) -> None:
    _print_table(_links_table(report))


def _print_table(table: options.NamedTable) -> None:
    name, heads, rows = table
    print_table([name, *heads], rows, right=heads)


def _figure(value: float) -> Cell:
    return shown(None if value != value else value, ".3f")  # NaN: not measured


def _behind(behind: Difference | None) -> str:
    if behind is None:
        return ""
    return f"{behind.mean:.3f} ({behind.low:.3f} to {behind.high:.3f})"
