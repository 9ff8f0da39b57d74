"""Report on a version of a tag: accuracy of each value, calibration, coverage, confusions, label suspects and slices.

All answers are by fits that saw neither the item nor its near-duplicates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firstsight.errors import TagError
from firstsight.heads.array_types import Floats
from firstsight.heads.curves import Reliability, reliability
from firstsight.heads.slices import SliceRate, slice_rates
from firstsight.records import Record
from firstsight.storage.facts.fact_columns import TAG_PREFIX
from firstsight.storage.item_values import ItemValue, find_item_values, known_values
from firstsight.storage.store import Store
from firstsight.understanding.tags.labels.label_table import read_given_tags
from firstsight.understanding.tags.labels.taxonomy import LEVELS
from firstsight.understanding.tags.models.tag_model import TagModel, TagShelf
from firstsight.understanding.tags.tag_values import TagState, catalogue_values, require_tag
from firstsight.understanding.tags.training.tag_answers import SEPARATOR

DEFAULT_SLICES: Final = ("kind", "language", "seller", "brand")
MAX_ROWS: Final = 50
"""Maximum number of confusions and of label suspects."""


@dataclass(frozen=True)
class ValueFigures(Record):
    """Figures of one value, on cross-fitted labels."""

    value: str
    items: int  # labelled with it
    accuracy: float  # share of them whose most probable value is right, 0 to 1
    answered: float  # share of them with an answer
    answers: int  # items that were given the value
    right: float  # share of those answers that are right; NaN without answers


@dataclass(frozen=True)
class ValueConfusion(Record):
    """Items of one value that were taken for another."""

    label: str
    answer: str
    items: int


@dataclass(frozen=True)
class TagLabelSuspect(Record):
    """A label that the other labels contradict."""

    item_id: str
    label: str
    answer: str
    p: float  # probability of the answer, 0 to 1


@dataclass(frozen=True)
class TagReport(Record):
    """Figures of one version of a tag."""

    tag: str
    version: int
    items: int  # labelled items behind the figures
    accuracy: float  # mean of the values
    answered: float
    right: float  # share of the answers that are right
    cut: float | None
    calibration: Reliability | None  # None without labels
    values: tuple[ValueFigures, ...]
    confusions: tuple[ValueConfusion, ...]  # the most frequent first
    suspects: tuple[TagLabelSuspect, ...]  # the most probable errors first
    slices: tuple[SliceRate, ...]  # share of wrong answers by column
    coverage: Mapping[str, int]  # items of the catalogue by source: person, catalogue, predicted, unknown

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values; of the calibration its error."""
        plain = super().to_dict()
        plain["calibration_error"] = None if self.calibration is None else self.calibration.calibration_error
        return {name: value for name, value in plain.items() if name != "calibration"}


def report_tag(
    store: Store, tag: str, *, version: int | None = None, columns: Sequence[str] | None = None
) -> TagReport:
    """Measure a version of a tag on the labels that it was trained with, as they are now.

    Args:
        store: the database.
        tag: name of the tag.
        version: number of a version; None for the one in use, else the newest.
        columns: columns, facts or tags, for slices; None for kind, language, seller and brand, if they exist.

    Raises:
        TagError: there is no such tag, version or column, or the version has no labels.
    """
    state = TagState.read(store)
    shelf = TagShelf(store)
    if version is None:
        versions = shelf.versions(tag)
        model = state.models.get(tag) or (shelf.get(versions[-1].version) if versions else None)
    else:
        model = shelf.get(version)
    if model is None or model.tag != tag:
        require_tag(state, tag)
        raise TagError(
            f"the tag {tag!r} has no version {version or ''}; train it: firstsight tags train".replace("  ", " ")
        )
    if not model.seen:
        raise TagError(f"version {model.version} of {tag} was made without labels; correct or label some items first")
    labels = _labels_now(store, model)
    rows = [n for n, item_id in enumerate(model.seen) if item_id in labels]
    if not rows:
        raise TagError(f"no item of version {model.version} of {tag} is labelled any more; train the tag again")
    return _report(store, model, rows, labels, _slice_columns(store, columns))


def _report(
    store: Store, model: TagModel, rows: list[int], labels: Mapping[str, tuple[str, ...]], columns: Sequence[ItemValue]
) -> TagReport:
    ids = [model.seen[n] for n in rows]
    own = [labels[item_id] for item_id in ids]
    best = [_split(model.held_out[n]) for n in rows]
    answers = [_split(model.answers[n]) for n in rows]
    assert model.held_out_p is not None
    p = model.held_out_p[rows].astype(np.float64)
    right = [_is_right(answer, label, model.multi) for answer, label in zip(best, own, strict=True)]
    answered = np.array([bool(answer) for answer in answers])
    good = np.array([_is_right(answer, label, model.multi) for answer, label in zip(answers, own, strict=True)])
    wrong = answered & ~good
    if model.multi:
        given = np.array([[name in label for name in model.tree.names] for label in own])
        calibration = reliability(np.clip(p.ravel(), 0, 1), given.ravel().astype(np.int8))
        suspects = _value_suspects(model, ids, given, p)
    else:
        calibration = reliability(np.clip(p[:, 0], 0, 1), np.array(right, dtype=np.int8))
        suspects = _suspects(ids, own, best, p)
    values = _value_figures(own, best, answers, model.multi)
    stored = store.column_values(ids, [value.column for value in columns]) if columns else {}
    of_column = {value.name: [value.of_row(stored[item_id]) for item_id in ids] for value in columns}
    slices = slice_rates(wrong, None, of_column)
    pairs = Counter(
        (label[0], answer[0])
        for label, answer, hit in zip(own, best, right, strict=True)
        if not model.multi and not hit and label and answer
    )
    return TagReport(
        tag=model.tag,
        version=model.version,
        items=len(rows),
        accuracy=float(np.mean([one.accuracy for one in values])),
        answered=float(answered.mean()),
        right=float(good[answered].mean()) if answered.any() else float("nan"),
        cut=None if model.multi else model.cuts[0].cut,
        calibration=calibration,
        values=tuple(values),
        confusions=tuple(
            ValueConfusion(label, answer, count) for (label, answer), count in pairs.most_common(MAX_ROWS)
        ),
        suspects=tuple(suspects[:MAX_ROWS]),
        slices=tuple(slices),
        coverage=tag_coverage(store, model.tag),
    )


def tag_coverage(store: Store, tag: str) -> dict[str, int]:
    """Count the items of the catalogue by the source of their value: person, catalogue, predicted, or unknown."""
    name, total = f"{TAG_PREFIX}{tag}", store.items.count_rows()
    if f"{name}_by" not in store.items.schema.names:
        return {"unknown": total}
    counts = {
        source: store.items.count_rows(f"{name} IS NOT NULL AND {name}_by = '{source}'")
        for source in ("person", "catalogue", "predicted")
    }
    return counts | {"unknown": total - sum(counts.values())}


def _labels_now(store: Store, model: TagModel) -> dict[str, tuple[str, ...]]:
    """Labels of the items of a version, with the corrections since."""
    labels: dict[str, tuple[str, ...]] = {}
    if model.source.column is not None and model.source.column in store.items.schema.names:
        rows = store.column_values(list(model.seen), [model.source.column])
        labels = {item_id: catalogue_values(model.source, row) for item_id, row in rows.items()}
    given = read_given_tags(store, model.tag, list(model.seen))
    labels |= {item_id: one.values for (_, item_id), one in given.items()}
    return {item_id: values for item_id, values in labels.items() if values or model.multi}


def _slice_columns(store: Store, columns: Sequence[str] | None) -> list[ItemValue]:
    known = list(store.filter_kinds())
    if columns is None:
        return find_item_values(store, DEFAULT_SLICES, known, None)

    def missing(name: str) -> TagError:
        return TagError(f"the catalogue has no column {name!r}; its columns are {known_values(store, known)}")

    return find_item_values(store, columns, known, missing)


def _value_figures(
    own: Sequence[tuple[str, ...]], best: Sequence[list[str]], answers: Sequence[list[str]], multi: bool
) -> list[ValueFigures]:
    figures = []
    for value in sorted({value for label in own for value in label}):
        labelled = [n for n, label in enumerate(own) if value in label]
        answered = [n for n, answer in enumerate(answers) if value in answer]
        hits = [_is_right(best[n], (value,), False) if not multi else value in best[n] for n in labelled]
        right = [_is_right(answers[n], own[n], False) if not multi else value in own[n] for n in answered]
        covered = [bool(answers[n]) if not multi else value in answers[n] for n in labelled]
        figures.append(
            ValueFigures(
                value,
                len(labelled),
                float(np.mean(hits)),
                float(np.mean(covered)),
                len(answered),
                float(np.mean(right)) if right else float("nan"),
            )
        )
    return figures


def _suspects(
    ids: Sequence[str], own: Sequence[tuple[str, ...]], best: Sequence[list[str]], p: Floats
) -> list[TagLabelSuspect]:
    """Label errors by confident learning (Northcutt, Jiang and Chuang 2021, section 3.1), for several classes.

    An item is a suspect if its probability of another value is at least the mean of the items with that label, and its
    probability of its own label is below the mean of the items with the same label.
    """
    labels: NDArray[np.object_] = np.array([label[0] for label in own], dtype=object)
    means = {label: float(p[labels == label, 1].mean()) for label in set(labels.tolist())}
    found = [
        TagLabelSuspect(item_id, label, answer[0], float(row[0]))
        for item_id, label, answer, row in zip(ids, labels, best, p, strict=True)
        if not _is_right(answer, (label,), False) and row[0] >= means.get(answer[0], 1.0) and row[1] < means[label]
    ]
    return sorted(found, key=lambda one: -one.p)


def _value_suspects(model: TagModel, ids: Sequence[str], given: NDArray[np.bool_], p: Floats) -> list[TagLabelSuspect]:
    from firstsight.heads.label_noise import label_suspects

    found = []
    for place, name in enumerate(model.tree.names):
        labels = given[:, place]
        if labels.all() or not labels.any():
            continue
        suspects = label_suspects(labels.astype(np.int8), p[:, place])
        for row, chance in zip(suspects.rows.tolist(), suspects.chance.tolist(), strict=True):
            has, has_not = name, f"not {name}"
            label, answer = (has, has_not) if labels[row] else (has_not, has)
            found.append(TagLabelSuspect(ids[row], label, answer, float(chance)))
    return sorted(found, key=lambda one: -one.p)


def _is_right(answer: Sequence[str], label: Sequence[str], multi: bool) -> bool:
    """Whether an answer fits a label: the same value, its parent or a value below; of several, all values answered."""
    if multi:
        return set(answer) <= set(label)
    if not answer or not label:
        return False
    first, second = f"{answer[0]}{LEVELS}", f"{label[0]}{LEVELS}"
    return first.startswith(second) or second.startswith(first)


def _split(values: str) -> list[str]:
    return [value for value in values.split(SEPARATOR) if value]
