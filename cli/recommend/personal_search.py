"""`firstsight personal-search`: order search results for a user of the events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import print_json_lines, print_message, shown

if TYPE_CHECKING:
    from firstsight.recommend.personal_search.personal_search_store import PersonalSearchVersion

app = group(
    "Order search results for a user of the events.",
    examples=["personal-search fit", "personal-search list", "personal-search use none"],
    note="Add logs with searches and clicks first: firstsight events add. Then: firstsight search TEXT --user ID",
)


@command(app, examples=["personal-search fit", "personal-search fit --keep"])
def fit(
    *,
    keep: Annotated[
        bool, panels.training("--keep", help="Store the new version, and keep using the current one.")
    ] = False,
    output: options.TableFlags,
    encoder: options.EncoderFlags,
    db: options.DatabaseFlags,
) -> None:
    """Fit a version to the newest 2,000 clicks of searches. It is used only if held-out clicks improve."""
    made = db.open(encoder).personal_search.fit(use=not keep, on_progress=print_message)
    if output.as_json:
        print_json_lines([made.to_dict()])
    else:
        _print([made], output)
    if not made.improves:
        print_message("held-out clicks do not improve, so searches stay as they are")


@command(app, "list", examples=["personal-search list --json"])
def list_(*, output: options.TableFlags, db: options.DatabaseFlags) -> None:
    """List all versions with their figures on held-out clicks, and which is in use."""
    versions = db.open().personal_search.versions()
    if output.as_json:
        print_json_lines(version.to_dict() for version in versions)
    else:
        _print(versions, output)


@command(app, examples=["personal-search use 2", "personal-search use none"])
def use(
    *,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Version number, or none.")],
    db: options.DatabaseFlags,
) -> None:
    """Use a version instead of the current one, or none."""
    number = options.parse_version(version)
    db.open().personal_search.use(number)
    print_message("searches are not personalised" if version == "none" else f"version {version} is now in use")


def _print(versions: list[PersonalSearchVersion], output: options.TableFlags) -> None:
    numbers = ["version", "searches", "held out", "MRR before", "MRR after", "gain", "weight", "bound"]
    output.print_table(
        ["version", "fitted", "in use", *numbers[1:], "interest"],
        [
            (
                version.version,
                shown(version.fitted_at, "%Y-%m-%d %H:%M"),
                "yes" if version.in_use else "",
                shown(version.figures["searches"], ","),
                shown(version.figures["held_out"], ","),
                shown(version.figures["mrr_before"], ".4f"),
                shown(version.figures["mrr_after"], ".4f"),
                f"{version.figures['gain_low']:.4f} to {version.figures['gain_high']:.4f}",
                shown(version.settings.weight, ".2f"),
                shown(version.settings.bound, ".1f"),
                version.settings.interest,
            )
            for version in versions
        ],
        right=numbers,
        empty="there are no versions of personal search; searches are the same for everybody",
    )
