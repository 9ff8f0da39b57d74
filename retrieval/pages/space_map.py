"""Map of the items: project their vectors to two dimensions.

Items that are close together on the map are similar to the encoder. Large distances mean little, because two
dimensions cannot preserve all distances.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.errors import QueryError
from firstsight.extras import requires
from firstsight.media.stored_media import open_address
from firstsight.records import Record
from firstsight.retrieval.pages.map_colouring import Colouring, make_colourings, short_text
from firstsight.retrieval.results import locate
from firstsight.storage.facts.fact_names import FactNames
from firstsight.storage.facts.item_values import ItemValue, find_item_value, known_values
from firstsight.storage.store import Store
from firstsight.storage.tables import PICTURE_PARTS, is_shown_column

Method = Literal["pca", "tsne", "umap"]
METHODS: tuple[Method, ...] = get_args(Method)

MAX_POINTS = 50_000
"""Maximum number of points. A larger page opens slowly and shows no more than a sample."""

MAX_COLUMNS = 12
"""Maximum number of columns on hover, and of colourings."""

ONE_THREAD = 5_000
"""Number of points up to which t-SNE uses one thread. Several threads wait for each other a thousand times. On a busy
machine this is slow: 75 points took 9.8 s instead of 0.4 s, with the same result."""

HIDDEN_FIELDS = frozenset({"item_id", "title", "text"})


@dataclass(frozen=True)
class MapPoint(Record):
    """One item on the map."""

    item_id: str
    title: str
    x: float  # 0 to 1
    y: float  # 0 to 1, upwards
    columns: tuple[tuple[str, str], ...]  # (name, text) to show on hover
    picture: tuple[str, float | None] | None  # path or address, and the second for a video


@dataclass(frozen=True)
class SpaceMap(Record):
    """Items in two dimensions."""

    points: tuple[MapPoint, ...]
    colourings: tuple[Colouring, ...]  # the initial one first
    method: Method
    total: int  # number of items with a vector, before sampling


def space_map(
    store: Store,
    *,
    color_by: str | None = None,
    sample: int = 10_000,
    method: Method = "tsne",
    seed: int = 0,
    on_progress: Callable[[str], None] = lambda step: None,
) -> SpaceMap:
    """Make a map of the items from their fused vectors.

    Args:
        store: the database.
        color_by: column of the initial colouring, or fact such as `colour` or `colours.red`; None: guess it.
        sample: maximum number of points, 1 to 50,000. The sample depends on `seed` and the item ids.
        method: "pca": fast and coarse; "tsne" (van der Maaten and Hinton 2008), after PCA to 50 dimensions; "umap"
            (McInnes et al. 2018), needs umap-learn.
        seed: random seed of the sample and the projection.
        on_progress: called with a description of each step.

    Raises:
        QueryError: no item has a vector, the column does not exist, the sample is out of range, or the method is
            unknown.
        OptionalDependencyError: the method is "umap" and umap-learn is not installed.
    """
    if method not in METHODS:
        raise QueryError(f"method {method!r} is not one of {', '.join(METHODS)}")
    if not 1 <= sample <= MAX_POINTS:
        raise QueryError(f"the sample must be between 1 and {MAX_POINTS}, not {sample}")
    names = [name for name in store.items.schema.names if is_shown_column(name) and name not in HIDDEN_FIELDS]
    values = _values_to_show(store, names, color_by)
    item_ids, total = _sample_items(store, sample, seed)
    if not item_ids:
        raise QueryError(f"{store.uri} has no item with a vector; index a catalogue first: firstsight index CATALOGUE")
    on_progress(f"reading {len(item_ids):,} items")
    by_id = store.item_rows(item_ids)
    rows = [by_id[item_id] for item_id in item_ids if item_id in by_id]
    shown = [{value.name: value.of_row(row) for value in values} for row in rows]
    pictures = _pictures(store, {row["item_id"]: row["catalog_dir"] for row in rows})
    on_progress(f"placing them by {method}")
    places = project(np.array([row["vector"] for row in rows], dtype=np.float32), method, seed=seed)
    points = tuple(
        MapPoint(
            item_id=row["item_id"],
            title=row["title"] or row["item_id"],
            x=float(x),
            y=float(y),
            columns=tuple((name, short_text(v)) for name, v in list(cells.items())[:MAX_COLUMNS] if v is not None),
            picture=pictures.get(row["item_id"]),
        )
        for row, cells, (x, y) in zip(rows, shown, places, strict=True)
    )
    colourings = make_colourings(shown, [value.name for value in values], first=color_by)
    return SpaceMap(points, colourings[:MAX_COLUMNS], method, total)


def _values_to_show(store: Store, names: Sequence[str], color_by: str | None) -> list[ItemValue]:
    """The columns, the facts with names such as `colour`, and the value to colour by.

    Raises:
        QueryError: there is no value to colour by of this name.
    """
    facts = [name for name, kind, _ in FactNames(store.items.schema).shown() if kind == "text"]
    found = {name: find_item_value(store, name, names) for name in [*names, *facts]}
    if color_by is not None and found.setdefault(color_by, find_item_value(store, color_by, names)) is None:
        raise QueryError(f"--color-by {color_by!r} is no column to colour by; give one of {known_values(store, names)}")
    return [value for value in found.values() if value is not None]


def project(vectors: Vectors, method: Method, *, seed: int = 0) -> NDArray[np.float64]:
    """Project vectors to two dimensions.

    Args:
        vectors: (n, dim) float32, n >= 1.
        method: see `space_map`; fewer than five vectors are always projected by PCA.
        seed: random seed; the same seed gives the same map.

    Returns:
        (n, 2) between 0 and 1. Both axes have the same scale. The longer axis is x and has the full range.

    Raises:
        OptionalDependencyError: the method is "umap" and umap-learn is not installed.
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

        # a start from the first two PCA axes keeps the coarse order and makes the map reproducible
        start = plane / max(float(np.std(plane[:, 0])), 1e-12) * 1e-4
        perplexity = min(30.0, (count - 1) / 3)
        with threadpool_limits(1 if count <= ONE_THREAD else None, "openmp"):
            places = TSNE(init=start, perplexity=perplexity, random_state=seed, n_jobs=-1).fit_transform(reduced)
    else:
        places = _umap(reduced, seed)
    places = np.asarray(places, dtype=np.float64)
    if np.ptp(places[:, 1]) > np.ptp(places[:, 0]):
        places = places[:, ::-1]  # screens are wider than they are high
    places = places - (places.min(axis=0) + places.max(axis=0)) / 2
    return np.asarray(places / max(float(np.ptp(places, axis=0).max()), 1e-12) + 0.5)


def _umap(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    with requires("umap", "--method umap", "use --method tsne"):
        from umap import UMAP
    neighbours = min(15, len(vectors) - 1)
    placed = UMAP(n_neighbors=neighbours, metric="cosine", random_state=seed, n_jobs=1).fit_transform(vectors)
    return np.asarray(placed, dtype=np.float32)


def _sample_items(store: Store, sample: int, seed: int) -> tuple[list[str], int]:
    """Sample item ids, in an order that depends only on the seed and the ids; return them and the total number."""
    ids = store.items.search().where("vector IS NOT NULL").select(["item_id"]).limit(None).to_arrow()["item_id"]
    keyed = sorted(
        map(str, ids.to_pylist()), key=lambda i: hashlib.blake2b(f"{seed}\n{i}".encode(), digest_size=8).digest()
    )
    return keyed[:sample], len(keyed)


def _pictures(store: Store, folders: dict[str, str]) -> dict[str, tuple[str, float | None]]:
    """One picture of each item: its first image, else the first frame of its video."""
    pictures: dict[str, tuple[str, float | None]] = {}
    ids = list(folders)
    for start in range(0, len(ids), 1_000):  # the rows include vectors, so a larger batch would need much memory
        views = store.view_rows(ids[start : start + 1_000]).select(["item_id", "view_id", "part", "uri", "time_s"])
        for row in sorted(views.to_pylist(), key=lambda row: (row["part"] != "image", row["view_id"])):
            if row["part"] in PICTURE_PARTS:
                where = locate(open_address(row["uri"], store.uri), folders[row["item_id"]])
                pictures.setdefault(row["item_id"], (where, row["time_s"]))
    return pictures
