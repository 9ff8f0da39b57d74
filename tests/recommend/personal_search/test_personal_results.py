"""Searches with a user: bounded, for that user alone, the same on every page, and off without a version."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import firstsight
from firstsight import Query, QueryError
from firstsight.database import open_tables
from firstsight.encoders.base import Encoder
from firstsight.recommend.personal_search.interest_boost import BoostSettings
from firstsight.recommend.personal_search.personal_search_store import (
    PersonalSearchVersion,
    add_version,
    use_version,
)

FIGURES = {"searches": 200, "found": 1.0, "users": 9, "held_out": 80}
FIGURES |= {"mrr_before": 0.3, "mrr_after": 0.4, "gain_low": 0.05, "gain_high": 0.15}
FIGURES |= {"ndcg_before": 0.3, "ndcg_after": 0.4}
TEXT = "something to play with"
BOUND = 1.0


@pytest.fixture(scope="module")
def personal_db(sample_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sample database with events of two users and a version in use."""
    folder = tmp_path_factory.mktemp("personal")
    path = Path(shutil.copytree(sample_db, folder / "db"))
    with firstsight.open(path) as db:
        items = {
            "musician": [r.item_id for r in db.search("guitar", k=6)],
            "runner": [r.item_id for r in db.search("running shoes", k=6)],
        }
        events = folder / "events.jsonl"
        events.write_text(
            "".join(
                json.dumps({"user": user, "item": item, "time": 1_700_000_000 + n}) + "\n"
                for user, chosen in items.items()
                for n, item in enumerate(chosen)
            )
        )
        db.events.add(events)
        store = open_tables(db)
        settings = BoostSettings("mean", weight=1.5, bound=BOUND)
        now = datetime.now(UTC)
        add_version(
            store, PersonalSearchVersion(0, now, False, store.spec.fingerprint, settings, FIGURES), use=True, wait_s=0
        )
    return path


@pytest.fixture(scope="module")
def db(personal_db: Path, starter: Encoder) -> Iterator[firstsight.Database]:
    with firstsight.open(personal_db, encoder=starter) as db:
        yield db


def ids(results: firstsight.SearchResults) -> list[str]:
    return [result.item_id for result in results]


def test_a_user_gets_an_order_of_their_own(db: firstsight.Database) -> None:
    plain, musician, runner = (
        ids(db.search(TEXT, k=100, collapse="none", user=user)) for user in (None, "musician", "runner")
    )
    assert sorted(plain) == sorted(musician) == sorted(runner)
    assert len({tuple(plain), tuple(musician), tuple(runner)}) == 3


def test_a_boost_is_shown_bounded_and_only_with_a_user(db: firstsight.Database) -> None:
    found = db.search(TEXT, k=100, collapse="none", user="musician")
    boosts = [result.boost for result in found]
    assert all(boost is not None and abs(boost) <= BOUND for boost in boosts)
    assert found[0].to_dict()["boost"] == round(found[0].boost or 0, 4)
    plain = db.search(TEXT, k=3)
    assert plain[0].boost is None
    assert "boost" not in plain[0].to_dict()
    scores = {r.item_id: (r.score, r.relevance) for r in db.search(TEXT, k=100, collapse="none")}
    assert {r.item_id: (r.score, r.relevance) for r in found} == scores


def test_searches_of_a_batch_keep_their_users_apart(db: firstsight.Database) -> None:
    queries = [Query(TEXT, user=user, k=20) for user in ("musician", None, "runner", "nobody", "musician")]
    together = [ids(answer) for answer in db.search_many(queries)]
    assert together == [ids(db.search(query)) for query in queries]
    assert together[1] == together[3]
    assert together[0] == together[4] != together[2]


def test_pages_come_from_one_order_even_after_new_events(
    personal_db: Path, starter: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Path(shutil.copytree(personal_db, tmp_path / "db"))
    monkeypatch.setattr("firstsight.recommend.personal_search.user_histories.FRESH_S", 0.0)
    with firstsight.open(own, encoder=starter) as db:
        whole = db.search(TEXT, k=60, user="musician")
        now = datetime.now(UTC).timestamp()
        rows = [{"user": "musician", "item": r.item_id, "time": now} for r in db.search("running shoes", k=5)]
        (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        db.events.add(tmp_path / "new.jsonl")
        use_version(open_tables(db), None, wait_s=0)
        pages = [
            db.search(TEXT, k=20, offset=offset, user="musician", snapshot=whole.snapshot) for offset in (0, 20, 40)
        ]
        assert [item for page in pages for item in ids(page)] == ids(whole)
        assert {page.snapshot for page in pages} == {whole.snapshot}
        assert ids(db.search(TEXT, k=20, user="musician")) == ids(db.search(TEXT, k=20))
        use_version(open_tables(db), 1, wait_s=0)
        assert ids(db.search(TEXT, k=60, user="musician")) != ids(whole)


def test_a_later_page_of_a_plain_search_stays_plain(db: firstsight.Database) -> None:
    plain = db.search(TEXT, k=20)
    assert ids(db.search(TEXT, k=20, user="musician", snapshot=plain.snapshot)) == ids(plain)
    forged = f"{plain.snapshot}~99.1"
    with pytest.raises(QueryError, match="no version of personal search 99"):
        db.search(TEXT, user="musician", snapshot=forged)
    with pytest.raises(QueryError, match="not a token"):
        db.search(TEXT, user="musician", snapshot=f"{plain.snapshot}~x.1")


def test_filters_thresholds_and_collapse_still_hold(db: firstsight.Database) -> None:
    for settings in ({"kinds": ["product"], "where": "price < 100"}, {"min_relevance": 0.3}):
        plain = Query(TEXT, k=90, collapse="none", **settings)
        personal = db.search(replace(plain, user="runner"))
        assert sorted(ids(personal)) == sorted(ids(db.search(plain)))
        assert ids(personal) != ids(db.search(plain))
    categories = [r.columns["category"] for r in db.search(TEXT, k=10, user="runner", collapse="category")]
    assert len(categories) == len(set(categories))
    assert len(db.search(TEXT, k=10, user="runner", diversity=0.5)) == 10


def test_other_kinds_of_queries_and_unknown_users_change_nothing(db: firstsight.Database) -> None:
    for query in (
        Query(TEXT, user="nobody"),
        Query(TEXT, user="runner", mode="words"),
        Query(TEXT, user="runner", minus=["guitar"]),
        Query(items=["bass-guitar"], user="runner"),
    ):
        plain = Query(query.text, items=query.items, mode=query.mode, minus=query.minus)
        answer = db.search(query)
        assert ids(answer) == ids(db.search(plain))
        assert "~" not in answer.snapshot
        assert all(result.boost is None for result in answer)


def test_a_user_must_be_a_text(db: firstsight.Database) -> None:
    with pytest.raises(QueryError, match="the user is empty"):
        Query("shoes", user=" ")
    with pytest.raises(QueryError, match="user must be a string"):
        Query("shoes", user=7)  # type: ignore[arg-type]


def test_without_a_version_nothing_is_read(sample_db: Path, starter: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firstsight.recommend.personal_search.user_histories.UserHistories.of_user", None)
    with firstsight.open(sample_db, encoder=starter) as db:
        assert ids(db.search(TEXT, user="u1")) == ids(db.search(TEXT))
        assert db.personal_search.versions() == []
