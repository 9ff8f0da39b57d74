"""`firstsight ranking`: fit the weights that recommendations are ordered by, and explain them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import print_json_lines, print_message, shown

if TYPE_CHECKING:
    from firstsight.recommend.ranking.ranking_explanation import ItemExplanation
    from firstsight.recommend.ranking.ranking_store import RankingVersion

app = group(
    "Fit the weights of the score terms that recommend orders items by.",
    examples=[
        "ranking fit",
        "ranking list",
        "ranking use 2",
        "ranking use none",
        "ranking explain --user u42 --item sneakers-red",
    ],
    note="Add events first, with firstsight events add. Fitting needs implicit: pip install 'firstsight[recommend]'",
)


@command(app, examples=["ranking fit", "ranking fit --keep --json"])
def fit(
    *,
    keep: Annotated[
        bool, panels.training("--keep", help="Keep using the current ranking, whatever held-out events say.")
    ] = False,
    output: options.TableFlags,
    db: options.DatabaseFlags,
) -> None:
    """Fit a new version to all events, and use it if it finds more of the held-out next events than fixed weights."""
    made = db.open().ranking.fit(use=False if keep else None, on_progress=print_message)
    if output.as_json:
        print_json_lines([made.to_dict()])
    else:
        _print([made], output)
    print_message(_verdict(made, keep=keep))


@command(app, "list", examples=["ranking list", "ranking list --json"])
def list_(*, output: options.TableFlags, db: options.DatabaseFlags) -> None:
    """List all versions with their held-out figures, and which is in use."""
    versions = db.open().ranking.versions()
    if output.as_json:
        print_json_lines(version.to_dict() for version in versions)
    else:
        _print(versions, output)


@command(app, examples=["ranking use 2", "ranking use none"])
def use(
    *,
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="Version number, or none for fixed weights that are not fitted.")
    ],
    db: options.DatabaseFlags,
) -> None:
    """Use a version instead of the current one, or none."""
    number = options.parse_version(version)
    db.open().ranking.use(number)
    print_message("no fitted ranking is in use" if version == "none" else f"ranking {version} is now in use")


@command(
    app,
    examples=["ranking explain --user u42", "ranking explain --user u42 --item sneakers-red --version 2 --json"],
    note="Contributions add up to the score: log odds of the next event, up to a constant that all items share.",
)
def explain(
    *,
    user: Annotated[str, panels.user("--user", metavar="ID", help="User of the logged events.")],
    item: Annotated[
        str | None, panels.ranking("--item", metavar="ID", help="Item to explain. By default the first ones.")
    ] = None,
    k: Annotated[int, panels.ranking("-k", "--k", metavar="N", help="Items to explain, without --item.")] = 10,
    version: Annotated[
        int | None,
        panels.ranking("--version", metavar="N", help="Version of the ranking. By default the one in use."),
    ] = None,
    output: options.TableFlags,
    db: options.DatabaseFlags,
) -> None:
    """Show what each term adds to the scores of items for a user, before quotas, caps and exploration."""
    explained = db.open().ranking.explain(user, item, version=version, k=k)
    if output.as_json:
        facts = {"user": explained.user, "events": explained.events, "version": explained.version}
        print_json_lines(facts | one.to_dict() for one in explained)
    else:
        heads = ["place", "item", "title", "score", "term", "value", "weight", "contribution"]
        numbers = ["place", "score", "value", "weight", "contribution"]
        output.print_table(heads, [row for one in explained for row in _rows(one, every=output.csv)], right=numbers)
    used = "fixed weights, which are not fitted" if explained.version is None else f"ranking {explained.version}"
    print_message(f"{used}; user {user} has {explained.events:,} events on items of the index")


def _rows(item: ItemExplanation, *, every: bool) -> list[tuple[object, ...]]:
    """A row for each term; the cells of the item are in its first row only, unless `every` row needs them."""
    rows: list[tuple[object, ...]] = []
    for number, one in enumerate(item.terms):
        head = (item.place, item.item_id, item.title, shown(item.score, ".3f"))
        values = (shown(one.value, ".3f"), shown(one.weight, ".3f"), shown(one.contribution, "+.3f"))
        rows.append((*(head if every or number == 0 else ("",) * 4), one.term, *values))
    return rows or [(item.place, item.item_id, item.title, shown(item.score, ".3f"), "", "", "", "")]


def _print(versions: list[RankingVersion], output: options.TableFlags) -> None:
    numbers = ["version", "events", "held out", "HR@10", "before", "NDCG@10", "before ", "gain", "terms"]
    output.print_table(
        ["version", "fitted", "in use", *numbers[1:]],
        [
            (
                version.version,
                shown(version.fitted_at, "%Y-%m-%d %H:%M"),
                "yes" if version.in_use else "",
                shown(version.figures["events"], ",.0f"),
                shown(version.figures["samples"], ",.0f"),
                *(shown(version.figures[name], ".4f") for name in ("hr", "hr_before", "ndcg", "ndcg_before")),
                _gain(version),
                len(version.terms),
            )
            for version in versions
        ],
        right=numbers,
        empty="there are no fitted rankings; items are ordered by fixed weights. Fit one: firstsight ranking fit",
    )


def _gain(version: RankingVersion) -> str:
    return f"{version.figures['gain']:+.4f} ({version.figures['low']:.4f} to {version.figures['high']:.4f})"


def _verdict(version: RankingVersion, *, keep: bool) -> str:
    name = f"ranking {version.version}"
    compared = f"NDCG@10 of held-out next events {_gain(version)} against fixed weights"
    if version.in_use:
        return f"{name} is in use: {compared}"
    reason = "because of --keep" if keep else "since held-out events do not improve"
    return f"{name} is not in use, {reason}: {compared}; to use it: firstsight ranking use {version.version}"
