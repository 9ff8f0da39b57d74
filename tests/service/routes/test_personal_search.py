"""Searches over HTTP with a user: the library's order, and never the order of another user."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import firstsight
from firstsight.database import open_tables
from firstsight.encoders.base import Encoder
from firstsight.recommend.personal_search.interest_boost import BoostSettings
from firstsight.recommend.personal_search.personal_search_store import PersonalSearchVersion, add_version
from firstsight.service.service_settings import ServiceSettings
from tests.service.conftest import serving

TEXT = "something to play with"
FIGURES = {"mrr_before": 0.3, "mrr_after": 0.4, "gain_low": 0.05, "gain_high": 0.15, "held_out": 80, "searches": 200}


def test_users_of_one_batch_get_their_own_orders(own_db: Path, tmp_path: Path, starter: Encoder) -> None:
    with firstsight.open(own_db, encoder=starter) as db:
        rows = [
            {"user": user, "item": result.item_id, "time": 1_700_000_000 + n}
            for user, text in (("musician", "guitar"), ("runner", "running shoes"))
            for n, result in enumerate(db.search(text, k=6))
        ]
        (tmp_path / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        db.events.add(tmp_path / "events.jsonl")
        store = open_tables(db)
        settings = BoostSettings("nearest", weight=1.5, bound=2.0)
        version = PersonalSearchVersion(0, datetime.now(UTC), False, store.spec.fingerprint, settings, FIGURES)
        add_version(store, version, use=True, wait_s=0)
        users = [None, "musician", "runner"]
        wanted = [[r.item_id for r in db.search(TEXT, k=20, user=user)] for user in users]
    assert wanted[0] != wanted[1] != wanted[2]
    with serving(ServiceSettings(db=str(own_db), encoder=starter, threads=2)) as client:

        def ask(n: int) -> list[str]:
            answer = client.post("/search", json={"text": TEXT, "k": 20, "user": users[n % 3]}).json()
            assert all(("boost" in result) == (n % 3 > 0) for result in answer["results"])
            assert ("~" in answer["snapshot"]) == (n % 3 > 0)
            return [result["item_id"] for result in answer["results"]]

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(ask, range(24))) == [wanted[n % 3] for n in range(24)]
