"""Drift: the distance between current scores and the scores on which the cuts were chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import kolmogorov
from scipy.stats import chi2

from firstsight.errors import SafetyError
from firstsight.heads.array_types import Floats
from firstsight.records import Record

MODERATE, LARGE = 0.1, 0.25
"""Bounds of the stability index, by the convention of credit scoring."""

BINS = 10

RISK = 0.01
"""Probability that scores without drift are reported as moderate."""


@dataclass(frozen=True)
class Drift(Record):
    """Distance between current scores and reference scores."""

    psi: float  # population stability index, 0 or more
    psi_by_chance: float  # index that samples of these sizes reach without drift in one of a hundred cases
    ks: float  # largest distance between the two cumulative shares, 0 to 1
    ks_p: float  # from the limit for large samples; too high for small or tied samples, never too low
    verdict: Literal["none", "moderate", "large"]
    edges: Floats  # of the bins; the outermost are infinite
    reference: Floats  # share of the reference scores in each bin
    today: Floats  # share of the current scores in each bin


def score_drift(reference: ArrayLike, today: ArrayLike, *, weights: ArrayLike | None = None, bins: int = BINS) -> Drift:
    """Compute the population stability index over the reference's quantiles, and the Kolmogorov-Smirnov test.

    Without drift, the index of two samples is about (1/n + 1/m) times a chi-square variable with bins - 1 degrees of
    freedom (Yurdakul and Naranjo, Journal of Risk Model Validation 2020). Small samples exceed 0.1 by chance, so the
    verdict needs an index above both the convention and chance. The p of the Kolmogorov-Smirnov test does not measure
    the size of a difference: at a million rows every difference is significant. It is shown but does not decide.

    Args:
        reference: (n,) scores that the head was calibrated on.
        today: (m,) current scores.
        weights: (n,) number of stream rows that each reference row represents, for example after sampling of negatives;
            all 1 by default.
        bins: number of bins with equal shares of the reference; fewer if many of its scores are equal.

    Raises:
        SafetyError: a side has no scores or a score that is not finite, or the weights do not match the reference.
    """
    a, b = np.asarray(reference, np.float64), np.asarray(today, np.float64)
    for name, side in (("reference", a), ("today", b)):
        infinite = int((~np.isfinite(side)).sum())
        if len(side) == 0 or infinite:
            raise SafetyError(f"scores of {name}: {len(side)}, {infinite} not finite; give finite scores")
    w = np.ones(len(a)) if weights is None else np.asarray(weights, np.float64)
    if len(w) != len(a) or not (np.isfinite(w) & (w > 0)).all():
        raise SafetyError(f"{len(w)} weights for {len(a)} reference scores; give one above 0 for each")
    order = np.argsort(a, kind="stable")
    a, w = a[order], w[order]
    mass = np.cumsum(w) / w.sum()
    effective = float(w.sum() ** 2 / np.sum(w**2))  # Kish (1965): as many rows of equal weight
    shares = np.linspace(0, 1, bins + 1)[1:-1]
    inner = np.unique(a[np.minimum(np.searchsorted(mass, shares - 1e-12), len(a) - 1)])
    edges = np.concatenate([[-np.inf], np.nextafter(inner, np.inf), [np.inf]])
    seen, now = np.histogram(a, edges, weights=w)[0] / w.sum() * effective, np.histogram(b, edges)[0]
    # add half a row to every bin: an empty bin would make the index infinite
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
