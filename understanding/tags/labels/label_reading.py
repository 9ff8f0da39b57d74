"""Labels of tags: rows of item_id, label and optionally tag, or the values of a column of the catalogue.

Each row that cannot be used is reported with the reason.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from firstsight.errors import TagError
from firstsight.heads.labels import describe_problems
from firstsight.records import Record
from firstsight.storage.store import Store
from firstsight.understanding.tags.labels.tag_names import VALUES, require_tag_name
from firstsight.understanding.tags.labels.taxonomy import LEVELS, Taxonomy

LabelSource: TypeAlias = "str | os.PathLike[str] | Iterable[Mapping[str, object]]"
"""A CSV file, or rows with the same columns."""

MAX_VALUE: Final = 200
"""Maximum length of a plain value, in characters."""

_MULTI_SHARE: Final = 0.05
"""Share of the items with several values from which a tag is multi-label; below, they are contradictions."""


@dataclass(frozen=True)
class RawLabel:
    """A usable row of a label file."""

    tag: str
    item_id: str
    value: str
    row: int  # line of the file, from 1


@dataclass(frozen=True)
class TagLabels(Record):
    """The labels of one tag."""

    tag: str
    values: Mapping[str, tuple[str, ...]]  # by item id; more than one value only if `multi`
    multi: bool
    problems: tuple[str, ...] = ()  # labels that were left out, with reasons

    def require_clean(self) -> None:
        """Check that all labels are usable.

        Raises:
            TagError: some labels cannot be used; the message lists the first 20 problems.
        """
        if self.problems:
            raise TagError(describe_problems(f"the labels of {self.tag}", self.problems))


def read_label_rows(source: LabelSource, tag: str | None) -> tuple[list[RawLabel], list[str]]:
    """Read labels, and check each row alone.

    Args:
        source: a CSV file or rows, with the columns item_id, label and optionally tag.
        tag: the tag of rows without one; of a file with a column tag, only the rows of this tag. None for all.

    Returns:
        The usable rows, and a message for each other row.

    Raises:
        TagError: the file cannot be read or lacks a column, or the name of the tag is wrong.
    """
    if tag is not None:
        require_tag_name(tag)
    if isinstance(source, str | os.PathLike):
        plain: Iterable[tuple[int, Mapping[str, object]]] = _read_file(source)
    else:
        plain = enumerate(source, 1)
    rows: list[RawLabel] = []
    problems: list[str] = []
    for number, row in plain:
        values = {key: "" if value is None else str(value) for key, value in row.items() if isinstance(key, str)}
        name = values.get("tag", "").strip() or tag or "category"
        if tag is not None and name != tag:
            continue
        item_id, value = values.get("item_id", "").strip(), normalise(values.get("label", ""))
        problem = _problem(name, item_id, value)
        if problem:
            problems.append(f"row {number}: {problem}")
        else:
            rows.append(RawLabel(name, item_id, value, number))
    return rows, problems


def label_tag(
    tag: str,
    rows: Sequence[RawLabel],
    store: Store,
    *,
    taxonomy: Taxonomy | None = None,
    multi: bool | None = None,
    problems: Iterable[str] = (),
) -> TagLabels:
    """Put the rows of one tag together, and leave out unknown items, unknown categories and contradictions.

    Args:
        tag: name of the tag.
        rows: its rows.
        store: the database of the items.
        taxonomy: categories that labels must name, by name, id or last level; None for any value.
        multi: whether an item may have several values; None: if 5 % of the items have several.
        problems: messages from earlier checks; they come first.
    """
    found = list(problems)
    stored = store.digests(sorted({row.item_id for row in rows}))
    known: dict[str, dict[str, int]] = {}  # item -> value -> row
    for row in rows:
        if row.item_id not in stored:
            found.append(f"row {row.row}: there is no item {row.item_id!r}")
            continue
        value = row.value if taxonomy is None else taxonomy.find(row.value)
        if value is None:
            found.append(f"row {row.row}: the taxonomy has no category {row.value!r}")
            continue
        known.setdefault(row.item_id, {}).setdefault(value, row.row)
    spelled = _spellings(value for values in known.values() for value in values)
    several = sum(len(values) > 1 for values in known.values())
    is_multi = several >= max(1, _MULTI_SHARE * len(known)) if multi is None else multi
    labels: dict[str, tuple[str, ...]] = {}
    for item_id, values in known.items():
        distinct = tuple(dict.fromkeys(spelled[value] for value in values))
        if len(distinct) > 1 and not is_multi:
            listed = " and ".join(f"row {number} says {value!r}" for value, number in list(values.items())[:3])
            found.append(f"item {item_id!r}: {listed}; keep one, or let items have several values with --multi")
        elif is_multi and any(VALUES.strip() in value for value in distinct):
            value = next(value for value in distinct if VALUES.strip() in value)
            found.append(f"item {item_id!r}: the value {value!r} has a comma, which separates values; rename it")
        else:
            labels[item_id] = distinct
    return TagLabels(tag, labels, is_multi, tuple(found))


def read_column_labels(
    store: Store,
    tag: str,
    column: str,
    *,
    separator: str | None = None,
    path_separator: str | None = None,
    taxonomy: Taxonomy | None = None,
    multi: bool | None = None,
) -> TagLabels:
    """Read labels from a column of the catalogue.

    Args:
        store: the database.
        tag: name of the tag.
        column: name of the column.
        separator: what separates several values in a cell, such as "|"; None for one value.
        path_separator: what separates levels in a value, such as "/"; None if values have no levels, or " > ".
        taxonomy, multi: as for `label_tag`.

    Raises:
        TagError: there is no such column, or it has no values.
    """
    kinds = store.column_kinds()
    if column not in kinds:
        known = ", ".join(name for name, kind in kinds.items() if kind == "text" and not name.startswith("fact_"))
        raise TagError(f"the catalogue has no column {column!r}; its columns of texts: {known or 'none'}")
    rows: list[RawLabel] = []
    found = store.items.search().select(["item_id", column]).limit(None)
    for batch in found.to_batches(10_000):
        for row in batch.to_pylist():
            for value in split_cell(row[column], separator, path_separator):
                rows.append(RawLabel(tag, row["item_id"], value, len(rows) + 1))
    if not rows:
        raise TagError(f"the column {column!r} has no values; give a file of labels: firstsight tags train LABELS.csv")
    rows.sort(key=lambda row: row.item_id)
    too_long = [row for row in rows if len(row.value) > MAX_VALUE]
    problems = [f"item {row.item_id!r}: {row.value[:40]!r} has over {MAX_VALUE} characters" for row in too_long]
    usable = [row for row in rows if len(row.value) <= MAX_VALUE]
    return label_tag(tag, usable, store, taxonomy=taxonomy, multi=multi, problems=problems)


def split_cell(cell: object, separator: str | None, path_separator: str | None) -> list[str]:
    """Read the values of a cell of the catalogue; none for an empty cell.

    Args:
        cell: the value of the column.
        separator, path_separator: as for `read_column_labels`.
    """
    if cell is None or cell == "":
        return []
    texts = [str(cell)] if separator is None else str(cell).split(separator)
    values = [text if path_separator is None else LEVELS.join(text.split(path_separator)) for text in texts]
    return [value for value in map(normalise, values) if value]


def normalise(value: str) -> str:
    """Collapse white space, also around the > of a path."""
    return re.sub(r"\s*>\s*", LEVELS, " ".join(value.split())).strip("> ")


def _spellings(values: Iterable[str]) -> dict[str, str]:
    """Map each value to the most frequent of its spellings in capitals and small letters."""
    counts = Counter(values)
    best: dict[str, str] = {}
    for value, count in sorted(counts.items()):
        if count > counts.get(best.get(value.casefold(), ""), 0):
            best[value.casefold()] = value
    return {value: best[value.casefold()] for value in counts}


def _problem(tag: str, item_id: str, value: str) -> str:
    try:
        require_tag_name(tag)
    except TagError as error:
        return str(error)
    if not item_id:
        return "item_id is empty"
    if not value:
        return f"the label of item {item_id!r} is empty"
    return f"the label {value[:40]!r} has over {MAX_VALUE} characters" if len(value) > MAX_VALUE else ""


def _read_file(path: str | os.PathLike[str]) -> list[tuple[int, Mapping[str, object]]]:
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            if not {"item_id", "label"} <= set(columns):
                raise TagError(
                    f"{os.fspath(path)} needs the columns item_id and label, and optionally tag; it has "
                    f"{', '.join(columns) or 'none'}"
                )
            return [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TagError(f"labels {os.fspath(path)} cannot be read ({error}); give a CSV file") from None
