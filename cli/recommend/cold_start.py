"""`firstsight cold-start`: models that rank items nobody has clicked, learned from events on the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options
from firstsight.cli.output import print_json_lines, print_table, tell, wants_json

if TYPE_CHECKING:
    from firstsight.recommend.model import ColdStartVersion

EPILOG = """
[bold]Examples[/bold]

firstsight cold-start fit

firstsight cold-start list

firstsight cold-start use 2

firstsight cold-start use none

Events are added with firstsight events add. Fitting needs implicit: pip install 'firstsight\\[recommend]'
"""

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True, epilog=EPILOG)


@app.callback()
def cold_start() -> None:
    """Learn from events how new items are to be ranked."""


@app.command("fit", epilog="Examples: firstsight cold-start fit · firstsight cold-start fit --keep")
def fit(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the model in use that is, to compare first.")] = False,
    db: options.Db = None,
    json: options.Json = False,
) -> None:
    """Choose a model on held-out items, fit it to all events, keep it as a version and put it in use."""
    import firstsight

    made = firstsight.open(db).fit_cold_start(use=not keep, on_progress=tell)
    if wants_json(json):
        print_json_lines([made.as_dict()])
    else:
        _print([made])


@app.command("list", epilog="Example: firstsight cold-start list --json")
def list_(db: options.Db = None, json: options.Json = False) -> None:
    """List the versions with their held-out recall@20, and which is in use."""
    import firstsight

    versions = firstsight.open(db).cold_start_models()
    if wants_json(json):
        print_json_lines(version.as_dict() for version in versions)
    elif versions:
        _print(versions)
    else:
        tell("no cold-start model has been fitted: new items are ranked by content alone")


@app.command("use", epilog="Examples: firstsight cold-start use 2 · firstsight cold-start use none")
def use(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Its number, or none.", show_default=False)],
    db: options.Db = None,
) -> None:
    """Put a version in use, in the place of another; or none of them."""
    import firstsight

    if version != "none" and not (version.isascii() and version.isdigit()):
        raise typer.BadParameter(f"{version!r} is no version; give its number, or none")
    firstsight.open(db).use_cold_start(None if version == "none" else int(version))
    tell("no cold-start model is in use" if version == "none" else f"cold-start model {version} is in use from now on")


def _print(versions: list[ColdStartVersion]) -> None:
    shown = ("recall_blend", "recall_content", "recall_collaborative", "recall_chance")
    numbers = ["version", "events", "recall@20", "content", "collaborative", "chance", "weight"]
    print_table(
        ["version", "fitted", "in use", *numbers[1:], "mapping"],
        [
            (
                version.version,
                f"{version.fitted_at:%Y-%m-%d %H:%M}",
                "yes" if version.in_use else "",
                f"{version.figures['events']:,}",
                *(f"{version.figures[name]:.4f}" for name in shown),
                f"{version.settings.weight:.2f}",
                version.settings.mapping,
            )
            for version in versions
        ],
        right=numbers,
    )
