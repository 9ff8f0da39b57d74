"""Whether today's scores still come from where a policy's cuts were chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import kolmogorov
from scipy.stats import chi2

from firstsight.errors import SafetyError
from firstsight.safety.intervals import Floats

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


def score_drift(reference: ArrayLike, today: ArrayLike, *, bins: int = BINS) -> Drift:
    """The population stability index over the reference's quantiles, and the Kolmogorov-Smirnov test.

    The index of two samples without drift is about (1/n + 1/m) times a chi-square variable of bins - 1 degrees of
    freedom (Yurdakul and Naranjo, Journal of Risk Model Validation 2020): small samples pass 0.1 by chance, so that the
    verdict asks for both the convention and more than chance. The p of the other test says nothing of size: at a
    million rows every difference is significant, so it is shown and does not decide.

    Args:
        reference: `(n,)` scores that the head was calibrated on, weighted to the real stream by sampling if need be.
        today: `(m,)` scores.
        bins: of equal share in the reference; fewer where its scores are equal.

    Raises:
        SafetyError: a side has no scores, or one that is not finite.
    """
    a, b = np.asarray(reference, np.float64), np.asarray(today, np.float64)
    for name, side in (("reference", a), ("today", b)):
        if len(side) == 0 or not np.isfinite(side).all():
            raise SafetyError(f"scores of {name}: {len(side)}, {int((~np.isfinite(side)).sum())} not finite; give some")
    inner = np.unique(np.quantile(a, np.linspace(0, 1, bins + 1)[1:-1], method="lower"))
    edges = np.concatenate([[-np.inf], np.nextafter(inner, np.inf), [np.inf]])
    seen, now = (np.histogram(side, edges)[0] for side in (a, b))
    # half a row in every bin: an empty one would make the index infinite
    p, q = ((counts + 0.5) / (counts.sum() + len(counts) / 2) for counts in (seen, now))
    psi = float(np.sum((q - p) * np.log(q / p)))
    chance = float((1 / len(a) + 1 / len(b)) * chi2.ppf(1 - RISK, max(len(p) - 1, 1)))
    pooled = np.unique(np.concatenate([a, b]))
    distance = np.abs(
        np.searchsorted(np.sort(a), pooled, side="right") / len(a)
        - np.searchsorted(np.sort(b), pooled, side="right") / len(b)
    ).max()
    verdict: Literal["none", "moderate", "large"] = "none"
    if psi > max(MODERATE, chance):
        verdict = "large" if psi > LARGE else "moderate"
    return Drift(
        psi=psi,
        psi_by_chance=chance,
        ks=float(distance),
        ks_p=float(kolmogorov(distance * np.sqrt(len(a) * len(b) / (len(a) + len(b))))),
        verdict=verdict,
        edges=edges,
        reference=seen / len(a),
        today=now / len(b),
    )
