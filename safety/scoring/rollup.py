"""Roll-up of views to items in flat memory: the highest logit of each item's views, for every head.

Views are read batch by batch in stored order. Each batch gives one row for each of its items. For large tables, these
rows are spread over files by a hash of the item's id, and each file is joined alone, so that memory does not grow with
the table.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from firstsight.heads.view_sample import matrix, part_indices, texts
from firstsight.safety.policy.policy_heads import HeadStack
from firstsight.storage.store import Store

ROWS_PER_BATCH = 16_384
"""Views to score at once; with 512 dimensions they take 32 MB."""

VIEWS_PER_SHARD = 4_000_000
"""Views per file; the items of a file are joined at once."""

LOOKUP_ITEMS = 20_000
"""Maximum number of changed items to look up by id; for more, all views are read and the others skipped."""

Logits = NDArray[np.float32]


def item_logits(
    store: Store, stack: HeadStack, item_ids: pa.Array[Any] | None = None
) -> Iterator[tuple[pa.Array[Any], Logits]]:
    """Compute the logits of items, in batches; an item is in one batch only.

    Args:
        store: the database.
        stack: the heads.
        item_ids: ids of the items to score; None for all.

    Yields:
        Ids, and (n, heads) float32 logits; NaN if a policy looks at no view of the item.
    """
    # without heads there are only ids to keep
    shards = 1 if item_ids is not None or not stack.heads else -(-max(store.views.count_rows(), 1) // VIEWS_PER_SHARD)
    batches = (_reduce_batch(batch, stack, store.spec.dim) for batch in _views(store, item_ids) if batch.num_rows)
    if shards == 1:
        yield from _join_batches(list(batches))
        return
    with tempfile.TemporaryDirectory(prefix="firstsight-") as folder:
        files = [Path(folder) / f"{n}.arrow" for n in range(shards)]
        _write_shards(batches, files)
        for file in files:
            if file.exists():
                with pa.OSFile(str(file), "rb") as raw, pa.ipc.open_stream(raw) as reader:
                    yield from _join_batches([_unpack(batch) for batch in reader])


def _views(store: Store, item_ids: pa.Array[Any] | None) -> Iterator[Any]:
    columns = ["item_id", "part", "vector"]
    if item_ids is not None and len(item_ids) <= LOOKUP_ITEMS:
        ids = texts(item_ids)
        for start in range(0, len(ids), 1_000):
            yield store.view_rows(ids[start : start + 1_000]).select(columns)
        return
    selected = None if item_ids is None else set(texts(item_ids))
    for batch in store.views.search().select(columns).limit(None).to_batches(ROWS_PER_BATCH):
        if selected is None:
            yield batch
        else:
            yield batch.filter(pa.array([item_id in selected for item_id in texts(batch["item_id"])]))


def _reduce_batch(batch: Any, stack: HeadStack, dim: int) -> tuple[pa.Array[Any], Logits]:
    """Reduce a batch of views to one row for each item."""
    ids = batch["item_id"]
    logits = stack.logits(matrix(batch["vector"], dim), part_indices(batch["part"]))
    return _item_maxima(ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids, logits)


def _item_maxima(ids: pa.Array[Any], logits: Logits) -> tuple[pa.Array[Any], Logits]:
    coded = ids.dictionary_encode()
    codes = coded.indices.to_numpy()
    if len(coded.dictionary) == len(codes):
        return coded.dictionary, logits  # not `ids`, which would keep the whole batch with its vectors in memory
    order = np.argsort(codes, kind="stable")  # codes are numbered by first occurrence, so each of them occurs
    starts = np.searchsorted(codes[order], np.arange(len(coded.dictionary)))
    return coded.dictionary, np.fmax.reduceat(logits[order], starts, axis=0)


def _join_batches(parts: list[tuple[pa.Array[Any], Logits]]) -> Iterator[tuple[pa.Array[Any], Logits]]:
    if parts:
        yield _item_maxima(pa.concat_arrays([ids for ids, _ in parts]), np.concatenate([logits for _, logits in parts]))


def _write_shards(batches: Iterable[tuple[pa.Array[Any], Logits]], files: list[Path]) -> None:
    with ExitStack() as stack:
        writers: dict[int, Any] = {}
        for ids, logits in batches:
            shard = np.array([zlib.crc32(item_id.encode()) for item_id in texts(ids)]) % len(files)
            for n in np.unique(shard):
                rows = np.flatnonzero(shard == n)
                packed = _pack(ids.take(rows), logits[rows])
                if n not in writers:
                    writers[n] = stack.enter_context(pa.ipc.new_stream(files[n], packed.schema))
                writers[n].write_batch(packed)


def _pack(ids: pa.Array[Any], logits: Logits) -> pa.RecordBatch:
    flat = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(logits).ravel()), logits.shape[1])
    return pa.record_batch({"item_id": ids, "logits": flat})


def _unpack(batch: pa.RecordBatch) -> tuple[pa.Array[Any], Logits]:
    flat = pc.list_flatten(batch["logits"]).to_numpy(zero_copy_only=False)
    return batch["item_id"], flat.reshape(batch.num_rows, -1)
