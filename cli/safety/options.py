"""What the commands of `firstsight safety` share: their options, and how they open a database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options
from firstsight.config import default_db

if TYPE_CHECKING:
    from firstsight.encoders.base import Encoder
    from firstsight.indexer.store import Store

PoliciesFile = Annotated[
    Path | None,
    typer.Option(
        "--policies",
        metavar="FILE",
        envvar="FIRSTSIGHT_POLICIES",
        help="A YAML file of policies. By default those that ship with firstsight.",
        show_default=False,
    ),
]
Precision = Annotated[float, typer.Option("--precision", help="Least precision of what is blocked.")]
Recall = Annotated[float, typer.Option("--recall", help="Least recall of what is reviewed or blocked.")]
Confidence = Annotated[float, typer.Option("--confidence", help="Share of the times that a target holds.")]
Prevalence = Annotated[
    float | None,
    typer.Option(
        "--prevalence", help="Share of positives in the catalogue, where the labels have another.", show_default=False
    ),
]
ReviewBudget = Annotated[
    float | None,
    typer.Option(
        "--review-budget", help="Most that a policy sends to review, as a share of the items.", show_default=False
    ),
]
Region = Annotated[
    str | None,
    typer.Option("--region", metavar="NAME", help="Whose cuts decide, such as de.", show_default=False),
]
Wait = Annotated[float, typer.Option("--wait", metavar="SECONDS", min=0, help="For another process that is writing.")]
SkipBadLabels = Annotated[bool, typer.Option("--skip-bad-labels", help="Leave out rows that cannot be used.")]


def open_store(db: str | None) -> Store:
    """The database named, else the default one."""
    from firstsight.indexer.store import Store

    return Store.open(db or default_db())


def lazy_encoder(
    db: str | None, encoder: str | None, runtime: str, device: str | None, trust_remote_code: bool
) -> Callable[[], Encoder]:
    """What loads the encoder where prompts have to be encoded, and only there."""
    import firstsight

    how = options.encoder_options(runtime, device, trust_remote_code)
    return lambda: firstsight.open(db, encoder=encoder, encoder_options=how).encoder


def cut(value: float | None) -> str:
    """A cut or figure in a table; empty for none."""
    return "" if value is None else f"{value:.3f}"
