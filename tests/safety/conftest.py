"""A database of random vectors; some items show the content of a policy."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firstsight.encoders.base import EncoderSpec, Vector, unit
from firstsight.safety.policy.policies import Policies, parse_policies
from firstsight.storage.store import Store

DIM = 32
SPEC = EncoderSpec("drawn", DIM, 32, "d4a3")

POLICIES = """
policies:
  - {id: weapons, name: Weapons, severity: 4, prompts: [a gun], neutral_prompts: [a toy]}
  - {id: alcohol, name: Alcohol, severity: 2, min_age: 18, prompts: [wine], neutral_prompts: [juice]}
"""


class Catalogue:
    """Items with a title, two pictures and three frames each; of every tenth, one frame or picture shows a weapon."""

    def __init__(self, path: Path, items: int = 400, *, seed: int = 0) -> None:
        self.path = path
        self.store = Store.create(path, SPEC)
        self.rng = np.random.default_rng(seed)
        self.weapon: Vector = unit(self.rng.normal(size=DIM))
        self.gaps = {part: 0.6 * unit(self.rng.normal(size=DIM)) for part in ("title", "image", "frame")}
        self.bad: dict[str, str] = {}  # item -> the view that shows it
        self.add(items)

    @property
    def ids(self) -> list[str]:
        return [f"i{n:05d}" for n in range(self.items)]

    items = 0

    def add(self, items: int, run_id: str = "run-0") -> None:
        views: list[dict[str, Any]] = []
        rows = []
        for n in range(self.items, self.items + items):
            item_id = f"i{n:05d}"
            own = []
            for part, place in [
                ("title", ""),
                ("image", "-0"),
                ("image", "-1"),
                *(("frame", f"-0-{t}") for t in range(3)),
            ]:
                noise = self.rng.normal(size=DIM) / np.sqrt(DIM)
                view_id = f"{item_id}#{part}{place}"
                shows = n % 10 == 0 and place == ("-0-2" if n % 20 else "-1")
                if shows:
                    self.bad[item_id] = view_id
                vector = unit(noise + self.gaps[part] + (2.2 * self.weapon if shows else 0.0))
                uri = None if part == "title" else f"{item_id}.{'jpg' if part == 'image' else 'mp4'}"
                time_s = 10.0 * int(place[-1]) if part == "frame" else None
                own.append(
                    {
                        "view_id": view_id,
                        "item_id": item_id,
                        "part": part,
                        "uri": uri,
                        "time_s": time_s,
                        "vector": vector,
                    }
                )
            views += own
            row: dict[str, Any] = {
                "item_id": item_id,
                "kind": "video",
                "title": f"thing {n}",
                "digest": "d",
                "row_digest": "r",
            }
            row |= {"catalog_dir": "/data", "run_id": run_id, "indexed_at": datetime.now(UTC)}
            rows.append(row | {"vector": unit(np.sum([np.asarray(view["vector"]) for view in own], axis=0))})
        self.items += items
        with self.store.writing():
            self.store.write_views(views, [])
            self.store.write_items(rows)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "db")


@pytest.fixture
def policies() -> Policies:
    return parse_policies(POLICIES, "policies.yaml")
