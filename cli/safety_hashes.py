"""`firstsight safety hashes`: known-bad and known-good pictures, matched by PDQ before any model."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from firstsight.cli import options
from firstsight.cli.exits import ERROR
from firstsight.cli.output import clock, print_json_lines, print_table, tell, wants_json
from firstsight.cli.safety_options import Wait

if TYPE_CHECKING:
    from firstsight.safety.hashes.hash_lists import KnownHash
    from firstsight.storage.store import Store

EPILOG = """
[bold]Examples[/bold]

firstsight safety hashes add knife.jpg --policy weapons

firstsight safety hashes add --item sku-123 --good --by ana

firstsight safety hashes import shared-list.csv --policy weapons

firstsight safety hashes match --json > matches.jsonl

firstsight safety hashes export ours.csv

firstsight safety hashes list --policy weapons

firstsight safety hashes remove --source knife.jpg
"""

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True, epilog=EPILOG)

Policy = Annotated[
    str | None, typer.Option("--policy", metavar="ID", help="The policy they are known under.", show_default=False)
]
By = Annotated[
    str | None, typer.Option("--by", metavar="NAME", help="Who does it, for the audit log; your login by default.")
]


@app.callback()
def hashes() -> None:
    """Keep lists of known pictures and find their copies: resized, encoded again, marked, lightly cropped."""


@app.command("add", epilog="Example: firstsight safety hashes add knife.jpg clip.mp4 --policy weapons --tag batch-7")
def add(
    files: Annotated[list[Path] | None, typer.Argument(help="Pictures and videos.", show_default=False)] = None,
    item: Annotated[
        list[str] | None,
        typer.Option("--item", metavar="ID", help="An indexed item; may be given again.", show_default=False),
    ] = None,
    policy: Policy = None,
    good: Annotated[bool, typer.Option("--good", help="Known to be fine: takes back false matches.")] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="Without the hashes of mirrored, lightly cropped and bordered variants.")
    ] = False,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="A word to find them by.", show_default=False)] = None,
    by: By = None,
    wait: Wait = 0.0,
    db: options.Db = None,
) -> None:
    """Add the hashes of pictures, of videos' frames, or of indexed items. Bad ones need a policy."""
    from firstsight.safety.audit.audit_log import AuditLog
    from firstsight.safety.hashes.hash_bank import HashBank
    from firstsight.safety.hashes.hash_lists import check_tag
    from firstsight.safety.hashes.hash_sources import hashes_of_files, hashes_of_items

    if not files and not item:
        raise typer.BadParameter("name a picture, a video or an --item")
    if not good and policy is None:
        raise typer.BadParameter("say what they are known as: --policy ID, or --good", param_hint="--policy")
    store = _open(db)
    tags = [check_tag(one) for one in tag or ()]
    in_set: Literal["bad", "good"] = "good" if good else "bad"
    found, failed = hashes_of_files(files or (), of_set=in_set, policy_id=policy or "", tags=tags, exact=exact)
    found += hashes_of_items(store, item or (), of_set=in_set, policy_id=policy or "", tags=tags)
    new = HashBank(store).add(found, AuditLog.of(store.uri), by=_who(by), wait_s=wait)
    for error in failed:
        tell(f"left out: {error}")
    tell(f"{len(found):,} hashes, {new:,} of them new")
    if failed:
        raise typer.Exit(ERROR)


@app.command("import", epilog="Example: firstsight safety hashes import shared-list.csv --policy weapons")
def import_(
    file: Annotated[Path, typer.Argument(help="Hashes as text, one a line, or ThreatExchange's CSV.")],
    policy: Policy = None,
    good: Annotated[bool, typer.Option("--good", help="Rows without a category are known to be fine.")] = False,
    by: By = None,
    wait: Wait = 0.0,
    db: options.Db = None,
) -> None:
    """Add a hash list. Rows that cannot be used are named and left out, and the exit code is then 1."""
    from firstsight.safety.audit.audit_log import AuditLog
    from firstsight.safety.hashes.hash_bank import HashBank
    from firstsight.safety.hashes.hash_lists import read_hash_list

    store = _open(db)
    read = read_hash_list(file, default_set="good" if good else "bad", policy_id=policy)
    new = HashBank(store).add(read.hashes, AuditLog.of(store.uri), by=_who(by), wait_s=wait)
    for row in read.bad_rows:
        tell(f"{file}:{row.line}: {row.reason}")
    tell(f"{len(read.hashes):,} hashes, {new:,} of them new; {len(read.bad_rows):,} rows left out")
    if read.bad_rows:
        raise typer.Exit(ERROR)


@app.command("export", epilog="Example: firstsight safety hashes export ours.txt --policy weapons")
def export(
    file: Annotated[Path, typer.Argument(help="CSV where its name ends so; else text, one bad hash a line.")],
    policy: Policy = None,
    good: Annotated[bool, typer.Option("--good", help="The known-good ones; a CSV has both by default.")] = False,
    db: options.Db = None,
) -> None:
    """Write the hashes to a file, in the form that ThreatExchange's tools read."""
    from firstsight.safety.hashes.hash_bank import HashBank
    from firstsight.safety.hashes.hash_lists import write_hash_list

    form: Literal["csv", "text"] = "csv" if file.suffix.lower() == ".csv" else "text"
    of_set: Literal["bad", "good"] | None = "good" if good else None if form == "csv" else "bad"
    entries = HashBank(_open(db)).hashes(of_set=of_set, policy_id=policy)
    write_hash_list(file, entries, form)
    tell(f"{len(entries):,} hashes in {file}")


@app.command("match", epilog="Example: firstsight safety hashes match --max-distance 20")
def match(
    item: Annotated[
        list[str] | None,
        typer.Option("--item", metavar="ID", help="Only this item; may be given again.", show_default=False),
    ] = None,
    max_distance: Annotated[
        int, typer.Option("--max-distance", min=0, max=31, help="Most bits by which hashes may differ.")
    ] = 31,
    db: options.Db = None,
    json: options.Json = False,
) -> None:
    """List the stored pictures and frames that are known, with the hash that says so."""
    from firstsight.safety.hashes.hash_bank import HashBank
    from firstsight.safety.hashes.hash_matching import match_views

    store = _open(db)
    found = match_views(store, HashBank(store).known(), max_distance=max_distance, item_ids=item)
    if wants_json(json):
        print_json_lines(one.as_dict() for one in found)
        return
    rows = sorted(found, key=lambda one: (one.item_id, one.view_id))
    if not rows:
        tell("no stored picture or frame is known")
        return
    print_table(
        ["item", "view", "at", "known", "policy", "bits", "from"],
        [
            (m.item_id, m.view_id, clock(m.time_s), m.known.set, m.known.policy_id, m.distance, m.known.source)
            for m in rows
        ],
        right=["at", "bits"],
    )
    bad = len({m.item_id for m in rows if m.known.set == "bad"})
    tell(f"{bad:,} items are known to be bad")


@app.command("list", epilog="Example: firstsight safety hashes list --policy weapons")
def list_(policy: Policy = None, db: options.Db = None, json: options.Json = False) -> None:
    """List the bank's hashes."""
    from firstsight.safety.hashes.hash_bank import HashBank

    entries = HashBank(_open(db)).hashes(policy_id=policy)
    if wants_json(json):
        print_json_lines(_as_dict(one) for one in entries)
    elif entries:
        columns = ["hash", "set", "policy", "quality", "tags", "source", "added_at"]
        rows = [_as_dict(one) | {"tags": " ".join(one.tags), "added_at": f"{one.added_at:%Y-%m-%d}"} for one in entries]
        print_table(columns, [[row[name] for name in columns] for row in rows], right=["quality"])
    else:
        tell("the hash bank is empty")


@app.command("remove", epilog="Example: firstsight safety hashes remove --source knife.jpg")
def remove(
    hash_: Annotated[
        list[str] | None, typer.Argument(metavar="[HASH]...", help="64 hexadecimal digits each.", show_default=False)
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="NAME", help="All that came from it; may be given again.", show_default=False),
    ] = None,
    by: By = None,
    wait: Wait = 0.0,
    db: options.Db = None,
) -> None:
    """Remove hashes from the bank, or all of a file, list or item, whatever they are known as."""
    from firstsight.safety.audit.audit_log import AuditLog
    from firstsight.safety.hashes.hash_bank import HashBank
    from firstsight.safety.hashes.hash_lists import parse_hash

    if not hash_ and not source:
        raise typer.BadParameter("name a hash or a --source")
    try:
        codes = [parse_hash(one) for one in hash_ or ()]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    store = _open(db)
    gone = HashBank(store).remove(codes, AuditLog.of(store.uri), by=_who(by), sources=source or (), wait_s=wait)
    tell(f"{gone:,} entries removed")


def _as_dict(one: KnownHash) -> dict[str, object]:
    return {
        "hash": one.hex,
        "set": one.set,
        "policy": one.policy_id or None,
        "quality": one.quality,
        "tags": list(one.tags),
        "source": one.source,
        "added_at": one.added_at,
    }


def _open(db: str | None) -> Store:
    from firstsight.config import default_db
    from firstsight.storage.store import Store

    return Store.open(db or default_db())


def _who(by: str | None) -> str:
    return by or getpass.getuser()
