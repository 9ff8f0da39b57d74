"""LabelSet from a CSV file: rows of item_id, view_id or path, with policy, label and perhaps annotator and weight.

A unit is what was labelled: an item, one view, or the views made from one file. Every row that cannot be used is named
with the reason; rows that contradict each other are all left out, since nobody knows which of them is right.
"""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from firstsight.errors import SafetyError
from firstsight.safety.policy.policies import Policies
from firstsight.storage.store import Store

UnitKind = Literal["item", "view", "path"]

UNIT_COLUMNS: dict[str, UnitKind] = {"item_id": "item", "view_id": "view", "path": "path"}
"""Columns that name what was labelled; each row fills one."""

SHOWN_PROBLEMS = 20


@dataclass(frozen=True)
class Label:
    """One row: whether a unit falls under a policy."""

    policy_id: str
    unit_kind: UnitKind
    name: str  # item_id, view_id or path
    label: int  # 0 or 1
    weight: float = 1.0  # above 0
    annotator: str = ""
    row: int = 0  # line of the file, from 1

    @property
    def item_id(self) -> str | None:
        """The item it is about; None for a file."""
        if self.unit_kind == "path":
            return None
        return self.name if self.unit_kind == "item" else self.name.rpartition("#")[0]


@dataclass(frozen=True)
class LabelSet:
    """What a file says, once what cannot be used is taken out."""

    rows: tuple[Label, ...]
    problems: tuple[str, ...]  # each names its rows

    def of(self, policy_id: str) -> list[Label]:
        """The labels of one policy."""
        return [row for row in self.rows if row.policy_id == policy_id]

    def require_clean(self) -> None:
        """Refuse labels of which some cannot be used.

        Raises:
            SafetyError: naming them row by row, the first 20.
        """
        if self.problems:
            shown = "".join(f"\n  {problem}" for problem in self.problems[:SHOWN_PROBLEMS])
            more = len(self.problems) - SHOWN_PROBLEMS
            raise SafetyError(
                f"{len(self.problems)} problems with the labels; mend them, or leave those rows out with "
                f"--skip-bad-labels:{shown}" + (f"\n  … and {more} more" if more > 0 else "")
            )


def read_labels(path: str | os.PathLike[str], policies: Policies, store: Store) -> LabelSet:
    """Read and check a file of labels against the policies and the database.

    Raises:
        SafetyError: it cannot be read, or has not the columns.
    """
    rows, problems = read_rows(path, policies)
    return check_labels(rows, store, problems)


def read_rows(path: str | os.PathLike[str], policies: Policies) -> tuple[list[Label], list[str]]:
    """The rows of a file, each checked by itself, and what is wrong with the others. Raises as `read_labels`."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            if not {"policy", "label"} <= set(columns) or not set(UNIT_COLUMNS) & set(columns):
                raise SafetyError(
                    f"{os.fspath(path)} needs the columns policy, label and one of {', '.join(UNIT_COLUMNS)}; "
                    f"it has {', '.join(columns) or 'none'}"
                )
            plain = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SafetyError(f"labels {os.fspath(path)} cannot be read ({error}); give a CSV file") from None
    problems: list[str] = []
    rows: list[Label] = []
    for number, row in plain:
        made = _label(number, row, policies)
        (rows if isinstance(made, Label) else problems).append(made)  # type: ignore[arg-type]
    return rows, problems


def check_labels(rows: Sequence[Label], store: Store, problems: Iterable[str] = ()) -> LabelSet:
    """Leave out what is unknown, repeated, contradictory or of one class, and say so.

    Args:
        problems: found before.
    """
    found = list(problems)
    known = _known(rows, store, found)
    consistent = _consistent(known, found)
    counts = Counter((row.policy_id, row.label) for row in consistent)
    for policy_id in sorted({row.policy_id for row in consistent}):
        for label, missing in ((0, "negative"), (1, "positive")):
            if not counts[policy_id, label]:
                found.append(
                    f"policy {policy_id}: {counts[policy_id, 1 - label]} labels and no {missing} one; "
                    f"add rows with label {label}"
                )
    usable = {policy_id for policy_id, label in counts if counts[policy_id, 1 - label]}
    return LabelSet(tuple(row for row in consistent if row.policy_id in usable), tuple(found))


def _label(number: int, row: Mapping[str, str | None], policies: Policies) -> Label | str:
    place = f"row {number}"
    values = {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}
    names = [(named, values[column]) for column, named in UNIT_COLUMNS.items() if values.get(column)]
    if len(names) != 1:
        return f"{place}: fill one of {', '.join(UNIT_COLUMNS)}, not {len(names)} of them"
    if values["policy"] not in policies:
        return f"{place}: policy {values['policy']!r} is none; the policies are {', '.join(p.id for p in policies.all)}"
    if policies[values["policy"]].retired:
        return f"{place}: policy {values['policy']!r} is retired"
    if values["label"] not in {"0", "1"}:
        return f"{place}: label {values['label']!r} must be 0 or 1"
    try:
        weight = float(values.get("weight") or 1)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        return f"{place}: weight {values.get('weight')!r} must be a number above 0"
    named, name = names[0]
    return Label(values["policy"], named, name, int(values["label"]), weight, values.get("annotator", ""), number)


def _known(rows: Sequence[Label], store: Store, problems: list[str]) -> list[Label]:
    """The rows whose item or view is there; files are looked for where their views are read."""
    items = sorted({row.item_id for row in rows if row.item_id is not None})
    stored = store.digests(items).keys()
    wanted = sorted({row.item_id or "" for row in rows if row.unit_kind == "view"} & stored)
    views = set(store.view_rows(wanted)["view_id"].to_pylist()) if wanted else set()
    known = []
    for row in rows:
        if row.unit_kind == "item" and row.name not in stored:
            problems.append(f"row {row.row}: there is no item {row.name!r}")
        elif row.unit_kind == "view" and row.name not in views:
            problems.append(f"row {row.row}: there is no view {row.name!r}")
        else:
            known.append(row)
    return known


def _consistent(rows: Sequence[Label], problems: list[str]) -> list[Label]:
    same: dict[tuple[str, str, str], list[Label]] = {}
    for row in rows:
        same.setdefault((row.policy_id, row.unit_kind, row.name), []).append(row)
    clean: dict[str, dict[str, Label]] = {}  # of items: policy -> item -> what is said of the whole
    for (policy_id, named, name), group in same.items():
        if named == "item" and len({row.label for row in group}) == 1:
            clean.setdefault(policy_id, {})[name] = group[0]
    bad: set[int] = set()
    for (policy_id, named, name), group in same.items():
        if len({row.label for row in group}) > 1:
            said = ", ".join(f"row {r.row} says {r.label}{f' ({r.annotator})' if r.annotator else ''}" for r in group)
            problems.append(f"{named} {name!r}, policy {policy_id}: {said}")
            bad.update(id(row) for row in group)
            continue
        for again in group[1:]:
            problems.append(f"row {again.row} repeats row {group[0].row}: {named} {name!r}, policy {policy_id}")
            bad.add(id(again))
        whole = clean.get(policy_id, {}).get(group[0].item_id or "") if named == "view" else None
        if whole is not None and whole.label == 0 and group[0].label == 1:
            problems.append(
                f"row {whole.row} says item {whole.name!r} is not {policy_id}, row {group[0].row} says its view "
                f"{name!r} is"
            )
            bad.update((id(whole), id(group[0])))
    return [row for row in rows if id(row) not in bad]
