"""Views of labelled units, read from the database and put together as training sets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from firstsight.errors import SafetyError
from firstsight.heads.array_types import Indices
from firstsight.heads.fitting import TrainingSet
from firstsight.heads.labels import SHOWN_PROBLEMS, Label
from firstsight.heads.view_sample import matrix, texts
from firstsight.storage.store import Store
from firstsight.storage.tables import HEAD_PARTS


def read_labelled_views(store: Store, rows: Sequence[Label]) -> pa.Table:
    """Read all views of the items that labels are about.

    Returns:
        A table with the columns view_id, item_id, part, uri, time_s and vector.
    """
    items = {row.item_id for row in rows if row.item_id is not None}
    paths = {row.name for row in rows if row.unit_kind == "path"}
    owners: dict[str, str] = _find_items_of_files(store, paths) if paths else {}
    views = store.view_rows(sorted(items | set(owners.values()) - {None}))
    scored = views.filter(pc.is_in(views["part"], pa.array(HEAD_PARTS)))
    return scored.select(["view_id", "item_id", "part", "uri", "time_s", "vector"])


def make_training_set(
    rows: Sequence[Label], views: pa.Table, groups: Mapping[str, str], *, parts: Collection[str], policy_id: str
) -> TrainingSet:
    """Put the labels of one policy together with their views.

    A view label takes its view, whatever its part. An item or file label takes the views of `parts`.

    Args:
        rows: labels of the policy.
        views: from `read_labelled_views`.
        groups: item id -> id of its near-duplicate group; other items are groups of their own.
        parts: parts that the policy looks at.
        policy_id: name of the policy in messages.

    Raises:
        SafetyError: a unit has no view of these parts.
    """
    matched, of_unit = match_views(rows, views, parts=parts, policy_id=policy_id)
    places, units = matched.tolist(), of_unit.tolist()
    view_parts, items = texts(views["part"]), texts(views["item_id"])
    vectors = matrix(views["vector"], views.schema.field("vector").type.list_size)
    first = {unit: items[place] for place, unit in zip(reversed(places), reversed(units), strict=True)}
    owners = np.array([groups.get(first[unit], first[unit]) for unit in range(len(rows))], dtype=object)
    return TrainingSet(
        vectors=vectors[places],
        parts=np.array([HEAD_PARTS.index(view_parts[place]) for place in places], dtype=np.int8),
        units=np.array(units, dtype=np.int64),
        unit_ids=tuple(f"{row.unit_kind}:{row.name}" for row in rows),
        labels=np.array([row.label for row in rows], dtype=np.int8),
        weights=np.array([row.weight for row in rows], dtype=np.float64),
        groups=owners,
    )


def match_views(
    rows: Sequence[Label], views: pa.Table, *, parts: Collection[str], policy_id: str
) -> tuple[Indices, Indices]:
    """Find the views of labels: a view label takes its view; an item or file label takes the views of `parts`.

    Args:
        rows, views, parts, policy_id: as for `make_training_set`.

    Returns:
        `(places, units)`, (n,) each: rows of `views`, and the row of the label that each belongs to.

    Raises:
        SafetyError: a unit has no view of these parts.
    """
    view_parts, items = texts(views["part"]), texts(views["item_id"])
    uris, view_ids = views["uri"].to_pylist(), texts(views["view_id"])
    of_item: dict[str, list[int]] = {}
    of_view: dict[str, int] = {}
    of_uri: dict[str, list[int]] = {}
    for n, (view_id, item_id, part, uri) in enumerate(zip(view_ids, items, view_parts, uris, strict=True)):
        of_view[view_id] = n
        if part in parts:
            of_item.setdefault(item_id, []).append(n)
            if uri is not None:
                of_uri.setdefault(uri, []).append(n)
    places: list[int] = []
    units: list[int] = []
    without_views: list[str] = []
    for unit, row in enumerate(rows):
        if row.unit_kind == "item":
            matched = of_item.get(row.name, [])
        elif row.unit_kind == "view":
            matched = [of_view[row.name]]
        else:
            matched = [
                n for uri, several in of_uri.items() if row.name == uri or row.name.endswith(f"/{uri}") for n in several
            ]
        if not matched:
            without_views.append(f"row {row.row}: {row.unit_kind} {row.name!r}")
        places += matched
        units += [unit] * len(matched)
    if without_views:
        more = len(without_views) - SHOWN_PROBLEMS
        listed = ", ".join(without_views[:SHOWN_PROBLEMS]) + (f" and {more} more" if more > 0 else "")
        raise SafetyError(
            f"policy {policy_id} looks at views of {', '.join(sorted(parts))}; these rows have none: {listed}; "
            "leave these rows out"
        )
    return np.array(places, dtype=np.int64), np.array(units, dtype=np.int64)


def _find_items_of_files(store: Store, paths: Iterable[str]) -> dict[str, str]:
    """Return view id -> item id of the views made from these files."""
    folders: dict[str, str] = {}
    for batch in store.items.search().select(["item_id", "catalog_dir"]).limit(None).to_batches(10_000):
        folders.update(zip(texts(batch["item_id"]), texts(batch["catalog_dir"]), strict=True))
    names = set(paths)
    items = {}
    columns = ["view_id", "item_id", "uri"]
    for batch in store.views.search().where("uri IS NOT NULL").select(columns).limit(None).to_batches(10_000):
        for view in batch.to_pylist():
            if names & _file_names(view["uri"], folders.get(view["item_id"], "")):
                items[view["view_id"]] = view["item_id"]
    return items


def _file_names(uri: str, folder: str) -> set[str]:
    """Names that a label may give a file: the catalogue's uri, with or without the catalogue's folder before it."""
    return {uri, f"{folder.rstrip('/')}/{uri}"}
