"""Labels of policies: rows of item_id, view_id or path, policy, label, and optional annotator, weight.

Each row that cannot be used is reported with the reason.
"""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from firstsight.errors import SafetyError
from firstsight.heads.labels import UNIT_COLUMNS, Label, LabelSet, remove_contradictions
from firstsight.safety.audit.human_decisions import DecisionLabel
from firstsight.safety.policy.policies import Policies
from firstsight.storage.store import Store
from firstsight.storage.tables import HEAD_PARTS

LabelSource: TypeAlias = str | os.PathLike[str] | Iterable[DecisionLabel | Mapping[str, object]]
"""A CSV file of labels; or its rows: labels from people's decisions, and mappings with the columns of the file."""


def read_labels(labels: LabelSource, policies: Policies, store: Store) -> LabelSet:
    """Read labels, and check them against the policies and the database.

    Args:
        labels: a CSV file with the columns policy, label, and one of item_id, view_id and path; or rows.
        policies: the policies that a row may name.
        store: the database with the labelled items.

    Raises:
        SafetyError: the file cannot be read, or lacks a column.
    """
    rows, problems = read_rows(labels, policies)
    return check_labels(rows, store, problems)


def read_rows(labels: LabelSource, policies: Policies) -> tuple[list[Label], list[str]]:
    """Read labels, and check each row alone.

    Args:
        labels, policies: as for `read_labels`.

    Returns:
        The usable rows, and a message for each other row.

    Raises:
        SafetyError: the file cannot be read, or lacks a column.
    """
    if isinstance(labels, str | os.PathLike):
        plain: Iterable[tuple[int, Mapping[str, object]]] = _read_file(labels)
    else:
        plain = enumerate((vars(row) if isinstance(row, DecisionLabel) else row for row in labels), 1)
    problems: list[str] = []
    rows: list[Label] = []
    for number, row in plain:
        parsed = _parse_row(number, row, policies)
        (rows if isinstance(parsed, Label) else problems).append(parsed)  # type: ignore[arg-type]
    return rows, problems


def _read_file(path: str | os.PathLike[str]) -> list[tuple[int, Mapping[str, object]]]:
    """Read the rows of a label file with their lines."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            if not {"policy", "label"} <= set(columns) or not set(UNIT_COLUMNS) & set(columns):
                raise SafetyError(
                    f"{os.fspath(path)} needs the columns policy, label and one of {', '.join(UNIT_COLUMNS)}; "
                    f"it has {', '.join(columns) or 'none'}"
                )
            return [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SafetyError(f"labels {os.fspath(path)} cannot be read ({error}); give a CSV file") from None


def check_labels(rows: Sequence[Label], store: Store, problems: Iterable[str] = ()) -> LabelSet:
    """Leave out labels of unknown units, repeated and contradictory labels, and policies with only one class.

    Args:
        rows: labels, each valid alone.
        store: the database with the labelled items.
        problems: messages from earlier checks; they come first in the result.
    """
    problems = list(problems)
    known = _known(rows, store, problems)
    consistent = remove_contradictions(known, problems)
    counts = Counter((row.policy_id, row.label) for row in consistent)
    for policy_id in sorted({row.policy_id for row in consistent}):
        for label, missing in ((0, "negative"), (1, "positive")):
            if not counts[policy_id, label]:
                problems.append(
                    f"policy {policy_id}: {counts[policy_id, 1 - label]} labels and no {missing} one; "
                    f"add rows with label {label}"
                )
    usable = {policy_id for policy_id, label in counts if counts[policy_id, 1 - label]}
    return LabelSet(tuple(row for row in consistent if row.policy_id in usable), tuple(problems))


def _parse_row(number: int, row: Mapping[str, object], policies: Policies) -> Label | str:
    """Return the label of a row, or a message that says why the row cannot be used."""
    place = f"row {number}"
    values = {key: "" if value is None else str(value).strip() for key, value in row.items() if isinstance(key, str)}
    names = [(kind, values[column]) for column, kind in UNIT_COLUMNS.items() if values.get(column)]
    if len(names) != 1:
        return f"{place}: fill one of {', '.join(UNIT_COLUMNS)}, not {len(names)} of them"
    policy_id, label = values.get("policy", ""), values.get("label", "")
    if policy_id not in policies:
        known = ", ".join(policy.id for policy in policies.all)
        return f"{place}: there is no policy {policy_id!r}; the policies are {known}"
    if policies[policy_id].retired:
        return f"{place}: policy {policy_id!r} is retired"
    if label not in {"0", "1"}:
        return f"{place}: label {label!r} must be 0 or 1"
    try:
        weight = float(values.get("weight") or 1)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        return f"{place}: weight {values.get('weight')!r} must be a number above 0"
    kind, name = names[0]
    return Label(policy_id, kind, name, int(label), weight, values.get("annotator", ""), number)


def _known(rows: Sequence[Label], store: Store, problems: list[str]) -> list[Label]:
    """Return the rows with a stored item or view; files are checked later, when their views are read."""
    items = sorted({row.item_id for row in rows if row.item_id is not None})
    stored = store.digests(items).keys()
    viewed = sorted({row.item_id or "" for row in rows if row.unit_kind == "view"} & stored)
    rows_of_views = store.view_rows(viewed).select(["view_id", "part"]).to_pylist() if viewed else []
    views = {view["view_id"] for view in rows_of_views if view["part"] in HEAD_PARTS}
    known = []
    for row in rows:
        if row.unit_kind == "item" and row.name not in stored:
            problems.append(f"row {row.row}: there is no item {row.name!r}")
        elif row.unit_kind == "view" and row.name not in views:
            problems.append(f"row {row.row}: there is no view {row.name!r}")
        else:
            known.append(row)
    return known
