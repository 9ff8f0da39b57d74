"""Explanation of an item's tags: probabilities, what pictures and title say alone, and the nearest labelled items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from firstsight.errors import QueryError
from firstsight.records import Record
from firstsight.storage.store import Store
from firstsight.understanding.tags.labels.label_table import GivenTag, read_given_tags
from firstsight.understanding.tags.models.item_vectors import SIDES, ItemVectors, read_item_vectors
from firstsight.understanding.tags.models.tag_decisions import deepest_values
from firstsight.understanding.tags.models.tag_model import TagModel
from firstsight.understanding.tags.tag_scoring import source_columns
from firstsight.understanding.tags.tag_values import TagState, best_tags, catalogue_values, require_tag

SHOWN_VALUES: Final = 5
NEIGHBOURS: Final = 5
MAX_NEIGHBOUR_ITEMS: Final = 5_000
"""Labelled items that are searched for the nearest ones."""


@dataclass(frozen=True)
class ValueProbability(Record):
    """A value with its probability from pictures and title together, and from each alone."""

    value: str
    p: float  # 0 to 1
    pictures: float | None  # None if the item has no pictures
    title: float | None  # None if the item has no title


@dataclass(frozen=True)
class LabelledNeighbour(Record):
    """A labelled item that is near to the item."""

    item_id: str
    cosine: float  # of the vectors of pictures and title together, -1 to 1
    values: tuple[str, ...]


@dataclass(frozen=True)
class TagExplanation(Record):
    """Why an item has a value of a tag."""

    tag: str
    values: tuple[str, ...]  # best known; none for "don't know"
    p: float | None
    by: str | None  # person, catalogue or predicted
    version: int | None  # that predicts; None if none does
    calibrated: bool  # whether the probabilities are calibrated on labels
    cut: float | None  # least probability of an answer; None for a multi-label tag
    decided_by: str | None  # pictures or title: which alone is nearer to the answer; None without a difference
    probabilities: tuple[ValueProbability, ...]  # the most probable first
    neighbours: tuple[LabelledNeighbour, ...]  # the nearest first
    catalogue: tuple[str, ...]  # the catalogue's own values
    given: GivenTag | None  # by a person


def explain_tags(store: Store, item_id: str, tags: Sequence[str] | None = None) -> list[TagExplanation]:
    """Explain the tags of an item, as the versions in use and the vectors are now.

    Args:
        store: the database.
        item_id: id of the item.
        tags: names of tags; None for all.

    Raises:
        QueryError: there is no such item.
        TagError: there is no such tag.
    """
    state = TagState.read(store)
    chosen = state.tags if tags is None else [require_tag(state, tag) for tag in tags]
    columns = source_columns(store, state, chosen)
    row = store.column_values([item_id], columns).get(item_id)
    if row is None:
        raise QueryError(f"there is no item {item_id!r} in {store.uri}")
    given = read_given_tags(store, item_ids=[item_id])
    return [_explain(store, state, tag, item_id, row, given.get((tag, item_id))) for tag in chosen]


def _explain(
    store: Store, state: TagState, tag: str, item_id: str, row: dict[str, Any], given: GivenTag | None
) -> TagExplanation:
    model = state.usable(tag)
    vectors = None if model is None or model.means is None else read_item_vectors(store, [item_id], model.means)
    (found,) = best_tags(store, state, [item_id], [row], {} if vectors is None else {tag: vectors}, [tag])
    best = found[tag]
    probabilities: tuple[ValueProbability, ...] = ()
    neighbours: tuple[LabelledNeighbour, ...] = ()
    decided_by = None
    if model is not None and vectors is not None and vectors.known[0]:
        probabilities, decided_by = _probabilities(model, vectors)
        neighbours = _neighbours(store, model, vectors)
    any_model = state.models.get(tag)
    return TagExplanation(
        tag=tag,
        values=best.values,
        p=best.p,
        by=best.by,
        version=None if model is None else model.version,
        calibrated=model is not None and model.calibrated,
        cut=None if model is None or model.multi else model.cuts[0].cut,
        decided_by=decided_by,
        probabilities=probabilities,
        neighbours=neighbours,
        catalogue=() if any_model is None else catalogue_values(any_model.source, row),
        given=given,
    )


def _probabilities(model: TagModel, vectors: ItemVectors) -> tuple[tuple[ValueProbability, ...], str | None]:
    """The most probable values, and the side that alone gives the most probable one the higher probability."""
    assert model.scorer is not None
    whole = model.scorer.masses(vectors.whole)[0]
    sides = [model.scorer.masses(vectors.sides[n])[0] if vectors.present[0, n] else None for n in range(len(SIDES))]
    kept = whole if model.multi else np.where(model.tree.is_leaf, whole, -1.0)
    order = [int(n) for n in np.argsort(-kept, kind="stable")[:SHOWN_VALUES] if kept[n] >= 0]
    if not model.multi:  # the answer may be a parent
        answer = int(deepest_values(model.tree, whole[None], model.cuts[0].cut)[0])
        order = [answer, *(n for n in order if n != answer)] if answer >= 0 else order
    shown = tuple(
        ValueProbability(
            model.tree.names[n],
            float(whole[n]),
            None if sides[0] is None else float(sides[0][n]),
            None if sides[1] is None else float(sides[1][n]),
        )
        for n in order
    )
    if not shown or shown[0].pictures is None or shown[0].title is None:
        decided = None if not shown else "title" if shown[0].pictures is None else "pictures"
    else:
        decided = "pictures" if shown[0].pictures > shown[0].title else "title"
    return shown, decided


def _neighbours(store: Store, model: TagModel, vectors: ItemVectors) -> tuple[LabelledNeighbour, ...]:
    """The nearest items with labels: those that people gave, and those of the catalogue that the version has seen."""
    own = vectors.item_ids[0]
    labels = {item_id: one.values for (_, item_id), one in read_given_tags(store, model.tag).items()}
    seen = [item_id for item_id in model.seen if item_id not in labels][:MAX_NEIGHBOUR_ITEMS]
    if model.source.column is not None and model.source.column in store.items.schema.names:
        rows = store.column_values(seen, [model.source.column])
        labels |= {item_id: catalogue_values(model.source, row) for item_id, row in rows.items()}
    ids = [item_id for item_id, values in labels.items() if item_id != own and values][:MAX_NEIGHBOUR_ITEMS]
    if not ids or model.means is None:
        return ()
    others = read_item_vectors(store, ids, model.means)
    cosines = others.whole @ vectors.whole[0]
    order = [n for n in np.argsort(-cosines, kind="stable") if others.known[n]][:NEIGHBOURS]
    return tuple(LabelledNeighbour(ids[n], float(cosines[n]), labels[ids[n]]) for n in order)
