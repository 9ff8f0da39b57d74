"""Speed of scoring for ten policies, against a plain matrix product: python -m benchmarks.safety_scoring --work FOLDER

The database holds random unit vectors of 512 dimensions, one picture for each item. The heads have random directions,
and their cuts send 1 % to review. The product runs over the same rows in blocks of 50,000, once mapped from a file and
once read from LanceDB. The scoring reads from LanceDB, decides, and writes scores and decisions. Each runs three times,
in its own process, to measure its peak memory; for the mapped file, this includes the file.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from firstsight.encoders.base import EncoderSpec, Vectors
from firstsight.heads.calibration import HeadCalibration
from firstsight.heads.view_sample import matrix
from firstsight.safety.policy.policies import Policies, parse_policies
from firstsight.safety.policy.policy_heads import Head, HeadShelf
from firstsight.safety.scoring.scoring_run import score
from firstsight.storage.store import Store
from firstsight.storage.tables import HEAD_PARTS, TIME

DIM = 512
HEADS = 10
BLOCK = 50_000
CHILDREN = ("product", "reading", "scoring")
SPEC = EncoderSpec("drawn", DIM, 32, "d4a3")


def policies() -> Policies:
    rows = [f"  - {{id: p{n}, name: P{n}, severity: 1, parts: [image], prompts: []}}" for n in range(HEADS)]
    return parse_policies("policies:\n" + "\n".join(rows), "drawn")


def coefficients() -> Vectors:
    drawn = np.random.default_rng(1).normal(size=(HEADS, DIM))
    unit: Vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit


def make(work: Path, rows: int) -> None:
    """Make the database and the file; both are kept for the next run."""
    store = Store.create(work / "db", SPEC)
    if store.views.count_rows() == rows:
        return
    rng = np.random.default_rng(0)
    file = np.lib.format.open_memmap(work / "vectors.npy", "w+", np.float32, (rows, DIM))
    now = datetime.now(UTC)
    for start in range(0, rows, BLOCK):
        block = rng.normal(size=(min(BLOCK, rows - start), DIM)).astype(np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        file[start : start + len(block)] = block
        ids = [f"i{n:08d}" for n in range(start, start + len(block))]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), DIM)
        # append instead of upsert, as an index run would: the same table, faster
        fixed = {"kind": "product", "digest": "d", "row_digest": "r", "catalog_dir": "/", "run_id": "run-0"}
        items: dict[str, pa.Array[Any]] = {name: pa.array([value] * len(ids)) for name, value in fixed.items()}
        items |= {"item_id": pa.array(ids), "vector": vectors, "indexed_at": pa.array([now] * len(ids), TIME)}
        views: dict[str, pa.Array[Any]] = {
            "view_id": pa.array([f"{i}#image-0" for i in ids]),
            "item_id": pa.array(ids),
            "vector": vectors,
        }
        views["part"] = pa.array(["image"] * len(ids))
        for table, columns in ((store.views, views), (store.items, items)):
            arrays = [columns.get(field.name, pa.nulls(len(ids), field.type)) for field in table.schema]
            table.add(pa.Table.from_arrays(arrays, schema=table.schema))


def promote(work: Path) -> None:
    """Promote heads with random directions."""
    store, now = Store.open(work / "db"), datetime.now(UTC)
    shelf = HeadShelf(store)
    if shelf.promoted():
        return
    heads = [
        Head(
            policy_id=f"p{n}",
            kind="head",
            fingerprint=SPEC.fingerprint,
            coef=coef,
            scales=dict.fromkeys(HEAD_PARTS, 1.0),
            intercepts=dict.fromkeys(HEAD_PARTS, 0.0),
            trained_at=now,
            calibration=HeadCalibration("platt", slope=DIM**0.5, shift=-3.0),
            review=float(1 / (1 + np.exp(3.0 - 3.1))),  # a normal deviate of 3.1: one in a thousand for each policy
        )
        for n, coef in enumerate(coefficients())
    ]
    with store.writing():
        shelf.promote([head.version for head in shelf.add(heads)])


def product(work: Path) -> float:
    """Return the rows per second of the plain product."""
    file = np.load(work / "vectors.npy", mmap_mode="r")
    weights = np.ascontiguousarray(coefficients().T)
    start = time.perf_counter()
    for at in range(0, len(file), BLOCK):
        file[at : at + BLOCK] @ weights
    return len(file) / (time.perf_counter() - start)


def reading(work: Path) -> float:
    """Return the rows per second of the product over rows read from LanceDB, without storing results."""
    store = Store.open(work / "db")
    weights = np.ascontiguousarray(coefficients().T)
    start, rows = time.perf_counter(), 0
    for batch in store.views.search().select(["vector"]).limit(None).to_batches(BLOCK):
        matrix(batch["vector"], DIM) @ weights
        rows += batch.num_rows
    return rows / (time.perf_counter() - start)


def scoring(work: Path) -> float:
    """Return the rows per second of a whole scoring."""
    report = score(Store.open(work / "db"), policies(), everything=True)
    return report.scored / report.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--child", choices=CHILDREN, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        rate = {"product": product, "reading": reading, "scoring": scoring}[arguments.child](arguments.work)
        # getrusage would start at the parent's memory size
        status = Path("/proc/self/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
        print(f"{arguments.child:8s} {rate:12,.0f} rows/s, peak {peak:,.0f} MB", flush=True)
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    make(arguments.work, arguments.rows)
    promote(arguments.work)
    print(f"{arguments.rows:,} x {DIM} for {HEADS} policies", flush=True)
    for _ in range(3):
        for child in CHILDREN:
            command = [
                sys.executable,
                "-m",
                "benchmarks.safety_scoring",
                "--work",
                str(arguments.work),
                "--child",
                child,
            ]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
