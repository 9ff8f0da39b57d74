"""`firstsight encoder`: the encoders that have vectors in a database, and switches between them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import print_json_lines, print_message, shown, wants_json, writing

if TYPE_CHECKING:
    from firstsight.api.encoders.encoder_sets import SwitchReport
    from firstsight.retrieval.evaluation.encoder_comparison import EncoderComparison

app = group("Compare encoders over one database, and switch between them.", examples=["encoder list"])

Force = Annotated[
    bool,
    panels.run("--force", help="Switch although items lack its vectors, or models in use belong to the other encoder."),
]


@command(app, "list", examples=["encoder list", "encoder list --json"])
def list_(*, output: options.TableFlags, db: options.DatabaseFlags) -> None:
    """List the encoders that have vectors here, and the number of items that each lacks."""
    states = db.open().encoders.list()
    if output.as_json:
        print_json_lines(state.to_dict() for state in states)
        return
    output.print_table(
        ["set", "encoder", "dim", "state", "items", "missing", "since"],
        [
            (
                *(state.number, state.encoder, state.dim, state.state, state.items, state.missing),
                shown(state.since, "%Y-%m-%d %H:%M"),
            )
            for state in states
        ],
        right=["set", "dim", "items", "missing"],
    )


@command(
    app,
    examples=[
        "encoder compare",
        "encoder compare --queries queries.txt --html page.html",
        "encoder compare --judgements judged.csv -k 20 --json",
    ],
)
def compare(
    encoder: Annotated[
        str | None, typer.Argument(metavar="[ENCODER]", help="Its name or set. By default the one not in force.")
    ] = None,
    *,
    queries: Annotated[
        Path | None,
        panels.evaluation(
            "--queries",
            metavar="FILE",
            help="File of queries, one text or JSON object a line. By default frequent searches of the events, "
            "else titles.",
        ),
    ] = None,
    judgements: Annotated[
        Path | None,
        panels.evaluation(
            "--judgements", metavar="FILE", help="File of judgements, as for firstsight evaluate search."
        ),
    ] = None,
    mode: Annotated[
        str, panels.evaluation("--mode", metavar="MODE", help="Search mode: vector, words or hybrid.")
    ] = "vector",
    k: options.Depth = 10,
    count: Annotated[
        int, panels.evaluation("--count", metavar="N", help="Maximum number of logged or generated queries.")
    ] = 100,
    seed: Annotated[int, panels.evaluation("--seed", metavar="N", help="Random seed for generated queries.")] = 0,
    html: options.Html = None,
    output: options.TableFlags,
    db: options.DatabaseFlags,
) -> None:
    """Search for the same queries on the vectors of both encoders, and show what a switch would change."""
    encoders = db.open().encoders
    comparison = encoders.compare(
        encoder, queries=queries, judgements=judgements, k=k, mode=mode, count=count, seed=seed
    )
    if html is not None:
        with writing(html, "--html"):
            encoders.write_comparison_page(html, comparison)
        print_message(f"wrote {html}")
    if output.as_json:
        print_json_lines([comparison.to_dict()])
        return
    _print_comparison(comparison, output)


@command(app, examples=["encoder switch", "encoder switch starter:tuned --db shop-db", "encoder switch --force"])
def switch(
    encoder: Annotated[
        str | None, typer.Argument(metavar="[ENCODER]", help="Its name or set. By default the one not in force.")
    ] = None,
    *,
    force: Force = False,
    json: options.Json = False,
    db: options.WriterFlags,
) -> None:
    """Put the other encoder in force, in one commit: open databases and services follow at their next search.

    It is refused while items lack its vectors, or while models in use were fitted to the vectors in force.
    """
    _print(db.open().encoders.switch(encoder, force=force, wait_s=db.wait), json)


@command(app, examples=["encoder rollback", "encoder rollback --db shop-db"])
def rollback(*, force: Force = False, json: options.Json = False, db: options.WriterFlags) -> None:
    """Put the encoder before the last switch in force again; nothing written since is lost."""
    _print(db.open().encoders.rollback(force=force, wait_s=db.wait), json)


@command(app, examples=["encoder drop starter", "encoder drop 0 --force"])
def drop(
    encoder: Annotated[str, typer.Argument(metavar="ENCODER", help="Its name, or the number of its set.")],
    *,
    force: Annotated[bool, panels.run("--force", help="Drop it within 24 hours after it was in force, too.")] = False,
    json: options.Json = False,
    db: options.WriterFlags,
) -> None:
    """Drop the vectors of an encoder that is not in force. A rollback to it is impossible from then on."""
    dropped = db.open().encoders.drop(encoder, force=force, wait_s=db.wait)
    if wants_json(json):
        print_json_lines([dropped.to_dict()])
    else:
        print_message(f"dropped the vectors of {dropped.encoder} for {dropped.items:,} items")


def _print_comparison(comparison: EncoderComparison, output: options.TableFlags) -> None:
    measures = ("ndcg", "rr", "recall", "p") if comparison.measures else ()
    headings = [f"{name}@{comparison.k}" for name in ("NDCG", "RR", "recall", "P")] if measures else []
    names = {"before": comparison.before, "after": comparison.after}
    output.print_table(
        ["encoder", *headings, "p50 ms", "p95 ms"],
        [
            (
                name,
                *(shown(comparison.measures[side][measure], ".3f") for measure in measures),
                *(shown(comparison.latency_ms[side][rank], ".1f") for rank in ("p50", "p95")),
            )
            for side, name in names.items()
        ],
        right=[*headings, "p50 ms", "p95 ms"],
    )
    print_message(
        f"{len(comparison.compared)} queries ({comparison.source}): {comparison.overlap:.0%} of the first "
        f"{comparison.k} results are the same, {comparison.same_first:.0%} have the same first result"
    )
    if (difference := comparison.difference) is not None:
        verdict = "they differ" if difference.p < 0.05 else "may be chance"
        print_message(
            f"NDCG: {names[difference.better]} is better by {difference.difference:.3f}, p {difference.p:.4f}, "
            f"{verdict}"
        )
    for note in comparison.notes:
        print_message(note)
    for query in comparison.worst(5):
        print_message(f"changes most: {query.name} ({query.overlap:.0%} in both)")


def _print(report: SwitchReport, json: bool) -> None:
    if wants_json(json):
        print_json_lines([report.to_dict()])
    print_message(f"{report.db}: {report.after} is in force instead of {report.before}")
    if report.missing:
        print_message(f"{report.missing:,} items lack its vectors, until the next firstsight index encodes them")
    for model in report.unusable:
        print_message(f"fit again: {model.describe()}")
