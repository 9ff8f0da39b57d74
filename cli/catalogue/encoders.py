"""`firstsight encoder`: the encoders that have vectors in a database, and switches between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import print_json_lines, print_message, shown, wants_json

if TYPE_CHECKING:
    from firstsight.api.encoders import SwitchReport

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


def _print(report: SwitchReport, json: bool) -> None:
    if wants_json(json):
        print_json_lines([report.to_dict()])
    print_message(f"{report.db}: {report.after} is in force instead of {report.before}")
    if report.missing:
        print_message(f"{report.missing:,} items lack its vectors, until the next firstsight index encodes them")
    for model in report.unusable:
        print_message(f"fit again: {model.describe()}")
