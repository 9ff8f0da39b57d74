"""Product groups: variant columns and their values are kept beside the column `group_id`."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstsight.encoders.base import EncoderSpec
from firstsight.errors import StoreError
from firstsight.storage.product_groups import (
    MAX_VALUES,
    ProductGroups,
    count_merged_variants,
    note_variant_values,
    read_product_groups,
)
from firstsight.storage.store import Store


def make_store(path: Path, *, groups: bool = True) -> Store:
    store = Store.create(path, EncoderSpec("colours", 16, 32, "c0105"))
    with store.writing():
        store.add_columns({"color": "text", **({"group_id": "text"} if groups else {})})
    return store


def test_a_database_without_group_id_has_no_groups(tmp_path: Path) -> None:
    store = make_store(tmp_path / "db", groups=False)
    assert read_product_groups(store) is None
    with store.writing(), pytest.raises(StoreError, match="has no column group_id"):
        note_variant_values(store, {"color": ["Blue"]})


def test_values_of_several_runs_are_kept_together_and_reopened(tmp_path: Path) -> None:
    store = make_store(tmp_path / "db")
    assert read_product_groups(store) == ProductGroups({})
    with store.writing():
        note_variant_values(store, {"color": ["Blue", "  Sky  blue ", "", "blue"]})
        note_variant_values(store, {"size": ["M", "10"], "color": ["Red", "BLUE", "x" * 81]})
    groups = read_product_groups(Store.open(tmp_path / "db"))
    assert groups == ProductGroups({"color": ("Blue", "Sky blue", "Red"), "size": ("M", "10")})


def test_known_values_write_nothing_and_other_metadata_stays(tmp_path: Path) -> None:
    store = make_store(tmp_path / "db")
    with store.writing():
        note_variant_values(store, {"color": ["Grün", "Blue"]})
        version, layout = store.items.version, store.layout
        note_variant_values(store, {"color": ["blue"], "size": []})
        note_variant_values(store, {"color": ["blue"], "size": []})
    assert store.items.version - version <= 1  # the new column, once
    store.refresh()
    assert (store.layout, store.column_kinds()["group_id"]) == (layout, "text")
    assert read_product_groups(store) == ProductGroups({"color": ("Grün", "Blue"), "size": ()})


def test_a_thousand_values_are_kept_and_small_columns_keep_all_of_theirs(tmp_path: Path) -> None:
    store = make_store(tmp_path / "db")
    many = [f"colour {n}" for n in range(3 * MAX_VALUES)]
    with store.writing():
        note_variant_values(store, {"color": many, "size": ["S", "M"], "code": many})
    groups = read_product_groups(store)
    assert groups is not None
    columns = groups.variant_columns
    assert columns["size"] == ("S", "M")
    assert columns["color"] == tuple(many[: len(columns["color"])])
    assert sum(map(len, columns.values())) == MAX_VALUES
    assert abs(len(columns["color"]) - len(columns["code"])) <= 1


@pytest.mark.parametrize(
    ("stored", "count"), [(None, 1), ('["a", "b", "c"]', 3), ("[]", 1), ('"a"', 1), ("a, b", 1), (7.0, 1)]
)
def test_merged_variants_are_counted(stored: object, count: int) -> None:
    assert count_merged_variants(stored) == count
