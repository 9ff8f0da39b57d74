"""JSON documents: arrays, objects with a list, and their mistakes."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.errors import CatalogError
from firstsight.indexer.formats.opening import open_source
from firstsight.indexer.formats.parsing.json_stream import JsonReader
from tests.indexer.formats.reading import bad_rows, numbers, rows, write

ITEMS = [{"item_id": "a", "tags": ["x"]}, {"item_id": "b", "size": {"w": 1.5}}]


@pytest.mark.parametrize(
    "document",
    [
        ITEMS,
        {"products": ITEMS},
        {"items": ITEMS, "total": 2},
        {"meta": {"page": 1, "links": [{"rel": "next"}]}, "data": ITEMS},
        {"data": {"items": ITEMS, "cursor": None}},
        {"data": {"products": {"edges": [{"node": item, "cursor": "c"} for item in ITEMS], "pageInfo": {}}}},
        {"data": {"products": {"nodes": ITEMS}}},
        {"categories": [{"id": 1}], "products": ITEMS},
        {"whatever": ITEMS, "n": 2},
        {"response": {"whatever": ITEMS}, "errors": [{"code": 1}]},
    ],
    ids=lambda document: json.dumps(document)[:40],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_the_list_of_items_is_found(tmp_path: Path, document: Any, indent: int | None) -> None:
    path = write(tmp_path / "c.json", json.dumps(document, indent=indent))
    assert rows(path) == ITEMS
    assert numbers(path) == [1, 2]


def test_one_object_is_one_item(tmp_path: Path) -> None:
    item = {"item_id": "a", "details": [{"name": "colour"}], "images": [{"src": "x"}]}
    assert rows(write(tmp_path / "c.json", json.dumps(item, indent=1))) == [item]
    assert rows(write(tmp_path / "d.json", json.dumps({"product": item}))) == [item]


def test_indented_objects_in_succession_are_items(tmp_path: Path) -> None:
    path = write(tmp_path / "c.json", "\n".join(json.dumps(item, indent=1) for item in ITEMS))
    assert rows(path) == ITEMS
    with pytest.raises(CatalogError, match=r"line 13: .*after item 2"):
        rows(write(tmp_path / "d.json", path.read_text() + "\n{ "))


def test_several_lists_are_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "c.json", json.dumps({"shoes": ITEMS, "hats": ITEMS[:1]}))
    with pytest.raises(CatalogError, match=r"2 lists of objects: shoes \(2\), hats \(1\); save the list"):
        rows(path)


def test_an_element_that_is_no_object_is_a_bad_row(tmp_path: Path) -> None:
    found = bad_rows(write(tmp_path / "c.json", '[{"item_id": "a"}, 7, "b", null, [1]]'))
    assert list(found) == [2, 3, 4, 5]
    assert "not a JSON object" in found[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"item_id": "a"},\n{"item_id": "b"}', r"line 2: ',' is missing before the end of the file after item 2"),
        ('[{"item_id": "a"},\n{"item_id" "b"}]', "line 2: Expecting ':' delimiter after item 1"),
        ('[{"item_id": "a"}]\n[]', "line 2: there is more text"),
        ('[{"item_id": "a"} {"item_id": "b"}]', "',' is missing before '{' after item 1"),
        ('{"products": [{"item_id": "a"}]', "after item 1"),
        ('{"products": [{"item_id": "a"}], "next" 7}', "':' is missing before '7'"),
        ("{'item_id': 1}", "in double quotes"),
        ("[" * 100_000, "nested too deeply"),
        ('[{"a": ' + "[" * 100_000, "nested too deeply"),
        ('[{"n": ' + "1" * 5000 + "}]", "Exceeds the limit"),
        ('[{"a": "never closed', "Unterminated string"),
        ("7", "neither an array nor an object"),
    ],
    ids=lambda text: text[:24],
)
def test_a_document_that_is_not_json_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        rows(write(tmp_path / "c.json", text))


def test_an_empty_array_has_no_rows(tmp_path: Path) -> None:
    assert rows(write(tmp_path / "c.json", "[ ]")) == []


def test_half_an_emoji_becomes_a_replacement_character(tmp_path: Path) -> None:
    assert rows(write(tmp_path / "c.json", r'[{"a": "cut \ud83d", "b": "\ud83d\ude00"}]')) == [
        {"a": "cut \ufffd", "b": "😀"}
    ]


def test_an_element_of_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    with path.open("w") as file:
        file.write('[{"item_id": "')
        for _ in range(70):
            file.write("x" * (1 << 20))
        file.write('"}]')
    with pytest.raises(CatalogError, match="longer than 64 MiB"):
        rows(path)


def test_memory_holds_a_part_of_a_long_array(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    with path.open("w") as file:
        file.write('{"products": [')
        file.write(",".join(json.dumps({"item_id": number, "text": "x" * 1000}) for number in range(5_000)))
        file.write("]}")
    source = open_source(str(path))
    tracemalloc.start()
    try:
        assert sum(1 for _ in source.rows()) == 5_000
        assert tracemalloc.get_traced_memory()[1] < 2 << 20  # of a file of 5 MB
    finally:
        tracemalloc.stop()


def test_json_lines_with_a_malformed_first_line_are_json_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", '{"item_id": \n{"item_id": "b"}\n{"item_id": "c"}\n')
    assert list(bad_rows(path)) == [1]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    items=st.lists(values, max_size=6),
    size=st.integers(1, 30),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 1]),
)
def test_an_array_is_read_the_same_in_pieces_of_any_size(
    items: list[object], size: int, ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps({"before": items, "list": items}, ensure_ascii=ascii_only, indent=indent)
    reader = JsonReader(text[start : start + size] for start in range(0, len(text), size))
    found = {key: [reader.value() for _ in reader.elements()] for key in reader.members()}
    reader.finish()
    assert found == {"before": items, "list": items}
    again = JsonReader(iter([text]))
    again.skip()
    assert again.peek() == ""
