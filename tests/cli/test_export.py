"""`firstsight export`: files of each format, written whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import firstsight
from tests.cli.calling import Run, parse_json_lines
from tests.retrieval.synthetic_items import SyntheticItems
from tests.storage.large_tables import clustered_vectors, item_row, make_store

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of five items: one without a vector, one blocked, with every kind of value."""
    store = make_store(tmp_path / "db", dim=16)
    store.add_columns({"colour": "text", "on_sale": "flag"})
    vectors = clustered_vectors(5, 16)
    rows: list[dict[str, Any]] = [item_row(f"item-{n}", vectors[n], n / 3) for n in range(5)]
    rows[1] |= {"title": 'Tee "Ümlaut" 日本\n', "colour": "red, blue", "on_sale": True, "created_at": NOON}
    rows[2] |= {"vector": None, "title": None}
    views = [
        {"view_id": f"item-{n}#{part}", "item_id": f"item-{n}", "part": part, "vector": vectors[n]}
        for n in (0, 1, 3, 4)
        for part in ("title", "image")
    ]
    views[1] |= {"uri": "pictures/a.jpg", "fingerprint": bytes(range(32))}
    with store.writing():
        store.write_views(views, replaced=[])
        store.write_items(rows)
        store.write_safety({"item-4": {"safety_decision": "block"}})
    monkeypatch.setenv("FIRSTSIGHT_DB", str(tmp_path / "db"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def export(run: Run, *arguments: str) -> dict[str, Any]:
    """Call the command; gives its summary."""
    code, out, err = run("export", *arguments)
    assert code == 0, err
    (summary,) = parse_json_lines(out)
    return summary


def stored(**options: Any) -> pa.Table:
    return firstsight.open().to_arrow(**options).read_all()


# ---- formats


def test_parquet_has_the_rows_of_to_arrow_and_names_the_encoder(run: Run, shop: Path) -> None:
    summary = export(run, "--to", "out.parquet")
    table = pq.read_table("out.parquet")
    assert table.equals(stored())
    assert table.schema.metadata[b"firstsight:encoder"] == b"colours"
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 16)
    assert summary == {
        "file": "out.parquet",
        "table": "items",
        "rows": 4,
        "columns": table.schema.names,
        "blocked_items": 1,
        "encoder": "colours",
        "fingerprint": "c0105",
        "dim": 16,
        "bytes": Path("out.parquet").stat().st_size,
        "unreadable_videos": 0,
    }


def test_pandas_polars_and_datasets_read_the_parquet(run: Run, shop: Path) -> None:
    export(run, "--to", "out.parquet", "--where", "item_id != 'item-2'")
    expected = {row["item_id"]: row for row in stored().to_pylist()}
    frame = pd.read_parquet("out.parquet")
    assert frame.created_at.dt.tz is not None
    for item_id, vector in zip(frame.item_id, frame.vector, strict=True):
        assert np.array_equal(vector, np.float32(expected[item_id]["vector"]))
    table = pl.read_parquet("out.parquet")
    assert table["vector"].to_numpy().shape == (3, 16)
    assert table["created_at"].to_list() == [expected[item_id]["created_at"] for item_id in table["item_id"]]
    rows = datasets.Dataset.from_parquet("out.parquet", cache_dir=str(shop / "cache"))
    assert [row["title"] for row in rows] == [expected[row["item_id"]]["title"] for row in rows]
    assert np.array_equal(np.float32(rows[0]["vector"]), np.float32(expected[rows[0]["item_id"]]["vector"]))


def test_the_parquet_can_be_indexed_again(run: Run, shop: Path) -> None:
    columns = ["item_id", "title", "created_at", "price", "colour", "on_sale"]
    export(run, "--to", "out.parquet", "--no-vectors", "--columns", ",".join(columns), "--where", "title IS NOT NULL")
    db = firstsight.open(shop / "again", encoder="starter")
    db.index(shop / "out.parquet")
    again = db.to_arrow(columns, vectors=False).read_all().sort_by("item_id").to_pylist()
    before = stored(columns=columns, vectors=False, where="title IS NOT NULL").sort_by("item_id").to_pylist()
    assert again == [row | {"title": row["title"].strip()} for row in before]


def test_npz_loads_without_pickle(run: Run, shop: Path) -> None:
    summary = export(run, "--to", "out.npz")
    assert (summary["rows"], summary["columns"]) == (3, ["vectors", "ids", "encoder", "fingerprint"])
    with np.load("out.npz", allow_pickle=False) as arrays:
        ids, matrix = firstsight.open().vectors()
        order = np.argsort(arrays["ids"])
        assert tuple(arrays["ids"][order]) == ids
        assert arrays["vectors"].dtype == np.float32
        assert np.array_equal(arrays["vectors"][order], matrix)
        assert (str(arrays["encoder"]), str(arrays["fingerprint"])) == ("colours", "c0105")


def test_npz_of_views_has_the_ids_of_their_items(run: Run, shop: Path) -> None:
    export(run, "--to", "out.npz", "--views", "--part", "image", "--include-blocked")
    with np.load("out.npz", allow_pickle=False) as arrays:
        assert sorted(arrays["ids"]) == [f"item-{n}#image" for n in (0, 1, 3, 4)]
        assert [view_id.partition("#")[0] for view_id in arrays["ids"]] == list(arrays["item_ids"])
        assert arrays["vectors"].shape == (4, 16)


def test_npz_of_no_rows_can_be_loaded(run: Run, shop: Path) -> None:
    export(run, "--to", "out.npz", "--where", "price > 1000")
    with np.load("out.npz", allow_pickle=False) as arrays:
        assert (arrays["ids"].shape, arrays["vectors"].shape) == ((0,), (0, 16))


@pytest.mark.parametrize("to", [("--to", "out.jsonl"), ()])
def test_json_lines_give_every_value_again(run: Run, shop: Path, to: tuple[str, ...]) -> None:
    code, out, _ = run("export", *to)
    assert code == 0
    rows = parse_json_lines(Path("out.jsonl").read_text(encoding="utf-8") if to else out)
    expected = stored().to_pylist()
    assert [list(row) for row in rows] == [list(row) for row in expected]
    for row, of_store in zip(rows, expected, strict=True):
        vector, of_store_vector = row.pop("vector"), of_store.pop("vector")
        assert (vector is None) == (of_store_vector is None)
        assert vector is None or np.array_equal(np.float32(vector), np.float32(of_store_vector))
        assert row == of_store | {"created_at": of_store["created_at"] and of_store["created_at"].isoformat()}


def test_json_lines_of_vectors_alone(run: Run, shop: Path) -> None:
    lines = parse_json_lines(run("export", "--columns", "vector", "--where", "price < 1")[1])
    assert [list(line) for line in lines] == [["vector"]] * 3


def test_json_lines_of_views_have_addresses_and_fingerprints(run: Run, shop: Path) -> None:
    lines = parse_json_lines(run("export", "--views", "--no-vectors", "--columns", "view_id,uri,fingerprint,price")[1])
    (view,) = (line for line in lines if line["uri"])
    assert view == {
        "view_id": "item-0#image",
        "uri": "pictures/a.jpg",
        "fingerprint": bytes(range(32)).hex(),
        "price": 0.0,
    }


def test_a_person_reads_a_sentence_about_the_file(run_on_terminal: Run, shop: Path) -> None:
    code, out, err = run_on_terminal("export", "--to", "out.parquet", "--views")
    assert (code, out) == (0, "")
    assert err.startswith("wrote 6 views to out.parquet (0.0 MB); 1 blocked items left out\n")
    assert run_on_terminal("export", "--to", "out.parquet", "--quiet") == (0, "", "")
    assert json.loads(run_on_terminal("export", "--to", "out.npz", "--json")[1])["rows"] == 3


# ---- mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "out.csv"), "out.csv ends in none of .parquet, .npz, .jsonl; the ending chooses the format"),
        (("--to", "out"), "out ends in none of .parquet, .npz, .jsonl"),
        (("--to", "out.npz", "--columns", "title"), "out.npz has ids and vectors only; choose columns with .parquet"),
        (("--to", "out.npz", "--no-vectors"), "out.npz has ids and vectors only"),
        (("--to", "out.parquet", "--columns", "prise"), "there is no column 'prise' to export; did you mean price?"),
        (("--columns", "prise"), "there is no column 'prise' to export; did you mean price?"),
        (("--to", "out.jsonl", "--where", "price <"), "the filter 'price <' cannot be read"),
        (("--to", "out.parquet", "--part", "image"), "parts choose views"),
        (("--to", "missing/out.parquet"), "missing/out.parquet cannot be written (No such file or directory)"),
    ],
)
def test_a_mistake_is_one_sentence_and_no_file(run: Run, shop: Path, arguments: tuple[str, ...], message: str) -> None:
    before = set(shop.rglob("*.*"))
    code, out, err = run("export", *arguments)
    assert (code, out) == (2, "")
    assert " ".join(message.split()) in " ".join(err.replace("│", " ").split())
    assert {path for path in set(shop.rglob("*.*")) - before if "out" in path.name or "export" in path.name} == set()


def test_a_folder_is_no_file(run: Run, shop: Path) -> None:
    (shop / "out.parquet").mkdir()
    code, _, err = run("export", "--to", "out.parquet")
    assert code == 2
    assert "out.parquet cannot be written (Is a directory)" in " ".join(err.replace("│", " ").split())


@pytest.mark.parametrize("link", [False, True])
def test_a_pipe_is_not_replaced(run: Run, shop: Path, link: bool) -> None:
    os.mkfifo(shop / "pipe.jsonl")
    (shop / "link.jsonl").symlink_to("pipe.jsonl")
    code, _, err = run("export", "--to", "link.jsonl" if link else "pipe.jsonl")
    assert code == 2
    assert "it is no regular file" in " ".join(err.replace("│", " ").split())
    assert (shop / "pipe.jsonl").is_fifo()


# ---- whole or not at all


def test_an_existing_file_is_replaced_and_a_link_and_permissions_stay(run: Run, shop: Path) -> None:
    (shop / "real.jsonl").write_text("old")
    (shop / "real.jsonl").chmod(0o640)
    (shop / "out.jsonl").symlink_to("real.jsonl")
    export(run, "--to", "out.jsonl")
    assert (shop / "out.jsonl").is_symlink()
    assert len((shop / "real.jsonl").read_text(encoding="utf-8").splitlines()) == 4
    assert stat.S_IMODE((shop / "real.jsonl").stat().st_mode) == 0o640
    mask = os.umask(0o027)
    try:
        export(run, "--to", "new.jsonl")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((shop / "new.jsonl").stat().st_mode) == 0o640


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
from firstsight.cli.main import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["parquet", "npz", "jsonl"])
def test_a_full_disk_is_one_sentence_and_the_earlier_file_stays(tmp_path: Path, ending: str) -> None:
    SyntheticItems(tmp_path / "db", 2_000)
    (tmp_path / f"out.{ending}").write_text("earlier")
    command = [sys.executable, "-c", LIMITED, "export", "--db", "db", "--to", f"out.{ending}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"out.{ending} cannot be written (File too large)" in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
    assert (tmp_path / f"out.{ending}").read_text() == "earlier"
    assert list(tmp_path.glob(".export-*")) == []


KILLED_IN_THE_MIDDLE = """
import os, signal, sys
from firstsight.cli.main import main
from firstsight.cli.progress import RowProgress
number = getattr(signal, sys.argv.pop())
RowProgress.show = lambda self, rows, total: os.kill(os.getpid(), number)
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "left"), [("SIGKILL", 1), ("SIGINT", 0)])
def test_a_stopped_export_leaves_the_earlier_file(tmp_path: Path, name: str, left: int) -> None:
    SyntheticItems(tmp_path / "db", 200)
    (tmp_path / "out.parquet").write_text("earlier")
    command = [sys.executable, "-c", KILLED_IN_THE_MIDDLE, "export", "--db", "db", "--to", "out.parquet", name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == {"SIGKILL": -signal.SIGKILL, "SIGINT": 130}[name]
    assert (tmp_path / "out.parquet").read_text() == "earlier"
    assert len(list(tmp_path.glob(".export-*.part"))) == left
