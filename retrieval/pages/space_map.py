"""A map of the items: their vectors in two dimensions, as one HTML page that opens without a server.

Near on the map means alike to the encoder; far apart means little, since no two dimensions can keep all distances.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.errors import OptionalDependencyError, QueryError
from firstsight.retrieval.results import locate
from firstsight.storage.store import Store
from firstsight.storage.tables import HIDDEN_COLUMNS

Method = Literal["pca", "tsne", "umap"]
METHODS: tuple[Method, ...] = get_args(Method)

MAX_POINTS = 50_000
"""Most points of one map: a page of more is slow to open, and says no more than a sample."""

MAX_COLUMNS = 12
"""Columns shown on hover and offered as colours."""

COLOURS = 10
"""Values of a column with a colour of their own, the most frequent; the others share one more."""

ONE_THREAD = 5_000
"""Points up to which t-SNE has one thread: several wait for each other a thousand times, which takes far longer than
the work where anything else runs (75 points: 9.8 s instead of 0.4 s beside a busy process; the places are the same)."""

HIDDEN_FIELDS = HIDDEN_COLUMNS | {"item_id", "title", "text"}


@dataclass(frozen=True)
class Colouring:
    """How one column colours the points."""

    column: str
    labels: tuple[str, ...]  # of the legend, by code
    codes: tuple[int, ...]  # one per point
    ordered: bool  # labels rise, from low to high


@dataclass(frozen=True)
class Point:
    """One item on the map."""

    item_id: str
    title: str
    x: float  # 0 to 1
    y: float  # 0 to 1, upwards
    columns: tuple[tuple[str, str], ...]
    picture: tuple[str, float | None] | None  # where its picture lies, and the second of a video


@dataclass(frozen=True)
class SpaceMap:
    """Items in two dimensions."""

    points: tuple[Point, ...]
    colourings: tuple[Colouring, ...]  # the one to show first, first
    method: Method
    total: int  # items with a vector that the points are drawn from


def space_map(
    store: Store,
    *,
    color_by: str | None = None,
    sample: int = 10_000,
    method: Method = "tsne",
    seed: int = 0,
    on_progress: Callable[[str], None] = lambda step: None,
) -> SpaceMap:
    """Place items on a plane by their fused vectors.

    Args:
        color_by: the column that colours the points first; guessed when None.
        sample: most points, 1 to 50,000, drawn by `seed` and the items' ids.
        method: "pca", which is fast and coarse; "tsne" (van der Maaten and Hinton 2008), after PCA to 50 dimensions;
            "umap" (McInnes et al. 2018), where umap-learn is installed.
        on_progress: told each step.

    Raises:
        QueryError: no item with a vector, a column that is not there, a sample out of range, an unknown method.
        OptionalDependencyError: umap without umap-learn.
    """
    if method not in METHODS:
        raise QueryError(f"method {method!r} is not one of {', '.join(METHODS)}")
    if not 1 <= sample <= MAX_POINTS:
        raise QueryError(f"the sample must be between 1 and {MAX_POINTS}, not {sample}")
    names = [name for name in store.items.schema.names if name not in HIDDEN_FIELDS]
    if color_by is not None and color_by not in names:
        raise QueryError(f"--color-by asks for {color_by!r}, which is no column to colour by; give {', '.join(names)}")
    item_ids, total = _sample_items(store, sample, seed)
    if not item_ids:
        raise QueryError(f"{store.uri} has no item with a vector; index a catalogue first: firstsight index CATALOGUE")
    on_progress(f"reading {len(item_ids):,} items")
    found = store.item_rows(item_ids)
    rows = [found[item_id] for item_id in item_ids if item_id in found]
    pictures = _pictures(store, {row["item_id"]: row["catalog_dir"] for row in rows})
    on_progress(f"placing them by {method}")
    places = project(np.array([row["vector"] for row in rows], dtype=np.float32), method, seed=seed)
    shown = names[:MAX_COLUMNS]
    points = tuple(
        Point(
            item_id=row["item_id"],
            title=row["title"] or row["item_id"],
            x=float(x),
            y=float(y),
            columns=tuple((name, _short(row[name])) for name in shown if row[name] is not None),
            picture=pictures.get(row["item_id"]),
        )
        for row, (x, y) in zip(rows, places, strict=True)
    )
    return SpaceMap(points, _colourings(rows, names, color_by), method, total)


def project(vectors: Vectors, method: Method, *, seed: int = 0) -> NDArray[np.float64]:
    """Vectors on a plane.

    Args:
        vectors: (n, dim) float32, n >= 1.
        method: see `space_map`; fewer than five vectors are placed by PCA whatever it is.
        seed: one seed, one map.

    Returns:
        (n, 2) between 0 and 1, both axes to one scale, the longer one lies along x and is filled.

    Raises:
        OptionalDependencyError: umap without umap-learn.
    """
    from sklearn.decomposition import PCA

    count = len(vectors)
    dims = min(50, count, vectors.shape[1])
    if len(np.unique(vectors, axis=0)) < 2:
        return np.full((count, 2), 0.5)
    reduced = PCA(n_components=dims, svd_solver="auto", random_state=seed).fit_transform(vectors)
    plane = np.pad(reduced, ((0, 0), (0, max(0, 2 - dims))))[:, :2]
    if method == "pca" or count < 5:
        places = plane
    elif method == "tsne":
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits

        # PCA's two first axes to start from keep the coarse order of the map, and make it the same each time
        start = plane / max(float(np.std(plane[:, 0])), 1e-12) * 1e-4
        perplexity = min(30.0, (count - 1) / 3)
        with threadpool_limits(1 if count <= ONE_THREAD else None, "openmp"):
            places = TSNE(init=start, perplexity=perplexity, random_state=seed, n_jobs=-1).fit_transform(reduced)
    else:
        places = _umap(reduced, seed)
    places = np.asarray(places, dtype=np.float64)
    if np.ptp(places[:, 1]) > np.ptp(places[:, 0]):
        places = places[:, ::-1]  # screens are wider than high
    places = places - (places.min(axis=0) + places.max(axis=0)) / 2
    return np.asarray(places / max(float(np.ptp(places, axis=0).max()), 1e-12) + 0.5)


def _umap(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    try:
        from umap import UMAP
    except ImportError:
        raise OptionalDependencyError(
            "--method umap needs umap-learn: pip install 'firstsight[umap]', or use --method tsne"
        ) from None
    neighbours = min(15, len(vectors) - 1)
    placed = UMAP(n_neighbors=neighbours, metric="cosine", random_state=seed, n_jobs=1).fit_transform(vectors)
    return np.asarray(placed, dtype=np.float32)


def _sample_items(store: Store, sample: int, seed: int) -> tuple[list[str], int]:
    """Ids of the items on the map, in an order that depends on the seed and the ids alone, and how many there were."""
    ids = store.items.search().where("vector IS NOT NULL").select(["item_id"]).limit(None).to_arrow()["item_id"]
    keyed = sorted(
        map(str, ids.to_pylist()), key=lambda i: hashlib.blake2b(f"{seed}\n{i}".encode(), digest_size=8).digest()
    )
    return keyed[:sample], len(keyed)


def _pictures(store: Store, folders: dict[str, str]) -> dict[str, tuple[str, float | None]]:
    """One picture of each item: its first image, else the first frame of its video."""
    found: dict[str, tuple[str, float | None]] = {}
    ids = list(folders)
    for start in range(0, len(ids), 1_000):  # the views' vectors come along, and 10,000 items' would be many
        views = store.view_rows(ids[start : start + 1_000]).select(["item_id", "view_id", "part", "uri", "time_s"])
        for row in sorted(views.to_pylist(), key=lambda row: (row["part"] != "image", row["view_id"])):
            if row["uri"] is not None:
                found.setdefault(row["item_id"], (locate(row["uri"], folders[row["item_id"]]), row["time_s"]))
    return found


def _colourings(rows: Sequence[dict[str, Any]], names: Sequence[str], first: str | None) -> tuple[Colouring, ...]:
    made = {name: _colouring(name, [row[name] for row in rows]) for name in names}
    # a column that puts every item into one class, or nearly every one into its own, shows nothing
    useful = [
        name for name, colouring in made.items() if len(colouring.labels) > 1 and _is_useful(colouring, len(rows))
    ]
    preferred = first or next((name for name in useful if name.lower() in {"category", "product_type"}), None)
    order = ([preferred] if preferred else []) + [name for name in useful if name != preferred]
    return tuple(made[name] for name in (order or ["kind"])[:MAX_COLUMNS])


def _is_useful(colouring: Colouring, count: int) -> bool:
    if colouring.ordered:
        return True
    rest = colouring.codes.count(COLOURS) if len(colouring.labels) > COLOURS else 0
    return rest < 0.9 * count


def _colouring(name: str, values: Sequence[object]) -> Colouring:
    numbers = [v.timestamp() if isinstance(v, datetime) else v for v in values]
    known = [float(v) for v in numbers if isinstance(v, int | float) and not isinstance(v, bool) and np.isfinite(v)]
    if len(set(known)) > COLOURS:
        return _quantile_colouring(name, values, numbers, known)
    said = ["none" if value is None else _short(value) for value in values]
    counts: dict[str, int] = {}
    for text in said:
        counts[text] = counts.get(text, 0) + 1
    kept = sorted(counts, key=lambda text: (-counts[text], text))
    labels = kept if len(kept) <= COLOURS + 1 else [*kept[:COLOURS], f"{len(kept) - COLOURS} others"]
    place = {text: min(n, len(labels) - 1) for n, text in enumerate(kept)}
    return Colouring(name, tuple(labels), tuple(place[text] for text in said), ordered=False)


def _quantile_colouring(
    name: str, values: Sequence[object], numbers: Sequence[object], known: Sequence[float]
) -> Colouring:
    """Numbers and times in six classes of like count, and one for those without."""
    edges = np.unique(np.quantile(known, np.linspace(0, 1, 7)))
    times = any(isinstance(value, datetime) for value in values)

    def said(edge: float) -> str:
        return f"{datetime.fromtimestamp(edge):%Y-%m-%d}" if times else f"{edge:,.4g}"

    labels = [f"{said(low)} to {said(high)}" for low, high in pairwise(edges)]
    last = len(labels) - 1
    codes = [
        int(np.clip(np.searchsorted(edges, v, side="right") - 1, 0, last))
        if isinstance(v, int | float) and np.isfinite(v)
        else last + 1
        for v in numbers
    ]
    return Colouring(name, (*labels, "none") if last + 1 in codes else tuple(labels), tuple(codes), ordered=True)


def _short(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d}"
    if isinstance(value, float):
        return f"{value:,.10g}"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 80 else text[:79] + "…"
