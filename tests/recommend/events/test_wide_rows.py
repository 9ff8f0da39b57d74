"""Logs with a column for each type of event, and with watch times. The files are made in the published forms."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from firstsight.recommend.events.event_log import Events
from firstsight.recommend.events.event_types import EVENT_TYPES
from tests.recommend.conftest import MakeStore
from tests.recommend.events.writing import SPACE, T, ids

KUAISAR_REC = (
    *("user_id", "item_id", "playing_time", "duration_ms", "time", "timestamp"),
    *("click", "forward", "like", "follow", "search", "search_item_related"),
)
KUAISAR_SRC = (
    *("user_id", "search_session_id", "search_session_time", "search_session_timestamp"),
    *("keyword", "search_source", "item_id", "click_cnt", "item_type"),
)


@pytest.fixture
def log(make_store: MakeStore) -> Events:
    return Events(make_store(SPACE))


def write(path: Path, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return str(path)


def kinds(log: Events, user: str) -> list[str]:
    return [EVENT_TYPES[code] for code in log.history(user, SPACE).types]


def test_both_files_of_kuaisar_are_read(log: Events, tmp_path: Path) -> None:
    at = ["2023-05-22 15:53:20", 1684742000000.0]
    rec = [
        [1, "i0009", 60792.0, 45400.0, *at, 1, 0, 1, 0, 0, 0],
        [1, "i0002", 800.0, 45400.0, *at, 0, 0, 0, 0, 1, 0],
        [1, "i0005", 20000.0, 45400.0, *at, 1, 0, 0, 0, 0, 0],
    ]
    added = log.add(write(tmp_path / "rec_inter.csv", KUAISAR_REC, rec))
    assert added.columns is not None
    assert added.columns.taken["event"] == ("click", "forward", "like", "follow")
    assert added.columns.taken["timestamp"] == ("timestamp",)
    assert added.time_unit == "ms"
    assert ids(SPACE, log.history("1", SPACE).items) == ["i0009", "i0005"]
    assert kinds(log, "1") == ["like", "click"]
    session = [1, 7, "2023-05-22 21:58:52", 1684763932919, "[20, 34, 3]", "USER_INPUT"]
    src = [[*session, "i0003", 0, "VIDEO"], [*session, "i0001", 1, "LIVE"], [*session, "i0004", 2, "VIDEO"]]
    added = log.add(write(tmp_path / "src_inter.csv", KUAISAR_SRC, src))
    assert (added.added, added.searches, added.time_unit) == (3, 3, "ms")
    assert log.history("1", SPACE).searches.texts.tolist() == ["20 34 3"]
    assert ids(SPACE, log.interactions(SPACE).searches.clicked) == ["i0001", "i0004"]
    assert kinds(log, "1") == ["like", "click", "search click", "search click"]
    assert log.status().types == {"like": 1, "click": 3, "impression": 2}


def test_watch_times_become_watches_and_impressions(log: Events, tmp_path: Path) -> None:
    rows = [["u", "i0001", 9, 12, T], ["u", "i0002", 30, 12, T + 1], ["u", "i0003", 2, 12, T + 2]]
    log.add(write(tmp_path / "log.csv", ["user_id", "video_id", "play_duration", "video_duration", "timestamp"], rows))
    history = log.history("u", SPACE)
    assert ids(SPACE, history.items) == ["i0001", "i0002"]
    assert kinds(log, "u") == ["watch", "watch"]
    assert history.weights.tolist() == [0.75, 1]
    assert log.status().types == {"watch": 2, "impression": 1}


def test_watch_times_in_another_unit_tell_nothing(log: Events, tmp_path: Path) -> None:
    rows = [["u", "i0001", 9, 12_000, T], ["u", "i0002", 3, 12_000, T + 1]]
    log.add(write(tmp_path / "log.csv", ["user_id", "video_id", "play_time", "duration_ms", "timestamp"], rows))
    assert kinds(log, "u") == ["other", "other"]


def test_a_dislike_is_stronger_than_every_other_flag(log: Events, tmp_path: Path) -> None:
    rows = [["u", "i0001", "true", "true", T], ["u", "i0002", "true", "false", T + 1]]
    log.add(write(tmp_path / "log.csv", ["user_id", "video_id", "is_click", "is_hate", "timestamp"], rows))
    assert ids(SPACE, log.history("u", SPACE).items) == ["i0002"]


def test_texts_under_the_name_of_a_flag_are_no_flags(log: Events, tmp_path: Path) -> None:
    rows = [["u", "i0001", "nice", T]]
    added = log.add(write(tmp_path / "log.csv", ["user_id", "video_id", "comment", "timestamp"], rows))
    assert added.columns is not None
    assert "event" not in added.columns.taken
    assert added.columns.unused == ("comment",)
