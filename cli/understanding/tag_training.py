"""`firstsight tags train`, `score`, `list`, `use` and `remove`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command
from firstsight.cli.output import print_json_lines, print_message, shown, wants_json
from firstsight.cli.progress import RowProgress

if TYPE_CHECKING:
    from firstsight.understanding.tags.models.tag_model import TagModel
    from firstsight.understanding.tags.tag_scoring import TagScoreReport


def register(app: typer.Typer) -> None:
    """Add these commands to `firstsight tags`."""
    command(
        app,
        panel="Versions",
        examples=[
            "tags train labels.csv",
            "tags train --column category --path-separator /",
            "tags train materials.csv --tag material --multi",
            "tags train --taxonomy google.txt --branch 'Apparel & Accessories'",
            "tags train --tag category",
        ],
        note="Without labels and --column, a tag is trained again from where its last version was, and from "
        "corrections. With --taxonomy and without any label, prompts alone give the values.",
    )(train)
    command(app, panel="Versions", examples=["tags list", "tags list category --json"], name="list")(list_)
    command(app, panel="Versions", examples=["tags use 2"])(use)
    command(app, panel="Versions", examples=["tags remove category --yes"])(remove)
    command(app, panel="Items", examples=["tags score", "tags score category --all"])(score)


def train(
    *,
    labels: Annotated[
        Path | None, typer.Argument(metavar="[LABELS.csv]", help="File with item_id, label and optionally tag.")
    ] = None,
    column: Annotated[
        str | None, panels.training("--column", metavar="NAME", help="Column of the catalogue to learn from.")
    ] = None,
    tag: Annotated[
        str | None,
        panels.training("--tag", metavar="NAME", help="Tag. By default that of the column or file, else category."),
    ] = None,
    separator: Annotated[
        str | None,
        panels.training("--separator", metavar="TEXT", help="Separator of several values in a cell of --column."),
    ] = None,
    path_separator: Annotated[
        str | None,
        panels.training(
            "--path-separator", metavar="TEXT", help='Separator of levels in a value of --column. By default " > ".'
        ),
    ] = None,
    taxonomy: Annotated[
        Path | None,
        panels.training(
            "--taxonomy",
            metavar="FILE",
            help="Google's or Shopify's product taxonomy; labels must name its categories.",
        ),
    ] = None,
    branch: Annotated[
        list[str] | None,
        panels.training("--branch", metavar="NAME", help="Category of --taxonomy to use, with all below (repeatable)."),
    ] = None,
    multi: Annotated[
        bool | None,
        panels.training("--multi/--single", help="Several values an item, or one. By default as the labels show."),
    ] = None,
    method: Annotated[
        str,
        panels.training(
            "--method",
            metavar="NAME",
            help="Method: auto (linear, prompt-offset or tip-adapter, by cross-validation), one of these, or coop.",
        ),
    ] = "auto",
    precision: Annotated[
        float,
        panels.training(
            "--precision",
            metavar="SHARE",
            help="Share of the answers that should be right, 0.5 to 1; the rest are unknown.",
        ),
    ] = 0.98,
    template: Annotated[
        list[str] | None,
        panels.training(
            "--template", metavar="TEXT", help='Prompt with {} for the value, e.g. "made of {}" (repeatable).'
        ),
    ] = None,
    no_prompts: Annotated[bool, panels.training("--no-prompts", help="Learn from labels alone.")] = False,
    skip_bad_labels: Annotated[
        bool, panels.training("--skip-bad-labels", help="Leave out unusable labels, instead of refusing all.")
    ] = False,
    use: Annotated[
        bool | None,
        panels.training("--use/--keep", help="Use the new version, or not, whatever held-out labels say."),
    ] = None,
    output: options.TableFlags,
    encoder: options.EncoderFlags,
    db: options.DatabaseFlags,
) -> None:
    """Train a tag from labels. Items are tagged with it if held-out labels are answered no worse than before."""
    report = db.open(encoder).tags.train(
        labels,
        column=column,
        tag=tag,
        separator=separator,
        path_separator=path_separator,
        taxonomy=taxonomy,
        branches=branch or (),
        multi=multi,
        method=method,
        precision=precision,
        templates=template or (),
        prompts=not no_prompts,
        skip_bad_labels=skip_bad_labels,
        use=use,
        on_progress=print_message,
    )
    for problem in report.problems:
        print_message(f"left out: {problem}")
    if output.as_json:
        print_json_lines([report.to_dict()])
        return
    _print_versions([one.model for one in report.trained], output)
    for one in report.trained:
        print_message(f"version {one.model.version}, {one.model.tag}: {one.comparison.reason}")
        for note in one.notes:
            print_message(f"version {one.model.version}, {one.model.tag}: {note}")
    if report.scored is not None:
        _say_scored(report.scored)


def list_(
    *,
    tag: Annotated[str | None, typer.Argument(metavar="[TAG]", help="Only this tag.")] = None,
    output: options.TableFlags,
    db: options.DatabaseFlags,
) -> None:
    """List the versions of tags with their held-out figures, and which are in use."""
    versions = db.open().tags.versions(tag)
    if output.as_json:
        print_json_lines(version.to_dict() for version in versions)
    else:
        _print_versions(versions, output)


def use(
    *,
    version: Annotated[int, typer.Argument(metavar="VERSION", help="Version number.")],
    db: options.WriterFlags,
) -> None:
    """Use a version instead of the present one of its tag, and tag all items with it."""
    model = db.open().tags.use(version, wait_s=db.wait)
    print_message(f"version {version} of {model.tag} is now in use")


def remove(
    *,
    tag: Annotated[str, typer.Argument(metavar="TAG", help="Name of the tag.")],
    yes: Annotated[bool, panels.run("--yes", help="Do not ask.")] = False,
    db: options.WriterFlags,
) -> None:
    """Remove a tag: its values, labels and corrections. Its versions stay, and can be put into use again."""
    if not yes:
        typer.confirm(f"Delete the values, labels and corrections of {tag}?", abort=True)
    db.open().tags.remove(tag, wait_s=db.wait)
    print_message(f"removed {tag}")


def score(
    *,
    tag: Annotated[list[str] | None, typer.Argument(metavar="[TAG]...", help="Tags. By default all.")] = None,
    everything: Annotated[
        bool, panels.run("--all", help="Look at all items, not only at those that were never scored.")
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    db: options.WriterFlags,
) -> None:
    """Write the best known values of tags into the columns of items."""
    with RowProgress("tagging", quiet) as progress:
        report = db.open().tags.score(tag or None, everything=everything, wait_s=db.wait, on_progress=progress.show)
    if wants_json(json):
        print_json_lines([report.to_dict()])
    elif not quiet:
        _say_scored(report)


def _say_scored(report: TagScoreReport) -> None:
    print_message(f"looked at {report.items:,} items, changed {report.written:,}")
    for tag, counts in report.by.items():
        listed = ", ".join(f"{count:,} {source}" for source, count in sorted(counts.items()))
        print_message(f"{tag}: {listed or 'nothing to do'}")


def _print_versions(versions: Sequence[TagModel], output: options.TableFlags) -> None:
    numbers = ["version", "values", "items", "accuracy", "answered", "right", "calibration error", "cut"]
    output.print_table(
        ["version", "tag", "in use", "trained", "methods", *numbers[1:]],
        [
            (
                *(model.version, model.tag, "yes" if model.in_use else ""),
                shown(model.trained_at, "%Y-%m-%d %H:%M"),
                ", ".join(model.figures.get("methods", ())),
                *(len(model.tree.names), model.figures.get("items")),
                *(shown(model.figures.get(name), ".3f") for name in ("accuracy", "answered", "right")),
                shown(model.figures.get("calibration_error"), ".3f"),
                shown(model.cuts[0].cut if len(model.cuts) == 1 else None, ".2f"),
            )
            for model in versions
        ],
        right=numbers,
        empty="there are no tags yet; train one: firstsight tags train LABELS.csv",
    )
