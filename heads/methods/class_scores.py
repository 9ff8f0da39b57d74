"""Scores of vectors for classes, as arrays: a linear part, and a key cache for Tip-Adapter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.errors import StoreError
from firstsight.heads.array_types import Floats
from firstsight.heads.key_cache import KeyCache


@dataclass(frozen=True)
class ClassScores:
    """Logits of vectors: `vectors @ coef.T + intercepts`, and the scores of a cache if there is one."""

    coef: Vectors  # (classes, dim) float32
    intercepts: Floats  # (classes,)
    cache: KeyCache | None = None
    setting: Mapping[str, float] = field(default_factory=dict)  # what the fit chose or learned, for reports

    def logits(self, vectors: Vectors) -> Floats:
        """Compute (n, classes) float64 logits of (n, dim) unit rows."""
        linear = np.asarray(vectors @ self.coef.T, dtype=np.float64) + self.intercepts
        return linear if self.cache is None else linear + self.cache.scores(vectors)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the scores as named arrays of numbers."""
        arrays: dict[str, NDArray[Any]] = {"coef": self.coef, "intercepts": self.intercepts}
        if self.cache is not None:
            arrays |= {"keys": self.cache.keys, "values": self.cache.values}
            arrays["sharpness"] = np.array([self.cache.sharpness])
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ClassScores:
        """Read what `to_arrays` returned.

        Raises:
            StoreError: an array is missing or has a wrong shape, or a value is not a finite number.
        """
        try:
            coef = np.asarray(arrays["coef"], dtype=np.float32)
            intercepts = np.asarray(arrays["intercepts"], dtype=np.float64)
            fits = coef.ndim == 2 and intercepts.shape == coef.shape[:1]
            cache = None
            if "keys" in arrays:
                keys = np.asarray(arrays["keys"], dtype=np.float32)
                values = np.asarray(arrays["values"], dtype=np.float32)
                cache = KeyCache(keys, values, float(np.asarray(arrays["sharpness"]).item()))
                fits &= keys.ndim == 2 and keys.shape[1] == coef.shape[1] and values.shape == (len(keys), len(coef))
                fits &= bool(np.isfinite(keys).all() and np.isfinite(values).all() and cache.sharpness > 0)
            fits &= bool(np.isfinite(coef).all() and np.isfinite(intercepts).all())
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"the arrays of a fit are damaged ({error}); fit it again") from error
        if not fits:
            raise StoreError("the arrays of a fit are damaged (their shapes or values do not fit); fit it again")
        return cls(coef, intercepts, cache)
