"""Public catalogues with the events of real users, indexed as a shop would index them.

MovieLens-100K (Harper and Konstan, "The MovieLens datasets", 2015) ships inside PyPI's recbole 1.2.1 wheel. Amazon
Industrial is a folder of items.csv (item_id, title, brand, description), interactions.csv (user_id, item_id, position)
and next_item.jsonl (published samples of next items). This project stores neither of them.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import firstsight
from firstsight.recommend.events.event_times import position_us
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.storage.store import Store

WHEEL = "recbole==1.2.1"
_INSIDE = "recbole/dataset_example/ml-100k/"


@dataclass(frozen=True)
class EventLog:
    """A catalogue and the events of its users, as parallel columns.

    Attributes:
        name: of the log.
        items: rows with item_id, title and text.
        users, item_ids: of the events.
        times: (events,) microseconds since 1970; of a log with an order only, as `events add --order` stores positions.
        has_times: whether the events have real times.
        samples: file of published samples of next items; None if there are none.
    """

    name: str
    items: list[dict[str, str]]
    users: NDArray[np.object_]
    item_ids: list[str]
    times: NDArray[np.int64]
    has_times: bool = True
    samples: Path | None = None

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write the catalogue and the events as CSV files for `firstsight index` and `firstsight events add`.

        Events without times have positions: add them with `--order position`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        catalogue, events = folder / "catalogue.csv", folder / "events.csv"
        with catalogue.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["item_id", "title", "text"])
            writer.writeheader()
            writer.writerows(self.items)
        with events.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["user_id", "item_id", "timestamp" if self.has_times else "position"])
            numbers = (self.times - (0 if self.has_times else position_us(0))) // 1_000_000
            rows.writerows(zip(self.users, self.item_ids, numbers, strict=True))
        return catalogue, events

    def store(self, folder: Path) -> Store:
        """Index the catalogue with the starter encoder below a folder, or open the database of an earlier run."""
        database = folder / self.name
        if not (database / "items.lance").is_dir():
            catalogue, _ = self.write(folder / f"{self.name}-files")
            firstsight.open(database).index(catalogue)
        return Store.open(database)

    def interactions(self, space: ItemSpace) -> Interactions:
        """The events on the items of a space."""
        return Interactions.of(space, self.users, space.places(self.item_ids), self.times)


def movielens(folder: Path) -> EventLog:
    """Load MovieLens-100K: 1,682 films, 943 users, 100,000 ratings; every rating is an event.

    Args:
        folder: of the wheel; it is downloaded if it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = sorted(folder.glob("recbole-1.2.1-*.whl"))
    if not found:
        command = [sys.executable, "-m", "pip", "download", WHEEL, "--no-deps", "--quiet", "--dest", str(folder)]
        subprocess.run(command, check=True)
        found = sorted(folder.glob("recbole-1.2.1-*.whl"))
    with zipfile.ZipFile(found[0]) as wheel:
        films = _tab_separated(wheel.read(f"{_INSIDE}ml-100k.item").decode("utf-8"))
        ratings = _tab_separated(wheel.read(f"{_INSIDE}ml-100k.inter").decode("utf-8"))
    items = [
        {
            "item_id": film["item_id"],
            "title": f"{film['movie_title']} ({film['release_year']}). {', '.join(film['class'].split())}",
            "text": "",
        }
        for film in films
    ]
    return EventLog(
        "movielens-100k",
        items,
        np.array([row["user_id"] for row in ratings], dtype=object),
        [row["item_id"] for row in ratings],
        np.array([int(row["timestamp"]) * 1_000_000 for row in ratings], dtype=np.int64),
    )


def amazon_industrial(folder: Path) -> EventLog:
    """Load 3,686 products, 3,285 users and 22,174 events, which have positions and no times.

    The events are those of the users of the published test and validation samples, each cut to the last eleven: 29 % of
    the published training pairs (10,393 of 36,259).
    """
    with (folder / "items.csv").open(encoding="utf-8", newline="") as file:
        items = [
            {"item_id": row["item_id"], "title": row["title"], "text": f"{row['brand']} {row['description']}"[:2000]}
            for row in csv.DictReader(file)
        ]
    with (folder / "interactions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    samples = folder / "next_item.jsonl"
    return EventLog(
        "amazon-industrial",
        items,
        np.array([row["user_id"] for row in rows], dtype=object),
        [row["item_id"] for row in rows],
        np.array([position_us(row["position"]) for row in rows], dtype=np.int64),
        has_times=False,
        samples=samples if samples.is_file() else None,
    )


def _tab_separated(text: str) -> list[dict[str, str]]:
    header, *lines = text.splitlines()
    names = [name.partition(":")[0] for name in header.split("\t")]
    return [dict(zip(names, line.split("\t"), strict=False)) for line in lines]
