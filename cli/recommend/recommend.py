"""`firstsight recommend` and `firstsight similar`: slates for users, and what belongs to an item."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstsight.cli import options
from firstsight.cli.output import print_json_lines, print_table, tell, wants_json

if TYPE_CHECKING:
    from firstsight.recommend.results import Slate

EPILOG = """
[bold]Examples[/bold]

firstsight recommend --user u42

firstsight recommend --history guitar-acoustic,violin-red --kind product=6 --kind video=4 -k 10

firstsight recommend --json-profile profile.json --explore 0.05 --log

firstsight recommend --user u42 --cap brand=2 --diversity 0.3 --age 16

firstsight recommend --for-item guitar-acoustic

A profile: {"user": "u42", "history": ["guitar-acoustic", "violin-red"], "age": 30}
"""

SIMILAR_EPILOG = """
[bold]Examples[/bold]

firstsight similar guitar-acoustic

firstsight similar guitar-acoustic --kind video --near-duplicate 0.95 --json
"""


def recommend(
    user: Annotated[
        str | None, typer.Option("--user", metavar="ID", help="By this user's logged events.", show_default=False)
    ] = None,
    history: Annotated[
        str | None,
        typer.Option(
            "--history",
            metavar="ID,ID",
            help="By these items, the oldest first; on top of --user's.",
            show_default=False,
        ),
    ] = None,
    json_profile: Annotated[
        Path | None,
        typer.Option(
            "--json-profile", metavar="FILE", help="A JSON object of user, history and age.", show_default=False
        ),
    ] = None,
    for_item: Annotated[
        str | None,
        typer.Option(
            "--for-item",
            metavar="ID",
            help="The users who would want this item, instead of a slate.",
            show_default=False,
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", "--limit", help="Slots, or most users.")] = 20,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KIND=N",
            help="Exactly so many slots of a kind, or such a share of k (0.5); may be given again. "
            "Slots that are not named go to the other kinds.",
            show_default=False,
        ),
    ] = None,
    explore: Annotated[float, typer.Option("--explore", help="Share of slots that explore, 0 to 1.")] = 0.1,
    diversity: Annotated[float, typer.Option("--diversity", help="How much items should differ, 0 to 1 (MMR).")] = 0.0,
    near_duplicate: Annotated[
        float, typer.Option("--near-duplicate", help="Cosine from which two items show the same; only one stays.")
    ] = 0.95,
    cap: Annotated[
        str | None,
        typer.Option(
            "--cap", metavar="COLUMN=N", help="At most so many items of one value of a column.", show_default=False
        ),
    ] = None,
    merge: Annotated[
        str, typer.Option("--merge", help="How kinds compare: score, or rank, so that they alternate.")
    ] = "score",
    age: Annotated[
        int | None,
        typer.Option(
            "--age", help="The viewer's, in years. By default unknown: nothing limited by age.", show_default=False
        ),
    ] = None,
    repeat_after_days: Annotated[
        float | None,
        typer.Option(
            "--repeat-after-days", help="Let items of the history come back after so long.", show_default=False
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of exploration: the same gives the same slate.", show_default=False)
    ] = None,
    log: Annotated[
        bool, typer.Option("--log", help="Write the slots with their propensities to the database.")
    ] = False,
    db: options.Db = None,
    json: options.Json = False,
) -> None:
    """Recommend items to a user, each with what brought it; or, for an item, the users who would want it."""
    import firstsight

    database = firstsight.open(db)
    if for_item is not None:
        if user or history is not None or json_profile:
            raise typer.BadParameter("it is answered with users, so give no user or history", param_hint="--for-item")
        users = database.interested_users(for_item, k=k)
        if wants_json(json):
            print_json_lines(one.as_dict() for one in users)
        else:
            print_table(
                ["score", "user", "because of"],
                [(f"{one.score:.3f}", one.user_id, one.because) for one in users],
                right=["score"],
            )
        return
    column, count = _pair(cap, "--cap") if cap else (None, None)
    quotas = dict(_pair(one, "--kind") for one in kind or ())
    settings: dict[str, Any] = {
        "k": k,
        "quotas": {name: float(said) if "." in said else int(said) for name, said in quotas.items()},
        "explore": explore,
        "diversity": diversity,
        "near_duplicate": near_duplicate,
        "cap": None if count is None else int(float(count)),
        "merge": merge,
        "repeat_after_days": repeat_after_days,
    }
    if age is not None:
        settings["age"] = age
    slate = database.recommend(
        user,
        history=None if history is None else [one.strip() for one in history.split(",") if one.strip()],
        profile=json_profile,
        cap_column=column,
        seed=seed,
        log=log,
        **settings,
    )
    if not slate.events:
        who = f"user {slate.user_id!r} has no events" if slate.user_id else "there is no history"
        tell(f"{who} on items of this database: popular and new items")
    for name, missing in slate.missing.items():
        tell(f"{missing} slots of {name} are left out: no more items of that kind may be shown")
    if wants_json(json):
        print_json_lines({"slate_id": slate.slate_id, "slot": n} | one.as_dict() for n, one in enumerate(slate))
    else:
        _print(slate)
    if log:
        tell(f"logged as slate {slate.slate_id}")


def similar(
    item: Annotated[str, typer.Argument(metavar="ITEM", help="An item's id.", show_default=False)],
    k: Annotated[int, typer.Option("-k", "--k", "--limit", help="Most items.")] = 10,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND", help="product, video or live; may be given again.", show_default=False),
    ] = None,
    near_duplicate: Annotated[
        float, typer.Option("--near-duplicate", help="Cosine from which two items show the same; only one stays.")
    ] = 1.0,
    db: options.Db = None,
    json: options.Json = False,
) -> None:
    """List what sits next to an item by content alone; nothing that has ended or is blocked."""
    import firstsight

    found = firstsight.open(db).similar(item, k=k, kinds=kind or (), near_duplicate=near_duplicate)
    if wants_json(json):
        print_json_lines(one.as_dict() for one in found)
    else:
        print_table(
            ["score", "item", "kind", "title"],
            [(f"{one.score:.3f}", one.item_id, one.kind, one.title) for one in found],
            right=["score"],
        )


def _print(slate: Slate) -> None:
    print_table(
        ["score", "item", "kind", "title", "brought by", "because of", "propensity"],
        [
            (
                *(f"{one.score:.2f}", one.item_id, one.kind, one.title, one.source.replace("_", " ")),
                *(one.because, f"{one.propensity:.3g}"),
            )
            for one in slate
        ],
        right=["score", "propensity"],
    )


def _pair(said: str, option: str) -> tuple[str, str]:
    """`NAME=NUMBER` as its two sides."""
    name, equals, number = said.rpartition("=")
    if not equals or not name or not number.replace(".", "", 1).isdecimal() or not number.isascii():
        raise typer.BadParameter(f"{said!r} is not NAME=NUMBER, such as product=6", param_hint=option)
    return name, number
