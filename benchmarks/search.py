"""Search through the vector index: recall, latency, builds, filters, and searches while another process writes.

    python -m benchmarks.search ann --rows 1000000        # compared with exact search, plain LanceDB, faiss, usearch
    python -m benchmarks.search curve                     # at several sizes, up to 1,000,000; see --sizes
    python -m benchmarks.search filters --rows 1000000    # filters that 10 %, 1 % and 0.1 % of the rows pass
    python -m benchmarks.search ids --rows 1000000        # lookup of 1,000 ids, without and with their index
    python -m benchmarks.search writing --rows 100000     # searches during an index run

Vectors are generated: unit length, around one centre per 100 rows, 1,000 centres or more. Queries are generated the
same way and are not stored. --work keeps the databases. Peers that are not installed (`pip install faiss-cpu usearch`)
are left out.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil  # type: ignore[import-untyped]
import pyarrow as pa

from benchmarks.pipeline import goal
from firstsight.encoders.base import EncoderSpec, Vectors
from firstsight.storage.indexes import vector_index
from firstsight.storage.indexes.index_recall import exact_distances, tune
from firstsight.storage.indexes.upkeep import run_upkeep, table_state
from firstsight.storage.indexes.vector_index import nearest_rows, vectors_of_column
from firstsight.storage.store import Store

T = TypeVar("T")

QUERIES = 200
USEARCH_MAX_ROWS = 100_000  # indexing them took usearch 260 s
BATCH = 50_000
LATENT = 48


def make_vectors(rows: int, dim: int, seed: int, centres: int) -> Vectors:
    """Generate unit vectors around centres that are equal for all seeds.

    They vary in LATENT directions, like vectors of trained encoders: the nearest rows of a row belong to many clusters.
    With variation in all 512 directions clusters would be islands, and each index would find everything.
    """
    rng = np.random.default_rng(seed)
    fixed = np.random.default_rng(dim)
    spread = fixed.normal(size=(LATENT, dim)).astype(np.float32)
    middle = fixed.normal(size=(centres, LATENT)).astype(np.float32)
    latent = middle[rng.integers(0, centres, rows)] + 0.9 * rng.normal(size=(rows, LATENT)).astype(np.float32)
    vectors = latent @ spread + rng.normal(size=(rows, dim)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def open_store(work: Path, rows: int, dim: int) -> Store:
    """Open the database of `rows` items, and create it if it does not exist."""
    path = work / f"{rows}x{dim}"
    store = Store.create(path, EncoderSpec("made", dim, 32, "made"))
    store.add_columns({"price": "number"})
    centres = max(1_000, rows // 100)
    for start in range(store.items.count_rows(), rows, BATCH):
        store.items.add(_table(store, make_vectors(min(BATCH, rows - start), dim, start + 1, centres), start))
    return store


def _table(store: Store, vectors: Vectors, start: int) -> pa.Table:
    count = len(vectors)
    now = datetime.now(UTC)
    filled: dict[str, Any] = {
        "item_id": pa.array([f"item-{n}" for n in range(start, start + count)]),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]),
        "price": pa.array([float(n) for n in range(start, start + count)]),
        "title": pa.array([f"title of item {n}" for n in range(start, start + count)]),
        "kind": pa.array(["product"] * count),
        "indexed_at": pa.array([now] * count, pa.timestamp("us", "UTC")),
        **{name: pa.array(["made"] * count) for name in ("digest", "row_digest", "catalog_dir", "run_id")},
    }
    schema = store.items.schema
    return pa.Table.from_arrays([filled.get(f.name, pa.nulls(count, f.type)) for f in schema], schema=schema)


def peak_of(work: Callable[[], T]) -> tuple[T, float, float]:
    """Run work; returns its result, its seconds, and the rise of its memory in MB, sampled every 20 ms."""
    gc.collect()
    process = psutil.Process()
    before = peak = process.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    try:
        result = work()
    finally:
        done.set()
        watcher.join()
    return result, time.perf_counter() - started, (peak - before) / 1e6


def times_ms(search: Callable[[Vectors], object], queries: Vectors) -> tuple[float, float]:
    """p50 and p95 of single queries in ms, without the first ten queries, or the first third of under thirty."""
    spent = []
    for n in range(len(queries)):
        started = time.perf_counter()
        search(queries[n : n + 1])
        spent.append(1e3 * (time.perf_counter() - started))
    spent = spent[min(10, len(spent) // 3) :]
    return float(np.percentile(spent, 50)), float(np.percentile(spent, 95))


def recall(distances: Sequence[Sequence[float]], tenth: Vectors) -> float:
    """Share of the true ten nearest rows found; a row as near as the tenth counts."""
    hits = [sum(d <= bound + 1e-5 for d in row) for row, bound in zip(distances, tenth, strict=True)]
    return float(np.mean(np.minimum(hits, 10)) / 10)


def searcher(store: Store, condition: str | None = None) -> Callable[[Vectors], list[list[float]]]:
    """Make our search, with ten results and their ids; it returns distances."""

    def search(queries: Vectors) -> list[list[float]]:
        rows = nearest_rows(store, "items", queries, k=10, condition=condition, columns=["item_id"])
        return [[row["_distance"] for row in of_query] for of_query in rows]

    return search


def ann(work: Path, rows: int, dim: int) -> bool:
    """Build time, recall and latency at one size, compared with plain LanceDB calls and the peers."""
    store = open_store(work, rows, dim)
    queries = make_vectors(QUERIES, dim, 0, max(1_000, rows // 100))
    tenth = exact_distances(store.items, queries, 10)[:, -1]
    built, build_s, build_mb = peak_of(lambda: vector_index.build_index(store.items))
    tuning, tune_s, tune_mb = peak_of(lambda: tune(store.items, built))
    vector_index.store_tuning(store.items, tuning)
    print(f"build {build_s:.1f} s, {build_mb:.0f} MB; measuring {tune_s:.1f} s, {tune_mb:.0f} MB; {tuning}", flush=True)
    ours = searcher(store)
    our_recall = recall(ours(queries), tenth)

    def raw(query: Vectors) -> object:
        search = store.items.search(query[0], vector_column_name="vector").distance_type("cosine").limit(10)  # type: ignore[attr-defined]
        search = search.nprobes(tuning.nprobes).refine_factor(tuning.refine)
        return search.select(["item_id", "_distance"]).to_arrow().to_pylist()

    rounds = [(times_ms(raw, queries), times_ms(ours, queries)) for _ in range(3)]
    raw_p50 = statistics.median(r[0] for r, _ in rounds)
    p50, p95 = (statistics.median(o[n] for _, o in rounds) for n in (0, 1))
    print(f"ours, one query: p50 {p50:.2f} ms, p95 {p95:.2f} ms; the raw call: p50 {raw_p50:.2f} ms")
    for size in (10, 100):
        started = time.perf_counter()
        ours(queries[:size])
        print(f"ours, {size} queries in one call: {1e3 * (time.perf_counter() - started) / size:.2f} ms a query")

    def flat(query: Vectors) -> object:
        search = store.items.search(query[0], vector_column_name="vector").distance_type("cosine").limit(10)  # type: ignore[attr-defined]
        return search.bypass_vector_index().select(["item_id", "_distance"]).to_arrow().to_pylist()

    print("LanceDB exact: p50 {:.1f} ms, p95 {:.1f} ms".format(*times_ms(flat, queries[:30])), flush=True)
    reached = [
        goal(f"recall@10 at {rows:,} rows", our_recall, 0.95, at_least=True),
        goal("ms at p95", p95, 15),
        goal("s to build", build_s, 60),
        goal("MB to build", build_mb, 2_000),
        goal("% over the raw call", 100 * (p50 / raw_p50 - 1), 10),
    ]
    _peers(store, queries, tenth, our_recall)
    return all(reached)


def _peers(store: Store, queries: Vectors, tenth: Vectors, target: float) -> None:
    """Measure faiss IVF and usearch HNSW in memory, at the smallest effort that reaches our recall."""
    blocks = store.items.search().select(["vector"]).limit(None).to_batches(BATCH)
    stored = np.concatenate([vectors_of_column(batch["vector"]) for batch in blocks])
    rows, dim = stored.shape
    if importlib.util.find_spec("faiss"):
        import faiss

        quantizer = faiss.IndexFlatIP(dim)
        index = faiss.IndexIVFFlat(quantizer, dim, rows // 1_000, faiss.METRIC_INNER_PRODUCT)

        def build() -> None:
            index.train(stored[:: max(1, rows // 100_000)])
            index.add(stored)

        _, build_s, build_mb = peak_of(build)
        for index.nprobe in (1, 2, 4, 8, 16, 32, 64, 128):
            if recall((1 - index.search(queries, 10)[0]).tolist(), tenth) >= target:
                break
        p50, p95 = times_ms(lambda query: index.search(query, 10), queries)
        print(
            f"faiss IVF{rows // 1_000},Flat, nprobe {index.nprobe}: build {build_s:.1f} s, {build_mb:.0f} MB in memory,"
        )
        print(f"  p50 {p50:.2f} ms, p95 {p95:.2f} ms", flush=True)
        del index
    if importlib.util.find_spec("usearch") and rows <= USEARCH_MAX_ROWS:
        from usearch.index import Index

        graph = Index(ndim=dim, metric="cos", dtype="f32")
        _, build_s, build_mb = peak_of(lambda: graph.add(np.arange(rows), stored))
        for expansion in (16, 32, 64, 128, 256, 512, 1024):
            graph.expansion_search = expansion  # type: ignore[misc,unused-ignore]
            if recall(graph.search(queries, 10).distances.tolist(), tenth) >= target:
                break
        p50, p95 = times_ms(lambda query: graph.search(query[0], 10), queries)
        print(
            f"usearch HNSW f32, expansion {graph.expansion_search}: build {build_s:.1f} s, {build_mb:.0f} MB in memory,"
        )
        print(f"  p50 {p50:.2f} ms, p95 {p95:.2f} ms", flush=True)


def curve(work: Path, sizes: Sequence[int], dim: int) -> bool:
    """Time, memory and disk of exact and indexed search at several sizes, and their growth."""
    seconds = []
    for rows in sizes:
        store = open_store(work, rows, dim)
        queries = make_vectors(60, dim, 0, max(1_000, rows // 100))
        tenth = exact_distances(store.items, queries, 10)[:, -1]
        tuning, build_s, build_mb = peak_of(lambda store=store: vector_index.build_index(store.items))  # type: ignore[misc]
        tuning = tune(store.items, tuning)
        vector_index.store_tuning(store.items, tuning)
        search = searcher(store)
        share, (p50, p95) = recall(search(queries), tenth), times_ms(search, queries)
        search_items = store.items.search

        def flat(query: Vectors, search_items: Any = search_items) -> object:
            exact = search_items(query[0]).distance_type("cosine").limit(10).bypass_vector_index()
            return exact.select(["item_id"]).to_arrow()

        exact_p50, _ = times_ms(flat, queries[:5])
        index = next(i for i in store.items.list_indices() if i.name == vector_index.NAME)
        seconds.append((rows, build_s, p50))
        stored = sum(path.stat().st_size for path in (work / f"{rows}x{dim}").rglob("*") if path.is_file())
        print(
            f"{rows:,} rows: exact p50 {exact_p50:.1f} ms; index p50 {p50:.1f}, p95 {p95:.1f} ms at recall {share:.3f} "
            f"({tuning.nprobes} of {tuning.partitions}, x{tuning.refine}); build {build_s:.1f} s, {build_mb:.0f} MB; "
            f"{stored / 1e6:,.0f} MB on disk, the index {(index.size_bytes or 0) / 1e6:.0f} of them",
            flush=True,
        )
    if len(seconds) > 1:
        (small, *first), (large, *last) = seconds[0], seconds[-1]
        for what, a, b in zip(("build", "p50"), first, last, strict=True):
            power = np.log(b / a) / np.log(large / small)
            print(f"{what} grows with rows^{power:.2f}: {b * (1e8 / large) ** power:,.0f} at 100,000,000", flush=True)
    return True


def filters(work: Path, rows: int, dim: int) -> bool:
    """Latency and recall with selective filters."""
    store = open_store(work, rows, dim)
    with store.writing():
        run_upkeep(store)
    queries = make_vectors(60, dim, 0, max(1_000, rows // 100))
    reached = []
    for share in (10, 100, 1_000):
        condition = f"price % {share} = 0"
        column = store.items.search().where(condition).select(["vector"]).limit(None).to_arrow()["vector"]
        passing = vectors_of_column(column.combine_chunks())
        tenth = np.sort(1 - queries @ passing.T, axis=1)[:, 9]
        search = searcher(store, condition)
        hit_share, (p50, p95) = recall(search(queries), tenth), times_ms(search, queries)
        print(f"{100 / share:g} % of {rows:,}: p50 {p50:.1f} ms, p95 {p95:.1f} ms")
        reached.append(goal("recall@10", hit_share, 0.95, at_least=True))
    return all(reached)


def ids(work: Path, rows: int, dim: int) -> bool:
    """Look up 1,000 ids, without and with an index on them."""
    from lancedb.index import BTree

    store = open_store(work, rows, dim)
    item_ids = [f"item-{n}" for n in np.random.default_rng(0).integers(0, rows, 1_000)]

    def median_ms() -> float:
        spent = []
        for _ in range(7):
            started = time.perf_counter()
            store.digests(item_ids)
            spent.append(1e3 * (time.perf_counter() - started))
        return statistics.median(spent)

    if table_state(store.items).id_index:
        store.items.drop_index("item_id_idx")
    without = median_ms()
    _, build_s, build_mb = peak_of(lambda: store.items.create_index("item_id", config=BTree()))
    print(f"1,000 of {rows:,} ids: {without:.0f} ms without an index, {median_ms():.0f} ms with one")
    print(f"  built in {build_s:.1f} s, {build_mb:.0f} MB")
    return True


def writing(work: Path, rows: int, dim: int, seconds: float) -> bool:
    """Search while another process writes and maintains the index; measure the delay until searches find a new row."""
    store = open_store(work, rows, dim)
    with store.writing():
        run_upkeep(store)
    queries = make_vectors(QUERIES, dim, 0, max(1_000, rows // 100))

    def search(query: Vectors) -> object:
        store.refresh()  # as each call of Database does
        return searcher(store)(query)

    quiet_p50, quiet_p95 = times_ms(search, queries)
    # on two cores, any process as busy as the writer would slow searches too
    command = [sys.executable, "-m", "benchmarks.search", "_write"]
    options = ["--work", str(work), "--rows", str(rows), "--dim", str(dim)]
    writer = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    spent: list[float] = []
    delays: list[float] = []
    written: list[dict[str, Any]] = []
    reading = threading.Thread(target=lambda: written.extend(map(json.loads, writer.stdout or ())))
    reading.start()
    end = time.monotonic() + seconds
    seen = 0
    while time.monotonic() < end:
        n = len(spent) % len(queries)
        started = time.perf_counter()
        search(queries[n : n + 1])
        spent.append(1e3 * (time.perf_counter() - started))
        if len(written) > seen:
            seen = len(written)
            line = written[-1]
            vector = make_vectors(1, dim, line["seed"], 1_000)
            store.refresh()
            rows_ = nearest_rows(store, "items", vector, k=1, condition=None, columns=["item_id"])
            assert rows_[0][0]["item_id"] == line["item_id"], (rows_, line)
            delays.append(time.time() - line["at"])
    assert writer.poll() is None, "the writer ended early"
    writer.terminate()
    writer.wait()
    reading.join()
    p50, p95 = (float(np.percentile(spent, q)) for q in (50, 95))
    print(f"quiet: p50 {quiet_p50:.1f}, p95 {quiet_p95:.1f} ms; during {seen} writes: p50 {p50:.1f}, p95 {p95:.1f} ms")
    reached = goal("maximum s until a search finds a new row", max(delays), 2.0)
    return goal("p95 during writes, relative to p95 before", p95 / quiet_p95, 2.0) and reached


def write(work: Path, rows: int, dim: int) -> None:
    """Write 500 items a second in the order of an index run, with due upkeep; runs as the other process."""
    from firstsight.storage.indexes.upkeep import RunUpkeep

    store = open_store(work, rows, dim)
    now = datetime.now(UTC)
    with store.writing():
        upkeep = RunUpkeep(store)
        n = store.items.count_rows()
        while True:
            began = time.monotonic()
            fresh = make_vectors(1, dim, n, 1_000)  # of other clusters, so that it is its own nearest row
            table = _table(store, np.concatenate([fresh, make_vectors(499, dim, n + 1, 1_000)]), n)
            store.write_items([row | {"indexed_at": now} for row in table.to_pylist()])
            print(json.dumps({"item_id": f"item-{n}", "seed": n, "at": time.time()}), flush=True)
            upkeep.after_write()
            n += 500
            time.sleep(max(0.0, 1.0 - (time.monotonic() - began)))  # an encoder would use this time


def main() -> None:
    """Run the benchmark given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["ann", "curve", "filters", "ids", "writing", "_write"])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--work", type=Path, default=Path(os.environ.get("TMPDIR", "/tmp")) / "firstsight-search")
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 50_000, 100_000, 1_000_000], metavar="ROWS")
    parser.add_argument("--seconds", type=float, default=30.0, help="duration of searches during writes, in seconds")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    arguments = (options.work, options.rows, options.dim)
    if options.what == "_write":
        write(*arguments)
    elif options.what == "curve":
        raise SystemExit(not curve(options.work, options.sizes, options.dim))
    elif options.what == "writing":
        raise SystemExit(not writing(*arguments, options.seconds))
    else:
        raise SystemExit(not {"ann": ann, "filters": filters, "ids": ids}[options.what](*arguments))


if __name__ == "__main__":
    main()
