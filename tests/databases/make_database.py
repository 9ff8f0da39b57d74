"""Make the test database of a layout: `python tests/databases/make_database.py`.

The script writes `layout-N.tar.gz` into its own folder, where N is the layout of the installed firstsight. README.md
says when to run it. It calls only commands, so it works with the code of any layout.
"""

from __future__ import annotations

import csv
import gzip
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import lancedb

from firstsight.storage.tables import CURRENT_LAYOUT

HERE = Path(__file__).parent
SAMPLE = HERE.parents[1] / "sample_media"

WORK = Path("/tmp/firstsight-layout")
"""Folder of the database, equal on all machines, because a database contains absolute paths."""

WITH_MEDIA = ("sneakers-red", "bananas", "teapot-blue", "video-cat")
"""Items with media; the picture of the teapot is broken. The other items have only titles."""

ITEMS = 40
SCORED = ("--policy", "weapons", "--by", "reviewer")


def main() -> None:
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    db = WORK / "db"
    items = write_catalogue(WORK / "catalogue.csv")
    write_events(WORK / "events.csv", items)
    write_judgements(WORK / "judgements.csv", items)
    firstsight(db, "index", "catalogue.csv", "--max-failures", "1")
    firstsight(db, "events", "add", "events.csv")
    firstsight(db, "semantic-ids", "fit", "--codes", "4")
    firstsight(db, "cold-start", "fit")
    firstsight(db, "rerank", "fit", "--judgements", "judgements.csv")
    firstsight(db, "recommend", "--user", "user-1", "-k", "5", "--seed", "1", "--log")
    firstsight(db, "safety", "hashes", "add", "--item", "bananas", "--policy", "counterfeit", "--by", "reviewer")
    firstsight(db, "safety", "score")
    blocked, allowed, appealed, overturned = [item for item in items if item not in WITH_MEDIA][:4]
    for item in (blocked, appealed, overturned):
        firstsight(db, "safety", "decide", item, "block", *SCORED, "--reason", "looks like a weapon")
    firstsight(db, "safety", "decide", allowed, "allow", *SCORED, "--reason", "seen, and fine")
    firstsight(db, "safety", "appeal", appealed, "--by", "seller", "--reason", "it is a toy")
    firstsight(db, "safety", "overturn", overturned, "--by", "second reviewer", "--reason", "it is a toy")
    firstsight(db, "safety", "score")
    firstsight(db, "safety", "audit")
    clean(db)
    pack(db, HERE / f"layout-{CURRENT_LAYOUT}.tar.gz")


def firstsight(db: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "firstsight", *arguments, "--db", str(db)]
    sys.stderr.write(f"firstsight {' '.join(arguments)}\n")
    subprocess.run(command, cwd=WORK, check=True, stdout=subprocess.DEVNULL)


def write_catalogue(path: Path) -> list[str]:
    """Write some rows of the sample catalogue; returns their ids."""
    with (SAMPLE / "catalogue.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = [row for row in rows if row["item_id"] in WITH_MEDIA]
    chosen += [row for row in rows if row not in chosen][: ITEMS - len(chosen)]
    for row in chosen:
        if row["item_id"] in WITH_MEDIA:
            for medium in filter(None, (row["images"], row["videos"])):
                (path.parent / medium).parent.mkdir(exist_ok=True)
                shutil.copy(SAMPLE / medium, path.parent / medium)
        else:
            row["images"] = row["videos"] = ""
    write(path, list(chosen[0]), ([*row.values()] for row in chosen))
    return [row["item_id"] for row in chosen]


def write_events(path: Path, items: list[str]) -> None:
    """Write events of twenty users, each on neighbouring items of the catalogue."""
    rows = (
        (f"user-{user}", items[(2 * user + n) % len(items)], f"2026-01-{1 + n:02}T10:00:00Z", "click")
        for user in range(20)
        for n in range(8)
    )
    write(path, ["user_id", "item_id", "timestamp", "event"], rows)


def write_judgements(path: Path, items: list[str]) -> None:
    """Write judgements: the words of an item id match this item, and not the previous one."""
    rows = (
        (item.replace("-", " "), judged, grade)
        for n, item in enumerate(items)
        for judged, grade in ((item, 3), (items[n - 1], 0))
    )
    write(path, ["query", "item_id", "grade"], rows)


def write(path: Path, header: list[str], rows: Iterator[list[str] | tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def clean(db: Path) -> None:
    """Merge the files of each table and remove its old versions."""
    connection = lancedb.connect(db)
    for name in connection.list_tables().tables:
        connection.open_table(name).optimize(cleanup_older_than=timedelta(0))
    for lock in db.glob(".*.lock"):
        lock.unlink()


def pack(db: Path, archive: Path) -> None:
    """Write the folder as an archive, under the name `db`."""
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        tar.add(db, "db", filter=without_owner)
    sys.stderr.write(f"{archive}: {archive.stat().st_size / 1e3:,.0f} kB\n")


def without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    main()
