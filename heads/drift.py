"""Whether today's scores still come from where a policy's cuts were chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import kolmogorov
from scipy.stats import chi2

from firstsight.errors import SafetyError
from firstsight.heads.array_types import Floats

MODERATE, LARGE = 0.1, 0.25
"""Of the stability index, by the convention of credit scoring."""

BINS = 10

RISK = 0.01
"""Chance that scores which did not drift pass as moderate."""


@dataclass(frozen=True)
class Drift:
    """How far today's scores lie from those of reference."""

    psi: float  # population stability index, 0 and up
    psi_by_chance: float  # what samples of these sizes reach in one of a hundred cases without any drift
    ks: float  # largest distance between the two cumulative shares, 0 to 1
    ks_p: float  # by the limit for large samples; of small or tied ones it is too high, never too low
    verdict: Literal["none", "moderate", "large"]
    edges: Floats  # of the bins, the outermost infinite
    reference: Floats  # share in each bin
    today: Floats


def score_drift(reference: ArrayLike, today: ArrayLike, *, weights: ArrayLike | None = None, bins: int = BINS) -> Drift:
    """The population stability index over the reference's quantiles, and the Kolmogorov-Smirnov test.

    The index of two samples without drift is about (1/n + 1/m) times a chi-square variable of bins - 1 degrees of
    freedom (Yurdakul and Naranjo, Journal of Risk Model Validation 2020): small samples pass 0.1 by chance, so that the
    verdict asks for both the convention and more than chance. The p of the other test says nothing of size: at a
    million rows every difference is significant, so it is shown and does not decide.

    Args:
        reference: `(n,)` scores that the head was calibrated on.
        today: `(m,)` scores.
        weights: `(n,)`, how many rows of the stream a row of reference stands for, as when negatives were sampled.
        bins: of equal share in the reference; fewer where its scores are equal.

    Raises:
        SafetyError: a side has no scores, or one that is not finite, or weights that do not fit.
    """
    a, b = np.asarray(reference, np.float64), np.asarray(today, np.float64)
    for name, side in (("reference", a), ("today", b)):
        if len(side) == 0 or not np.isfinite(side).all():
            raise SafetyError(f"scores of {name}: {len(side)}, {int((~np.isfinite(side)).sum())} not finite; give some")
    w = np.ones(len(a)) if weights is None else np.asarray(weights, np.float64)
    if len(w) != len(a) or not (np.isfinite(w) & (w > 0)).all():
        raise SafetyError(f"{len(w)} weights stand beside {len(a)} scores of reference: give one above 0 to each")
    order = np.argsort(a, kind="stable")
    a, w = a[order], w[order]
    mass = np.cumsum(w) / w.sum()
    effective = float(w.sum() ** 2 / np.sum(w**2))  # rows of even weight that would say as much (Kish 1965)
    wanted = np.linspace(0, 1, bins + 1)[1:-1]
    inner = np.unique(a[np.minimum(np.searchsorted(mass, wanted - 1e-12), len(a) - 1)])
    edges = np.concatenate([[-np.inf], np.nextafter(inner, np.inf), [np.inf]])
    seen, now = np.histogram(a, edges, weights=w)[0] / w.sum() * effective, np.histogram(b, edges)[0]
    # half a row in every bin: an empty one would make the index infinite
    p, q = ((counts + 0.5) / (counts.sum() + len(counts) / 2) for counts in (seen, now))
    psi = float(np.sum((q - p) * np.log(q / p)))
    chance = float((1 / effective + 1 / len(b)) * chi2.ppf(1 - RISK, max(len(p) - 1, 1)))
    pooled = np.unique(np.concatenate([a, b]))
    below = np.concatenate([[0.0], mass])[np.searchsorted(a, pooled, side="right")]
    distance = np.abs(below - np.searchsorted(np.sort(b), pooled, side="right") / len(b)).max()
    verdict: Literal["none", "moderate", "large"] = "none"
    if psi > max(MODERATE, chance):
        verdict = "large" if psi > LARGE else "moderate"
    return Drift(
        psi=psi,
        psi_by_chance=chance,
        ks=float(distance),
        ks_p=float(kolmogorov(distance * np.sqrt(effective * len(b) / (effective + len(b))))),
        verdict=verdict,
        edges=edges,
        reference=seen / effective,
        today=now / len(b),
    )
