"""Rows and vectors for other libraries: their values, one moment for a whole stream, and flat memory."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import firstsight
from firstsight.errors import QueryError, StoreError
from firstsight.retrieval.export.file_formats import json_lines
from firstsight.retrieval.export.row_stream import RowSelection, RowStream
from firstsight.storage.indexes.upkeep import run_upkeep
from firstsight.storage.store import Store
from firstsight.storage.tables import CURRENT_LAYOUT
from tests.retrieval.synthetic_items import DIM, SyntheticItems
from tests.storage.large_tables import add_items, clustered_vectors, item_row, make_store

ROOT = Path(__file__).parents[2]
MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> SyntheticItems:
    """300 items with 4 views each; read only."""
    return SyntheticItems(tmp_path_factory.mktemp("export") / "db", 300)


def by_id(table: pa.Table, key: str = "item_id") -> dict[str, dict[str, Any]]:
    return {row[key]: row for row in table.to_pylist()}


# ---- rows and columns


@pytest.mark.slow
def test_items_have_the_values_that_get_shows(sample_db: Path) -> None:
    db = firstsight.open(sample_db)
    table = db.to_arrow().read_all()
    own = list(Store.open(sample_db).column_kinds())
    fields = ["item_id", "kind", "title", "text", "created_at", "starts_at", "expires_at"]
    facts = ["colour", "colours", "language"]
    assert table.schema.names == [*fields, *own, *facts, "vector"]
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 384)
    assert table.schema.field("created_at").type == pa.timestamp("us", "UTC")
    rows = by_id(table)
    assert len(rows) == db.count()
    for item_id, row in rows.items():
        item = db.get(item_id)
        assert [row[name] for name in fields] == [getattr(item, name) for name in fields]
        assert {name: row[name] for name in own} == item.columns
        assert [row["colour"], row["language"]] == [item.facts.get("colour"), item.facts.get("language")]
        assert item.vector is not None
        assert np.array_equal(np.float32(row["vector"]), item.vector)


@pytest.mark.slow
def test_views_have_the_values_that_get_shows(sample_db: Path) -> None:
    db = firstsight.open(sample_db)
    table = db.to_arrow(of="views", columns=[*VIEW_FIELDS, "title"]).read_all()
    rows = by_id(table, "view_id")
    assert table.schema.names == [*VIEW_FIELDS, "title", "vector"]
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 384)
    for item_id in ("guitar-acoustic", "espresso-cup"):
        item = db.get(item_id)
        assert len(item.views) == sum(row["item_id"] == item_id for row in rows.values())
        for view in item.views:
            row = rows[view.view_id]
            assert [row[name] for name in VIEW_FIELDS[2:]] == [getattr(view, name) for name in VIEW_FIELDS[2:]]
            assert row["title"] == item.title
            assert np.array_equal(np.array(row["vector"], dtype=np.float32), view.vector)
    assert all(Path(row["uri"]).is_file() for row in rows.values() if row["uri"])


VIEW_FIELDS = ["view_id", "item_id", "part", "uri", "time_s", "start_s", "end_s", "fingerprint"]


def test_a_fact_and_a_field_of_it_are_columns_by_name(sample_db: Path) -> None:
    db = firstsight.open(sample_db)
    table = db.to_arrow(["colours.red", "facts.colour", "colours"], vectors=False).read_all()
    assert table.schema.field("colours.red").type == pa.float32()
    rows = table.to_pylist()
    assert {row["facts.colour"] for row in rows} >= {"red", "blue", "gray"}
    assert all(row["colours.red"] == (row["colours"] or {}).get("red") for row in rows)
    views = db.to_arrow(["view_id", "colour"], of="views", parts=["image"], vectors=False).read_all().to_pylist()
    assert views[0]["colour"] == db.get(views[0]["view_id"].partition("#")[0]).facts["colour"]
    with pytest.raises(QueryError, match=r"no column 'colours\.rde' to export; did you mean colours\.red"):
        db.to_arrow(["colours.rde"])


def test_shares_in_json_lines_have_the_fewest_digits() -> None:
    struct = pa.StructArray.from_arrays([pa.array([0.1, None], pa.float32())], ["red"], mask=pa.array([False, True]))
    batch = pa.RecordBatch.from_arrays([struct, pa.array([0.7, None], pa.float32())], ["colours", "share"])
    assert json_lines(batch).splitlines() == [
        '{"colours": {"red": 0.1}, "share": 0.7}',
        '{"colours": null, "share": null}',
    ]


def test_the_metadata_of_the_schema_names_the_encoder(items: SyntheticItems) -> None:
    assert items.db.to_arrow().schema.metadata == {
        b"firstsight:version": firstsight.__version__.encode(),
        b"firstsight:table": b"items",
        b"firstsight:encoder": b"drawn",
        b"firstsight:fingerprint": b"d4a3",
        b"firstsight:dim": str(DIM).encode(),
    }


def test_columns_come_in_the_given_order_and_the_vector_last_unless_it_is_named(items: SyntheticItems) -> None:
    assert items.db.to_arrow(["price", "item_id"]).schema.names == ["price", "item_id", "vector"]
    assert items.db.to_arrow(["vector", "price"]).schema.names == ["vector", "price"]
    assert items.db.to_arrow(["price"], vectors=False).schema.names == ["price"]
    assert items.db.to_arrow([], of="views").schema.names == ["vector"]
    assert items.db.to_arrow(["indexed_at"], vectors=False).read_next_batch()["indexed_at"][0].as_py().tzinfo


@pytest.mark.parametrize("of", ["items", "views"])
def test_no_internal_column_comes_out(items: SyntheticItems, of: Any) -> None:
    internal = {"digest", "row_digest", "catalog_dir", "run_id", "version", "_rowid"}
    assert not internal & set(items.db.to_arrow(of=of).schema.names)
    for name in sorted(internal):
        with pytest.raises(QueryError, match=f"there is no column '{name}' to export"):
            items.db.to_arrow([name], of=of)


def test_a_condition_chooses_items_and_their_views(items: SyntheticItems) -> None:
    expected = {item_id for item_id, row in items.rows.items() if row["price"] < 10 and not row["rare"]}
    where = "price < 10 AND NOT rare"
    assert {row["item_id"] for row in items.db.to_arrow(where=where).read_all().to_pylist()} == expected
    views = items.db.to_arrow(where=where, of="views").read_all()
    assert len(views) == 4 * len(expected)
    assert set(views["item_id"].to_pylist()) == expected
    frames = items.db.to_arrow(["part", "price"], where, of="views", parts=["title", "frame"]).read_all()
    assert Counter(frames["part"].to_pylist()) == {"frame": len(expected), "title": len(expected)}
    assert set(frames["price"].to_pylist()) <= set(range(10))


@pytest.mark.parametrize("of", ["items", "views"])
@pytest.mark.parametrize("batch_rows", [1, 7, 4096])
def test_batches_have_at_most_the_given_rows_and_each_row_comes_once(
    items: SyntheticItems, of: Any, batch_rows: int
) -> None:
    key = {"items": "item_id", "views": "view_id"}[of]
    where = None if batch_rows > 1 else "price < 5"
    batches = list(items.db.to_arrow([key], where, of=of, batch_rows=batch_rows))
    ids = [row_id for batch in batches for row_id in batch[key].to_pylist()]
    assert max(map(len, batches)) <= batch_rows
    assert len(set(ids)) == len(ids) == (15 if where else 300) * (4 if of == "views" else 1)


def test_each_vector_is_of_its_row(items: SyntheticItems) -> None:
    for batch in items.db.to_arrow(of="views"):
        for row in batch.to_pylist():
            place = int(row["view_id"].rpartition("-")[2])
            assert np.array_equal(np.float32(row["vector"]), items.views[row["item_id"]][place][1])


def test_an_empty_database_gives_no_batch(tmp_path: Path) -> None:
    make_store(tmp_path / "db", dim=16)
    db = firstsight.open(tmp_path / "db")
    assert db.to_arrow().read_all().num_rows == db.to_arrow(of="views").read_all().num_rows == 0
    ids, matrix = db.vectors()
    assert ids == ()
    assert matrix.shape == (0, 16)
    assert matrix.dtype == np.float32


def test_views_of_an_item_that_a_killed_run_did_not_store_stay_out(tmp_path: Path) -> None:
    shop = SyntheticItems(tmp_path / "db", 3)
    shop.store.write_views(
        [{"view_id": "lost#title", "item_id": "lost", "part": "title", "vector": shop.items["i00000"]}], replaced=[]
    )
    assert shop.db.to_arrow(of="views").read_all().num_rows == 12
    assert len(shop.db.vectors(of="views").ids) == 12


def test_a_database_of_an_earlier_layout_is_read_without_an_upgrade(earlier_db: Path) -> None:
    db = firstsight.open(earlier_db)
    views = db.to_arrow(of="views").read_all()
    assert views.schema.names == [*VIEW_FIELDS, "transcript", "transcript_language", "vector"]
    assert db.to_arrow(include_blocked=True).read_all().num_rows == db.count() == 40
    assert Store.open(earlier_db).layout < CURRENT_LAYOUT


# ---- safety


def test_blocked_items_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    shop = SyntheticItems(tmp_path / "db", 5)
    with shop.store.writing():
        shop.store.write_safety({"i00001": {"safety_decision": "block"}, "i00002": {"safety_decision": "review"}})
    db = shop.db
    assert set(by_id(db.to_arrow().read_all())) == {"i00000", "i00002", "i00003", "i00004"}
    assert db.to_arrow(of="views").read_all().num_rows == 16
    assert db.vectors().ids == ("i00000", "i00002", "i00003", "i00004")
    everything = by_id(db.to_arrow(include_blocked=True).read_all())
    assert everything["i00001"]["safety_decision"] == "block"
    assert everything["i00000"]["safety_decision"] is None
    assert len(db.vectors(of="views", include_blocked=True).ids) == 20
    assert db.vectors("safety_decision = 'review'").ids == ("i00002",)


# ---- one moment


def test_a_stream_is_of_the_moment_of_its_call(tmp_path: Path) -> None:
    shop = SyntheticItems(tmp_path / "db", 50)
    db = shop.db
    readers = {of: db.to_arrow(of=of, batch_rows=10) for of in ("items", "views")}
    firsts = {of: [reader.read_next_batch()] for of, reader in readers.items()}
    other = firstsight.open(shop.path)
    other.remove([f"i{n:05d}" for n in range(40)])
    shop.add(20)
    assert db.count() == 30  # moves the tables of `db`
    for of, reader in readers.items():
        rows = pa.Table.from_batches([*firsts[of], *reader])
        assert set(rows["item_id"].to_pylist()) == {f"i{n:05d}" for n in range(50)}
        assert len(rows) == {"items": 50, "views": 200}[of]
    assert db.to_arrow().read_all().num_rows == 30


@pytest.mark.slow
def test_another_process_may_write_and_compact_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = SyntheticItems(tmp_path / "db", 500)
    reader = shop.db.to_arrow(of="views", batch_rows=100)
    first = reader.read_next_batch()
    code = """
import sys, firstsight
db = firstsight.open(sys.argv[1])
db.remove([f"i{n:05d}" for n in range(0, 500, 2)])
db.maintenance.optimize()
"""
    subprocess.run([sys.executable, "-c", code, str(shop.path)], check=True, cwd=ROOT)
    assert len(pa.Table.from_batches([first, *reader])) == 2000
    assert shop.db.count() == 250


def test_upkeep_keeps_the_rows_that_were_the_newest_six_hours_ago(layout_1_db: Path, tmp_path: Path) -> None:
    shutil.copytree(layout_1_db, tmp_path / "db")
    store = Store.open(tmp_path / "db")
    reader = RowStream(store, RowSelection(include_blocked=True)).reader(batch_rows=10)
    other = Store.open(tmp_path / "db")
    with other.locked():
        other.items.delete("true")  # at once: no younger version has the files
        run_upkeep(other, by_hand=True)
    assert other.items.count_rows() == 0
    assert reader.read_all().num_rows == 40


def test_a_stream_whose_files_are_gone_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path / "db", dim=16)
    for start in range(0, 40, 10):
        add_items(store, clustered_vectors(10, 16), start)
    reader = RowStream(store, RowSelection()).reader(batch_rows=10)
    shutil.rmtree(tmp_path / "db" / "items.lance" / "data")
    with pytest.raises(StoreError, match=r"cannot be read any further.*start the export again"):
        reader.read_all()


# ---- vectors


def test_vectors_are_sorted_by_id_and_items_without_one_are_left_out(tmp_path: Path) -> None:
    store = make_store(tmp_path / "db", dim=40)
    vectors = clustered_vectors(30, 40)
    order = np.random.default_rng(3).permutation(30)
    rows = [item_row(f"item-{n:02d}", vectors[n], float(n)) for n in order]
    with store.writing():
        store.write_items([*rows[:11], item_row("item-05b", None), *rows[11:]])
    found = firstsight.open(tmp_path / "db").vectors()
    assert found.ids == tuple(f"item-{n:02d}" for n in range(30))
    assert found.matrix.dtype == np.float32
    assert np.array_equal(found.matrix, vectors)
    ids, matrix = firstsight.open(tmp_path / "db").vectors("price >= 20")
    assert ids == found.ids[20:]
    assert np.array_equal(matrix, vectors[20:])
    assert firstsight.open(tmp_path / "db").to_arrow(["vector"]).read_all()["vector"].null_count == 1


def test_vectors_of_views_have_the_ids_of_views(items: SyntheticItems) -> None:
    ids, matrix = items.db.vectors("price < 50", of="views", parts=["frame"])
    assert list(ids) == sorted(f"{item_id}#frame-3" for item_id, row in items.rows.items() if row["price"] < 50)
    assert np.array_equal(matrix, np.stack([items.views[row_id.partition("#")[0]][3][1] for row_id in ids]))
    assert np.allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-5)


# ---- mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"columns": ["prise"]},
            r"no column 'prise' to export; did you mean price\? The columns are item_id, ",
        ),
        ({"columns": ["zzz"], "of": "views"}, r"there is no column 'zzz' to export; the columns are view_id, "),
        ({"columns": ["vector"], "vectors": False}, "vector is named and vectors are left out"),
        ({"columns": [], "vectors": False}, "no column is left to export; name some of item_id, "),
        ({"of": "failures"}, "of is 'failures'; give items, views or shots"),
        ({"of": "views", "parts": ["sound"]}, "there is no part 'sound'; the parts are title, image, frame"),
        ({"parts": ["image"]}, "parts choose views; leave them out, or export views"),
        ({"batch_rows": 0}, "batch_rows is 0; give 1 or more"),
        ({"where": "prise < 5"}, "asks for 'prise', which is no column"),
        ({"where": "price < 5; DROP TABLE items"}, "has ; in it"),
    ],
)
def test_a_wrong_argument_is_named_before_anything_is_read(
    items: SyntheticItems, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        items.db.to_arrow(**arguments)


def test_an_unknown_keyword_is_a_type_error(items: SyntheticItems) -> None:
    with pytest.raises(TypeError, match=r"to_arrow\(\) got an unexpected keyword argument 'part'"):
        items.db.to_arrow(part="image")  # type: ignore[call-arg]


# ---- memory

STREAM = """
import sys
import psutil
import firstsight

path, of = sys.argv[1:]
first = last = rows = 0
for batch in firstsight.open(path).to_arrow(of=of):
    rows += len(batch)
    now = psutil.Process().memory_info().rss
    first, last = (max(first, now), 0) if rows <= 30_000 else (first, max(last, now))
print(rows, last - first)
"""


@pytest.mark.slow
@pytest.mark.parametrize("of", ["items", "views"])
def test_100_000_rows_are_streamed_in_flat_memory(tmp_path: Path, of: str) -> None:
    """The vectors of the last 70,000 take 137 MiB; LanceDB's own stream holds most of them at once.

    During the first rows the memory pools of LanceDB's threads grow to their size, whatever the number of rows.
    """
    path = write_rows(tmp_path / "db", 100_000, views=of == "views")
    command = [sys.executable, "-c", STREAM, str(path), of]
    out = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    rows, grown = map(int, out.split())
    assert rows == 100_000
    assert grown < 96 * MEBIBYTE


def write_rows(path: Path, rows: int, *, views: bool) -> Path:
    """Make a database of `rows` items; or of as many views, 20 of each item."""
    store = make_store(path, dim=512)
    for start in range(0, rows, 10_000):
        vectors = clustered_vectors(10_000, 512, start, clusters=50)
        if not views:
            add_items(store, vectors, start)
            continue
        add_items(store, vectors[:500], start // 20)
        ids = [f"item-{n // 20}" for n in range(start, start + 10_000)]
        columns: dict[str, Any] = {
            "view_id": pa.array([f"{item_id}#frame-{n % 20}" for n, item_id in enumerate(ids)]),
            "item_id": pa.array(ids),
            "part": pa.array(["frame"] * 10_000),
            "uri": pa.array([f"{item_id}.mp4" for item_id in ids]),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 512),
        }
        schema = store.views.schema
        arrays = [columns.get(field.name, pa.nulls(10_000, field.type)) for field in schema]
        store.views.add(pa.Table.from_arrays(arrays, schema=schema))
    return path
