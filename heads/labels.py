"""Labels, and the contradictions among them.

A unit is the labelled thing: an item, one view, or the views made from one file. Labels that contradict each other are
all left out, because nobody knows which one is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from firstsight.errors import SafetyError

UnitKind = Literal["item", "view", "path"]

UNIT_COLUMNS: dict[str, UnitKind] = {"item_id": "item", "view_id": "view", "path": "path"}
"""Columns that name the unit; each row fills one."""

SHOWN_PROBLEMS = 20
"""Maximum number of problems that a message lists."""


@dataclass(frozen=True)
class Label:
    """One row of a label file: whether a unit belongs to a policy."""

    policy_id: str
    unit_kind: UnitKind
    name: str  # item_id, view_id or path
    label: int  # 0 or 1
    weight: float = 1.0  # above 0
    annotator: str = ""
    row: int = 0  # line of the file, from 1

    @property
    def item_id(self) -> str | None:
        """The item of the unit; None for a file."""
        if self.unit_kind == "path":
            return None
        return self.name if self.unit_kind == "item" else self.name.rpartition("#")[0]


@dataclass(frozen=True)
class LabelSet:
    """Usable labels, and the problems of the others."""

    rows: tuple[Label, ...]
    problems: tuple[str, ...]  # each names its rows

    def of(self, policy_id: str) -> list[Label]:
        """Return the labels of one policy."""
        return [row for row in self.rows if row.policy_id == policy_id]

    def require_clean(self) -> None:
        """Check that all labels are usable.

        Raises:
            SafetyError: some labels cannot be used; the message lists the first 20 problems.
        """
        if self.problems:
            raise SafetyError(describe_problems("the labels", self.problems))


def describe_problems(labels: str, problems: Sequence[str]) -> str:
    """Message about labels that cannot be used, with the first 20 problems.

    Args:
        labels: which ones, such as "the labels".
        problems: one or more.
    """
    shown = "".join(f"\n  {problem}" for problem in problems[:SHOWN_PROBLEMS])
    more = len(problems) - SHOWN_PROBLEMS
    return (
        f"{len(problems)} problems with {labels}; fix them, or leave those rows out with --skip-bad-labels:{shown}"
        + (f"\n  … and {more} more" if more > 0 else "")
    )


def remove_contradictions(rows: Sequence[Label], problems: list[str]) -> list[Label]:
    """Leave out labels that contradict or repeat another.

    An item labelled 0 contradicts a view of it labelled 1, under the same policy. Of repeated labels the first remains.

    Args:
        rows: labels of any units and policies.
        problems: gets one message for each contradiction or repetition.

    Returns:
        The other labels, in their order.
    """
    same: dict[tuple[str, str, str], list[Label]] = {}
    for row in rows:
        same.setdefault((row.policy_id, row.unit_kind, row.name), []).append(row)
    item_labels: dict[tuple[str, str], Label] = {}  # (policy, item) -> the label of the whole item
    for (policy_id, unit_kind, name), group in same.items():
        if unit_kind == "item" and len({row.label for row in group}) == 1:
            item_labels[policy_id, name] = group[0]
    bad: set[int] = set()
    for (policy_id, unit_kind, name), group in same.items():
        if len({row.label for row in group}) > 1:
            values = ", ".join(f"row {r.row} says {r.label}{f' ({r.annotator})' if r.annotator else ''}" for r in group)
            problems.append(f"{unit_kind} {name!r}, policy {policy_id}: {values}")
            bad.update(id(row) for row in group)
            continue
        for repeated in group[1:]:
            problems.append(f"row {repeated.row} repeats row {group[0].row}: {unit_kind} {name!r}, policy {policy_id}")
            bad.add(id(repeated))
        item = item_labels.get((policy_id, group[0].item_id or "")) if unit_kind == "view" else None
        if item is not None and item.label == 0 and group[0].label == 1:
            problems.append(
                f"row {item.row} says item {item.name!r} is not {policy_id}, row {group[0].row} says its view "
                f"{name!r} is"
            )
            bad.update((id(item), id(group[0])))
    return [row for row in rows if id(row) not in bad]
