"""`firstsight semantic-ids`: a few small numbers for each item, coarse to fine; similar items share the first ones."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import print_json_lines, print_message, shown, wants_json, writing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firstsight.recommend.semantic_ids.semantic_id_export import SemanticId
    from firstsight.recommend.semantic_ids.semantic_id_store import SemanticIdVersion

app = group(
    "Give items semantic IDs such as 12-200-7-0, for filters, clusters and generative recommenders.",
    examples=[
        "semantic-ids fit",
        "semantic-ids assign",
        "semantic-ids list",
        "semantic-ids export --out ids.csv",
        'search "red shoes" --where "semantic_id LIKE \'12-%\'"',
    ],
)

_NONE_YET = "no semantic IDs yet; run first: firstsight semantic-ids fit"


@command(app, examples=["semantic-ids fit", "semantic-ids fit --levels 4 --codes 128"])
def fit(
    *,
    levels: Annotated[
        int,
        panels.ids("--levels", metavar="N", help="Numbers in an ID, without the last one, which separates equal IDs."),
    ] = 3,
    codes: Annotated[
        int | None,
        panels.ids("--codes", metavar="N", help="Codes of each level. By default an eighth of the items, at most 256."),
    ] = None,
    seed: Annotated[int, panels.ids("--seed", metavar="N", help="Random seed for the first centroids.")] = 0,
    output: options.TableFlags,
    db: options.DatabaseFlags,
) -> None:
    """Fit codebooks on the stored vectors and give every item an ID, as a new version. Earlier versions are kept."""
    _print([db.open().semantic_ids.fit(levels=levels, codes=codes, seed=seed)], output)


@command(app, examples=["semantic-ids assign"])
def assign(*, json: options.Json = False, db: options.DatabaseFlags) -> None:
    """Give IDs to items added after the fit. Existing IDs do not change."""
    assigned = db.open().semantic_ids.assign()
    version = assigned.version
    if wants_json(json):
        print_json_lines([{"new": assigned.new} | version.to_dict()])
    else:
        print_message(f"{assigned.new} items got an ID of version {version.version}; {version.assigned} items have one")


@command(app, "list", examples=["semantic-ids list --json"], old_names=["status"])
def list_(*, output: options.TableFlags, db: options.DatabaseFlags) -> None:
    """List all versions with their figures. The newest is in use."""
    versions = db.open().semantic_ids.versions()
    if versions or not output.as_json:
        _print(versions, output)
    else:
        print_message(_NONE_YET)


@command(app, examples=["semantic-ids export > ids.jsonl", "semantic-ids export --out ids.csv"])
def export(
    *,
    version: Annotated[
        int | None, panels.ids("--version", metavar="N", help="Version number. By default the newest.")
    ] = None,
    out: Annotated[
        Path | None,
        panels.output("--out", metavar="FILE", help="File to write: .jsonl or .csv. By default JSON lines on stdout."),
    ] = None,
    db: options.DatabaseFlags,
) -> None:
    """Write item_id, semantic_id, codes, copy and tokens of every item. Tokens are one vocabulary over all levels."""
    if out is not None and out.suffix not in {".jsonl", ".csv"}:
        raise typer.BadParameter(f"{out} is neither .jsonl nor .csv", param_hint="--out")
    rows = db.open().semantic_ids.export(version)
    if out is None:
        print_json_lines(row.to_dict() for row in rows)
        return
    with writing(out, "--out"):
        count = _write(out, rows)
    print_message(f"wrote {count} IDs to {out}")


def _write(out: Path, ids: Iterable[SemanticId]) -> int:
    import csv
    import itertools
    from json import dumps

    rows = (semantic_id.to_dict() for semantic_id in ids)
    first = next(rows, None)  # before the file is created: an error here leaves no file behind
    count = 0
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if out.suffix == ".csv":
            writer.writerow(["item_id", "semantic_id", "codes", "copy", "tokens"])
        for row in itertools.chain([] if first is None else [first], rows):
            if out.suffix == ".csv":
                joined = {name: " ".join(map(str, row[name])) for name in ("codes", "tokens")}
                writer.writerow((row | joined).values())
            else:
                file.write(dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def _print(versions: list[SemanticIdVersion], output: options.TableFlags) -> None:
    if output.as_json:
        print_json_lines(version.to_dict() for version in versions)
        return
    heads = ["version", "levels", "codes", "unique", "residuals", "items", "without ID", "largest group"]
    output.print_table(
        ["version", "fitted", *heads[1:]],
        [
            (
                version.version,
                shown(version.fitted_at, "%Y-%m-%d %H:%M"),
                version.levels,
                version.codes,
                shown(version.unique, ".1%"),
                " ".join(f"{error:.3f}" for error in version.errors),
                version.assigned,
                version.waiting,
                version.most_copies,
            )
            for version in versions
        ],
        right=heads,
        empty=_NONE_YET,
    )
