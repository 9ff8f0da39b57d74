"""Versions of tags in the database: fits as arrays, with their cuts, labels and held-out figures; one row a version."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa

from firstsight.encoders.base import Vectors
from firstsight.errors import StoreError, TagError
from firstsight.heads.model_shelf import ModelShelf, ShelfSpec
from firstsight.records import Record
from firstsight.storage.side_tables import TableLocation
from firstsight.storage.tables import TIME
from firstsight.understanding.tags.labels.tag_names import MODEL_TABLE as TABLE
from firstsight.understanding.tags.labels.tag_tree import TagTree
from firstsight.understanding.tags.models.tag_decisions import TagCut
from firstsight.understanding.tags.models.tag_scorers import TagScorer, read_scorer

_FIELDS: list[pa.Field[Any]] = [
    pa.field("version", pa.int64(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
    pa.field("tag", pa.string(), nullable=False),
    pa.field("trained_at", TIME, nullable=False),
    pa.field("in_use", pa.bool_(), nullable=False),
    pa.field("fingerprint", pa.string(), nullable=False),  # of the encoder whose vectors it scores
    pa.field("settings", pa.string(), nullable=False),  # JSON: values, cuts, source, description of the fits
    pa.field("figures", pa.string(), nullable=False),  # JSON
    pa.field("arrays", pa.large_binary(), nullable=False),  # safetensors: numbers of the fits
    pa.field("seen", pa.list_(pa.string()), nullable=False),  # items that it was fitted on
    pa.field("held_out", pa.list_(pa.string()), nullable=False),  # for each: the best value of fits without it
    pa.field("answers", pa.list_(pa.string()), nullable=False),  # for each: the answer at the cut; empty for none
]
SCHEMA = pa.schema(_FIELDS)

_LISTED: Final = ("version", "tag", "trained_at", "in_use", "fingerprint", "settings", "figures")


@dataclass(frozen=True)
class TagSource(Record):
    """Where the labels of a version came from; a later training without labels reads them there again."""

    kind: str  # "labels", "column" or "none"
    column: str | None = None
    separator: str | None = None  # of several values in a cell
    path_separator: str | None = None  # of levels in a value


@dataclass(frozen=True)
class TagModel(Record):
    """A version of a tag."""

    tag: str
    fingerprint: str  # of the encoder
    trained_at: datetime  # UTC
    tree: TagTree
    multi: bool
    cuts: tuple[TagCut, ...]  # one, or one for each value of a multi-label tag
    source: TagSource
    templates: tuple[str, ...] = ()  # of the prompts; none for the defaults
    figures: Mapping[str, Any] = field(default_factory=dict)
    means: Vectors | None = None  # (3, dim) means of titles, images and frames; None in lists of versions
    scorer: TagScorer | None = None  # None in lists of versions
    seen: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()  # of each item in `seen`: most probable values, joined by line breaks
    answers: tuple[str, ...] = ()  # of each item in `seen`: values that reach the cut
    held_out_p: Vectors | None = (
        None  # (seen, 2) of the best value and of the label; of a multi-label tag (seen, values)
    )
    version: int = 0  # 0 before it is stored
    in_use: bool = False

    @property
    def calibrated(self) -> bool:
        """Whether its probabilities are calibrated on cross-fitted labels."""
        return bool(self.figures.get("calibrated"))

    def to_dict(self) -> dict[str, Any]:
        """Return the version, its cuts and its figures as plain values, without the numbers of the fits."""
        return {
            "tag": self.tag,
            "version": self.version,
            "in_use": self.in_use,
            "trained_at": self.trained_at.isoformat(),
            "multi": self.multi,
            "values": len(self.tree.names),
            "source": self.source.to_dict(),
            "cut": self.cuts[0].cut if len(self.cuts) == 1 else None,
            **self.figures,
        }


class TagShelf:
    """The versions of all tags of a database. The caller of methods that write holds the writer lock."""

    def __init__(self, location: TableLocation) -> None:
        self._shelf = ModelShelf(location, SHELF_SPEC)

    def state(self) -> int | None:
        """Return the version number of the table; None if no tag was ever trained."""
        return self._shelf.state()

    def versions(self, tag: str | None = None) -> list[TagModel]:
        """Return all versions, oldest first, without the numbers of their fits."""
        return self._shelf.versions(tag)

    def in_use(self) -> dict[str, TagModel]:
        """Return the version in use of each tag."""
        return {model.tag: model for model in self._shelf.in_use()}

    def get(self, version: int) -> TagModel:
        """Return a version; TagError: there is no such version."""
        return self._shelf.get(version)

    def add(self, models: Sequence[TagModel], use: Sequence[bool]) -> list[TagModel]:
        """Store versions, and put some into use.

        Returns:
            The versions as they are stored.

        Raises:
            StoreError: the database cannot be written.
        """
        added = self._shelf.add(models)
        self._shelf.use([model.version for model, chosen in zip(added, use, strict=True) if chosen])
        return [self._shelf.get(model.version) for model in added]

    def use(self, version: int) -> TagModel:
        """Put a version into use instead of the present one of its tag.

        Raises:
            TagError: there is no such version.
        """
        self._shelf.use([version])
        return self._shelf.get(version)

    def drop(self, tag: str) -> None:
        """Take the version of a tag out of use."""
        self._shelf.drop([model.version for model in self._shelf.versions(tag) if model.in_use])


def _row(model: TagModel) -> dict[str, Any]:
    from safetensors.numpy import save

    if model.scorer is None or model.means is None:
        raise TagError(f"version {model.version} of tag {model.tag} was listed, not read; read it by its number")
    arrays = model.scorer.to_arrays() | {"means": model.means}
    if model.held_out_p is not None:
        arrays["held_out_p"] = model.held_out_p
    settings = {
        "names": list(model.tree.names),
        "parents": model.tree.parents.tolist(),
        "multi": model.multi,
        "cuts": [cut.to_dict() for cut in model.cuts],
        "source": model.source.to_dict(),
        "templates": list(model.templates),
        "scorer": model.scorer.to_meta(),
    }
    return {
        "tag": model.tag,
        "trained_at": model.trained_at,
        "fingerprint": model.fingerprint,
        "settings": json.dumps(settings),
        "figures": model.figures,
        "arrays": save({name: np.ascontiguousarray(array) for name, array in arrays.items()}),
        "seen": list(model.seen),
        "held_out": list(model.held_out),
        "answers": list(model.answers),
        "version": model.version,
        "in_use": model.in_use,
    }


def _model(row: Mapping[str, Any]) -> TagModel:
    from safetensors.numpy import load

    try:
        settings = json.loads(row["settings"])
        tree = TagTree(tuple(settings["names"]), np.array(settings["parents"], dtype=np.int64))
        scorer = means = held_out_p = None
        if row.get("arrays") is not None:
            arrays = load(row["arrays"])
            means, held_out_p = arrays.pop("means"), arrays.pop("held_out_p", None)
            scorer = read_scorer(tree, arrays, settings["scorer"])
        cuts = tuple(TagCut(**{**cut, "right": _number(cut["right"])}) for cut in settings["cuts"])
        source = TagSource(**settings["source"])
        multi, templates = bool(settings["multi"]), tuple(settings["templates"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise StoreError(
            f"version {row['version']} of tag {row['tag']} is damaged ({error}); train it again: firstsight tags train"
        ) from None
    return TagModel(
        tag=row["tag"],
        fingerprint=row["fingerprint"],
        trained_at=row["trained_at"],
        tree=tree,
        multi=multi,
        cuts=cuts,
        source=source,
        templates=templates,
        figures=row["figures"],
        means=means,
        scorer=scorer,
        seen=tuple(row.get("seen") or ()),
        held_out=tuple(row.get("held_out") or ()),
        answers=tuple(row.get("answers") or ()),
        held_out_p=held_out_p,
        version=row["version"],
        in_use=row["in_use"],
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


SHELF_SPEC = ShelfSpec(
    TABLE,
    SCHEMA,
    flag="in_use",
    slot="tag",
    slot_noun="tag",
    noun="version of a tag",
    fit_command="firstsight tags train",
    to_row=_row,
    from_row=_model,
    listed=_LISTED,
    error=TagError,
)
