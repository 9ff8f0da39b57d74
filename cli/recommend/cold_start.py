"""`firstsight cold-start`: train models that rank new items from the events on other items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import print_json_lines, print_message, shown

if TYPE_CHECKING:
    from firstsight.recommend.models.cold_start_model import ColdStartVersion

app = group(
    "Train models that rank items without events.",
    examples=["cold-start fit --tune", "cold-start list", "cold-start use 2", "cold-start use none"],
    note="Add events first, with firstsight events add. Training needs implicit: pip install 'firstsight[recommend]'",
)


@command(app, examples=["cold-start fit", "cold-start fit --tune", "cold-start fit --keep"])
def fit(
    *,
    tune: Annotated[
        bool,
        panels.training(
            "--tune", help="Learn from items that people took together too; used only if held-out items gain."
        ),
    ] = False,
    keep: Annotated[bool, panels.training("--keep", help="Keep using the current model, to compare first.")] = False,
    output: options.TableFlags,
    db: options.DatabaseFlags,
) -> None:
    """Train a new version on all events and use it. Held-out items choose the model."""
    made = db.open().cold_start.fit(tune=tune, use=not keep, on_progress=print_message)
    if output.as_json:
        print_json_lines([made.to_dict()])
    else:
        _print([made], output)


@command(app, "list", examples=["cold-start list --json"])
def list_(*, output: options.TableFlags, db: options.DatabaseFlags) -> None:
    """List all versions with their held-out recall@20, and which is in use."""
    versions = db.open().cold_start.versions()
    if output.as_json:
        print_json_lines(version.to_dict() for version in versions)
    else:
        _print(versions, output)


@command(app, examples=["cold-start use 2", "cold-start use none"])
def use(
    *,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Version number, or none.")],
    db: options.DatabaseFlags,
) -> None:
    """Use a version instead of the current one, or none."""
    number = options.parse_version(version)
    db.open().cold_start.use(number)
    print_message("no cold-start model is in use" if version == "none" else f"cold-start model {version} is now in use")


def _print(versions: list[ColdStartVersion], output: options.TableFlags) -> None:
    recalls = ("recall_blend", "recall_content", "recall_collaborative", "recall_chance")
    numbers = ["version", "events", "recall@20", "content", "collaborative", "chance", "weight", "gain by map"]
    output.print_table(
        ["version", "fitted", "in use", *numbers[1:], "mapping"],
        [
            (
                version.version,
                shown(version.fitted_at, "%Y-%m-%d %H:%M"),
                "yes" if version.in_use else "",
                shown(version.figures["events"], ","),
                *(shown(version.figures[name], ".4f") for name in recalls),
                shown(version.settings.weight, ".2f"),
                _gain(version),
                version.settings.mapping,
            )
            for version in versions
        ],
        right=numbers,
        empty="there are no cold-start models; new items are ranked by content alone",
    )


def _gain(version: ColdStartVersion) -> str:
    """Held-out gain by a content map, and that it is not used if so; "" for a version without `--tune`."""
    if "tune_gain" not in version.figures:
        return ""
    return f"{version.figures['tune_gain']:+.4f}{'' if version.tuned else ' (not used)'}"
