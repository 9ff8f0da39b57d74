"""`Database.recommend`, `similar` and `interested_users` over a real database."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import firstsight
from firstsight.database import Database
from firstsight.errors import QueryError
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.semantic_ids.clusters import Clusters
from firstsight.recommend.slates.slate_log import read_outcomes
from firstsight.storage.side_tables import open_side_table
from firstsight.storage.store import Store

MUSIC = {
    "guitar-acoustic",
    "guitar-electric",
    "bass-guitar",
    "drum-kit",
    "gramophone",
    "xylophone",
    "violin",
    "trumpet",
}
FRUIT = {"grapes", "fruit-basket", "watermelon", "pineapple", "bananas", "lemon"}


def write_events(path: Path, rows: list[tuple[str, str, datetime]]) -> Path:
    lines = [f"{user},{item},{when.isoformat()}" for user, item, when in rows]
    path.write_text("\n".join(["user_id,item_id,timestamp", *lines]) + "\n", encoding="utf-8")
    return path


def some_events() -> list[tuple[str, str, datetime]]:
    start = datetime.now(UTC) - timedelta(days=10)
    music, fruit = sorted(MUSIC)[:6], sorted(FRUIT)
    rows = [(f"m{n}", item, start + timedelta(hours=h)) for n in range(6) for h, item in enumerate(music) if h != n]
    rows += [(f"f{n}", item, start + timedelta(hours=h)) for n in range(6) for h, item in enumerate(fruit) if h != n]
    return rows


@pytest.fixture
def db(sample_db: Path, tmp_path: Path) -> Database:
    """A copy of the sample database, to be written to."""
    path = tmp_path / "db"
    shutil.copytree(sample_db, path)
    return firstsight.open(path)


@pytest.fixture
def db_with_events(db: Database, tmp_path: Path) -> Database:
    db.events.add(write_events(tmp_path / "events.csv", some_events()))
    return db


def test_a_history_brings_what_is_like_it(sample_db: Path) -> None:
    slate = firstsight.open(sample_db).recommend(history=["guitar-acoustic", "violin"], k=5, explore=0.0)
    assert len({one.item_id for one in slate} & MUSIC) >= 3
    assert not {"guitar-acoustic", "violin"} & {one.item_id for one in slate}
    assert {one.because for one in slate[:3]} <= {"guitar-acoustic", "violin"}
    assert sum(interest.share for interest in slate.interests) == pytest.approx(1)
    assert slate[0].title
    assert json.dumps([one.to_dict() for one in slate])


def test_events_that_have_nothing_in_common_each_name_what_they_bring(sample_db: Path) -> None:
    history = ["guitar-acoustic", "hiking-boot"]
    slate = firstsight.open(sample_db).recommend(history=history, k=12, explore=0.0, collapse="none")
    because = {one.item_id: one.because for one in slate if one.source == "recent"}
    assert because["guitar-electric"] == "guitar-acoustic"
    assert because["sneakers-sky"] == "hiking-boot"


def test_a_user_with_events_is_known_and_others_are_answered(db_with_events: Database) -> None:
    slate = db_with_events.recommend("m1", k=4, explore=0.0)
    assert slate.events == 5
    assert slate[0].item_id in MUSIC
    assert not {item for user, item, _ in some_events() if user == "m1"} & {one.item_id for one in slate}
    stranger = db_with_events.recommend("nobody", k=4, explore=0.0)
    assert stranger.events == 0
    assert {one.item_id for one in stranger} <= MUSIC | FRUIT
    assert {one.source for one in stranger} == {"popular"}


def test_without_any_events_strangers_get_what_is_new(sample_db: Path) -> None:
    database = firstsight.open(sample_db)
    slate = database.recommend(k=3, explore=0.0)
    assert {one.source for one in slate} == {"newest"}


def test_events_and_a_history_count_together(db_with_events: Database) -> None:
    slate = db_with_events.recommend("m1", history=["grapes", "lemon", "bananas"], k=10, explore=0.0)
    assert slate.events == 8
    shown = {one.item_id for one in slate}
    assert shown & FRUIT
    assert shown & MUSIC


def test_events_with_times_are_taken_in_the_order_of_time(sample_db: Path) -> None:
    database = firstsight.open(sample_db)
    old, new = datetime.now(UTC) - timedelta(days=300), datetime.now(UTC) - timedelta(hours=1)
    history = [
        {"item_id": "grapes", "timestamp": new.isoformat()},
        {"item_id": "guitar-acoustic", "timestamp": old.isoformat()},
    ]
    assert database.recommend(history=history, k=3, explore=0.0)[0].item_id in FRUIT
    seconds = [one | {"timestamp": datetime.fromisoformat(one["timestamp"]).timestamp()} for one in history]
    assert database.recommend(history=seconds, k=3, explore=0.0)[0].item_id in FRUIT


def test_an_ended_live_is_not_shown_after_its_end(sample_db: Path) -> None:
    database = firstsight.open(sample_db)
    space = ItemSpace.load(Store.open(sample_db))
    lives = space.kinds == "live"
    end = int(space.expires[lives].max())
    if end > 2**62:
        pytest.skip("no live of the sample catalogue ends")
    after = datetime.fromtimestamp(end / 1e6, UTC) + timedelta(seconds=1)
    assert not [one for one in database.recommend(k=75, now=after) if one.kind == "live"]


def test_a_slate_is_logged_with_its_propensities_and_outcomes_are_read(
    db_with_events: Database, tmp_path: Path
) -> None:
    past = datetime.now(UTC) - timedelta(days=3)
    slate = db_with_events.recommend("m1", k=10, explore=0.5, seed=1, now=past, log=True)
    store = Store.open(db_with_events.uri)
    table = open_side_table(store, "slates")
    assert table is not None
    rows = sorted(table.to_arrow().to_pylist(), key=lambda row: row["slot"])
    assert [row["item_id"] for row in rows] == [one.item_id for one in slate]
    assert [row["propensity"] for row in rows] == pytest.approx([one.propensity for one in slate])
    explored = [one.item_id for one in slate if one.explore]
    assert len(explored) == 5
    # the user turns to the first of them
    db_with_events.events.add(write_events(tmp_path / "more.csv", [("m1", explored[0], past + timedelta(hours=2))]))
    space = ItemSpace.load(store)
    clusters = Clusters(space, (space.places(space.item_ids) % 7).astype("int32"))
    from firstsight.recommend.events.event_log import Events

    outcomes = read_outcomes(store, space, clusters, Events(store).interactions(space))
    assert outcomes.shown.sum() == 10
    assert (outcomes.successes.sum(), outcomes.failures.sum()) == (1, 4)
    assert outcomes.successes[clusters.labels[space.place(explored[0])]] == 1


def test_the_same_seed_gives_the_same_slate(sample_db: Path) -> None:
    database = firstsight.open(sample_db)
    slates = [database.recommend(history=["grapes"], explore=0.5, seed=seed) for seed in (3, 3, 4)]
    assert list(slates[0]) == list(slates[1])
    assert list(slates[0]) != list(slates[2])


def test_a_profile_is_read_from_a_file(db_with_events: Database, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text(json.dumps({"user": "m1", "history": ["grapes"], "age": 30}))
    slate = db_with_events.recommend(profile=path, k=5)
    assert (slate.user_id, slate.events) == ("m1", 6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not an object"),
        ('{"users": 1}', "not an object"),
        ("{}", "neither user nor history"),
        ('{"user": 7}', "user is 7"),
        ('{"history": "grapes"}', "history is a str"),
        ('{"history": []}', "history is empty"),
        ('{"history": [3]}', "neither"),
        ('{"history": ["grapes", {"item_id": "lemon", "timestamp": 1700000000}]}', "mixes"),
        ('{"history": ["no such thing"]}', "no such thing"),
        ('{"history": [{"item_id": "lemon", "timestamp": 17}]}', "timestamps"),
        ('{"history": [{"item_id": "lemon", "timestamp": 1700000000, "weight": NaN}]}', "weight"),
        ('{"user": "u", "age": "old"}', "age is 'old'"),
    ],
)
def test_a_profile_that_cannot_be_used_is_refused_with_its_reason(
    sample_db: Path, tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "profile.json"
    path.write_text(text)
    with pytest.raises(QueryError, match=message):
        firstsight.open(sample_db).recommend(profile=path)


def test_what_cannot_be_answered_says_so(sample_db: Path) -> None:
    database = firstsight.open(sample_db)
    with pytest.raises(QueryError, match="history is empty"):
        database.recommend(history=[])
    with pytest.raises(QueryError, match="no such item"):
        database.similar("no such item")
    with pytest.raises(QueryError, match="no events"):
        database.cold_start.interested_users("grapes")
    with pytest.raises(QueryError, match="'brand'"):
        database.recommend(cap=1, cap_column="brand")
    with pytest.raises(QueryError, match="needs a column and a number"):
        database.recommend(cap=1)
    with pytest.raises(QueryError, match="no time zone"):
        database.recommend(now=datetime(2026, 1, 1))
    with pytest.raises(TypeError, match="colour"):
        database.recommend(colour="red")  # type: ignore[call-arg]


def test_a_cap_holds_for_a_column_of_the_catalogue(sample_db: Path) -> None:
    database = firstsight.open(sample_db)
    slate = database.recommend(history=["guitar-acoustic"], k=10, cap=2, cap_column="category", explore=0.3, seed=2)
    categories = [database.get(one.item_id).columns["category"] for one in slate]
    assert max(categories.count(one) for one in set(categories) - {None, ""}) <= 2


def test_quotas_that_cannot_be_filled_are_told(sample_db: Path) -> None:
    slate = firstsight.open(sample_db).recommend(history=["grapes"], k=12, quotas={"video": 5, "product": 4})
    assert [one.kind for one in slate].count("product") == 4
    assert slate.missing == {"video": 2}


def test_similar_items_and_interested_users(db_with_events: Database) -> None:
    found = db_with_events.similar("guitar-acoustic", k=4)
    assert {one.item_id for one in found} <= MUSIC | {"video-guitar-lesson"}
    assert all(one.kind == "video" for one in db_with_events.similar("guitar-acoustic", kinds=["video"]))
    # nobody has clicked the violin
    users = db_with_events.cold_start.interested_users("violin", k=5)
    assert {one.user_id[0] for one in users} == {"m"}
    assert all(one.because in MUSIC for one in users)


def test_slates_follow_what_is_written_meanwhile(db: Database, tmp_path: Path) -> None:
    assert db.recommend("f1", k=3).events == 0
    db.events.add(write_events(tmp_path / "events.csv", some_events()))
    assert db.recommend("f1", k=3).events == 5
    catalogue = tmp_path / "more.csv"
    catalogue.write_text("item_id,kind,title\ngrapes-green,product,Green grapes\n")
    db.index(catalogue)
    assert "grapes-green" in {one.item_id for one in db.similar("grapes", k=5)}


@pytest.mark.slow
def test_no_encoder_is_imported(sample_db: Path) -> None:
    heavy = "{'torch', 'transformers', 'openvino', 'open_clip', 'firstsight.encoders.starter.starter_encoder'}"
    code = (
        f"import sys, firstsight; db = firstsight.open({str(sample_db)!r}); db.recommend(history=['grapes']); "
        f"db.similar('grapes'); print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
