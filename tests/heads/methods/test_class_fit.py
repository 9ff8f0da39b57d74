"""Fits of classes on generated vectors: settings, calibration, groups, storage, and refused input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from firstsight.encoders.base import unit
from firstsight.errors import SafetyError, StoreError
from firstsight.heads.methods.class_fit import METHODS, ClassFit, ClassShots, fit_classes
from firstsight.heads.methods.class_shots import make_class_folds
from firstsight.heads.methods.linear_fit import LinearRecipe
from firstsight.heads.methods.temperature import fit_temperature, probabilities
from firstsight.heads.methods.tip_adapter import MAX_KEYS, TipAdapterRecipe

DIM = 24
CLASSES = ("bags", "shoes", "tees")
TRAINED = [method for method in METHODS if method not in ("auto", "coop")]


def make_shots(per_class: int, *, noise: float = 0.8, prompts: float | None = 0.3, seed: int = 0) -> ClassShots:
    """Vectors around one centre for each class, two in a group; prompts at a distance from the centres."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(len(CLASSES), DIM))
    labels = np.repeat(np.arange(len(CLASSES)), per_class)
    vectors = unit((centres[labels] + noise * rng.normal(size=(len(labels), DIM))).astype(np.float32))
    shift = np.random.default_rng(8).normal(size=centres.shape)
    written = None if prompts is None else unit((centres + prompts * shift).astype(np.float32))
    groups = np.array([f"g{n // 2}" if per_class > 1 else f"g{n}" for n in range(len(labels))], dtype=object)
    return ClassShots(vectors, labels, CLASSES, np.ones(len(labels)), groups, written)


@pytest.mark.parametrize("method", TRAINED)
def test_each_method_separates_classes_and_is_stored_as_arrays(method: str, tmp_path: Path) -> None:
    shots, fresh = make_shots(10), make_shots(40, seed=1)
    fit = fit_classes(shots, method)
    assert (fit.method, fit.figures["labels"], fit.held_out.shape) == (method, 30, (30, 3))
    given = fit.probabilities(fresh.vectors)
    np.testing.assert_allclose(given.sum(axis=1), 1)
    assert np.mean(given.argmax(axis=1) == fresh.labels) > 0.95
    np.savez(tmp_path / "fit.npz", allow_pickle=False, **fit.to_arrays())
    with np.load(tmp_path / "fit.npz", allow_pickle=False) as arrays:
        read = ClassFit.from_arrays(arrays, fit.to_meta())
    np.testing.assert_allclose(read.probabilities(fresh.vectors), given, atol=1e-6)
    assert (read.method, read.reason, read.figures) == (fit.method, fit.reason, fit.figures)


@pytest.mark.parametrize("method", TRAINED)
def test_one_label_of_each_class_is_enough_but_uncalibrated(method: str) -> None:
    fit = fit_classes(make_shots(1, noise=0.3), method)
    fresh = make_shots(20, noise=0.3, seed=1)
    assert not fit.figures["calibrated"]
    assert np.all(fit.held_out == 1 / 3)
    assert np.mean(fit.probabilities(fresh.vectors).argmax(axis=1) == fresh.labels) > 0.9


def test_auto_prefers_the_prompts_offset_and_says_why() -> None:
    few = fit_classes(make_shots(1), "auto")
    assert few.method == "prompt-offset"
    assert "no class has two groups" in few.reason
    assert fit_classes(make_shots(1, prompts=None), "auto").method == "linear"
    fit = fit_classes(make_shots(6), "auto")
    assert fit.reason.startswith(f"{fit.method}: ")
    assert all(f"{method} {fit.figures['log_loss'][method]:.3f}" in fit.reason for method in TRAINED)


def test_misleading_prompts_lose_against_the_labels() -> None:
    shots = make_shots(20)
    assert shots.prompts is not None
    fit = fit_classes(replace(shots, prompts=shots.prompts[[1, 2, 0]]), "auto")
    fresh = make_shots(40, seed=1)
    assert np.mean(fit.probabilities(fresh.vectors).argmax(axis=1) == fresh.labels) > 0.95


def test_a_class_without_labels_is_found_by_its_prompt() -> None:
    shots = make_shots(10, prompts=0.1)
    fit = fit_classes(shots.select(np.flatnonzero(shots.labels != 2)), "prompt-offset")
    fresh = make_shots(40, seed=1)
    unseen = fresh.labels == 2
    assert np.mean(fit.probabilities(fresh.vectors)[unseen].argmax(axis=1) == 2) > 0.6
    without = fit_classes(shots.select(np.flatnonzero(shots.labels != 2)), "linear")
    assert without.probabilities(fresh.vectors)[:, 2].max() < 0.1


def test_held_out_probabilities_are_calibrated() -> None:
    fit = fit_classes(make_shots(100, noise=2.2), "linear")
    shots = make_shots(2_000, noise=2.2, seed=1)
    for given, labels in (
        (fit.held_out, make_shots(100, noise=2.2).labels),
        (fit.probabilities(shots.vectors), shots.labels),
    ):
        right = given.argmax(axis=1) == labels
        assert abs(right.mean() - given.max(axis=1).mean()) < 0.05


def test_groups_stay_in_one_fold() -> None:
    shots = make_shots(9)
    folds = make_class_folds(shots)
    assert sorted(np.concatenate(folds).tolist()) == list(range(27))
    of = {name: {n for n, fold in enumerate(folds) if name in shots.groups[fold]} for name in set(shots.groups)}
    assert all(len(places) == 1 for places in of.values())


def test_a_linear_fit_in_few_dimensions_equals_scikit_learns() -> None:
    from sklearn.linear_model import LogisticRegression

    shots = make_shots(60, noise=1.5)
    scores = LinearRecipe(c=3.0, prompt_scale=None).fit(shots)
    mean = shots.mean
    scale = 1 / np.sqrt(np.mean(np.sum((shots.vectors - mean) ** 2, axis=1)))
    model = LogisticRegression(C=3.0, max_iter=2000, tol=1e-8).fit((shots.vectors - mean) * scale, shots.labels)
    expected = model.predict_proba((shots.vectors - mean) * scale)
    np.testing.assert_allclose(probabilities(scores.logits(shots.vectors)), expected, atol=2e-3)


def test_tip_adapter_follows_its_formula_and_limits_its_keys() -> None:
    shots = make_shots(4, prompts=None)
    logits = TipAdapterRecipe(alpha=8.0, sharpness=5.5).fit(shots).logits(shots.vectors)
    nearness = np.exp(-5.5 * (1 - shots.vectors @ shots.vectors.T))
    np.testing.assert_allclose(logits, nearness @ (np.eye(3)[shots.labels] * 8 / 4), rtol=1e-4)
    many = make_shots(MAX_KEYS // 2)
    rare = many.select(np.flatnonzero((many.labels != 2) | (np.arange(len(many.labels)) % 100 == 0)))
    cache = TipAdapterRecipe().fit(rare).cache
    assert cache is not None
    assert len(cache.keys) == MAX_KEYS
    assert (cache.values[:, 2] > 0).sum() == (rare.labels == 2).sum()


def test_the_temperature_restores_the_scale_of_logits() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4_000, 3)) * 2
    labels = np.array([rng.choice(3, p=row) for row in probabilities(logits)])
    assert fit_temperature(logits * 5, labels, np.ones(4_000)) == pytest.approx(5, rel=0.1)
    assert fit_temperature(np.empty((0, 3)), labels[:0], np.ones(0)) == 1.0


def test_wrong_input_is_named() -> None:
    shots = make_shots(2)
    with pytest.raises(SafetyError, match="no method is called 'magic'"):
        fit_classes(shots, "magic")
    with pytest.raises(SafetyError, match="needs prompts of the classes"):
        fit_classes(make_shots(2, prompts=None), "prompt-offset")
    with pytest.raises(SafetyError, match="needs an encoder with a text tower in torch"):
        fit_classes(shots, "coop")
    with pytest.raises(SafetyError, match="all 2 labels are of the class 'bags'"):
        fit_classes(shots.select(np.arange(2)))
    with pytest.raises(SafetyError, match="label 3 in row 0 is not a place among 3 classes"):
        replace(shots, labels=np.full(6, 3))
    with pytest.raises(SafetyError, match="must be finite numbers"):
        replace(shots, weights=np.zeros(6))
    fit = fit_classes(shots, "linear")
    with pytest.raises(StoreError, match="damaged"):
        ClassFit.from_arrays(fit.to_arrays() | {"coef": np.full((3, DIM), np.nan)}, fit.to_meta())
    with pytest.raises(StoreError, match="damaged"):
        ClassFit.from_arrays({}, fit.to_meta())
