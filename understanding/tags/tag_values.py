"""Best known values of tags: a person's value, else the catalogue's own, else the prediction of the version in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from firstsight.errors import TagError
from firstsight.storage.facts.fact_columns import TAG_PREFIX
from firstsight.storage.store import Store
from firstsight.understanding.tags.labels.label_reading import split_cell
from firstsight.understanding.tags.labels.label_table import read_given_tags, tags_with_labels
from firstsight.understanding.tags.labels.tag_names import CATALOGUE, PERSON, PREDICTED, VALUES, tag_fields, tag_row
from firstsight.understanding.tags.models.item_vectors import ItemVectors
from firstsight.understanding.tags.models.tag_decisions import deepest_values
from firstsight.understanding.tags.models.tag_model import TagModel, TagShelf, TagSource


@dataclass(frozen=True)
class BestTag:
    """The best known value of a tag for an item."""

    values: tuple[str, ...]  # none: "don't know"
    p: float | None  # probability of the least probable value, 0 to 1; 1 for given values; None for "don't know"
    by: str | None  # person, catalogue or predicted; None if nothing is known and nothing predicts


@dataclass(frozen=True)
class TagState:
    """The tags of a database: the versions in use, and the tags that people gave."""

    models: Mapping[str, TagModel]  # version in use by tag
    labelled: frozenset[str]  # tags with labels or corrections
    columns: frozenset[str]  # tags with columns in `items`
    fingerprint: str  # of the encoder in force

    @classmethod
    def read(cls, store: Store) -> TagState:
        """Read the state of a database."""
        stored = {name.removeprefix(TAG_PREFIX) for name in store.items.schema.names if name.startswith(TAG_PREFIX)}
        columns = frozenset(name for name in stored if not name.endswith(("_p", "_by")))
        return cls(TagShelf(store).in_use(), frozenset(tags_with_labels(store)), columns, store.spec.fingerprint)

    @cached_property
    def tags(self) -> list[str]:
        """Names of all tags."""
        return sorted({*self.models, *self.labelled, *self.columns})

    @property
    def fields(self) -> list[pa.Field[Any]]:
        """Columns of all tags."""
        return [field for tag in self.tags for field in tag_fields(tag)]

    def usable(self, tag: str) -> TagModel | None:
        """Return the version in use of a tag, if it was fitted to vectors of the encoder in force."""
        model = self.models.get(tag)
        return model if model is not None and model.fingerprint == self.fingerprint else None


def best_tags(
    store: Store,
    state: TagState,
    item_ids: Sequence[str],
    columns: Sequence[Mapping[str, Any]],
    vectors: Mapping[str, ItemVectors],
    tags: Sequence[str] | None = None,
) -> list[dict[str, BestTag]]:
    """Find the best known values of tags.

    Args:
        store: the database.
        state: its tags.
        item_ids: (n,) items.
        columns: (n,) the catalogue's own columns of each item.
        vectors: by tag: vectors of the n items, centred at the means of the tag's version.
        tags: names of the tags; None for all.

    Returns:
        For each item, a value for each tag.
    """
    chosen = state.tags if tags is None else list(tags)
    given = read_given_tags(store, item_ids=item_ids) if state.labelled & set(chosen) else {}
    found: list[dict[str, BestTag]] = [{} for _ in item_ids]
    for tag in chosen:
        model = state.models.get(tag)
        source = TagSource("none") if model is None else model.source
        predicted = _predict(state.usable(tag), vectors.get(tag), len(item_ids))
        for n, item_id in enumerate(item_ids):
            by_person = given.get((tag, item_id))
            own = catalogue_values(source, columns[n])
            if by_person is not None:
                found[n][tag] = BestTag(by_person.values, 1.0, PERSON)
            elif own:
                found[n][tag] = BestTag(own, 1.0, CATALOGUE)
            else:
                found[n][tag] = predicted[n]
    return found


def catalogue_values(source: TagSource, columns: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the catalogue's own values of an item, if the tag was learned from a column."""
    if source.column is None:
        return ()
    values = split_cell(columns.get(source.column), source.separator, source.path_separator)
    return tuple(dict.fromkeys(values))


def tag_columns(found: Mapping[str, BestTag]) -> dict[str, Any]:
    """Return the values of the columns of tags."""
    row: dict[str, Any] = {}
    for tag, best in found.items():
        row |= tag_row(tag, best.values, best.p, best.by)
    return row


def stored_tag(tag: str, columns: Mapping[str, Any]) -> BestTag:
    """Read the value of a tag from the columns of an item."""
    value, by = columns.get(f"{TAG_PREFIX}{tag}"), columns.get(f"{TAG_PREFIX}{tag}_by")
    p = columns.get(f"{TAG_PREFIX}{tag}_p")
    return BestTag(() if value is None else (str(value),), None if p is None else float(p), by)


def require_tag(state: TagState, tag: str) -> str:
    """Check that a database has a tag.

    Raises:
        TagError: it has not.
    """
    if tag not in state.tags:
        known = ", ".join(state.tags) or "none; train one: firstsight tags train LABELS.csv"
        raise TagError(f"there is no tag {tag!r}; the tags are {known}")
    return tag


def _predict(model: TagModel | None, vectors: ItemVectors | None, count: int) -> list[BestTag]:
    if model is None or vectors is None or model.scorer is None:
        return [BestTag((), None, None)] * count
    masses = model.scorer.masses(vectors.whole)
    unknown = BestTag((), None, PREDICTED)
    predicted = []
    if model.multi:
        cuts = np.array([cut.cut for cut in model.cuts])
        for row, known in zip(masses, vectors.known, strict=True):
            places = np.flatnonzero(row >= cuts)
            places = places[np.argsort(-row[places], kind="stable")]
            values = tuple(model.tree.names[n] for n in places)
            predicted.append(BestTag(values, float(row[places].min()), PREDICTED) if values and known else unknown)
        return predicted
    for n, place in enumerate(deepest_values(model.tree, masses, model.cuts[0].cut).tolist()):
        known = place >= 0 and vectors.known[n]
        best = BestTag((model.tree.names[place],), float(masses[n, place]), PREDICTED)
        predicted.append(best if known else unknown)
    return predicted


def join_values(values: Sequence[str]) -> str | None:
    """Join the values of a tag as its column has them; None without values."""
    return VALUES.join(values) or None
