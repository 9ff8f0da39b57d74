"""Stored pictures and frames as arrays, and the search for pairs that look alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from firstsight.duplicates.hamming_pairs import CodePairs, banded_pairs, near_pairs
from firstsight.media.fingerprints import FINGERPRINT_BYTES, MAX_DISTANCE, Fingerprints, distances, orient
from firstsight.storage.indexes.vector_index import vectors_of_column
from firstsight.storage.store import Store
from firstsight.vectors import Vectors

LOOSE_DISTANCE = 90
LOOSE_COSINE = 0.93
"""Maximum bits and minimum cosine of candidate pairs with distant fingerprints."""

MAX_COPIES = 32
"""Views with the same fingerprint that are compared with each other. Further ones are compared only with the first."""

MAX_EXHAUSTIVE_VIEWS = 2_000
"""Number of views up to which all pairs are compared."""

_BLOCK = 256
_BANDS = 8
_READ_ROWS = 16_384
_PAIRS_PER_BLOCK = 1 << 15  # pairs of vectors compared at once: 100 MB
_COLUMNS = ("view_id", "item_id", "part", "uri", "time_s", "fingerprint", "vector")


@dataclass(frozen=True)
class PictureViews:
    """The pictures and video frames with a fingerprint."""

    view_ids: Sequence[str]  # n
    item_ids: Sequence[str]  # ids of their items, each once
    items: NDArray[np.int64]  # (n,) positions in item_ids
    videos: NDArray[np.int64]  # (n,) number of a frame's video; -1 for a picture
    times: NDArray[np.float64]  # (n,) seconds; 0 for a picture
    fingerprints: Fingerprints  # (n, 32)
    vectors: Vectors  # (n, dim) unit rows
    video_uris: Sequence[str] = ()  # of each video, by its number

    def __len__(self) -> int:
        return len(self.view_ids)

    @classmethod
    def read(cls, store: Store, item_ids: Sequence[str] | None = None) -> PictureViews:
        """Read the views of these items, or of all items. Each takes 1 kB and its vector in memory."""
        condition = "fingerprint IS NOT NULL"
        if "fingerprint" not in store.views.schema.names:  # a table of an earlier version, not written since
            condition, columns = "false", [name for name in _COLUMNS if name != "fingerprint"]
        else:
            columns = list(_COLUMNS)
        if item_ids is None:
            batches = store.views.search().where(condition).select(columns).limit(None).to_batches(_READ_ROWS)
            return cls.of(batches, store.spec.dim)
        parts = store.rows_by_id(store.views, item_ids, columns=columns, condition=condition)
        return cls.of((batch for part in parts for batch in part.to_batches()), store.spec.dim)

    @classmethod
    def of(cls, batches: Iterable[pa.RecordBatch], dim: int) -> PictureViews:
        """Join batches of the `views` table, ordered by item, video and time."""
        rows: list[tuple[str, str, str | None, float, str]] = []
        codes, vectors = [np.zeros((0, FINGERPRINT_BYTES), np.uint8)], [np.zeros((0, dim), np.float32)]
        for batch in batches:
            if not batch.num_rows:
                continue
            plain = batch.drop_columns(["vector"]).to_pydict()
            uris = [u if part == "frame" else None for part, u in zip(plain["part"], plain["uri"], strict=True)]
            rows += [
                (item, uri or "", uri, time_s or 0.0, view)
                for item, uri, time_s, view in zip(
                    plain["item_id"], uris, plain["time_s"], plain["view_id"], strict=True
                )
            ]
            codes.append(np.frombuffer(b"".join(plain["fingerprint"]), np.uint8).reshape(-1, FINGERPRINT_BYTES))
            vectors.append(vectors_of_column(batch["vector"]))
        order = sorted(range(len(rows)), key=lambda n: (rows[n][0], rows[n][1], rows[n][3], rows[n][4]))
        item_ids = list(dict.fromkeys(rows[n][0] for n in order))
        place = {item_id: n for n, item_id in enumerate(item_ids)}
        video_of: dict[tuple[str, str], int] = {}
        videos = [
            -1 if rows[n][2] is None else video_of.setdefault((rows[n][0], rows[n][1]), len(video_of)) for n in order
        ]
        at = np.array(order, dtype=np.int64)
        return cls(
            view_ids=[rows[n][4] for n in order],
            item_ids=item_ids,
            items=np.array([place[rows[n][0]] for n in order], dtype=np.int64),
            videos=np.array(videos, dtype=np.int64),
            times=np.array([rows[n][3] for n in order], dtype=np.float64),
            fingerprints=np.concatenate(codes)[at],
            vectors=np.concatenate(vectors)[at],
            video_uris=[uri for _, uri in video_of],
        )


@dataclass(frozen=True)
class ViewPairs:
    """Pairs of views of different items that look alike."""

    left: NDArray[np.int64]  # (p,) rows of the views
    right: NDArray[np.int64]  # (p,)
    distance: NDArray[np.int64]  # (p,) between the fingerprints, in bits
    cosine: NDArray[np.float32]  # (p,) between the vectors
    mirrored: NDArray[np.bool_]  # (p,) True if one is the other's mirror image

    def only(self, kept: NDArray[np.bool_]) -> ViewPairs:
        """The pairs selected by a mask or an index array."""
        return ViewPairs(self.left[kept], self.right[kept], self.distance[kept], self.cosine[kept], self.mirrored[kept])


def find_view_pairs(views: PictureViews, probes: NDArray[np.int64] | None = None) -> ViewPairs:
    """Find pairs of views that may show the same.

    Every pair within 31 bits, plain or mirrored, is found. Pairs within 90 bits with a cosine of .93 or more are also
    candidates, and nearly all of them are found: the signs of 128 random projections of the centred vectors propose
    them (Charikar, STOC 2002). Up to 2,000 views, all pairs are compared.

    Args:
        probes: row numbers of `views`; every pair must contain one of them. None for all pairs. The time grows with
            their number.
    """
    active, first_of, extra = _split_copies(views.fingerprints)
    codes = views.fingerprints[active]
    if len(views) <= MAX_EXHAUSTIVE_VIEWS:
        rows = active if probes is None else probes
        candidates = [(_all_pairs(views.fingerprints[rows], codes, LOOSE_DISTANCE), False)]
        candidates.append((_all_pairs(orient(views.fingerprints[rows], "mirror"), codes, MAX_DISTANCE), True))
        return _merge_pairs(views, candidates, rows, active, first_of, extra)
    signs = _signs(views.vectors, active)
    if probes is None:
        candidates = [
            (near_pairs(codes), False),
            (near_pairs(orient(codes, "mirror"), codes), True),
            (banded_pairs(codes, keys=(signs, None), max_distance=LOOSE_DISTANCE, bands=_BANDS), False),
        ]
        left_rows = active
    else:
        left_rows = probes
        probe_codes = views.fingerprints[probes]
        keys = (_signs(views.vectors, active, of=probes), signs)
        candidates = [
            (near_pairs(probe_codes, codes), False),
            (near_pairs(orient(probe_codes, "mirror"), codes), True),
            (banded_pairs(probe_codes, codes, keys=keys, max_distance=LOOSE_DISTANCE, bands=_BANDS), False),
        ]
    return _merge_pairs(views, candidates, left_rows, active, first_of, extra)


def _all_pairs(codes: Fingerprints, others: Fingerprints, max_distance: int) -> CodePairs:
    """Compare every code with every other code."""
    parts = [distances(codes[start : start + _BLOCK, None], others) for start in range(0, len(codes), _BLOCK)] or [
        np.zeros((0, len(others)), dtype=np.int64)
    ]
    bits = np.concatenate(parts)
    left, right = np.nonzero(bits <= max_distance)
    return CodePairs(left, right, bits[left, right])


def _merge_pairs(
    views: PictureViews,
    candidates: Sequence[tuple[CodePairs, bool]],
    left_rows: NDArray[np.int64],
    active: NDArray[np.int64],
    first_of: NDArray[np.int64],
    extra: NDArray[np.int64],
) -> ViewPairs:
    """Merge candidates of several searches, each pair once. The bool of a candidate tells mirrored pairs."""
    nothing = np.zeros(len(extra), dtype=np.int64)
    view_pairs = [_view_pairs(views, CodePairs(extra, first_of, nothing), mirrored=False)]
    view_pairs += [
        _view_pairs(views, CodePairs(left_rows[pairs.left], active[pairs.right], pairs.distance), mirrored=mirrored)
        for pairs, mirrored in candidates
    ]
    return _drop_repeats(view_pairs, len(views))


def _split_copies(fingerprints: Fingerprints) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows to compare with each other; then, for further copies of a fingerprint, its first row and their rows."""
    if not len(fingerprints):
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, nothing
    whole = np.ascontiguousarray(fingerprints).view(f"V{FINGERPRINT_BYTES}").ravel()
    _, first, group = np.unique(whole, return_index=True, return_inverse=True)
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    rank = np.empty(len(group), dtype=np.int64)
    rank[order] = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    extra = np.flatnonzero(rank >= MAX_COPIES)
    return np.flatnonzero(rank < MAX_COPIES), first[group[extra]], extra


def _signs(vectors: Vectors, active: NDArray[np.int64], of: NDArray[np.int64] | None = None) -> Fingerprints:
    """(n, 32): the signs of 256 random projections. Vectors are centred to remove their common part."""
    centre = vectors[active].mean(axis=0) if len(active) else np.zeros(vectors.shape[1], np.float32)
    planes = np.random.default_rng(0).normal(size=(vectors.shape[1], 256)).astype(np.float32)
    rows = active if of is None else of
    parts = [
        np.packbits((vectors[rows[start : start + _READ_ROWS]] - centre) @ planes > 0, axis=1)
        for start in range(0, len(rows), _READ_ROWS)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, FINGERPRINT_BYTES), np.uint8)


def _view_pairs(views: PictureViews, pairs: CodePairs, *, mirrored: bool) -> ViewPairs:
    """Keep pairs of different items and of the same kind (pictures or frames), and add their cosines."""
    fits = (views.items[pairs.left] != views.items[pairs.right]) & (
        (views.videos[pairs.left] < 0) == (views.videos[pairs.right] < 0)
    )
    left, right, distance = pairs.left[fits], pairs.right[fits], pairs.distance[fits]
    cosines = [np.zeros(0, dtype=np.float32)]
    for start in range(0, len(left), _PAIRS_PER_BLOCK):
        block = slice(start, start + _PAIRS_PER_BLOCK)
        cosines.append(np.einsum("nd,nd->n", views.vectors[left[block]], views.vectors[right[block]]))
    view_pairs = ViewPairs(left, right, distance, np.concatenate(cosines), np.full(len(left), mirrored))
    return view_pairs.only((distance <= MAX_DISTANCE) | (view_pairs.cosine >= LOOSE_COSINE))


def _drop_repeats(parts: Sequence[ViewPairs], rows: int) -> ViewPairs:
    """Keep each pair once, with left < right. Keep the nearer of plain and mirrored: many products are symmetric."""
    low = np.concatenate([np.minimum(part.left, part.right) for part in parts])
    high = np.concatenate([np.maximum(part.left, part.right) for part in parts])
    distance = np.concatenate([part.distance for part in parts])
    mirrored = np.concatenate([part.mirrored for part in parts])
    order = np.lexsort((mirrored, distance, high, low))
    key = low[order] * max(rows, 1) + high[order]
    first = order[np.append(True, key[1:] != key[:-1])[: len(key)]]
    cosine = np.concatenate([part.cosine for part in parts])
    return ViewPairs(low[first], high[first], distance[first], cosine[first], mirrored[first])
