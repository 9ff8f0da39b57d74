"""Samples of next items from a file: published splits, measured as they are."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import CatalogError
from firstsight.indexer.formats.opening import open_source
from firstsight.indexer.formats.source import BadRow
from firstsight.indexer.row_reader import MAX_ID
from firstsight.recommend.evaluation.next_item_split import NextItemSplit, cut_histories, draw_samples
from firstsight.recommend.events.event_times import position_us
from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.events.item_ids import ItemIds
from firstsight.recommend.items import ItemSpace, Places
from firstsight.recommend.recommender import NextItem
from firstsight.storage.store import Store

SPLITS = ("train", "valid", "test")

MAX_ITEMS = 10_000
"""Maximum number of items in one row."""

MAX_MENTIONS = 50_000_000
"""Maximum number of items in all rows: 400 MB."""

_FORM = (
    '{"split": "train", "user": …, "items": [ids, the oldest first]} or {"split": "valid" or "test", "user": …, '
    '"history": [ids], "target": id}'
)


@dataclass
class _Samples:
    """Rows of one split; ids of items and users are numbers in the order of their first mention."""

    users: array[int] = field(default_factory=lambda: array("q"))
    lengths: array[int] = field(default_factory=lambda: array("q"))
    items: array[int] = field(default_factory=lambda: array("q"))  # of all rows, one row after the other
    targets: array[int] = field(default_factory=lambda: array("q"))


def read_next_item_file(file: str, store: Store, space: ItemSpace, *, history: int | None = None) -> NextItemSplit:
    """Read training events and samples of next items, one JSON object a line (or a Parquet file with these columns).

    A row of the split `train` has the items of a user, the oldest first; its order becomes the order of the events, and
    a later row of the same user continues it. A row of `valid` or `test` has a history, which may be empty, and the
    target that came next. Ids are texts or whole numbers.

    Args:
        file: name of the file.
        store: the database, for ids of merged variants.
        space: its items.
        history: maximum number of events of a history, the newest ones; None for all.

    Returns:
        The samples. Items outside the database are left out of the training and of histories; samples with such a
        target are left out. `left_out` counts them.

    Raises:
        CatalogError: the file cannot be read, a row is not of this form, a split has no row, or no sample can be used.
        QueryError: `history` is below 1.
    """
    rows = {name: _Samples() for name in SPLITS}
    codes: dict[str, int] = {}
    users: dict[str, int] = {}
    source = open_source(file)
    mentions = 0
    for number, row in source.rows():
        place = f"{file}, {source.place} {number}"
        if isinstance(row, BadRow):
            raise CatalogError(f"{place}: {row}")
        mentions += _read_row(row, rows, codes, users, place)
        if mentions > MAX_MENTIONS:
            raise CatalogError(f"{place}: more than {MAX_MENTIONS:,} items up to here; give a part of the users")
    for name, samples in rows.items():
        if not samples.users:
            raise CatalogError(f"{file} has no row of the split {name!r}; the rows are {_FORM}")
    place_of = _places(list(codes), store, space)
    left_out: Counter[str] = Counter()
    train = _train(rows["train"], place_of, space, left_out)
    validation, _, _ = _next_items(rows["valid"], place_of, "validation", left_out)
    test, test_users, drawn_from = _next_items(rows["test"], place_of, "test", left_out)
    if not len(train) or not validation or not test:
        known = ", ".join(map(repr, space.item_ids[:3].tolist()))
        given = ", ".join(map(repr, list(codes)[:3]))
        raise CatalogError(
            f"{file}: too few of its {len(codes):,} items are in the database ({int((place_of >= 0).sum()):,}); its "
            f"ids are such as {given}, those of the database such as {known}; index the catalogue of these samples"
        )
    if history is not None:
        validation, test = cut_histories(validation, history), cut_histories(test, history)
    about = f"training, validation and test samples of {Path(file).name}"
    return NextItemSplit(train, validation, test, test_users, about, dict(left_out), drawn_from)


def _read_row(
    row: Mapping[str, object], rows: Mapping[str, _Samples], codes: dict[str, int], users: dict[str, int], place: str
) -> int:
    """Read one row; return its number of items."""
    split = row.get("split")
    if not isinstance(split, str) or split not in rows:
        raise CatalogError(f"{place}: split is {_shown(split)}; give one of {', '.join(SPLITS)}: {_FORM}")
    samples = rows[split]
    is_train = split == "train"
    column = "items" if is_train else "history"
    items = row.get(column)
    if not isinstance(items, list):
        raise CatalogError(f"{place}: {column} is {_shown(items)}; give a list of item ids: {_FORM}")
    if len(items) > MAX_ITEMS:
        raise CatalogError(
            f"{place}: {column} has {len(items):,} items, more than {MAX_ITEMS:,}; give the newest ones of a user"
        )
    user = _read_id(row.get("user"), "user", place)
    numbers = [codes.setdefault(_read_id(item, f"an item of {column}", place), len(codes)) for item in items]
    if not is_train:
        target = _read_id(row.get("target"), "target", place)
        samples.targets.append(codes.setdefault(target, len(codes)))
    samples.users.append(users.setdefault(user, len(users)))
    samples.lengths.append(len(numbers))
    samples.items.extend(numbers)
    return len(numbers) + 1


def _read_id(value: object, what: str, place: str) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise CatalogError(f"{place}: {what} is {_shown(value)}; give an id, as a text or a whole number: {_FORM}")
    text = str(value).strip()
    if len(text) > MAX_ID:
        raise CatalogError(f"{place}: {what} has {len(text)} characters, more than {MAX_ID}; an id is shorter")
    return text


def _shown(value: object) -> str:
    return "missing" if value is None else repr(value)[:60]


def _places(ids: list[str], store: Store, space: ItemSpace) -> Places:
    """Rows of ids, -1 for unknown ones; a merged variant counts for its item."""
    merged = ItemIds(store).items_of_variants(ids)
    return space.places(merged.get(item_id, item_id) for item_id in ids)


def _train(samples: _Samples, place_of: Places, space: ItemSpace, left_out: Counter[str]) -> Interactions:
    lengths = np.array(samples.lengths, dtype=np.int64)
    users = np.repeat(np.array(samples.users, dtype=np.int64), lengths)
    order = np.argsort(users, kind="stable")  # rows of one user follow each other, in the order of the file
    users, items = users[order], place_of[np.array(samples.items, dtype=np.int64)[order]]
    positions = np.arange(len(users)) - np.searchsorted(users, users)
    left_out["training events on items outside the database"] += int((items < 0).sum())
    names = np.array([f"{user:012d}" for user in users.tolist()], dtype=object)
    return Interactions.of(space, names, items, _position_times(positions))


def _next_items(
    samples: _Samples, place_of: Places, name: str, left_out: Counter[str]
) -> tuple[tuple[NextItem, ...], NDArray[np.int64], int]:
    """Samples with a known target, the numbers of their users, and the number of samples before the draw."""
    targets = place_of[np.array(samples.targets, dtype=np.int64)]
    items = place_of[np.array(samples.items, dtype=np.int64)]
    ends = np.cumsum(np.array(samples.lengths, dtype=np.int64))
    left_out[f"{name} samples with a target outside the database"] += int((targets < 0).sum())
    left_out[f"{name} items of histories outside the database"] += int((items < 0).sum())
    usable = np.flatnonzero(targets >= 0)
    chosen = usable[draw_samples(len(usable))]
    made = []
    for row in chosen.tolist():
        known = items[(ends[row - 1] if row else 0) : ends[row]]
        known = known[known >= 0]
        history = History.of(known, _position_times(np.arange(len(known))))
        made.append(NextItem(history, int(targets[row])))
    return tuple(made), np.array(samples.users, dtype=np.int64)[chosen], len(usable)


def _position_times(positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Times of events by position, as `firstsight events add --order` stores them."""
    return position_us(0) + positions * 1_000_000
