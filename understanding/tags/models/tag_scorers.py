"""Scorers of tags: from vectors of items to the probability of each value.

A taxonomy has one multinomial fit for the children of each node; the probability of a node is the product along its
path, so that a parent is never less probable than its children. Plain values are a tree of one level. A multi-label tag
has a two-class fit for each value. Without labels, the prompts of the values score alone: these are shares, not
calibrated probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from firstsight.encoders.base import Vectors
from firstsight.errors import StoreError
from firstsight.heads.array_types import Floats
from firstsight.heads.methods.class_fit import ClassFit
from firstsight.understanding.tags.labels.tag_tree import TagTree

PROMPT_SPREAD: Final = 3.0
"""Standard deviation of the logits between the values of an item, if prompts score alone."""

Arrays = dict[str, NDArray[Any]]


class TagScorer(Protocol):
    """Gives the probability of each value of a tree."""

    def masses(self, vectors: Vectors) -> Floats:
        """Compute probabilities.

        Args:
            vectors: (m, dim) unit rows.

        Returns:
            (m, values); a parent has at least the probability of its children.
        """
        ...

    def to_arrays(self) -> Arrays:
        """Return all numbers as named arrays."""
        ...

    def to_meta(self) -> dict[str, Any]:
        """Return the rest as plain JSON values."""
        ...


@dataclass(frozen=True)
class LevelScorer:
    """One multinomial fit for the children of each node that has several."""

    tree: TagTree
    fits: Mapping[int, ClassFit]  # by place of the parent, -1 for the top; classes in the order of `tree.children`

    def masses(self, vectors: Vectors) -> Floats:
        """Compute (m, values) probabilities; see `TagScorer`."""
        return level_masses(
            self.tree, {parent: fit.probabilities(vectors) for parent, fit in self.fits.items()}, len(vectors)
        )

    def to_arrays(self) -> Arrays:
        """Return all numbers as named arrays."""
        return _join(self.fits)

    def to_meta(self) -> dict[str, Any]:
        """Return the rest as plain JSON values."""
        return {"kind": "levels", "fits": {str(place): fit.to_meta() for place, fit in self.fits.items()}}


@dataclass(frozen=True)
class ValueScorer:
    """A two-class fit for each value of a multi-label tag."""

    tree: TagTree
    fits: Mapping[int, ClassFit]  # by place of the value; the second class is the value

    def masses(self, vectors: Vectors) -> Floats:
        """Compute (m, values) probabilities; see `TagScorer`. A row need not sum to 1."""
        masses = np.zeros((len(vectors), len(self.tree.names)))
        for place, fit in self.fits.items():
            masses[:, place] = fit.probabilities(vectors)[:, 1]
        return masses

    def to_arrays(self) -> Arrays:
        """Return all numbers as named arrays."""
        return _join(self.fits)

    def to_meta(self) -> dict[str, Any]:
        """Return the rest as plain JSON values."""
        return {"kind": "values", "fits": {str(place): fit.to_meta() for place, fit in self.fits.items()}}


@dataclass(frozen=True)
class PromptScorer:
    """Prompts of the values without children, for a tag without labels."""

    tree: TagTree
    prompts: Vectors  # (values, dim) unit rows

    def masses(self, vectors: Vectors) -> Floats:
        """Compute (m, values) shares; see `TagScorer`."""
        leaves = np.flatnonzero(self.tree.is_leaf)
        shares = np.zeros((len(vectors), len(self.tree.names)))
        shares[:, leaves] = softmax(PROMPT_SPREAD * standard_prompt_logits(vectors, self.prompts[leaves]), axis=1)
        return self.tree.sum_upwards(shares)

    def to_arrays(self) -> Arrays:
        """Return all numbers as named arrays."""
        return {"prompts": self.prompts}

    def to_meta(self) -> dict[str, Any]:
        """Return the rest as plain JSON values."""
        return {"kind": "prompts"}


def standard_prompt_logits(vectors: Vectors, prompts: Vectors) -> Floats:
    """Compute (m, classes) products with the centred prompts, scaled to a standard deviation of 1 for each vector."""
    centred = prompts.astype(np.float64) - prompts.mean(axis=0)
    logits = vectors @ centred.T
    spread = np.sqrt(np.mean(logits**2, axis=1, keepdims=True))
    return np.asarray(logits / np.maximum(spread, 1e-9), dtype=np.float64)


def level_masses(tree: TagTree, shares: Mapping[int, Floats], rows: int) -> Floats:
    """Multiply shares along the paths of a tree.

    Args:
        tree: the values.
        shares: by place of the parent: (rows, children) shares of its children. Without them, an only child has all of
            its parent's probability, and several have nothing.
        rows: number of rows.

    Returns:
        (rows, values).
    """
    masses = np.zeros((rows, len(tree.names)))
    for parent in [-1, *np.flatnonzero(~tree.is_leaf).tolist()]:
        children = tree.children(parent)
        above = np.ones((rows, 1)) if parent < 0 else masses[:, [parent]]
        own = shares.get(parent)
        if own is None:
            own = np.full((rows, len(children)), 1.0 if len(children) == 1 else 0.0)
        masses[:, children] = above * own
    return masses


def read_scorer(tree: TagTree, arrays: Arrays, meta: Mapping[str, Any]) -> LevelScorer | ValueScorer | PromptScorer:
    """Read a scorer from its arrays and its description.

    Raises:
        StoreError: they are damaged.
    """
    try:
        if meta["kind"] == "prompts":
            prompts = np.asarray(arrays["prompts"], dtype=np.float32)
            if len(prompts) != len(tree.names) or not np.isfinite(prompts).all():
                raise StoreError("the prompts of a tag are damaged; train it again: firstsight tags train")
            return PromptScorer(tree, prompts)
        fits = {int(place): ClassFit.from_arrays(_select(arrays, place), one) for place, one in meta["fits"].items()}
        return LevelScorer(tree, fits) if meta["kind"] == "levels" else ValueScorer(tree, fits)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"the model of a tag is damaged ({error}); train it again: firstsight tags train") from None


def _join(fits: Mapping[int, ClassFit]) -> Arrays:
    return {f"{place}/{name}": array for place, fit in fits.items() for name, array in fit.to_arrays().items()}


def _select(arrays: Arrays, place: str) -> Arrays:
    return {name.partition("/")[2]: array for name, array in arrays.items() if name.partition("/")[0] == place}


def describe_methods(scorer: LevelScorer | ValueScorer | PromptScorer) -> Sequence[str]:
    """Return the methods of a scorer, the most frequent first."""
    if isinstance(scorer, PromptScorer):
        return ["prompts"]
    methods = [fit.method for fit in scorer.fits.values()]
    return sorted(set(methods), key=lambda method: (-methods.count(method), method))
