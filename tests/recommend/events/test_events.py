"""The log of events: usable rows, refused rows, and reading them back."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.errors import CatalogError, QueryError
from firstsight.recommend.events import event_reader, event_table
from firstsight.recommend.events.event_log import Events
from firstsight.recommend.events.event_reader import EventOptions
from firstsight.recommend.events.event_reports import AddedEvents
from firstsight.recommend.events.event_rows import Event
from firstsight.recommend.events.event_times import detect_unit, unit_of
from firstsight.recommend.items import ItemSpace
from tests.recommend.conftest import MakeStore, write_items
from tests.recommend.synthetic_events import clustered_space

SPACE = clustered_space(12)
T = 1_700_000_000


def lines(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def row(user: str = "u", item: str = "i0001", timestamp: object = T, **more: object) -> dict[str, object]:
    return {"user_id": user, "item_id": item, "timestamp": timestamp, **more}


@pytest.fixture
def log(make_store: MakeStore) -> Events:
    return Events(make_store(SPACE))


def test_a_file_added_twice_is_there_once(log: Events, tmp_path: Path) -> None:
    rows = [row("u", "i0001", T), row("u", "i0001", T), row("u", "i0001", T, event="buy"), row("v", "i0002", T + 5)]
    source = lines(tmp_path / "log.jsonl", rows)
    first, again = log.add(source), log.add(source)
    assert (first.rows, first.added, again.added) == (4, 3, 0)
    assert again.to_dict()["repeated"] == 4
    assert log.status().events == 3
    assert log.status().types == {"": 2, "buy": 1}
    lines(tmp_path / "log.jsonl", [row("v", "i0002", T + 5, weight=4)])
    assert log.add(source).added == 0
    assert log.history("v", SPACE).weights.tolist() == [4]


def test_every_format_says_the_same(make_store: MakeStore, tmp_path: Path) -> None:
    rows = [("u", "i0003", T), ("v", "i0004", T + 60)]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("user_id", "item_id", "timestamp"), *rows])
    lines(tmp_path / "b.jsonl", [row(u, i, t * 1000) for u, i, t in rows])
    when = [datetime.fromtimestamp(t, UTC) for _, _, t in rows]
    columns: dict[str, pa.Array[Any]] = {
        "user": pa.array(["u", "v"]),
        "product_id": pa.array(["i0003", "i0004"]),
        "ts": pa.array(when, pa.timestamp("ms", "UTC")),
    }
    pq.write_table(pa.table(columns), tmp_path / "c.parquet")
    lines(tmp_path / "d.jsonl", [row(u, i, w.isoformat()) for (u, i, _), w in zip(rows, when, strict=True)])
    units = []
    for name in ("a.csv", "b.jsonl", "c.parquet", "d.jsonl"):
        log = Events(make_store(SPACE, name=f"db-{name}"))
        units.append(log.add(str(tmp_path / name)).time_unit)
        got = log.interactions(SPACE)
        assert got.user_ids.tolist() == ["u", "v"]
        assert SPACE.item_ids[got.items].tolist() == ["i0003", "i0004"]
        assert (got.times // 1_000_000).tolist() == [T, T + 60]
    assert units == ["s", "ms", "iso", "iso"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"weight": float("nan")}, "weight 'nan'"),
        ({"weight": float("inf")}, "weight 'inf'"),
        ({"weight": -1}, "weight '-1'"),
        ({"weight": 0}, "weight '0'"),
        ({"weight": "much"}, "weight 'much'"),
        ({"timestamp": T * 1000}, "timestamp '1700000000000'"),
        ({"timestamp": 12}, "timestamp '12'"),
        ({"timestamp": "yesterday"}, "timestamp 'yesterday'"),
        ({"timestamp": None}, "no timestamp"),
        ({"timestamp": 4_000_000_000}, "in the future"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "timestamp '0001-01-01"),
        ({"user_id": ""}, "no user_id"),
        ({"item_id": "a\nb"}, "control characters"),
        ({"item_id": ["i0001"]}, "not an id"),
        ({"user_id": "u" * 600}, "600 characters"),
    ],
)
def test_a_bad_row_is_refused_by_its_place_and_costs_no_other(
    log: Events, tmp_path: Path, bad: dict[str, object], message: str
) -> None:
    good = [row("u", f"i{n:04d}", T + n) for n in range(12)]
    added = log.add(lines(tmp_path / "log.jsonl", [*good, row() | bad]))
    assert (added.added, added.refused) == (12, 1)
    assert f"log.jsonl, line 13: {added.refusals[0].partition(': ')[2]}" in added.refusals[0]
    assert message in added.refusals[0]


def test_times_that_cannot_be_told_are_never_guessed(log: Events, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with pytest.raises(CatalogError, match="--time-unit"):
        log.add(lines(path, [row(timestamp=n) for n in range(5)]))
    with pytest.raises(CatalogError, match="mixes timestamps"):
        log.add(lines(path, [row(timestamp=T), row(timestamp=T * 1000)]))
    assert log.status().events == 0
    assert log.add(lines(path, [row(timestamp=n) for n in range(5)]), options=EventOptions(time_unit="s")).added == 5
    assert log.status().first == datetime.fromtimestamp(0, UTC)


@given(st.integers(788_918_400, 4_102_444_799), st.sampled_from(["s", "ms", "us"]))
def test_a_time_between_1995_and_2100_has_one_unit(second: int, unit: str) -> None:
    number = second * {"s": 1, "ms": 1_000, "us": 1_000_000}[unit]
    assert unit_of(number) == unit_of(str(number)) == unit
    assert detect_unit([number], "a file") == unit


def test_what_is_no_event_file_is_refused_whole(log: Events, tmp_path: Path) -> None:
    for rows, message in (
        ([], "has no events"),
        ([{"user_id": "u", "timestamp": T}], "no column item_id"),
        ([row(weight=-1)], "none of the 1 rows"),
    ):
        with pytest.raises(CatalogError, match=message):
            log.add(lines(tmp_path / "log.jsonl", rows))
    with pytest.raises(CatalogError, match="fortnights"):
        EventOptions(time_unit="fortnights")


def test_events_on_unknown_items_wait_until_the_items_are_indexed(make_store: MakeStore, tmp_path: Path) -> None:
    whole = clustered_space(14)
    store = make_store(whole.subset(np.arange(12)))
    log = Events(store)
    added = log.add(lines(tmp_path / "log.jsonl", [row("u", "i0013", T), row("u", "i0002", T + 1)]))
    status = log.status()
    assert (added.unknown, status.unknown_events, status.unknown_items, status.items) == (1, 1, 1, 1)
    assert len(log.history("u", ItemSpace.load(store))) == 1
    write_items(store, whole)
    assert log.status().unknown_events == 0
    space = ItemSpace.load(store)
    assert space.item_ids[log.history("u", space).items].tolist() == ["i0013", "i0002"]
    assert len(log.interactions(space)) == 2


def test_impressions_are_kept_and_teach_nothing(log: Events, tmp_path: Path) -> None:
    log.add(lines(tmp_path / "log.jsonl", [row(event="impression"), row("u", "i0002", event="click")]))
    assert log.status().events == 2
    assert SPACE.item_ids[log.history("u", SPACE).items].tolist() == ["i0002"]
    assert len(log.interactions(SPACE)) == 1


def test_history_and_interactions_agree_and_end_where_asked(log: Events, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [row(f"u'{rng.integers(4)}", f"i{rng.integers(12):04d}", int(T + rng.integers(500))) for _ in range(60)]
    log.add(lines(tmp_path / "log.jsonl", rows))
    for before in (None, datetime.fromtimestamp(T + 250, UTC)):
        whole = log.interactions(SPACE, before)
        assert whole.times.max() < (T + (250 if before else 500)) * 1_000_000
        for place, user in enumerate(whole.user_ids.tolist()):
            one, other = whole.history(place), log.history(user, SPACE, before)
            assert one.items.tolist() == other.items.tolist()
            assert one.times.tolist() == other.times.tolist()
    assert len(log.history("nobody", SPACE)) == 0


def test_without_events_the_answer_names_the_command(log: Events) -> None:
    assert log.version() == 0
    with pytest.raises(QueryError, match="firstsight events add"):
        log.interactions(SPACE)


def test_a_large_log_is_added_in_batches_and_users_are_found_by_an_index(
    log: Events, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_reader, "BATCH", 500)
    monkeypatch.setattr(event_table, "MIN_INDEXED_EVENTS", 1_000)
    rows = [row(f"u{n % 40}", f"i{n % 12:04d}", T + n) for n in range(2_000)]
    source, seen = lines(tmp_path / "log.jsonl", rows), []
    log.add(source, on_progress=lambda so_far: seen.append(so_far.rows))
    assert seen == [500, 1_000, 1_500, 2_000]
    assert log.status().events == 2_000
    table = log._open()
    assert table is not None
    assert sorted(index.columns for index in table.list_indices()) == [["event_id"], ["user_id"]]
    log.add(lines(tmp_path / "more.jsonl", [row("u7", "i0000", T + 5_000)]))
    assert len(log.history("u7", SPACE)) == 51


def test_a_file_that_was_stopped_in_the_middle_is_added_again(
    log: Events, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_reader, "BATCH", 10)
    source = lines(tmp_path / "log.jsonl", [row(f"u{n % 4}", f"i{n % 12:04d}", T + n) for n in range(35)])

    def stop(so_far: AddedEvents) -> None:
        if so_far.rows == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log.add(source, on_progress=stop)
    assert log.status().events == 20
    assert log.add(source).added == 15
    assert log.status().events == 35


def test_ids_are_taken_as_the_catalogue_takes_them(log: Events, tmp_path: Path) -> None:
    rows = [row(7, " i0001 ", T), row(8.0, "i0002", T)]  # type: ignore[arg-type]
    assert log.add(lines(tmp_path / "log.jsonl", rows)).unknown == 0
    assert log.interactions(SPACE).user_ids.tolist() == ["7", "8"]


def test_ids_of_events_keep_their_parts_apart() -> None:
    assert Event("a", "bc", T, None, 1).event_id != Event("ab", "c", T, None, 1).event_id
    assert Event("a", "b", T, "click", 1).event_id != Event("a", "b", T, None, 1).event_id
    assert Event("a", "b", T, None, 1).event_id == Event("a", "b", T, None, 9).event_id
