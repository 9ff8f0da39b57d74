"""The values of a tag as a tree: a taxonomy's categories, or plain values without parents."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from firstsight.heads.array_types import Floats, Indices
from firstsight.records import Record
from firstsight.understanding.tags.labels.taxonomy import LEVELS, make_tree_names


@dataclass(frozen=True)
class TagTree(Record):
    """Values of a tag, a parent before its children."""

    names: tuple[str, ...]  # whole paths, such as "Clothing > Shirts"
    parents: Indices  # (n,) places in `names`; -1 for a value without a parent

    @classmethod
    def of(cls, values: Iterable[str], *, levels: bool) -> TagTree:
        """Build the tree of some values.

        Args:
            values: the values; parents are added.
            levels: whether " > " in a value separates levels; else no value has a parent.
        """
        if not levels:
            names = tuple(sorted(set(values)))
            return cls(names, np.full(len(names), -1, dtype=np.int64))
        names = make_tree_names(values)
        places = {name: n for n, name in enumerate(names)}
        parents = [places.get(name.rpartition(LEVELS)[0], -1) if LEVELS in name else -1 for name in names]
        return cls(names, np.array(parents, dtype=np.int64))

    @cached_property
    def places(self) -> dict[str, int]:
        """Name -> place."""
        return {name: n for n, name in enumerate(self.names)}

    @cached_property
    def depths(self) -> Indices:
        """(n,) number of parents above each value."""
        depths = np.zeros(len(self.names), dtype=np.int64)
        for place, parent in enumerate(self.parents.tolist()):
            depths[place] = 0 if parent < 0 else depths[parent] + 1
        return depths

    @cached_property
    def is_leaf(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """(n,) whether a value has no children."""
        leaf = np.ones(len(self.names), dtype=np.bool_)
        leaf[self.parents[self.parents >= 0]] = False
        return leaf

    def children(self, parent: int) -> Indices:
        """Return the places of the children of a value; of the values without a parent for -1."""
        return np.flatnonzero(self.parents == parent)

    def ancestors(self, place: int) -> list[int]:
        """Return the place of a value and those of its parents, from the top down."""
        path = []
        while place >= 0:
            path.append(place)
            place = int(self.parents[place])
        return path[::-1]

    def covers(self, above: int, below: int) -> bool:
        """Whether a value is another one, or one of its parents."""
        return above in self.ancestors(below)

    def leaf_name(self, place: int) -> str:
        """Return the last level of a value."""
        return self.names[place].rsplit(LEVELS, 1)[-1] if self.parents[place] >= 0 else self.names[place]

    def sum_upwards(self, leaf_masses: Floats) -> Floats:
        """Add the mass of each value to its parents.

        Args:
            leaf_masses: (m, n) with zeros for values that have children.

        Returns:
            (m, n): a parent has the sum of its children.
        """
        masses = leaf_masses.copy()
        for place in range(len(self.names) - 1, -1, -1):
            if self.parents[place] >= 0:
                masses[:, self.parents[place]] += masses[:, place]
        return masses
