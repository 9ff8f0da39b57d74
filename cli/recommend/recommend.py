"""`firstsight recommend` and `firstsight similar`: recommend items to users, and find similar items."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import clock, print_json_lines, print_message, shown, shown_variants
from firstsight.cli.recommend.slate_numbers import read_limits, read_quotas

if TYPE_CHECKING:
    from firstsight import Database, Moment
    from firstsight.recommend.slates.slate_results import Slate

EXAMPLES = [
    "recommend --user u42",
    "recommend --history guitar-acoustic,violin-red --kind product=6 --kind video=4 -k 10",
    "recommend --profile profile.json --explore 0.05 --log",
    "recommend --user u42 --cap brand=2 --diversity 0.3 --age 16",
    "recommend --user u42 --floor seller=acme:2 --floor new=0.1 --cap seller=acme:5",
    "recommend --for-item guitar-acoustic",
]
NOTE = 'A profile: {"user": "u42", "history": ["guitar-acoustic", "violin-red"], "age": 30}'

app = group()
similar_app = group()


@command(app, examples=EXAMPLES, note=NOTE)
def recommend(
    *,
    user: Annotated[str | None, panels.user("--user", metavar="ID", help="User whose stored events to use.")] = None,
    history: Annotated[
        str | None,
        panels.user(
            "--history", metavar="ID,ID", help="Items to recommend from, oldest first; added to the events of --user."
        ),
    ] = None,
    age: Annotated[
        int | None,
        panels.user(
            "--age",
            metavar="YEARS",
            help="Age of the user in years. By default unknown, which excludes items with an age limit.",
        ),
    ] = None,
    profile: Annotated[
        Path | None, panels.user("--profile", metavar="FILE", help="File with user, history and age as a JSON object.")
    ] = None,
    json_profile: Annotated[Path | None, typer.Option("--json-profile", hidden=True)] = None,  # the name until 0.1
    for_item: Annotated[
        str | None,
        panels.user(
            "--for-item", metavar="ID", help="Item to find interested users for, instead of recommending items."
        ),
    ] = None,
    k: Annotated[
        int, panels.slate("-k", "--k", "--limit", metavar="N", help="Number of slots, or maximum users.")
    ] = 20,
    kind: Annotated[
        list[str] | None,
        panels.slate(
            "--kind",
            metavar="KIND=N",
            help="Number of slots for a kind, or share of all slots, e.g. 0.5 (repeatable). Other kinds share the "
            "remaining slots.",
        ),
    ] = None,
    explore: Annotated[
        float, panels.slate("--explore", metavar="SHARE", help="Share of slots for exploration, 0 to 1.")
    ] = 0.1,
    diversity: Annotated[
        float, panels.slate("--diversity", metavar="SHARE", help="Difference between items, 0 (no effect) to 1 (MMR).")
    ] = 0.0,
    collapse: Annotated[
        str | None,
        panels.slate(
            "--collapse",
            metavar="none",
            help="Give none to show every variant. If the catalogue has group ids, the default is one of each product, "
            "without the products of the history.",
        ),
    ] = None,
    near_duplicate: Annotated[
        float,
        panels.slate(
            "--near-duplicate",
            metavar="COSINE",
            help="Minimum cosine of two near-duplicates; only one of them is shown.",
        ),
    ] = 0.95,
    allow_copies: Annotated[
        bool,
        panels.slate(
            "--allow-copies",
            help="Also show copies of the slate's items and of those in the history, such as reposts of a video.",
        ),
    ] = False,
    cap: Annotated[
        list[str] | None,
        panels.slate(
            "--cap",
            metavar="GROUP=N",
            help="Maximum items, or share of the slots: with the same value of a column (brand=2), with one value "
            "(seller=acme:3), or without events (new=0.2). Repeatable.",
        ),
    ] = None,
    floor: Annotated[
        list[str] | None,
        panels.slate(
            "--floor",
            metavar="GROUP=N",
            help="Minimum items, or share of the slots: with one value of a column (seller=acme:2), or without events "
            "(new=0.1). Repeatable.",
        ),
    ] = None,
    merge: Annotated[
        str,
        panels.slate(
            "--merge", metavar="RULE", help="How to combine kinds: by score, or by rank, which alternates them."
        ),
    ] = "score",
    repeat_after_days: Annotated[
        float | None,
        panels.slate(
            "--repeat-after-days",
            metavar="DAYS",
            help="Days until an item of the history may be shown again. By default never.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        panels.slate("--seed", metavar="N", help="Random seed for exploration; the same seed gives the same slate."),
    ] = None,
    moments: Annotated[
        bool, panels.output("--moments", help="Give each video the stretch that suits the user's interests best.")
    ] = False,
    log: Annotated[bool, panels.output("--log", help="Store the slate with its propensities in the database.")] = False,
    experiment: Annotated[
        str, panels.output("--experiment", metavar="NAME", help="Experiment of the user's A/B bucket in the log.")
    ] = "",
    output: options.ItemTableFlags,
    db: options.DatabaseFlags,
) -> None:
    """Recommend items to a user, each with its reason; or list the users interested in an item."""
    from firstsight.recommend.slates.rules.slate_settings import KINDS

    database = db.open()
    profile = profile or json_profile
    if for_item is not None:
        if user or history is not None or profile:
            raise typer.BadParameter("cannot be combined with a user, history or profile", param_hint="--for-item")
        _print_users(database, for_item, k, output)
        return
    settings: dict[str, Any] = {
        "k": k,
        "quotas": read_quotas(kind or ()),
        "caps": read_limits(cap or (), "--cap"),
        "floors": read_limits(floor or (), "--floor"),
        "explore": explore,
        "diversity": diversity,
        "near_duplicate": near_duplicate,
        "allow_copies": allow_copies,
        "collapse": collapse,
        "merge": merge,
        "repeat_after_days": repeat_after_days,
    }
    if age is not None:
        settings["age"] = age
    slate = database.recommend(
        user,
        history=None if history is None else [part.strip() for part in history.split(",") if part.strip()],
        profile=profile,
        seed=seed,
        log=log,
        moments=moments,
        experiment=experiment,
        **settings,
    )
    if not slate.events:
        who = f"user {slate.user_id!r} has no events" if slate.user_id else "there is no history"
        print_message(f"{who} on items of this database: popular and new items")
    for name, missing in slate.missing.items():
        if name in KINDS:
            print_message(f"{missing} slots of {name} are left out: no more items of that kind may be shown")
        else:
            print_message(f"the floor of {name} lacks {missing} items: no more of them may be shown")
    if output.as_json:
        print_json_lines({"slate_id": slate.slate_id, "slot": n} | item.to_dict() for n, item in enumerate(slate))
    else:
        _print(slate, output, db)
    if log:
        print_message(f"logged as slate {slate.slate_id}")


@command(
    similar_app,
    examples=[
        "similar guitar-acoustic",
        "similar guitar-acoustic --collapse none",
        "similar guitar-acoustic --kind video --near-duplicate 0.95 --json",
        "similar guitar-acoustic --columns title,price,score",
    ],
)
def similar(
    *,
    item: Annotated[str, typer.Argument(metavar="ITEM", help="Item id.")],
    kind: options.Kinds = None,
    collapse: options.Collapse = None,
    near_duplicate: Annotated[
        float,
        panels.filters(
            "--near-duplicate",
            metavar="COSINE",
            help="Minimum cosine of two near-duplicates; only one of them is shown.",
        ),
    ] = 1.0,
    k: Annotated[int, panels.output("-k", "--k", "--limit", metavar="N", help="Maximum results.")] = 10,
    output: options.ItemTableFlags,
    db: options.DatabaseFlags,
) -> None:
    """List the items with the most similar content. Expired and blocked items are excluded.

    An item with videos is compared frame by frame. Each video in the list has its most similar moment.

    If the catalogue has group ids, each product is listed once, and the product of the item is left out.
    """
    items = db.open().similar(item, k=k, kinds=kind or (), near_duplicate=near_duplicate, collapse=collapse)
    if output.as_json:
        print_json_lines(found.to_dict() for found in items)
    else:
        by_product = any(found.variants is not None for found in items)
        with_moments = any(found.moment is not None for found in items)
        output.print_items(
            db,
            ["score", "item", "kind", "title"] + ["moment"] * with_moments + ["variants"] * by_product,
            [
                (shown(found.score, ".3f"), found.item_id, found.kind, found.title)
                + (_shown_moment(found.moment),) * with_moments
                + (shown_variants(found.variants),) * by_product
                for found in items
            ],
            right=["score"],
            absent=["variants", "moment"],
        )
        if not output.csv:
            for entry in items.videos:
                print_message(f"shown at {clock(entry.start_s)} in {entry.video_id}: {entry.video_title or ''}")


def _print_users(database: Database, item_id: str, k: int, output: options.ItemTableFlags) -> None:
    users = database.cold_start.interested_users(item_id, k=k)
    if output.as_json:
        print_json_lines(user.to_dict() for user in users)
    else:
        headings = ["score", "user", "because of"]
        output.choose(headings)
        output.print_table(
            headings,
            [(shown(user.score, ".3f"), user.user_id, user.because) for user in users],
            right=["score"],
        )


def _print(slate: Slate, output: options.ItemTableFlags, db: options.DatabaseFlags) -> None:
    by_product = any(item.variants is not None for item in slate)
    with_moments = any(item.moment is not None for item in slate)
    output.print_items(
        db,
        ["score", "item", "kind", "title", "source", "because of", "propensity"]
        + ["moment"] * with_moments
        + ["variants"] * by_product,
        [
            (
                *(shown(item.score, ".2f"), item.item_id, item.kind, item.title, item.source.replace("_", " ")),
                *(item.because, shown(item.propensity, ".3g")),
                *(_shown_moment(item.moment),) * with_moments,
                *(shown_variants(item.variants),) * by_product,
            )
            for item in slate
        ],
        right=["score", "propensity"],
        absent=["variants", "moment"],
    )


def _shown_moment(moment: Moment | None) -> str | None:
    return None if moment is None else f"{clock(moment.start_s)}-{clock(moment.end_s)}"
