"""Heads: classifiers of views for one policy, stored as arrays and JSON, one row for each version.

The logit of a view is scale[part] * (vector @ coef) + intercept[part]; the logit of an item is the highest of its
views. Zero-shot heads have the same form, so scoring is one matrix product and needs no model. A head of the method
tip-adapter adds the score of its key cache; its keys are stored behind the coefficients, in the same column.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from firstsight.encoders.base import Vectors
from firstsight.errors import EncoderMismatchError, SafetyError, StoreError
from firstsight.heads.array_types import Floats
from firstsight.heads.calibration import HeadCalibration
from firstsight.heads.key_cache import KeyCache
from firstsight.heads.model_shelf import ModelShelf, ShelfSpec
from firstsight.records import Record
from firstsight.safety.policy.policies import Policy
from firstsight.storage.store import Store
from firstsight.storage.tables import HEAD_PARTS, TIME

TABLE = "safety_heads"

_FIELDS: list[pa.Field[Any]] = [
    pa.field("version", pa.int64(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"}),
    pa.field("policy_id", pa.string(), nullable=False),
    pa.field("kind", pa.string(), nullable=False),
    pa.field("trained_at", TIME, nullable=False),
    pa.field("promoted", pa.bool_(), nullable=False),
    pa.field("fingerprint", pa.string(), nullable=False),  # of the encoder whose vectors it scores
    pa.field("coef", pa.list_(pa.float32()), nullable=False),  # and behind them the rows of keys
    pa.field("settings", pa.string(), nullable=False),  # JSON: scales, intercepts, calibration, cuts, basis, cache
    pa.field("figures", pa.string(), nullable=False),  # JSON
    pa.field("seen", pa.list_(pa.string()), nullable=False),
]
SCHEMA = pa.schema(_FIELDS)


@dataclass(frozen=True)
class Head(Record):
    """Classifier of views for one policy: linear, and with a key cache for the method tip-adapter."""

    policy_id: str
    kind: Literal["head", "zero_shot"]
    fingerprint: str  # of the encoder
    coef: Vectors  # (dim,) float32
    scales: Mapping[str, float]  # part -> factor of the dot product
    intercepts: Mapping[str, float]  # part -> constant added to it
    trained_at: datetime  # UTC
    calibration: HeadCalibration = field(default_factory=HeadCalibration)
    review: float | None = None  # cut, a probability; None for the policy's own cut
    block: float | None = None  # cut, a probability; None if this head blocks nothing
    basis: str = ""  # digest of the labels or prompts behind the head
    figures: Mapping[str, Any] = field(default_factory=dict)
    seen: tuple[str, ...] = ()  # labelled units that it was fitted on; excluded from later comparisons
    version: int = 0  # 0 before it is stored
    promoted: bool = False
    cache: KeyCache | None = None  # of the method tip-adapter, with values of one column

    @property
    def calibrated(self) -> bool:
        """Whether its scores are probabilities, calibrated on held-out labels."""
        return self.calibration.method != "none"

    def logits(self, vectors: Vectors, parts: Sequence[str]) -> Floats:
        """Compute logits of views.

        Args:
            vectors: (n, dim) float32, unit rows.
            parts: (n,) part of each view.

        Returns:
            (n,) float64.
        """
        scale = np.array([self.scales[part] for part in parts])
        intercept = np.array([self.intercepts[part] for part in parts])
        logits = np.asarray((vectors @ self.coef).astype(np.float64) * scale + intercept, dtype=np.float64)
        return logits if self.cache is None else logits + self.cache.scores(vectors)[:, 0]

    def parts(self, policy: Policy) -> frozenset[str]:
        """Parts of items that the head scores; those of prompts for a zero-shot head.

        Args:
            policy: the head's policy.
        """
        return policy.prompt_parts if self.kind == "zero_shot" else policy.parts

    def cuts(self, policy: Policy, region: str | None = None) -> tuple[float, float | None]:
        """Return the cuts `(review, block)` for its scores in a region.

        The policy's cuts for a region replace the head's cuts. An uncalibrated head blocks nothing: block is None.

        Args:
            policy: the head's policy.
            region: the region; None for the default cuts.
        """
        policy_cuts = policy.cuts_in(region)
        if region is not None and region in policy.cuts:
            return policy_cuts[0], policy_cuts[1] if self.calibrated else None
        review = policy_cuts[0] if self.review is None else self.review
        return review, self.block if self.calibrated else None

    def to_dict(self) -> dict[str, Any]:
        """Return the head's settings and figures as plain values, without coefficients."""
        return {
            "version": self.version,
            "policy": self.policy_id,
            "kind": self.kind,
            "trained_at": self.trained_at.isoformat(),
            "promoted": self.promoted,
            "calibrated": self.calibrated,
            "review": self.review,
            "block": self.block,
            **self.figures,
        }


@dataclass(frozen=True)
class HeadStack:
    """Heads side by side, to score views for all policies with one matrix product."""

    heads: tuple[Head, ...]
    weights: Vectors  # (dim, heads)
    scales: Floats  # (parts, heads)
    intercepts: Floats  # (parts, heads); NaN if a policy does not look at a part

    @classmethod
    def of(cls, heads: Sequence[Head], policies: Mapping[str, Policy]) -> HeadStack:
        """Stack heads; `policies` gives the parts that each head looks at. Without heads, no view gets a score."""
        if not heads:
            none = np.empty((len(HEAD_PARTS), 0))
            return cls((), np.empty((0, 0), dtype=np.float32), none, none)
        looks_at = [head.parts(policies[head.policy_id]) for head in heads]
        seen = [[part in parts for parts in looks_at] for part in HEAD_PARTS]
        return cls(
            tuple(heads),
            np.ascontiguousarray(np.stack([head.coef for head in heads], axis=1)),
            np.array([[head.scales[part] for head in heads] for part in HEAD_PARTS]),
            np.where(seen, np.array([[head.intercepts[part] for head in heads] for part in HEAD_PARTS]), np.nan),
        )

    def logits(self, vectors: Vectors, parts: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Compute (n, heads) float32 logits of views; NaN if a policy does not look at the view.

        Args:
            vectors: (n, dim) float32.
            parts: (n,) places in `HEAD_PARTS`; -1 for views that no head scores.
        """
        if not self.heads:
            return np.empty((len(vectors), 0), dtype=np.float32)
        logits = vectors @ self.weights
        for place in range(len(HEAD_PARTS)):
            rows = slice(None) if (parts == place).all() else parts == place
            logits[rows] = logits[rows] * self.scales[place] + self.intercepts[place]
        for column, head in enumerate(self.heads):
            if head.cache is not None:
                logits[:, column] += head.cache.scores(vectors)[:, 0]
        logits[parts < 0] = np.nan
        return logits

    def scores(self, logits: np.ndarray[Any, Any]) -> Floats:
        """Return (n, heads) probabilities for logits; NaN stays NaN."""
        columns = [head.calibration(logits[:, n]) for n, head in enumerate(self.heads)]
        return np.stack(columns, axis=1) if columns else np.empty((len(logits), 0))


class HeadShelf:
    """The heads of one database."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._shelf = ModelShelf(store, SHELF_SPEC)

    def versions(self, policy_id: str | None = None) -> list[Head]:
        """Return all heads, oldest first.

        Args:
            policy_id: only of this policy.
        """
        return self._shelf.versions(policy_id)

    def promoted(self) -> dict[str, Head]:
        """Return the promoted heads, which score, by policy.

        A zero-shot head of another encoder is left out: the next scoring makes a new one from the prompts.

        Raises:
            EncoderMismatchError: a trained head was made for vectors of another encoder.
        """
        spec = self.store.spec
        heads = {
            head.policy_id: head
            for head in self._shelf.in_use()
            if head.kind == "head" or head.fingerprint == spec.fingerprint
        }
        for head in heads.values():
            self._require(head)
        return heads

    def comparable(self) -> dict[str, Head]:
        """Return the promoted heads of the encoder in force, by policy: a new head can be compared with them."""
        fingerprint = self.store.spec.fingerprint
        return {head.policy_id: head for head in self._shelf.in_use() if head.fingerprint == fingerprint}

    def version(self, version: int) -> Head:
        """Return a head by its version.

        Raises:
            SafetyError: there is no such version.
        """
        return self._shelf.get(version)

    def add(self, heads: Sequence[Head]) -> list[Head]:
        """Store heads under the next versions, not promoted; the caller holds the writer lock.

        Returns:
            The heads with their versions.

        Raises:
            EncoderMismatchError: a head was made for vectors of another encoder.
            StoreError: the database cannot be written.
        """
        for head in heads:
            self._require(head)
        return self._shelf.add(heads)

    def promote(self, versions: Sequence[int]) -> None:
        """Put heads into use, each instead of its policy's earlier head; one commit changes all or none.

        Args:
            versions: versions of the heads; at most one of each policy.

        Raises:
            SafetyError: a version does not exist, or two heads are for one policy.
            StoreError: the database cannot be written.
        """
        self._shelf.use(versions)

    def drop(self, policy_ids: Sequence[str]) -> None:
        """Take the heads of these policies out of use; all versions stay stored.

        Raises:
            StoreError: the database cannot be written.
        """
        self._shelf.drop([head.version for head in self._shelf.in_use() if head.policy_id in policy_ids])

    def _require(self, head: Head) -> None:
        if head.fingerprint != self.store.spec.fingerprint:
            raise EncoderMismatchError(
                f"head {head.version or 'new'} of policy {head.policy_id} was made for vectors of another encoder "
                f"({head.fingerprint[:12]}); {self.store.uri} holds vectors of {self.store.spec.name} "
                f"({self.store.spec.fingerprint[:12]}). Train it again here"
            )


def _row(head: Head) -> dict[str, Any]:
    settings = {
        "scales": dict(head.scales),
        "intercepts": dict(head.intercepts),
        "calibration": head.calibration.to_dict(),
        "review": head.review,
        "block": head.block,
        "basis": head.basis,
    }
    coef = head.coef
    if head.cache is not None:
        settings["cache"] = {"values": head.cache.values[:, 0].tolist(), "sharpness": head.cache.sharpness}
        coef = np.concatenate([coef, head.cache.keys.ravel()])
    columns = ("version", "policy_id", "kind", "trained_at", "promoted", "fingerprint")
    return {name: getattr(head, name) for name in columns} | {
        "coef": coef.tolist(),
        "settings": json.dumps(settings),
        "figures": head.figures,
        "seen": list(head.seen),
    }


def _head(row: dict[str, Any]) -> Head:
    settings = json.loads(row["settings"])
    settings["calibration"] = HeadCalibration.from_dict(settings["calibration"])
    coef, cache = np.array(row["coef"], dtype=np.float32), None
    if (stored := settings.pop("cache", None)) is not None:
        values = np.array(stored["values"], dtype=np.float32)[:, None]
        if len(coef) % (len(values) + 1):
            raise StoreError(f"the keys of head {row['version']} are damaged; train it again: firstsight safety train")
        coef, *keys = coef.reshape(len(values) + 1, -1)
        cache = KeyCache(np.stack(keys), values, float(stored["sharpness"]))
    columns = ("version", "policy_id", "kind", "trained_at", "promoted", "fingerprint")
    return Head(
        **{name: row[name] for name in columns},
        coef=coef,
        cache=cache,
        figures=row["figures"],
        seen=tuple(row["seen"]),
        **settings,
    )


SHELF_SPEC = ShelfSpec(
    TABLE,
    SCHEMA,
    flag="promoted",
    slot="policy_id",
    slot_noun="policy",
    noun="head",
    fit_command="firstsight safety train",
    to_row=_row,
    from_row=_head,
    error=SafetyError,
)
