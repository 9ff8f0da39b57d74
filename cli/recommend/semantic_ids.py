"""`firstsight semantic-ids`: a few small numbers for every item, coarse to fine, that begin alike for items alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstsight.cli import options
from firstsight.cli.output import print_json_lines, print_table, tell, wants_json, writing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from firstsight.recommend.semantic_id_store import SemanticIdVersion

EPILOG = """
[bold]Examples[/bold]

firstsight semantic-ids fit

firstsight semantic-ids assign

firstsight semantic-ids status

firstsight semantic-ids export --out ids.csv

firstsight search "red shoes" --where "semantic_id LIKE '12-%'"
"""

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True, epilog=EPILOG)


@app.callback()
def semantic_ids() -> None:
    """Codes such as 12-200-7-0 for items: filters, clusters, and the vocabulary of generative recommenders."""


@app.command("fit", epilog="Examples: firstsight semantic-ids fit · firstsight semantic-ids fit --levels 4 --codes 128")
def fit(
    levels: Annotated[int, typer.Option("--levels", help="Numbers of an ID, before the one for equal ones.")] = 3,
    codes: Annotated[
        int | None,
        typer.Option(
            "--codes", help="Of each level; an eighth of the items by default, at most 256.", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="What draws the first centroids.")] = 0,
    db: options.Db = None,
    json: options.Json = False,
) -> None:
    """Fit codebooks on the stored vectors and give every item its ID, as a new version; earlier ones are kept."""
    import firstsight

    _print([firstsight.open(db).fit_semantic_ids(levels=levels, codes=codes, seed=seed)], json)


@app.command("assign", epilog="Example: firstsight semantic-ids assign")
def assign(db: options.Db = None, json: options.Json = False) -> None:
    """Give the items that came after the fit their IDs; no ID that there is changes."""
    import firstsight

    new, version = firstsight.open(db).assign_semantic_ids()
    if wants_json(json):
        print_json_lines([{"new": new} | version.as_dict()])
    else:
        tell(f"{new} items were given an ID of version {version.version}; {version.assigned} have one")


@app.command("status", epilog="Example: firstsight semantic-ids status --json")
def status(db: options.Db = None, json: options.Json = False) -> None:
    """List the versions with their figures; the newest is in use."""
    import firstsight

    versions = firstsight.open(db).semantic_id_versions()
    if versions:
        _print(versions, json)
    else:
        tell("no semantic IDs yet; run first: firstsight semantic-ids fit")


@app.command(
    "export",
    epilog="Examples: firstsight semantic-ids export > ids.jsonl · firstsight semantic-ids export --out ids.csv",
)
def export(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="A .jsonl or .csv file; JSON lines on stdout by default.",
            show_default=False,
        ),
    ] = None,
    version: Annotated[int | None, typer.Option("--version", help="The newest by default.", show_default=False)] = None,
    db: options.Db = None,
) -> None:
    """Write item_id, semantic_id, codes, copy and tokens (one vocabulary over all levels) of every item."""
    import firstsight

    if out is not None and out.suffix not in {".jsonl", ".csv"}:
        raise typer.BadParameter(f"{out} is neither .jsonl nor .csv", param_hint="--out")
    rows = firstsight.open(db).semantic_ids(version)
    if out is None:
        print_json_lines(rows)
        return
    with writing(out, "--out"):
        count = _write(out, rows)
    tell(f"wrote {count} IDs to {out}")


def _write(out: Path, rows: Iterable[dict[str, Any]]) -> int:
    import csv
    import itertools
    from json import dumps

    rows = iter(rows)
    first = next(rows, None)  # before the file is made: what cannot be read leaves none behind
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


def _print(versions: list[SemanticIdVersion], json: bool) -> None:
    if wants_json(json):
        print_json_lines(version.as_dict() for version in versions)
        return
    heads = ["version", "levels", "codes", "unique", "left over", "items", "waiting", "most alike"]
    print_table(
        ["version", "fitted", *heads[1:]],
        [
            (
                one.version,
                f"{one.fitted_at:%Y-%m-%d %H:%M}",
                one.levels,
                one.codes,
                f"{one.unique:.1%}",
                " ".join(f"{error:.3f}" for error in one.errors),
                one.assigned,
                one.waiting,
                one.most_copies,
            )
            for one in versions
        ],
        right=heads,
    )
