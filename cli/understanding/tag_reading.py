"""`firstsight tags explain`, `correct` and `report`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command
from firstsight.cli.output import print_json_lines, print_message, shown, wants_json, writing

if TYPE_CHECKING:
    from firstsight.understanding.tags.tag_explanation import TagExplanation


def register(app: typer.Typer) -> None:
    """Add these commands to `firstsight tags`."""
    command(app, panel="Items", examples=["tags explain sneakers-red", "tags explain sneakers-red --tag category"])(
        explain
    )
    command(
        app,
        panel="Items",
        examples=[
            "tags correct sneakers-red category=shoes --by ana",
            "tags correct sneakers-red material=mesh material=rubber",
            "tags correct sneakers-red --withdraw category",
        ],
        note="A correction wins over the catalogue and predictions, stays when the item is indexed again, and is a "
        "label of the next training. Give several values of a multi-label tag one by one, and none (category=) if the "
        "item has no value.",
    )(correct)
    command(
        app,
        panel="Versions",
        examples=["tags report category", "tags report category --html report.html --slice seller"],
    )(report)


def explain(
    *,
    item_id: Annotated[str, typer.Argument(metavar="ITEM", help="Item id.")],
    tag: Annotated[list[str] | None, panels.run("--tag", metavar="NAME", help="Only this tag (repeatable).")] = None,
    output: options.TableFlags,
    db: options.DatabaseFlags,
) -> None:
    """Explain the tags of an item: probabilities, what pictures and title say alone, and near labelled items."""
    explained = db.open().tags.explain(item_id, tag or None)
    if output.as_json:
        print_json_lines(one.to_dict() for one in explained)
        return
    for one in explained:
        print_message(_sentence(one))
    numbers = ["p", "pictures", "title"]
    output.print_table(
        ["tag", "value", *numbers],
        [
            (
                *(one.tag, each.value, shown(each.p, ".3f")),
                *(shown(each.pictures, ".3f"), shown(each.title, ".3f")),
            )
            for one in explained
            for each in one.probabilities
        ],
        right=numbers,
    )
    if not output.csv:
        for one in explained:
            for near in one.neighbours:
                print_message(f"{one.tag}: near {near.item_id} ({near.cosine:.3f}), labelled {', '.join(near.values)}")


def correct(
    *,
    item_id: Annotated[str, typer.Argument(metavar="ITEM", help="Item id.")],
    values: Annotated[
        list[str] | None, typer.Argument(metavar="TAG=VALUE...", help="Right values, e.g. category=Tops.")
    ] = None,
    withdraw: Annotated[
        list[str] | None,
        panels.run("--withdraw", metavar="TAG", help="Remove people's value of this tag (repeatable)."),
    ] = None,
    by: Annotated[str, panels.run("--by", metavar="NAME", help="Name of the person.")] = "",
    json: options.Json = False,
    db: options.WriterFlags,
) -> None:
    """Give an item its right values, or withdraw them."""
    given: dict[str, list[str]] = {}
    for text in values or ():
        tag, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(
                f"{text!r} is not of the form TAG=VALUE, such as category=Tops", param_hint="TAG=VALUE"
            )
        given.setdefault(tag.strip(), []).extend([value] if value.strip() else [])
    if not given and not withdraw:
        raise typer.BadParameter("give a value such as category=Tops, or --withdraw TAG", param_hint="TAG=VALUE")
    tags = db.open().tags
    removed = tags.withdraw(item_id, withdraw, wait_s=db.wait) if withdraw else []
    corrections = tags.correct(item_id, given, by=by, wait_s=db.wait) if given else []
    if wants_json(json):
        print_json_lines(one.to_dict() for one in corrections)
        return
    for one in removed:
        print_message(f"{item_id}: withdrew {one.tag}={', '.join(one.values)}")
    for one in corrections:
        print_message(f"{item_id}: {one.tag} is {', '.join(one.values) or 'none'}")


def report(
    *,
    tag: Annotated[str, typer.Argument(metavar="TAG", help="Name of the tag.")],
    version: Annotated[
        int | None, panels.run("--version", metavar="N", help="Version. By default the one in use, else the newest.")
    ] = None,
    column: Annotated[
        list[str] | None,
        panels.run(
            "--slice",
            metavar="COLUMN",
            help="Column, fact or tag whose values to compare (repeatable). By default kind, language, seller and "
            "brand, if they exist.",
        ),
    ] = None,
    html: options.Html = None,
    output: options.TableFlags,
    db: options.DatabaseFlags,
) -> None:
    """Measure a tag on its labels: accuracy of values, calibration, confusions, label suspects and slices."""
    with writing(html, "--html") if html else nullcontext():
        measured = db.open().tags.report(tag, version=version, columns=column, html=html)
    if html is not None:
        print_message(f"wrote {html}")
    if output.as_json:
        print_json_lines([measured.to_dict()])
        return
    numbers = ["labelled", "accuracy", "answered", "answers", "answers right"]
    output.print_table(
        ["value", *numbers],
        [
            (
                *(one.value, one.items, shown(one.accuracy, ".3f"), shown(one.answered, ".3f")),
                *(one.answers, shown(one.right if one.right == one.right else None, ".3f")),
            )
            for one in measured.values
        ],
        right=numbers,
    )
    error = "" if measured.calibration is None else f", calibration error {measured.calibration.calibration_error:.3f}"
    print_message(
        f"version {measured.version}: mean accuracy {measured.accuracy:.3f}, {measured.answered:.3f} answered, "
        f"{measured.right:.3f} of the answers right{error}"
    )
    for one in measured.confusions[:10]:
        print_message(f"{one.items} labelled {one.label} taken for {one.answer}")
    for suspect in measured.suspects[:10]:
        print_message(f"check {suspect.item_id}: labelled {suspect.label}, probably {suspect.answer} ({suspect.p:.2f})")
    print_message(f"catalogue: {', '.join(f'{count:,} {source}' for source, count in measured.coverage.items())}")


def _sentence(one: TagExplanation) -> str:
    value = ", ".join(one.values) or "don't know"
    p = "" if one.p is None or one.by != "predicted" else f" ({one.p:.3f})"
    source = {
        "person": f"given by {one.given.by or 'a person'}" if one.given else "given by a person",
        "catalogue": "the catalogue's own value",
        "predicted": f"predicted by version {one.version}"
        + ("" if one.cut is None else f", cut {one.cut:.2f}")
        + ("" if one.calibrated else ", not calibrated")
        + (f", mostly by its {one.decided_by}" if one.decided_by else ""),
    }.get(one.by or "", "no version is in use for the vectors of this encoder")
    return f"{one.tag}: {value}{p}, {source}"
