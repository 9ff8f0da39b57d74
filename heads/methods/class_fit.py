"""Fits of classes: a method, its settings and a temperature, all chosen by cross-validation over groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Vectors
from firstsight.errors import SafetyError, StoreError
from firstsight.heads.array_types import Floats, Indices
from firstsight.heads.methods.class_scores import ClassScores
from firstsight.heads.methods.class_shots import ClassShots, make_class_folds
from firstsight.heads.methods.learned_context import ContextRecipe, ContextSettings
from firstsight.heads.methods.linear_fit import C_GRID, PROMPT_SCALES, LinearRecipe, prompt_logits
from firstsight.heads.methods.temperature import calibrate_temperature, fit_temperature, probabilities, row_losses
from firstsight.heads.methods.text_tower import TextTower
from firstsight.heads.methods.tip_adapter import ALPHAS, SHARPNESSES, TipAdapterRecipe
from firstsight.threads import single_threaded_blas

__all__ = ["METHODS", "ClassFit", "ClassShots", "fit_classes"]

METHODS: Final = ("auto", "linear", "prompt-offset", "tip-adapter", "coop")

_LARGE = 2_000
"""Number of shots above which fewer settings are tried: they differ little, and each fit takes seconds."""


class _Recipe(Protocol):
    def fit(self, shots: ClassShots) -> ClassScores: ...


@dataclass(frozen=True)
class ClassFit:
    """A calibrated fit of classes."""

    method: str  # one of `METHODS`, but "auto"
    reason: str  # why this method, with figures
    classes: tuple[str, ...]
    scores: ClassScores
    temperature: float  # divides the logits
    held_out: Floats  # (n, classes) probabilities of the shots, by fits without their group; (0, classes) after loading
    figures: Mapping[str, Any]  # plain JSON values

    def probabilities(self, vectors: Vectors) -> Floats:
        """Compute calibrated probabilities.

        Args:
            vectors: (m, dim) float32, unit rows.

        Returns:
            (m, classes) float64; each row sums to 1.
        """
        return probabilities(self.scores.logits(vectors), self.temperature)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the fit as named arrays of numbers; `to_meta` has the rest."""
        return self.scores.to_arrays() | {"temperature": np.array([self.temperature])}

    def to_meta(self) -> dict[str, Any]:
        """Return the names and figures of the fit as plain JSON values."""
        return {
            "method": self.method,
            "reason": self.reason,
            "classes": list(self.classes),
            "figures": dict(self.figures),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> ClassFit:
        """Read a fit.

        Args:
            arrays: from `to_arrays`.
            meta: from `to_meta`.

        Raises:
            StoreError: an array or a name is missing or damaged.
        """
        scores = ClassScores.from_arrays(arrays)
        try:
            temperature = float(np.asarray(arrays["temperature"]).item())
            method, reason, figures = str(meta["method"]), str(meta["reason"]), dict(meta["figures"])
            classes = tuple(str(name) for name in meta["classes"])
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"the description of a fit is damaged ({error}); fit it again") from error
        if len(classes) != len(scores.coef) or not (np.isfinite(temperature) and temperature > 0):
            raise StoreError(
                f"a fit of {len(scores.coef)} classes has {len(classes)} names and the temperature {temperature:g}; "
                "fit it again"
            )
        return cls(method, reason, classes, scores, temperature, np.empty((0, len(classes))), figures)


@dataclass(frozen=True)
class _Tried:
    """A method with its best settings, and its logits of shots that the fits did not see."""

    method: str
    recipe: _Recipe
    logits: Floats  # (n, classes)
    temperature: float
    losses: Floats  # (n,)


def fit_classes(
    shots: ClassShots,
    method: str = "auto",
    *,
    text_tower: TextTower | None = None,
    texts: Sequence[Sequence[str]] | None = None,
    context: ContextSettings | None = None,
    seed: int = 0,
) -> ClassFit:
    """Fit classes from labelled vectors and the prompts of the classes.

    "auto" compares the methods by their logarithmic loss in cross-validation over groups. It starts from
    "prompt-offset" ("linear" without prompts), and takes another method only if the mean difference is above one
    standard error. It tries "coop" only with a text tower, because each of its fits takes seconds.

    Args:
        shots: the labels; their prompts are an offset of "prompt-offset", and a start of "tip-adapter" and "coop".
        method: one of `METHODS`.
        text_tower: of the encoder, for "coop".
        texts: one or more texts for each class that "coop" writes behind its context; by default the classes' names.
        context: settings of "coop"; the defaults if None.
        seed: random seed of the folds.

    Returns:
        The fit. If no class has two groups, nothing can be held out: the temperature is 1.0, `held_out` is uniform, and
        `figures["calibrated"]` is false.

    Raises:
        SafetyError: the method is unknown or lacks prompts or a text tower, the shots have one class only, or `texts`
            do not fit the classes.
        EncoderError: the text tower fails, or "coop" does not converge.
    """
    if len(shots.labelled) < 2:
        only = shots.classes[int(shots.labelled[0])]
        raise SafetyError(f"all {len(shots.labels)} labels are of the class {only!r}; label items of another class too")
    if texts is not None and len(texts) != len(shots.classes):
        raise SafetyError(f"texts has {len(texts)} entries for {len(shots.classes)} classes; give one for each class")
    recipes = _recipes(shots, method, text_tower, texts, context or ContextSettings(), seed)
    with single_threaded_blas():
        return _fit(shots, method, recipes, seed)


def _fit(shots: ClassShots, method: str, recipes: Mapping[str, Sequence[_Recipe]], seed: int) -> ClassFit:
    folds = make_class_folds(shots, seed=seed)
    if not folds:
        name = method if method != "auto" else "linear" if shots.prompts is None else "prompt-offset"
        scores = _default(recipes, name).fit(shots)
        reason = f"{name}: no class has two groups of labels, so no method could be compared; label more items"
        uniform = np.full((len(shots.labels), len(shots.classes)), 1 / len(shots.classes))
        figures = {"calibrated": False, "folds": 0, **_counts(shots), "setting": dict(scores.setting)}
        return ClassFit(name, reason, shots.classes, scores, 1.0, uniform, figures)
    tried = [_try_settings(shots, folds, name, several) for name, several in recipes.items()]
    chosen, reason = _choose(tried, shots, len(folds))
    scores = chosen.recipe.fit(shots)
    held_out = probabilities(chosen.logits, chosen.temperature)
    accuracy = {each.method: class_accuracy(each.logits, shots) for each in tried}
    if shots.prompts is not None:
        accuracy["prompts"] = class_accuracy(prompt_logits(shots, shots.mean)[0], shots)
    figures = {
        "calibrated": True,
        "folds": len(folds),
        **_counts(shots),
        "log_loss": {each.method: _mean(each.losses, shots) for each in tried},
        "accuracy": accuracy,
        "setting": dict(scores.setting),
    }
    return ClassFit(chosen.method, reason, shots.classes, scores, chosen.temperature, held_out, figures)


def class_accuracy(logits: Floats, shots: ClassShots) -> float:
    """Compute the mean over the labelled classes of the share of their shots whose highest logit is right, 0 to 1."""
    right = (logits.argmax(axis=1) == shots.labels).astype(np.float64)
    of_class = [shots.labels == place for place in shots.labelled]
    return float(np.mean([np.average(right[rows], weights=shots.weights[rows]) for rows in of_class]))


def _recipes(
    shots: ClassShots,
    method: str,
    text_tower: TextTower | None,
    texts: Sequence[Sequence[str]] | None,
    context: ContextSettings,
    seed: int,
) -> dict[str, list[_Recipe]]:
    """Settings to try for each method that the request and the shots allow; the preferred method comes first."""
    if method not in METHODS:
        raise SafetyError(f"no method is called {method!r}; there are {', '.join(METHODS)}")
    if method == "prompt-offset" and shots.prompts is None:
        raise SafetyError("the method prompt-offset needs prompts of the classes; give prompts, or use linear")
    if method == "coop" and text_tower is None:
        raise SafetyError("the method coop needs an encoder with a text tower in torch; use prompt-offset")
    strengths = C_GRID if len(shots.labels) <= _LARGE else C_GRID[1::2]
    known: dict[str, list[_Recipe]] = {}
    if shots.prompts is not None:
        known["prompt-offset"] = [LinearRecipe(c, scale) for scale in PROMPT_SCALES for c in strengths]
    known["linear"] = [LinearRecipe(c, None) for c in strengths]
    known["tip-adapter"] = [TipAdapterRecipe(alpha, beta, seed) for beta in SHARPNESSES for alpha in ALPHAS]
    if text_tower is not None:
        named = tuple((name,) for name in shots.classes) if texts is None else tuple(map(tuple, texts))
        known["coop"] = [ContextRecipe(text_tower, named, context)]
    if method != "auto":
        return {method: known[method]}
    if shots.prompts is None:
        del known["tip-adapter"]  # it starts from prompts
    return known


def _default(recipes: Mapping[str, Sequence[_Recipe]], method: str) -> _Recipe:
    """The setting of a method that nothing can be held out to choose."""
    defaults: dict[str, _Recipe] = {
        "prompt-offset": LinearRecipe(),
        "linear": LinearRecipe(prompt_scale=None),
        "tip-adapter": TipAdapterRecipe(),
    }
    return defaults.get(method, recipes[method][0])


def _try_settings(shots: ClassShots, folds: Sequence[Indices], method: str, recipes: Sequence[_Recipe]) -> _Tried:
    """Cross-validate the settings of a method, and keep the best."""
    everything = np.arange(len(shots.labels))
    splits = [(shots.select(np.setdiff1d(everything, fold)), fold) for fold in folds]
    # a label whose class is in no other fold tells nothing about calibration
    usable = np.zeros(len(shots.labels), dtype=np.bool_)
    for kept, fold in splits:
        usable[fold] = np.isin(shots.labels[fold], kept.labelled)
    best: _Tried | None = None
    for recipe in recipes:
        logits = np.empty((len(shots.labels), len(shots.classes)))
        for kept, fold in splits:
            logits[fold] = recipe.fit(kept).logits(shots.vectors[fold])
        temperature = fit_temperature(logits[usable], shots.labels[usable], shots.weights[usable])
        losses = row_losses(logits, shots.labels, temperature)
        if best is None or _mean(losses, shots) < _mean(best.losses, shots):
            best = _Tried(method, recipe, logits, temperature, losses)
    assert best is not None
    labels, weights = shots.labels[usable], shots.weights[usable]
    return replace(best, temperature=calibrate_temperature(best.logits[usable], labels, weights))


def _choose(tried: Sequence[_Tried], shots: ClassShots, folds: int) -> tuple[_Tried, str]:
    """Take the first method, or the best of those that beat it by more than one standard error."""
    first = tried[0]
    measured = f"in cross-validation ({folds} folds, {len(shots.labels)} labels)"
    if len(tried) == 1:
        return first, f"{first.method}: as requested; log loss {_mean(first.losses, shots):.3f} {measured}"
    gains = {each.method: _gain(first.losses - each.losses, shots) for each in tried[1:]}
    better = [each for each in tried[1:] if gains[each.method][0] > gains[each.method][1]]
    chosen = min(better, key=lambda each: _mean(each.losses, shots)) if better else first
    listed = ", ".join(f"{each.method} {_mean(each.losses, shots):.3f}" for each in tried)
    if better:
        gain, error = gains[chosen.method]
        why = f"its log loss is lower than that of {first.method} by {gain:.3f}, above one standard error ({error:.3f})"
    else:
        why = "no other method has a log loss lower by more than one standard error"
    return chosen, f"{chosen.method}: {why}; log loss {measured}: {listed}"


def _gain(differences: Floats, shots: ClassShots) -> tuple[float, float]:
    """Mean difference and its standard error, with groups as the independent units."""
    _, groups = np.unique(shots.groups.astype(str), return_inverse=True)
    mean = _mean(differences, shots)
    sums = np.bincount(groups, (differences - mean) * shots.weights)
    return mean, float(np.sqrt(np.sum(sums**2)) / shots.weights.sum())


def _mean(losses: Floats, shots: ClassShots) -> float:
    return float(np.average(losses, weights=shots.weights))


def _counts(shots: ClassShots) -> dict[str, int]:
    return {"labels": len(shots.labels), "groups": len(set(shots.groups)), "classes": len(shots.labelled)}
