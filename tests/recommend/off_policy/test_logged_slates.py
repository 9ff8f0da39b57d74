"""Logged slates of a real database, evaluated with `Database.evaluation.slates` and on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import firstsight
from firstsight.database import Database
from firstsight.encoders.base import EncoderSpec
from firstsight.errors import QueryError
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.slates import slate_log
from firstsight.recommend.slates.ab_buckets import bucket_of
from firstsight.recommend.slates.rules.slate_settings import SlateOptions
from firstsight.storage.side_tables import open_side_table
from firstsight.storage.store import Store
from tests.cli.calling import call_in_process, call_on_a_terminal

PAST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=5)
ITEMS, USERS = 80, 30


def write_events(path: Path, rows: list[tuple[str, str, datetime]]) -> Path:
    lines = [f"{user},{item},{when.isoformat()}" for user, item, when in rows]
    path.write_text("\n".join(["user_id,item_id,timestamp", *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slates")


def make_database(path: Path) -> Database:
    """Eighty items of eight topics, two thirds of them with one of two sellers."""
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.normal(size=(8, 16)), 10, axis=0) + 0.7 * rng.normal(size=(ITEMS, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    space = ItemSpace.of([f"i{n:02}" for n in range(ITEMS)], vectors.astype(np.float32))
    store = Store.create(path, EncoderSpec(name="synthetic", dim=16, image_size=1, fingerprint="of vectors"))
    store.add_columns({"seller": "text"})
    now = datetime.now(UTC)
    store.write_items(
        [
            {
                "item_id": item_id,
                "kind": "product",
                "seller": ("acme", "bolt", None)[n % 3],
                "vector": vector.tolist(),
                "digest": "d",
                "row_digest": "r",
                "catalog_dir": "",
                "indexed_at": now,
                "run_id": "run",
            }
            for n, (item_id, vector) in enumerate(zip(space.item_ids.tolist(), space.vectors, strict=True))
        ]
    )
    return firstsight.open(path)


@pytest.fixture(scope="module")
def db(folder: Path) -> Iterator[Database]:
    """Users with events, a logged slate each, and clicks."""
    database, rng = make_database(folder / "db"), np.random.default_rng(1)
    rows = [
        (f"u{user}", f"i{item:02}", PAST - timedelta(hours=1 + n))
        for user in range(USERS)
        for n, item in enumerate(rng.integers(0, 60, 5))
    ]
    database.events.add(write_events(folder / "events.csv", rows))
    slates = [
        database.recommend(
            f"u{user}", k=6, explore=0.3, seed=user, now=PAST + timedelta(seconds=user), experiment="home"
        )
        for user in range(USERS)
    ]
    assert database.log_slates(slates) == 6 * USERS
    clicks = [
        (slate.user_id or "", item.item_id, slate.made_at + timedelta(minutes=n + 1))
        for slate in slates
        for n, item in enumerate(slate)
        if rng.random() < 0.3
    ]
    database.events.add(write_events(folder / "clicks.csv", clicks))
    yield database
    database.close()


def test_the_log_has_the_ranking_the_versions_and_the_bucket_of_each_slot(db: Database) -> None:
    table = open_side_table(Store.open(db.uri), "slates")
    assert table is not None
    rows = table.to_arrow().to_pylist()
    assert len(rows) == 6 * USERS
    assert all((row["ranked_item"] != row["item_id"]) == row["explore"] for row in rows)
    assert {json.loads(row["settings"])["explore"] for row in rows} == {0.3}
    assert {tuple(sorted(json.loads(row["versions"]))) for row in rows} == {("events", "items")}
    assert all(row["bucket"] == bucket_of(row["user_id"], "home") for row in rows)
    assert {row["events"] for row in rows} == {5}


def test_values_are_responses_per_slate(db: Database, folder: Path) -> None:
    report = db.evaluation.slates()
    clicks = len((folder / "clicks.csv").read_text(encoding="utf-8").splitlines()) - 1
    log, ranking = report.policies
    assert (report.slates, report.users, report.slots) == (USERS, USERS, 6 * USERS)
    assert log.estimates[0].value == pytest.approx(clicks / USERS)
    assert [one.estimator for one in ranking.estimates] == ["ips", "snips", "dr"]
    assert all(one.low < one.value < one.high for one in ranking.estimates)
    assert ranking.unsupported == 0


def test_exposure_is_measured_for_each_policy(db: Database) -> None:
    floors: SlateOptions = {"floors": {"seller=bolt": 4}}
    report = db.evaluation.slates(floors)
    shares = {
        policy.policy: {group.group: group.share for exposure in policy.exposure for group in exposure.groups}
        for policy in report.policies
    }
    assert shares["other"]["bolt"] >= 4 / 6
    assert shares["ranking"]["bolt"] < 4 / 6
    assert sum(shares["log"][group] for group in ("acme", "bolt", "no value")) == pytest.approx(1)
    assert report.policies[2].settings == {"explore": 0.0, **floors}
    assert any("hold items that the log could not show" in note for note in report.notes)


def test_the_same_settings_give_the_logged_ranking_again(db: Database) -> None:
    _, ranking, other = db.evaluation.slates({"explore": 0.0}).policies
    for first, second in zip(ranking.estimates[:2], other.estimates[:2], strict=True):
        assert second.value == pytest.approx(first.value)


def test_filters_choose_slates(db: Database) -> None:
    half = db.evaluation.slates(buckets=(0, 49))
    assert half.slates == sum(bucket_of(f"u{user}", "home") < 50 for user in range(USERS))
    assert db.evaluation.slates(until=PAST + timedelta(seconds=10)).slates == 10
    with pytest.raises(QueryError, match="no logged slates to evaluate: none match"):
        db.evaluation.slates(experiment="cart")
    with pytest.raises(QueryError, match="buckets 5 to 100 are out of range"):
        db.evaluation.slates(buckets=(5, 100))
    with pytest.raises(QueryError, match="no time zone"):
        db.evaluation.slates(since=datetime(2026, 1, 1))
    with pytest.raises(QueryError, match="no ranking 7"):
        db.evaluation.slates(ranking=7)
    with pytest.raises(QueryError, match="no slate setting colour"):
        db.evaluation.slates({"colour": 1})  # type: ignore[arg-type]


def test_the_command_prints_one_object_for_each_estimate_and_exposure(
    db: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("evaluate", "slates", "--floor", "seller=bolt:2", "--bucket", "0-99", "--db", db.uri)
    code, out, err = call_in_process(monkeypatch, capsys, *arguments, "--json")
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    estimates = [(line["policy"], line["estimator"]) for line in lines if "estimator" in line]
    assert estimates == [("log", "mean")] + [(p, e) for p in ("ranking", "other") for e in ("ips", "snips", "dr")]
    keys = {"value", "standard_error", "low", "high", "effective_sample_size", "n", "unsupported"}
    assert all(keys <= line.keys() for line in lines if "estimator" in line)
    assert {line["exposure"]["by"] for line in lines if "exposure" in line} == {"seller", "new items"}
    assert "hold items that the log could not show there" in err
    code, out, _ = call_on_a_terminal(monkeypatch, capsys, *arguments)
    assert code == 0
    assert "share of slots by seller" in out


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (("--bucket", "x"), "no range of buckets"),
        (("--since", "soon"), "no time"),
        (("--floor", "seller=acme"), "has no number"),
        (("--floor", "seller=1"), "no group for a floor"),
        (("--explore", "2"), "explore is 2"),
    ],
)
def test_wrong_usage_is_one_sentence(
    db: Database,
    wrong: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, err = call_in_process(monkeypatch, capsys, "evaluate", "slates", *wrong, "--db", db.uri)
    assert code in (1, 2)
    assert message in err


def test_a_log_of_an_earlier_version_goes_on_and_its_slates_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = make_database(tmp_path / "db")
    with pytest.raises(QueryError, match="log some first: firstsight recommend --user ID --log"):
        database.evaluation.slates()
    with monkeypatch.context() as earlier:
        earlier.setattr(slate_log, "SCHEMA", pa.schema(list(slate_log.SCHEMA)[:11]))
        database.recommend("u", k=3, log=True)
    with pytest.raises(QueryError, match="logged by an earlier version"):
        database.evaluation.slates()
    database.recommend("u", k=3, log=True)
    report = database.evaluation.slates()
    assert report.slates == 1
    assert report.left_out == {"of an earlier version, without exact propensities": 1}
    assert "no slate is older than a day, so later responses are missing" in report.notes
    database.recommend(k=3, log=True)
    assert database.evaluation.slates().left_out["without a user id"] == 1
