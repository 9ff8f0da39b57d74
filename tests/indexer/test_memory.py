"""Memory does not grow with the size of the catalogue."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.slow

MEGABYTE = 2**20

READ = """
import sys, threading
import psutil
from firstsight.indexer.catalog import check_catalog
from firstsight.indexer.formats.opening import open_source

small, large = sys.argv[1:]

def read(path):
    catalog = check_catalog(open_source(path))
    peak = items = 0
    for items, _ in enumerate(catalog.items(), 1):
        if items % 500 == 0:
            peak = max(peak, psutil.Process().memory_info().rss)
    catalog.close()
    return items, peak

read(small)
before = psutil.Process().memory_info().rss
items, peak = read(large)
print(items, peak - before)
"""


def test_a_parquet_of_100_000_rows_is_read_in_flat_memory(tmp_path: Path) -> None:
    """60 MB of rows in one row group, read twice, may take 100 MB: two of Arrow's column buffers and its pool.

    Held as Python objects the rows would take 150 MB and more.
    """
    noise = np.random.default_rng(1)

    def write(rows: int) -> str:
        texts = noise.integers(97, 123, size=(rows, 600), dtype=np.uint8).view("S600").ravel().astype(str)
        table = pa.table(
            {
                "item_id": [f"item-{n}" for n in range(rows)],
                "title": pa.array(texts),
                "images": [[f"{n}.jpg", f"{n}-back.jpg"] for n in range(rows)],
                "price": [n / 7 for n in range(rows)],
            }
        )
        path = tmp_path / f"{rows}.parquet"
        pq.write_table(table, path, row_group_size=rows)
        return str(path)

    small, large = write(2_000), write(100_000)
    assert Path(large).stat().st_size > 40 * MEGABYTE
    out = subprocess.run([sys.executable, "-c", READ, small, large], check=True, capture_output=True, text=True).stdout
    items, grown = map(int, out.split())
    assert items == 100_000
    assert grown < 100 * MEGABYTE


INDEX = """
import sys
import psutil
import firstsight
from firstsight.indexer.index_settings import IndexSettings
from tests.indexer.shop import ColourEncoder

peak = 0
def note(counts):
    global peak
    peak = max(peak, psutil.Process().memory_info().rss)

db, small, large = sys.argv[1:]
settings = IndexSettings(text_batch_size=512)
database = firstsight.open(db, encoder=ColourEncoder(dim=384))
database.index(small, settings=settings, on_progress=note)
before, peak = peak, 0
database.index(large, settings=settings, on_progress=note)
print(peak - before)
"""


def test_ten_times_the_items_take_no_more_memory(tmp_path: Path) -> None:
    """20,000 items after 2,000: their vectors alone would take 60 MB in numpy, and 500 MB as lists."""

    def write(rows: int) -> str:
        path = tmp_path / f"{rows}.jsonl"
        path.write_text("".join(f'{{"item_id": "i{n}", "title": "thing {n}", "price": {n}}}\n' for n in range(rows)))
        return str(path)

    command = [sys.executable, "-c", INDEX, str(tmp_path / "db"), write(2_000), write(20_000)]
    root = Path(__file__).parents[2]
    out = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout
    assert int(out) < 100 * MEGABYTE
