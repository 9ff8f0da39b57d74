"""Results are frozen records, which convert to plain values and tables."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import FrozenInstanceError, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from numpy.typing import NDArray

import firstsight
from firstsight.errors import OptionalDependencyError
from firstsight.records import Record, RecordList, plain_value


@dataclass(frozen=True)
class Shoe(Record):
    name: str
    price: float | None = None
    stock: int = 0
    sold: bool = False
    seen: datetime | None = None


@dataclass(frozen=True)
class Shelf(RecordList[Shoe]):
    shoes: tuple[Shoe, ...]
    place: str = ""


@dataclass(frozen=True)
class Vectors(Record):
    name: str
    vector: NDArray[np.float32] = field(compare=False)


@dataclass(frozen=True, eq=False)
class Figures(Record):
    values: NDArray[np.float64]


def test_a_record_becomes_plain_values_down_to_its_fields() -> None:
    @dataclass(frozen=True)
    class Plain:
        size: int

    @dataclass(frozen=True)
    class Everything(Record):
        shelf: Shelf
        columns: Mapping[object, object]
        vector: NDArray[np.float32]
        numbers: tuple[object, ...]
        names: frozenset[str]
        other: Plain

    record = Everything(
        Shelf((Shoe("a", seen=datetime(2026, 5, 1, tzinfo=UTC)),), "left"),
        {"day": date(2026, 5, 1), 7: Path("x/y.png"), "bytes": b"\x00\xff"},
        np.array([[0.5, 1.0]], dtype=np.float32),
        (np.int64(3), np.float32(0.5), np.bool_(True), None, True, "text"),
        frozenset({"b", "a"}),
        Plain(3),
    )
    plain = record.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain == {
        "shelf": {
            "shoes": [
                {"name": "a", "price": None, "stock": 0, "sold": False, "seen": "2026-05-01T00:00:00+00:00"},
            ],
            "place": "left",
        },
        "columns": {"day": "2026-05-01", "7": str(Path("x/y.png")), "bytes": "00ff"},
        "vector": [[0.5, 1.0]],
        "numbers": [3, 0.5, True, None, True, "text"],
        "names": ["a", "b"],
        "other": {"size": 3},
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float32("nan"), np.float64("inf")])
def test_numbers_that_json_lacks_become_none(value: float) -> None:
    assert plain_value(value) is None
    assert plain_value(np.array([value, 1.0])) == [None, 1.0]
    assert plain_value({"a": [value]}) == {"a": [None]}


def test_arrays_of_times_and_texts_become_lists() -> None:
    assert plain_value(np.array(["2026-05-01T12:00"], dtype="datetime64[us]")) == ["2026-05-01T12:00:00"]
    assert plain_value(np.array(["a", None], dtype=object)) == ["a", None]


def test_a_record_and_a_list_of_records_are_frozen() -> None:
    shoe, shelf = Shoe("a"), Shelf((Shoe("a"),))
    with pytest.raises(FrozenInstanceError):
        shoe.name = "b"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        shelf.place = "b"  # type: ignore[misc]
    with pytest.raises(TypeError):
        shelf[0] = Shoe("b")  # type: ignore[index]


def test_records_are_equal_if_their_compared_fields_are() -> None:
    assert Shoe("a", 1.0) == Shoe("a", 1.0) != Shoe("a", 2.0)
    assert len({Shoe("a"), Shoe("a"), Shoe("b")}) == 2
    assert Shelf((Shoe("a"),), "left") == Shelf((Shoe("a"),), "left") != Shelf((Shoe("a"),), "right")
    assert Shelf(()) != ()  # type: ignore[comparison-overlap]
    assert (
        Vectors("a", np.zeros(3, np.float32))
        == Vectors("a", np.ones(3, np.float32))
        != Vectors("b", np.zeros(3, np.float32))
    )
    figures = Figures(np.zeros(3))
    assert figures == figures != Figures(np.zeros(3))


def test_a_list_of_records_is_a_sequence() -> None:
    shelf = Shelf(tuple(Shoe(name) for name in "abcd"))
    assert (len(shelf), shelf[1].name, shelf[-1].name, [shoe.name for shoe in shelf]) == (4, "b", "d", list("abcd"))
    assert shelf[1:3] == (Shoe("b"), Shoe("c"))
    assert Shoe("c") in shelf
    assert (shelf.index(Shoe("c")), next(shoe.name for shoe in reversed(shelf))) == (2, "d")
    assert shelf
    assert not Shelf(())
    with pytest.raises(IndexError):
        shelf[4]


def test_a_table_has_the_types_of_the_fields() -> None:
    seen = datetime(2026, 5, 1, tzinfo=UTC)
    frame = Shelf((Shoe("a", 2.5, 3, True, seen), Shoe("b", None, 4, False, seen))).to_pandas()
    assert list(frame["name"]) == ["a", "b"]
    types = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert {name: types[name] for name in ("price", "stock", "sold")} == {
        "price": "float64",
        "stock": "int64",
        "sold": "bool",
    }
    assert types["seen"].startswith("datetime64[")
    assert types["seen"].endswith(", UTC]")


def test_an_empty_table_has_the_columns_of_its_records() -> None:
    frame = Shelf(()).to_pandas()
    assert (list(frame.columns), len(frame)) == (["name", "price", "stock", "sold", "seen"], 0)


def test_a_table_without_pandas_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(OptionalDependencyError, match=r"pip install 'firstsight\[pandas\]'"):
        Shelf((Shoe("a"),)).to_pandas()


def modules(package: ModuleType) -> Iterator[ModuleType]:
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not info.name.startswith(("firstsight.cli", "firstsight.service")) and not info.name.endswith("__main__"):
            yield importlib.import_module(info.name)


def records() -> list[type[Record]]:
    """All types of results in the package."""
    for _ in modules(firstsight):
        pass
    found: list[type[Record]] = []
    queue: list[type[Record]] = [Record]
    while queue:
        queue += (subclasses := queue.pop().__subclasses__())
        found += subclasses
    return [record for record in found if record.__module__.startswith("firstsight.") and record is not RecordList]


def types_in(hint: Any) -> Iterator[type]:
    if isinstance(hint, type):
        yield hint
    for argument in get_args(hint):
        yield from types_in(argument)


def test_all_results_are_frozen_and_made_of_results() -> None:
    found = records()
    assert len(found) > 50
    for record in found:
        assert dataclasses.is_dataclass(record)
        assert record.__dataclass_params__.frozen  # type: ignore[attr-defined]
        for name, hint in get_type_hints(record).items():
            for kind in types_in(hint):
                if dataclasses.is_dataclass(kind):
                    assert issubclass(kind, Record), f"{record.__name__}.{name} has a {kind.__name__}"
                assert kind is not list, f"{record.__name__}.{name} can be changed"
