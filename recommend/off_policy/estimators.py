"""Estimates of a policy's value from slates of another policy, with errors over users.

The value is the expected number of responses to a slate: the sum of the rewards of its slots. The reward of a slot
depends on the user, the slot and its item, not on the other items of the slate (the item-position model of Li et al.,
"Offline evaluation of ranking policies with click models", KDD 2018). Slots are weighted one by one: a weight for whole
slates would be the product of all slots' weights (compare Swaminathan et al., "Off-policy evaluation for slate
recommendation", NeurIPS 2017).

- IPS: the mean over slates of the sum of w * r, with w = P_target(item in slot) / P_logged(item in slot).
- SNIPS: sum of w * r over sum of w, times the mean number of slots. Swaminathan and Joachims, "The self-normalized
  estimator for counterfactual learning", NeurIPS 2015.
- DR: IPS of r - q, plus the expectation of q under the target, where q is a model of the reward that was fitted to
  other users. Dudik, Langford and Li, "Doubly robust policy evaluation and learning", ICML 2011.

Errors are those of sums over users (the sandwich estimate). Responses with small propensities are few and have large
weights: a log without such a response would seem exact. Since every propensity of the target's items is known, also of
those that the log did not happen to show, the variance is also computed from the reward model, as the sum of
P_target² * q / P_logged, and the larger of the two counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from firstsight.records import Record

Estimator = Literal["mean", "ips", "snips", "dr"]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class PolicyEstimate(Record):
    """An estimate of the expected number of responses to a slate.

    Attributes:
        estimator: "mean" of the policy that made the slates, "ips", "snips" or "dr".
        value: responses per slate.
        standard_error: of the value, over users; NaN for a single user.
        low, high: ends of the 95 % interval, by Student's t with the number of users less one.
        effective_sample_size: (sum of weights)² / (sum of squared weights) over slots: slots of the target policy that
            would tell as much.
        n: number of slates.
    """

    estimator: Estimator
    value: float
    standard_error: float
    low: float
    high: float
    effective_sample_size: float
    n: int


def estimate(
    estimator: Estimator,
    influence: NDArray[np.float64],
    value: float,
    users: NDArray[np.int64],
    effective: float,
    least_variance: float = 0.0,
) -> PolicyEstimate:
    """Make an estimate from the influence of each slate.

    Args:
        estimator: its name.
        influence: (slates,) deviation that each slate adds, with mean 0.
        value: responses per slate.
        users: (slates,) number of each slate's user: slates of a user are not independent.
        effective: effective sample size.
        least_variance: variance of the value by the reward model; the larger variance counts.
    """
    n = len(influence)
    sums = np.bincount(users, weights=influence)
    groups = len(np.unique(users))
    variance = max(groups / max(groups - 1, 1) * float((sums**2).sum()) / n**2, least_variance)
    error = float(np.sqrt(variance)) if groups > 1 else float("nan")
    wide = float(student.ppf(0.5 + CONFIDENCE / 2, groups - 1)) * error if groups > 1 else float("nan")
    return PolicyEstimate(estimator, value, error, value - wide, value + wide, effective, n)


def effective_sample_size(weights: NDArray[np.float64]) -> float:
    """(sum of weights)² / (sum of squared weights); 0 without weights."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0
