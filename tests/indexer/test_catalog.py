"""The check of a catalogue before anything is encoded: each mistake is reported with its place."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firstsight.errors import CatalogError
from firstsight.indexer.catalog import Catalog, catalog_root, check_catalog
from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.indexer.columns.mapping_text import parse_mapping
from firstsight.indexer.formats.opening import open_source
from firstsight.indexer.row_reader import CatalogItem
from firstsight.storage.columns import ColumnKind
from tests.indexer.shop import write_jsonl

Check = Callable[..., Catalog]


@pytest.fixture
def check(tmp_path: Path) -> Iterator[Check]:
    """Check a catalogue given as CSV text, JSON Lines rows or a path."""
    made: list[Catalog] = []

    def call(
        given: str | Sequence[object] | Path, stored: dict[str, ColumnKind] | None = None, **options: Any
    ) -> Catalog:
        if isinstance(given, str):
            path = tmp_path / "c.csv"
            path.write_text(given, encoding="utf-8")
        elif isinstance(given, Path):
            path = given
        else:
            path = write_jsonl(tmp_path / "c.jsonl", given)
        made.append(check_catalog(open_source(str(path)), CatalogOptions(**options), stored))
        return made[-1]

    yield call
    for catalog in made:
        catalog.close()


def only(catalog: Catalog) -> CatalogItem:
    (item,) = catalog.items()
    return item


def ids(catalog: Catalog) -> list[str]:
    return [item.item_id for item in catalog.items()]


# ---- the fields of an item


def test_an_item_has_all_values_of_its_row(check: Check) -> None:
    item = only(
        check(
            "item_id,kind,title,text,images,videos,created_at,starts_at,expires_at,price\n"
            "a,live,Tea,Hot.,x.jpg|y.jpg,v.mp4,2026-05-01,2026-05-01T12:00:00Z,2026-05-01T14:00:00+02:00,9.5\n"
        )
    )
    assert item == CatalogItem(
        item_id="a",
        kind="live",
        title="Tea",
        text="Hot.",
        images=("x.jpg", "y.jpg"),
        videos=("v.mp4",),
        created_at=datetime(2026, 5, 1, tzinfo=UTC),
        starts_at=datetime(2026, 5, 1, 12, tzinfo=UTC),
        expires_at=datetime(2026, 5, 1, 12, tzinfo=UTC),
        columns={"price": 9.5},
    )


def test_an_item_with_an_id_alone_is_a_product(check: Check) -> None:
    item = only(check("item_id\na\n"))
    assert (item.kind, item.title, item.images, item.columns) == ("product", None, (), {})


@pytest.mark.parametrize(
    "cell",
    ["x y.jpg|b.jpg", " x y.jpg | b.jpg |", '["x y.jpg", "b.jpg"]', ["x y.jpg", "b.jpg"]],
    ids=["bars", "blanks around bars", "JSON list", "native list"],
)
def test_several_pictures_can_be_written_in_these_ways(check: Check, cell: object) -> None:
    assert only(check([{"item_id": "a", "images": cell}])).images == ("x y.jpg", "b.jpg")


def test_the_separator_of_pictures_can_be_changed(check: Check) -> None:
    assert only(check([{"item_id": "a", "images": "x|y; z"}], list_separator=";")).images == ("x|y", "z")


@pytest.mark.parametrize("cell", [{"url": "x"}, [{"src": "x"}], [["x"]], "['x']", '{"url": "x"}'])
def test_nested_pictures_are_read(check: Check, cell: object) -> None:
    assert only(check([{"item_id": "a", "images": cell}])).images == ("x",)


@pytest.mark.parametrize("cell", ["[broken", [1], 7])
def test_pictures_in_an_unknown_form_are_reported(check: Check, cell: object) -> None:
    with pytest.raises(CatalogError, match="line 1: images "):
        check([{"item_id": "a", "images": cell}])


def test_relative_media_paths_start_at_the_catalogues_folder(check: Check, tmp_path: Path) -> None:
    assert catalog_root(check("item_id\na\n")) == tmp_path.resolve()


def test_a_number_can_be_an_id(check: Check) -> None:
    assert ids(check([{"item_id": 7}, {"item_id": 2**60}, {"item_id": "007"}])) == ["7", str(2**60), "007"]


@pytest.mark.parametrize(
    "item_id", ["it's", 'a"b', "a#b", "日本語", "a b", "narrow\u202fspace", "a;b--", "x" * 512, "%_\\", "😀"]
)
def test_ids_of_all_sorts_are_kept_as_they_are(check: Check, item_id: str) -> None:
    catalog = check([{"item_id": item_id}])
    assert ids(catalog) == [item_id]
    assert catalog.has([item_id, "other"]) == {item_id}


# ---- mistakes that refuse the catalogue


def test_the_error_for_a_missing_id_column_suggests_one(check: Check) -> None:
    with pytest.raises(
        CatalogError, match=r"no column 'item_id'; the columns are name, item_ident, price.*--map item_id=item_ident"
    ):
        check("name,item_ident,price\nx,1,2\n")


def test_a_catalogue_without_rows_is_refused(check: Check) -> None:
    with pytest.raises(CatalogError, match=r"c\.csv has no rows; nothing to index"):
        check("item_id,title\n")


def test_an_empty_json_lines_file_is_refused(check: Check) -> None:
    with pytest.raises(CatalogError, match="has no rows"):
        check([])


def test_an_empty_parquet_file_is_refused(check: Check, tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": pa.array([], pa.string())}), tmp_path / "c.parquet")
    with pytest.raises(CatalogError, match="has no rows"):
        check(tmp_path / "c.parquet")


def test_a_folder_without_pictures_is_refused(check: Check, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CatalogError, match="has no picture or video that can be read"):
        check(tmp_path / "empty")


@pytest.mark.parametrize("name", ["vector", "Digest", "run_id", "catalog_dir"])
def test_a_column_with_a_reserved_name_is_refused(check: Check, name: str) -> None:
    with pytest.raises(CatalogError, match=f"column '{name}' has a name that firstsight reserves; .*--drop {name}"):
        check(f"item_id,{name}\na,1\n")


@pytest.mark.parametrize(
    ("name", "stored"),
    [("_rowid", "rowid"), ("__x", "x"), ("a.b", "a_b"), ("a`b", "a_b"), ("a\x00b", "a_b"), ("m (p.q)", "m (p_q)")],
)
def test_a_column_name_that_the_database_cannot_store_is_changed(check: Check, name: str, stored: str) -> None:
    assert only(check([{"item_id": "a", name: 1}])).columns == {stored: 1.0}


def test_a_changed_name_does_not_meet_another_column(check: Check) -> None:
    assert only(check([{"item_id": "a", "a_b": 1, "a.b": 2, "Vector.": 3}])).columns == {
        "a_b": 1.0,
        "a_b_2": 2.0,
        "Vector_": 3.0,
    }


@pytest.mark.parametrize("name", [" ", "", "_", "__ "])
def test_a_column_without_a_name_is_refused(check: Check, name: str) -> None:
    with pytest.raises(CatalogError, match="cannot be stored under this name"):
        check([{"item_id": "a", name: 1}])


def test_a_refused_name_is_found_in_a_short_row_after_a_long_one(check: Check) -> None:
    with pytest.raises(CatalogError, match="'vector' has a name that firstsight reserves"):
        check([{"item_id": "a", "p": 1, "q": 2, "r": 3}, {"item_id": "b", "vector": 1}])


@pytest.mark.parametrize(
    "rows",
    [[{"item_id": "a", "Weight": 1, "weight": 2}], [{"item_id": "a", "Weight": 1}, {"item_id": "b", "weight": 2}]],
    ids=["in one row", "in two rows"],
)
def test_two_columns_that_differ_only_in_case_are_refused(check: Check, rows: list[object]) -> None:
    with pytest.raises(CatalogError, match="'Weight' and 'weight' differ only in case; rename one or --drop weight"):
        check(rows)


@pytest.mark.parametrize(("name", "stored"), [("Price", "price"), ("price", "Price"), ("Weight", "weight")])
def test_a_column_that_differs_from_a_stored_one_only_in_case_fills_that_one(
    check: Check, name: str, stored: str
) -> None:
    assert only(check(f"item_id,{name}\na,1\n", stored={stored: "number"})).columns == {stored: 1.0}


def test_a_column_in_the_case_of_a_field_is_kept_beside_it(check: Check) -> None:
    item = only(check("item_id,title,Title,price,Price\na,Tea,Earl Grey,1,2\n"))
    assert (item.title, item.columns) == ("Tea", {"Title_2": "Earl Grey", "price": 1.0, "Price_2": 2.0})


def test_a_mistake_in_the_columns_is_one_sentence_even_with_skip_bad_rows(check: Check) -> None:
    with pytest.raises(CatalogError, match="a name that firstsight reserves"):
        check("item_id,vector\na,1\nb,2\n", skip_bad_rows=True)


# ---- mistakes in rows


def test_repeated_ids_are_reported_with_both_lines(check: Check, tmp_path: Path) -> None:
    path = tmp_path / "big.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["item_id", "title"])
        writer.writerows((n % 4_980, f"thing {n}") for n in range(5_000))
    with pytest.raises(CatalogError) as caught:
        check(path)
    message = str(caught.value)
    assert "20 of 5000 rows cannot be used (fix them, or leave them out with --skip-bad-rows)" in message
    assert "line 4982: item_id '0' is already in line 2" in message
    assert message.endswith("… and 10 more")
    assert len(message.splitlines()) == 12


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"item_id": ""}, "item_id is empty"),
        ({"item_id": None}, "item_id is empty"),
        ({"title": "no id"}, "item_id is empty"),
        ({"item_id": ["a"]}, "item_id must be text, not list"),
        ({"item_id": "x" * 513}, "has 513 characters; the maximum is 512"),
        ({"item_id": "a\x00b"}, "contains control characters"),
        ({"item_id": "a\nb"}, "contains control characters"),
        ({"item_id": "b", "kind": "shoe"}, "kind 'shoe' is not one of product, video, live"),
        ({"item_id": "b", "created_at": "yesterday"}, "created_at 'yesterday' is not an ISO 8601 time"),
        ({"item_id": "b", "created_at": 1714560000000}, "is not an ISO 8601 time"),
        ({"item_id": "b", "created_at": "0001-01-01T00:00:00+14:00"}, "is not an ISO 8601 time"),
        ({"item_id": "b", "title": {"en": "Tea"}}, "title must be text, not dict"),
    ],
)
def test_a_bad_row_is_reported_with_its_line(check: Check, row: dict[str, object], said: str) -> None:
    with pytest.raises(CatalogError, match="1 of 2 rows cannot be used") as caught:
        check([{"item_id": "a"}, row])
    assert f"line 2: {said}" in str(caught.value) or said in str(caught.value).split("line 2: ")[1]


def test_a_binary_column_is_left_out_with_a_note(check: Check, tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": ["a"], "thumb": [b"\x00"]}), tmp_path / "c.parquet")
    catalog = check(tmp_path / "c.parquet")
    assert catalog.kinds == {}
    (note,) = catalog.source.notes
    assert note == "column 'thumb': binary data other than pictures and videos is left out (1 value)"


def test_skip_bad_rows_leaves_out_only_bad_rows(check: Check) -> None:
    text = 'item_id,title,kind\na,1,\na,2,\nb,"x"y,\nc\nd,4,shoe\ne,5,\n'
    catalog = check(text, skip_bad_rows=True)
    assert [(item.item_id, item.title) for item in catalog.items()] == [("a", "1"), ("e", "5")]
    assert (catalog.size, catalog.bad_rows) == (2, 4)


def test_a_catalogue_of_only_bad_rows_is_refused_even_with_skip_bad_rows(check: Check) -> None:
    with pytest.raises(CatalogError, match="no row can be used"):
        check("item_id,kind\n,video\n,live\n", skip_bad_rows=True)


# ---- mapping and dropping


def test_mapped_columns_replace_ours(check: Check) -> None:
    catalog = check(
        "sku,name,front,back,title\na,Tea,x.jpg,y.jpg|z.jpg,ignored\n",
        mapping=parse_mapping("item_id=sku, title=name, images=front+back"),
    )
    item = only(catalog)
    assert (item.item_id, item.title, item.images, item.columns) == ("a", "Tea", ("x.jpg", "y.jpg", "z.jpg"), {})


@pytest.mark.parametrize(
    ("text", "said"),
    [("title", "not of the form"), ("name=title", "'name' is not one of"), ("title=a+b", "only images and videos")],
)
def test_a_wrong_mapping_is_refused(text: str, said: str) -> None:
    with pytest.raises(CatalogError, match=said):
        parse_mapping(text)


@pytest.mark.parametrize(
    "catalogue", ["item_id,name\na,Tea\n", [{"item_id": "a", "name": "Tea"}]], ids=["csv", "jsonl"]
)
def test_mapping_an_unknown_column_is_refused(check: Check, catalogue: Any) -> None:
    with pytest.raises(CatalogError, match="--map title=nme: there is no column 'nme'; the columns are item_id, name"):
        check(catalogue, mapping={"title": ("nme",)})


def test_a_mapped_column_may_be_missing_from_some_json_rows(check: Check) -> None:
    catalog = check([{"item_id": "a"}, {"item_id": "b", "name": "Tea"}], mapping={"title": ("name",)})
    assert [item.title for item in catalog.items()] == [None, "Tea"]


def test_dropped_columns_are_not_stored_even_with_reserved_names(check: Check) -> None:
    catalog = check("item_id,vector,price\na,x,1\n", drop=frozenset({"vector"}))
    assert catalog.kinds == {"price": "number"}


# ---- kinds


def test_a_column_has_the_kind_that_all_its_values_fit(check: Check) -> None:
    catalog = check(
        "item_id,price,sku,sold,size,big,empty\n"
        "a,1,007,true,42,9007199254740992,\n"
        "b,2.5,010,FALSE,M,9007199254740993,\n"
    )
    assert catalog.kinds == {"price": "number", "sku": "text", "sold": "flag", "size": "text", "big": "text"}
    assert [dict(item.columns) for item in catalog.items()] == [
        {"price": 1.0, "sku": "007", "sold": True, "size": "42", "big": "9007199254740992"},
        {"price": 2.5, "sku": "010", "sold": False, "size": "M", "big": "9007199254740993"},
    ]


def test_a_stored_kind_takes_precedence_over_the_values(check: Check) -> None:
    catalog = check("item_id,sku\na,12\n", stored={"sku": "text"})
    assert only(catalog).columns == {"sku": "12"}


def test_a_value_that_does_not_fit_its_stored_kind_is_reported_with_a_remedy(check: Check) -> None:
    with pytest.raises(
        CatalogError, match=r"line 3: column 'size': 'M' is not a number, as it is in the database; .*--drop size"
    ):
        check("item_id,size\na,42\nb,M\n", stored={"size": "number"})


def test_a_skipped_row_does_not_change_the_kinds_of_columns(check: Check) -> None:
    catalog = check("item_id,price\na,1\na,cheap\n", skip_bad_rows=True)
    assert catalog.kinds == {"price": "number"}


def test_a_catalogue_that_changes_during_the_run_is_refused(check: Check, tmp_path: Path) -> None:
    catalog = check("item_id,weight\na,1\n")
    (tmp_path / "c.csv").write_text("item_id,weight\na,heavy\n")
    with pytest.raises(CatalogError, match="changed during the run; run again"):
        list(catalog.items())


own = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"))
)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(values=st.lists(own, min_size=1, max_size=10))
def test_the_order_of_rows_does_not_change_the_kind_of_a_column(check: Check, values: list[object]) -> None:
    rows = [{"item_id": str(n), "own": value} for n, value in enumerate(values)]
    forward, backward = ({i.item_id: i.columns for i in check(part).items()} for part in (rows, rows[::-1]))
    assert forward == backward
