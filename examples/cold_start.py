"""Learn from clicks, rank a new item before its first click, and find the users who may like it.

python examples/cold_start.py [DB]
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

import firstsight

SAMPLE = Path(__file__).parent.parent / "sample_media"
USERS = 60


def clicks(categories: dict[str, str]) -> list[dict[str, object]]:
    """Clicks of users who each like one category; a shop uses its own log instead."""
    rng = np.random.default_rng(0)
    names = sorted(set(categories.values()))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows: list[dict[str, object]] = []
    for user in range(USERS):
        liked = [item_id for item_id, name in categories.items() if name == names[user % len(names)]]
        chosen = [*rng.choice(liked, 6), *rng.choice([*categories], 2)]
        rows += [
            {"user_id": f"user-{user}", "item_id": str(item), "timestamp": start + timedelta(hours=user, minutes=n)}
            for n, item in enumerate(chosen)
        ]
    return rows


def main(folder: str) -> None:
    with firstsight.open(folder) as db:
        db.index(SAMPLE / "catalogue.csv")
        rows = db.to_arrow(columns=["item_id", "category"], vectors=False).read_all().to_pylist()
        log = clicks({row["item_id"]: row["category"] or "" for row in rows})
        print(f"{db.events.add(log).added} new events")

        model = db.cold_start.fit(on_progress=print)
        print(f"model {model.version} learned from {model.figures['events']} events")

        new = {"item_id": "new-guitar", "title": "Travel guitar of spruce", "images": SAMPLE / "queries" / "guitar.jpg"}
        db.add([new], root=SAMPLE)
        print("\nusers who may like the new guitar, which has no click yet")
        for user in db.cold_start.interested_users("new-guitar", k=3):
            print(f"  {user.score:.3f}  {user.user_id}, because of {user.because}")

        print("\na slate for the first of them")
        for item in db.recommend(user.user_id, k=5, seed=0):
            print(f"  {item.source:10s} {item.title}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "examples-db")
