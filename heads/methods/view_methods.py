"""The methods for heads of one policy, whose units have several views.

"linear" and "prompt-offset" are the regressions of `heads.fitting`. "tip-adapter" scores a view by the prompts and by
its nearness to labelled views; "coop" learns the context of the policy's prompts. The logit of a unit is that of its
highest view in all of them, in training too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from firstsight.encoders.base import Vector
from firstsight.errors import SafetyError
from firstsight.heads.array_types import Floats, Indices
from firstsight.heads.fitting import (
    Fit,
    Recipe,
    RegressionRecipe,
    TrainingSet,
    balanced_loss,
    balanced_weights,
    best_linear,
    cross_validated_logits,
    fit_best,
)
from firstsight.heads.key_cache import KeyCache
from firstsight.heads.methods.learned_context import ContextSettings, LearnedContext
from firstsight.heads.methods.text_tower import TextTower
from firstsight.heads.methods.tip_adapter import ALPHAS, MAX_KEYS, PROMPT_SPREAD, SHARPNESSES
from firstsight.storage.tables import HEAD_PARTS


@dataclass(frozen=True)
class PolicyPrompts:
    """The prompts of a policy."""

    direction: Vector  # (dim,) mean vector of the prompts minus that of the neutral prompts
    texts: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())  # neutral prompts and prompts, for "coop"
    tower: TextTower | None = None  # of the encoder, for "coop"


def fit_method(
    data: TrainingSet,
    means: Mapping[str, Vector],
    prompts: PolicyPrompts | None,
    folds: Sequence[Indices],
    method: str = "auto",
) -> Fit:
    """Fit a head with a method, its settings chosen by cross-validation.

    "auto" takes "linear", or "prompt-offset" if the prompts save 1 % of the loss; then "tip-adapter" only if its
    loss is lower by more than one standard error. It does not try "coop", whose fits take seconds each.

    Args:
        data: labelled units of both classes.
        means: (dim,) mean vector of each part in the catalogue.
        prompts: of the policy; None without prompts.
        folds: from `make_folds`; without folds, default settings are used.
        method: one of `class_fit.METHODS`.

    Raises:
        SafetyError: the method needs prompts, and there are none.
        EncoderError: "coop" without a text tower, or its training fails.
    """
    direction = None if prompts is None else prompts.direction
    if method in ("prompt-offset", "tip-adapter", "coop") and direction is None:
        raise SafetyError(f"the method {method} needs prompts, and the policy has none; add prompts, or use linear")
    if method == "auto":
        return _automatic(data, means, direction, folds)
    if method in ("linear", "prompt-offset"):
        option = None if method == "linear" else direction
        recipe: Recipe = best_linear(data, means, [option], folds) if folds else RegressionRecipe(direction=option)
    elif method == "tip-adapter":
        assert direction is not None
        recipe = _best_cache(data, means, direction, folds)[0] if folds else ViewCacheRecipe(direction)
    else:
        assert prompts is not None
        recipe = ViewContextRecipe(prompts)
    return _with_reason(recipe.fit(data, means), f"{method}: as requested")


def _automatic(
    data: TrainingSet, means: Mapping[str, Vector], direction: Vector | None, folds: Sequence[Indices]
) -> Fit:
    fit = fit_best(data, means, direction, folds=folds)
    if not folds:
        return _with_reason(fit, f"{fit.method}: a class has one group of labels, so no method could be compared")
    logits = cross_validated_logits(data, means, fit.recipe, folds)
    loss = balanced_loss(logits, data)
    listed = f"{fit.method} {loss:.3f}"
    if direction is None:
        return _with_reason(fit, f"{fit.method}: the policy has no prompts; log loss in cross-validation: {listed}")
    recipe, cache_logits = _best_cache(data, means, direction, folds)
    listed += f", tip-adapter {balanced_loss(cache_logits, data):.3f}"
    gain, error = _gain(logits, cache_logits, data)
    if gain > error:
        why = f"its log loss is lower by {gain:.3f}, above one standard error ({error:.3f})"
        return _with_reason(recipe.fit(data, means), f"tip-adapter: {why}; in cross-validation: {listed}")
    return _with_reason(
        fit, f"{fit.method}: lowest log loss in cross-validation, or within one standard error: {listed}"
    )


def _with_reason(fit: Fit, reason: str) -> Fit:
    return Fit(**(vars(fit) | {"reason": reason}))


def _gain(first: Floats, second: Floats, data: TrainingSet) -> tuple[float, float]:
    """How much lower the second loss is, and the standard error of that, with groups as the independent units."""
    signs = np.where(data.labels == 1, 1.0, -1.0)
    weights = balanced_weights(data)
    differences = np.logaddexp(0, -signs * first) - np.logaddexp(0, -signs * second)
    mean = float(np.sum(differences * weights))
    _, groups = np.unique(data.groups.astype(str), return_inverse=True)
    sums = np.bincount(groups, (differences - mean) * weights)
    return mean, float(np.sqrt(np.sum(sums**2)))


def _best_cache(
    data: TrainingSet, means: Mapping[str, Vector], direction: Vector, folds: Sequence[Indices]
) -> tuple[ViewCacheRecipe, Floats]:
    """Alpha and beta of the lowest loss in cross-validation, and the logits behind it."""
    tried = []
    for sharpness in SHARPNESSES:
        for alpha in ALPHAS:
            recipe = ViewCacheRecipe(direction, alpha, sharpness)
            tried.append((recipe, cross_validated_logits(data, means, recipe, folds)))
    return min(tried, key=lambda pair: balanced_loss(pair[1], data))


@dataclass(frozen=True)
class ViewCacheRecipe:
    """Tip-Adapter for views: labelled views are keys, with positive and negative values.

    Args:
        direction: (dim,) prompt direction.
        alpha: weight of the cache.
        sharpness: the paper's beta.
    """

    direction: Vector
    alpha: float = 10.0
    sharpness: float = 5.5

    def fit(self, data: TrainingSet, means: Mapping[str, Vector]) -> Fit:
        """Store the labelled views as keys; of a positive unit, those that the prompts find most."""
        coef, intercepts = _scaled(self.direction, data, means)
        products = data.vectors @ self.direction
        positive = data.labels[data.units] == 1
        # only some views of a positive unit may show the reason for its label
        kept = np.flatnonzero(~positive | (products >= data.unit_maxima(products)[data.units] - 1e-6))
        if len(kept) > MAX_KEYS:
            order = np.random.default_rng(0).permutation(kept)
            kept = np.sort(order[np.argsort(~positive[order], kind="stable")[:MAX_KEYS]])
        sizes = np.bincount(data.units[kept], minlength=len(data.labels))
        # the values of a class sum to alpha, and those of a unit do not grow with its views
        weights = (2 * balanced_weights(data) / np.maximum(sizes, 1))[data.units[kept]]
        values = np.where(positive[kept], 1.0, -1.0) * weights * self.alpha
        cache = KeyCache(data.vectors[kept], values.astype(np.float32)[:, None], self.sharpness)
        setting = {"alpha": self.alpha, "beta": self.sharpness, "keys": float(len(kept))}
        return Fit(coef, intercepts, self, "tip-adapter", setting, cache)


@dataclass(frozen=True)
class ViewContextRecipe:
    """CoOp for views: one context for the prompts and the neutral prompts of a policy.

    Args:
        prompts: with texts and a text tower.
        settings: of the training.
    """

    prompts: PolicyPrompts
    settings: ContextSettings = field(default_factory=ContextSettings)

    def fit(self, data: TrainingSet, means: Mapping[str, Vector]) -> Fit:
        """Learn the context from the units, and keep the direction between both sides.

        Raises:
            SafetyError: there is no text tower, or there are no texts.
            EncoderError: the loss is not finite.
        """
        import torch
        from torch.nn import functional

        if self.prompts.tower is None:
            raise SafetyError("the method coop needs an encoder with a text tower in torch; use prompt-offset")
        context = LearnedContext(self.prompts.tower, self.prompts.texts, self.settings)
        stacked = np.stack([means[part] for part in HEAD_PARTS])
        vectors = torch.from_numpy(np.ascontiguousarray(data.vectors - stacked[data.parts], dtype=np.float32))
        units = torch.from_numpy(np.ascontiguousarray(data.units))
        signs = torch.from_numpy(np.where(data.labels == 1, 1.0, -1.0).astype(np.float32))
        weights = torch.from_numpy(balanced_weights(data).astype(np.float32))
        written = torch.from_numpy(np.ascontiguousarray(self.prompts.direction, dtype=np.float32))
        scale = float(np.linalg.norm(_scaled(self.prompts.direction, data, means)[0]) / torch.linalg.norm(written))

        def loss(rows: torch.Tensor) -> torch.Tensor:
            direction = rows[1] - rows[0]
            lowest = torch.full((len(signs),), -torch.inf)
            logits = lowest.scatter_reduce(0, units, scale * (vectors @ direction), "amax")
            fit = torch.sum(weights * functional.softplus(-signs * logits))
            return fit + self.settings.keep * torch.sum((direction - written) ** 2)

        context.train(loss)
        with torch.no_grad():
            rows = context.class_vectors().numpy()
        coef = np.asarray(scale * (rows[1] - rows[0]), dtype=np.float32)
        intercepts = {part: -float(means[part] @ coef) for part in HEAD_PARTS}
        setting = {"context_tokens": float(context.tokens), "steps": float(self.settings.steps)}
        return Fit(coef, intercepts, self, "coop", setting | {"keep": self.settings.keep})


def _scaled(direction: Vector, data: TrainingSet, means: Mapping[str, Vector]) -> tuple[Vector, dict[str, float]]:
    """The prompt direction, scaled to logits of the spread `PROMPT_SPREAD`, and the intercepts of the parts."""
    stacked = np.stack([means[part] for part in HEAD_PARTS])
    products = (data.vectors - stacked[data.parts]) @ direction
    spread = max(float(products.std()), 1e-6)
    coef = np.asarray(PROMPT_SPREAD / spread * direction, dtype=np.float32)
    return coef, {part: -float(means[part] @ coef) for part in HEAD_PARTS}
