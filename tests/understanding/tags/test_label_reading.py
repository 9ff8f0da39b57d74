"""Labels from files and columns."""

from __future__ import annotations

from pathlib import Path

import pytest

import firstsight
from firstsight.database import open_tables
from firstsight.errors import TagError
from firstsight.understanding.tags.labels.label_reading import (
    label_tag,
    read_column_labels,
    read_label_rows,
    split_cell,
)


def test_rows_that_cannot_be_used_are_named(tmp_path: Path, sample_db: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("item_id,label\nlemon,fruit\n,fruit\nlemon,Fruit\nlemon,toys\nnone,toys\nviolin, music \n")
    rows, problems = read_label_rows(path, None)
    assert problems == ["row 3: item_id is empty"]
    labels = label_tag("category", rows, open_tables(firstsight.open(sample_db)), multi=False, problems=problems)
    assert dict(labels.values) == {"violin": ("music",)}
    assert labels.problems[1:] == (
        "row 6: there is no item 'none'",
        "item 'lemon': row 2 says 'fruit' and row 4 says 'Fruit' and row 5 says 'toys'; keep one, or let items have "
        "several values with --multi",
    )
    with pytest.raises(TagError, match="3 problems with the labels of category"):
        labels.require_clean()


def test_several_values_of_many_items_make_a_tag_multi_label(sample_db: Path) -> None:
    plain = [("lemon", "sour"), ("lemon", "yellow"), ("bananas", "yellow"), ("bananas", "yellow")]
    rows, _ = read_label_rows([{"item_id": one, "label": value} for one, value in plain], "look")
    labels = label_tag("look", rows, open_tables(firstsight.open(sample_db)))
    assert labels.multi
    assert dict(labels.values) == {"lemon": ("sour", "yellow"), "bananas": ("yellow",)}


def test_a_file_may_have_several_tags(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("item_id,tag,label\nlemon,taste,sour\nlemon,shape,oval\n")
    assert [row.tag for row in read_label_rows(path, None)[0]] == ["taste", "shape"]
    assert [row.value for row in read_label_rows(path, "shape")[0]] == ["oval"]


def test_a_file_without_the_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("sku,category\n1,a\n")
    with pytest.raises(TagError, match=r"needs the columns item_id and label.*it has sku, category"):
        read_label_rows(path, None)


def test_cells_may_have_several_values_and_levels() -> None:
    assert split_cell("Men/Tops|Sale ", "|", "/") == ["Men > Tops", "Sale"]
    assert split_cell("Men >Tops", None, None) == ["Men > Tops"]
    assert split_cell("", None, None) == []


def test_a_column_gives_a_label_to_each_item(sample_db: Path) -> None:
    labels = read_column_labels(open_tables(firstsight.open(sample_db)), "category", "category")
    assert not labels.multi
    assert labels.values["lemon"] == ("fruit",)
    assert labels.problems == ()
