"""`firstsight evaluate recommend`: the quality of recommendations on held-out events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command
from firstsight.cli.evaluate.figures import figure, gap, print_figures
from firstsight.cli.output import Cell, print_json_lines, print_message, shown, writing

if TYPE_CHECKING:
    from firstsight import Database
    from firstsight.recommend.evaluation.exposure import Exposure, GroupExposure
    from firstsight.recommend.evaluation.next_item_evaluation import NextItemFigures, NextItemReport
    from firstsight.recommend.evaluation.recommender_evaluation import ModelFigures, ProtocolReport

EXAMPLES = [
    "evaluate recommend",
    "evaluate recommend --protocol item-cold --html page.html",
    "evaluate recommend --protocol user-cold --first 1,5,10 --model popularity --model blend --json",
    "evaluate recommend --protocol next --exposure seller",
    "evaluate recommend --protocol next --samples next_item.jsonl --repeats leave-out --json",
]
NOTE = (
    "Events come from firstsight events add. Models: random, popularity, mean profile, max similarity, ALS, EASE, "
    "blend, fixed weights (recommend before a fit), recommend; and, only if named since they train for minutes, tuned "
    "blend (cold-start fit --tune) and sequence. Every candidate is ranked for every user. A paired bootstrap over "
    "users tests whether two models differ. Exposure: the share of the first k places that new items, kinds, sellers "
    "and other groups get."
)


@dataclass(frozen=True)
class NextItemFlags:
    """Settings of the protocol next."""

    samples: Annotated[
        Path | None,
        panels.evaluation(
            "--samples",
            metavar="FILE",
            help='Samples of next items, for next: JSON Lines of {"split": "train", "user", "items": [oldest first]} '
            'and {"split": "valid" or "test", "user", "history": [...], "target"}. Models are fitted to train. By '
            "default samples come from the stored events, split by time.",
        ),
    ] = None
    repeats: Annotated[
        str,
        panels.evaluation(
            "--repeats",
            metavar="keep|leave-out",
            help="Items of the history, for next: keep them in the ranking, or leave them and their samples out.",
        ),
    ] = "keep"
    history: Annotated[
        int | None,
        panels.evaluation(
            "--history",
            metavar="N",
            help="Maximum events of a history, for next. By default 50, and all of those in --samples.",
        ),
    ] = None
    order_only: Annotated[
        bool,
        panels.evaluation(
            "--order-only",
            help="Hold out the last events of each user, for next. Needed if events have an order but no times.",
        ),
    ] = False

    def check(self, protocols: Sequence[str]) -> None:
        """Refuse settings of next if that protocol does not run."""
        if "next" in protocols:
            return
        for value, option in ((self.samples, "--samples"), (self.history, "--history"), (self.order_only, None)):
            if value:
                raise typer.BadParameter("is for --protocol next; add it", param_hint=option or "--order-only")


def register(app: typer.Typer) -> None:
    """Add this command to `firstsight evaluate`."""
    command(app, examples=EXAMPLES, note=NOTE)(recommend)


def recommend(
    *,
    protocol: Annotated[
        list[str] | None,
        panels.evaluation(
            "--protocol",
            metavar="NAME",
            help="Protocol: item-cold, user-cold, time or next (repeatable). By default next with --samples, else the "
            "first three.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        panels.evaluation(
            "--model", metavar="NAME", help="Model to measure (repeatable). By default all of those below."
        ),
    ] = None,
    k: Annotated[
        int,
        panels.evaluation(
            "-k", "--k", metavar="N", help="Ranks to measure, from the first. next measures 5, 10 and 20."
        ),
    ] = 20,
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
    next_flags: NextItemFlags,
    exposure: Annotated[
        list[str] | None,
        panels.evaluation(
            "--exposure",
            metavar="COLUMN",
            help="Column, fact or tag whose values share the places of rankings (repeatable). By default seller, "
            "language and category, if they exist. New items and kinds are always measured.",
        ),
    ] = None,
    html: options.Html = None,
    output: options.TableFlags,
    db: options.DatabaseFlags,
) -> None:
    """Measure recall, NDCG, coverage, novelty, popularity and exposure of each model on held-out events."""
    known = [part.strip() for part in first.split(",")]
    if not all(part.isdecimal() for part in known):
        raise typer.BadParameter(f"{first!r} is no list of whole numbers such as 1,5,10", param_hint="--first")
    protocols = protocol or (["next"] if next_flags.samples else [])
    next_flags.check(protocols)
    drawn = [name for name in dict.fromkeys(protocols) if name != "next"]
    if output.csv and drawn and "next" in protocols:
        raise typer.BadParameter("has other columns for next; run it without other protocols", param_hint="--csv")
    database = db.open()
    reports: list[ProtocolReport] = []
    if drawn or not protocols:
        reports = database.evaluation.recommend(
            protocols=drawn or None,
            models=model or (),
            k=k,
            seeds=seeds,
            share=share,
            first=sorted({int(part) for part in known}),
            exposure=exposure,
            on_progress=print_message,
        )
    next_report = None
    if "next" in protocols:
        next_report = _next_items(database, next_flags, models=model or (), k=k, exposure=exposure)
    if html is not None:
        with writing(html, "--html"):
            database.evaluation.write_recommend_page(html, [*reports, *filter(None, [next_report])])
        print_message(f"wrote {html}")
    if output.as_json:
        print_json_lines(report.to_dict() for report in reports)
        print_json_lines([] if next_report is None else next_report.to_dicts())
        return
    tables = [_table(report) for report in reports]
    if output.csv:
        tables += [] if next_report is None else [_next_table(next_report)]
        output.print_csv_tables(["protocol", "model"], tables)
        return
    for report, table in zip(reports, tables, strict=True):
        print_figures(table)
        print_message(f"{report.users:,} users, {report.candidates:,} candidates each, {report.cold:,} of them cold")
        _print_exposure(report.models)
    if next_report is not None:
        print_figures(_next_table(next_report))
        _print_samples(next_report)
        _print_exposure(next_report.models)


def _next_items(
    database: Database, flags: NextItemFlags, *, models: Sequence[str], k: int, exposure: Sequence[str] | None
) -> NextItemReport:
    if flags.repeats not in ("keep", "leave-out"):
        raise typer.BadParameter(f"{flags.repeats!r} is neither keep nor leave-out", param_hint="--repeats")
    if flags.samples is not None and flags.order_only:
        raise typer.BadParameter("cannot be used with --samples, which are split already", param_hint="--order-only")
    return database.evaluation.next_items(
        flags.samples,
        models=models,
        repeats="keep" if flags.repeats == "keep" else "leave-out",
        order_only=flags.order_only,
        history=flags.history,
        k=k,
        exposure=exposure,
        on_progress=print_message,
    )


def _table(report: ProtocolReport) -> options.NamedTable:
    heads = [f"recall@{report.k}", f"NDCG@{report.k}", "behind", "cold", "warm", "coverage", "novelty", "popular", "s"]
    rows = [
        (
            model.model,
            figure(model.mean("recall")),
            figure(model.mean("ndcg")),
            gap(model.against_best),
            figure(model.mean("recall_cold")),
            figure(model.mean("recall_warm")),
            figure(model.coverage),
            shown(model.mean("novelty"), ".1f"),
            figure(model.mean("popularity_share")),
            shown(model.seconds, ".1f"),
        )
        for model in report.models
    ]
    return report.name, heads, rows


def _next_table(report: NextItemReport) -> options.NamedTable:
    measured = ["hr@10", "ndcg@10", "hr@5", "ndcg@5", "hr@20", "ndcg@20", "warm_hr@10", "cold_hr@10"]
    names = [name.upper() for name in measured[:6]]
    heads = [names[0], "HR behind", names[1], "NDCG behind", *names[2:], "warm HR@10", "cold HR@10", "s"]
    rows = []
    for model in report.models:
        cells: list[Cell | str] = [figure(model.figures[name]) for name in measured]
        cells.insert(2, gap(model.behind_best.get("ndcg@10")))
        cells.insert(1, gap(model.behind_best.get("hr@10")))
        rows.append((model.model, *cells, shown(model.seconds, ".1f")))
    return report.name, heads, rows


def _print_samples(report: NextItemReport) -> None:
    print_message(report.about)
    print_message(
        f"{report.n:,} test samples of {report.users:,} users ({report.n_cold:,} with a cold target), "
        f"{report.validation:,} validation samples, {report.train_events:,} training events, "
        f"{report.candidates:,} candidates ({report.cold:,} of them cold)"
    )
    for reason, count in report.left_out.items():
        print_message(f"left out: {count:,} {reason}")


def _print_exposure(models: Sequence[ModelFigures] | Sequence[NextItemFigures]) -> None:
    """Print a table for each division of the items: a row for each group, a column for each model."""
    for place, first in enumerate(models[0].exposure):
        of_models = [model.exposure[place] for model in models]
        heads = ["items", "events", *(model.model for model in models)]
        rows = [
            (group.group, figure(group.catalogue_share), figure(group.event_share), *_shares(of_models, n))
            for n, group in enumerate(first.groups)
        ]
        print_figures((f"share of the first {first.k} by {first.by}", heads, rows))


def _shares(exposures: Sequence[Exposure], group: int) -> list[Cell]:
    return [_share(exposure.groups[group]) for exposure in exposures]


def _share(group: GroupExposure) -> Cell:
    return Cell(group.share, f"{group.share:.3f} ±{(group.high - group.low) / 2:.3f}")
