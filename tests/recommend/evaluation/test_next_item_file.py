"""Samples of next items from a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firstsight.errors import CatalogError
from firstsight.recommend.evaluation.next_item_file import read_next_item_file
from firstsight.recommend.evaluation.next_item_split import NextItemSplit
from firstsight.recommend.items import ItemSpace
from tests.recommend.conftest import MakeStore

TRAIN = {"split": "train", "user": "u1", "items": [3, 1, "2"]}
VALID = {"split": "valid", "user": "u1", "history": [3, 1, 2], "target": 4}
TEST = {"split": "test", "user": 7, "history": ["5", 4.0], "target": "1"}
SPACE = ItemSpace.of([str(n) for n in range(1, 7)], np.eye(6, dtype=np.float32))


def read(make_store: MakeStore, tmp_path: Path, rows: Sequence[Mapping[str, Any] | str]) -> NextItemSplit:
    file = tmp_path / "samples.jsonl"
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return read_next_item_file(str(file), make_store(SPACE), SPACE)


def test_rows_become_training_events_and_samples(make_store: MakeStore, tmp_path: Path) -> None:
    again = {"split": "train", "user": "u1", "items": [6]}
    split = read(make_store, tmp_path, [TRAIN, {"split": "train", "user": "u0", "items": []}, VALID, TEST, again])
    assert len(split.train.user_ids) == 1
    assert SPACE.item_ids[split.train.items].tolist() == ["3", "1", "2", "6"]
    assert (np.diff(split.train.times) > 0).all()
    (test,) = split.test
    assert SPACE.item_ids[test.history.items].tolist() == ["5", "4"]
    assert SPACE.item_ids[test.item] == "1"
    assert len(split.validation) == len(split.users) == split.drawn_from == 1


def test_unknown_items_are_left_out_and_counted(make_store: MakeStore, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {**TRAIN, "items": [3, "gone"]},
        VALID,
        {**VALID, "target": "gone"},
        TEST,
        {**TEST, "history": ["gone", 2]},
        {**TEST, "target": 99},
    ]
    split = read(make_store, tmp_path, rows)
    assert (len(split.train), len(split.validation), len(split.test)) == (1, 1, 2)
    assert split.test[1].history.items.tolist() == [1]
    assert {reason: count for reason, count in split.left_out.items() if count} == {
        "training events on items outside the database": 1,
        "validation samples with a target outside the database": 1,
        "test samples with a target outside the database": 1,
        "test items of histories outside the database": 1,
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: not a JSON object"),
        ({**TRAIN, "split": "dev"}, "line 2: split is 'dev'; give one of train, valid, test"),
        ({"user": "u", "items": []}, "line 2: split is missing"),
        ({**TRAIN, "items": "3 1"}, "line 2: items is '3 1'; give a list"),
        ({**TRAIN, "items": [None]}, "line 2: an item of items is missing; give an id"),
        ({**TRAIN, "items": [1.5]}, "line 2: an item of items is 1.5; give an id"),
        ({**TRAIN, "items": [True]}, "line 2: an item of items is True; give an id"),
        ({**TRAIN, "items": [1] * 10_001}, "line 2: items has 10,001 items, more than 10,000"),
        ({"split": "train", "items": [1]}, "line 2: user is missing; give an id"),
        ({**TEST, "target": [1]}, "line 2: target is \\[1\\]; give an id"),
        ({**TEST, "target": "x" * 5_000}, "line 2: target has 5000 characters"),
    ],
)
def test_a_row_of_another_form_is_named(
    make_store: MakeStore, tmp_path: Path, row: Mapping[str, Any] | str, message: str
) -> None:
    with pytest.raises(CatalogError, match=f"samples.jsonl, {message}"):
        read(make_store, tmp_path, [TRAIN, row])


def test_a_file_without_a_split_or_with_other_items_is_refused(make_store: MakeStore, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no row of the split 'valid'"):
        read(make_store, tmp_path, [TRAIN, TEST])
    other: list[dict[str, Any]] = [{**TRAIN, "items": ["a"]}, {**VALID, "target": "b"}, {**TEST, "target": "c"}]
    (tmp_path / "db").rename(tmp_path / "first")
    with pytest.raises(CatalogError, match="such as 'a', '3', '1', those of the database such as '1', '2', '3'"):
        read(make_store, tmp_path, other)
