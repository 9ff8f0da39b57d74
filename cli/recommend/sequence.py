"""`firstsight sequence`: train models of what comes next, and write vectors of users and items."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import print_json_lines, print_message, shown, wants_json, writing
from firstsight.cli.progress import RowProgress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstsight.recommend.ranking.ranking_store import RankingVersion
    from firstsight.recommend.sequence.sequence_store import SequenceVersion

app = group(
    "Train models that read the order of events, and write vectors of users and items.",
    examples=[
        "sequence fit",
        "sequence list",
        "sequence use 2",
        "sequence project",
        "sequence export-users users.parquet",
    ],
    note="Add events first, with firstsight events add. Training uses a GPU if there is one.",
)


@command(
    app,
    examples=[
        "sequence fit",
        "sequence fit --fresh --layers 3 --width 128",
        "sequence fit --from-version 2 --keep",
        "sequence fit --checkpoint /data/training",
    ],
)
def fit(
    *,
    fresh: Annotated[
        bool, panels.training("--fresh", help="Start from random weights, not from the version in use.")
    ] = False,
    from_version: Annotated[
        int | None,
        panels.training(
            "--from-version", metavar="N", help="Version to start from. By default the one in use, if its shape fits."
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        panels.training(
            "--checkpoint",
            metavar="FOLDER",
            help="Folder for the state of the training; a run that was killed continues from it. By default "
            "sequence-training in the database's folder.",
        ),
    ] = None,
    keep: Annotated[bool, panels.training("--keep", help="Keep using the current model, to compare first.")] = False,
    layers: Annotated[int | None, panels.training("--layers", metavar="N", help="Layers, by default 2.")] = None,
    width: Annotated[
        int | None, panels.training("--width", metavar="N", help="Numbers in each vector, by default 64.")
    ] = None,
    events: Annotated[
        int | None,
        panels.training("--events", metavar="N", help="Newest events and searches that are read, by default 50."),
    ] = None,
    ids: Annotated[
        bool | None,
        panels.training("--ids/--no-ids", help="Learn a vector for each item with events; it overfits small logs."),
    ] = None,
    epochs: Annotated[
        int | None, panels.training("--epochs", metavar="N", help="Maximum number of epochs, by default 100.")
    ] = None,
    learning_rate: Annotated[
        float | None, panels.training("--learning-rate", metavar="R", help="Of AdamW, by default 0.003.")
    ] = None,
    seed: Annotated[int | None, panels.training("--seed", metavar="N", help="Random seed, by default 0.")] = None,
    quiet: options.Quiet = False,
    output: options.TableFlags,
    db: options.DatabaseFlags,
) -> None:
    """Train a new version on all events, and use it if held-out events say that it improves rankings.

    Training starts from the version in use, which suits daily updates. For several processes:
    torchrun --nproc-per-node 4 -m firstsight sequence fit
    """
    from firstsight.recommend.sequence.sequence_settings import SequenceSettings

    given = {
        "layers": layers,
        "width": width,
        "events": events,
        "ids": ids,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    opened = db.open()
    made = opened.sequence.fit(
        settings=SequenceSettings(**chosen) if chosen else None,  # type: ignore[arg-type]
        from_version=from_version,
        fresh=fresh,
        checkpoint=checkpoint,
        use=False if keep else None,
        on_progress=(lambda line: None) if quiet else print_message,
    )
    if os.environ.get("RANK", "0") != "0":  # of the processes of torchrun, the first one reports
        return
    if output.as_json:
        print_json_lines([made.to_dict()])
    else:
        _print([made], output)
    if not made.in_use and not keep:
        print_message(
            f"sequence model {made.version} is stored but not in use: it does not improve held-out rankings. To use "
            f"it all the same: firstsight sequence use {made.version}"
        )
    if made.in_use and (hint := ranking_hint(opened.ranking.versions())):
        print_message(hint)


def ranking_hint(rankings: Sequence[RankingVersion]) -> str | None:
    """What to do if the ranking in use has no weight for a sequence model; None if it has one, or none is in use."""
    for ranking in rankings:
        if ranking.in_use and "sequence" not in ranking.terms:
            return (
                f"ranking {ranking.version} in use was fitted without a sequence model, so it has no weight for the "
                "new one. To find one, fit the ranking again: firstsight ranking fit"
            )
    return None


@command(app, "list", examples=["sequence list --json"])
def list_(*, output: options.TableFlags, db: options.DatabaseFlags) -> None:
    """List all versions with their held-out HR@10 and NDCG@10, and which is in use."""
    versions = db.open().sequence.versions()
    if output.as_json:
        print_json_lines(version.to_dict() for version in versions)
    else:
        _print(versions, output)


@command(app, examples=["sequence use 2", "sequence use none"])
def use(
    *,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Version number, or none.")],
    db: options.DatabaseFlags,
) -> None:
    """Use a version instead of the current one, or none."""
    number = options.parse_version(version)
    db.open().sequence.use(number)
    print_message("no sequence model is in use" if version == "none" else f"sequence model {version} is now in use")


@command(app, examples=["sequence project"])
def project(*, json: options.Json = False, db: options.DatabaseFlags) -> None:
    """Write the item vectors of the model in use to the column sequence_vector of the items, for LanceDB searches.

    Index runs then project new and changed items themselves.
    """
    projected = db.open().sequence.project()
    if wants_json(json):
        print_json_lines([projected.to_dict()])
    else:
        print_message(
            f"{projected.items:,} items got a vector of {projected.width} numbers by sequence model {projected.version}"
        )


@command(app, "export-users", examples=["sequence export-users users.parquet", "sequence export-users users.jsonl"])
def export_users(
    *,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="File to write: .parquet, .arrow or .jsonl. An existing file is replaced at the end."
        ),
    ],
    version: Annotated[
        int | None, panels.output("--version", metavar="N", help="Version number. By default the one in use.")
    ] = None,
    quiet: options.Quiet = False,
    json: options.Json = False,
    db: options.DatabaseFlags,
) -> None:
    """Write user_id, events and unit vectors of every user: short_term and long_term."""
    with writing(file, "FILE"), RowProgress("exporting", quiet) as progress:
        exported = db.open().sequence.export_users(file, version=version, on_rows=progress.show)
    if wants_json(json):
        print_json_lines([exported.to_dict()])
    elif not quiet:
        print_message(
            f"wrote {exported.users:,} users to {exported.file}: vectors of {exported.width} numbers by sequence "
            f"model {exported.version}"
        )


def _print(versions: list[SequenceVersion], output: options.TableFlags) -> None:
    names = ("hr", "ndcg", "hr_popularity", "ndcg_popularity", "ndcg_blend", "ndcg_joined")
    headings = ["HR@10", "NDCG@10", "HR popularity", "NDCG popularity", "NDCG blend", "NDCG joined"]
    numbers = ["version", "from", "events", "epochs", "samples", *headings]
    output.print_table(
        ["version", "fitted", "in use", *numbers[1:]],
        [
            (
                version.version,
                shown(version.fitted_at, "%Y-%m-%d %H:%M"),
                "yes" if version.in_use else "",
                "" if version.from_version is None else version.from_version,
                shown(version.figures["events"], ","),
                shown(version.figures["epochs"], ".0f"),
                shown(version.figures.get("samples"), ","),
                *(shown(version.figures.get(name), ".4f") for name in names),
            )
            for version in versions
        ],
        right=numbers,
        empty="there are no sequence models; the order of events does not affect rankings",
    )
