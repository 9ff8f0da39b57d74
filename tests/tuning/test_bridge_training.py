"""The bridge of starter with gradients: equal to the bridge without them, exact at both ends of the mixture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from firstsight.encoders.starter.bridge import Bridge
from firstsight.encoders.starter.starter_model import BRIDGE_PATH
from firstsight.tuning.starter.bridge_network import (
    TRAINED,
    BridgeSettings,
    BridgeWeights,
    KindVectors,
    average,
    batch_loss,
    bridge_vectors,
    complete,
    mix,
    start_vectors,
    train_bridge,
)
from firstsight.tuning.starter.output_cache import OutputCache
from firstsight.tuning.starter.phrase_pairs import ItemPictures, PhraseKind, QueryClicks, phrase_kinds
from firstsight.tuning.tuning_data import ClickedQuery, TuningData, TuningItem

DATA = TuningData(
    items=(
        TuningItem("a", "a", {"title": "Red tee", "category": "Tees"}, (0, 1)),
        TuningItem("b", "b", {"title": "red  TEE", "category": "Tees"}, (2,)),
        TuningItem("c", "c", {"title": "Hat"}, (2, 3)),
    ),
    pictures=[],
    picture_items=(0, 0, 1, 2),
    clicks=(ClickedQuery("summer", (0, 2)), ClickedQuery("head", (2,))),
)


@pytest.fixture(scope="module")
def base() -> BridgeWeights:
    return complete(Bridge.load(BRIDGE_PATH).weights)


@pytest.fixture(scope="module")
def outputs() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    features = np.abs(generator.normal(size=(4, 1280))).astype(np.float32)
    return features, generator.normal(size=(4, 1000)).astype(np.float32)


def test_the_bridge_with_gradients_gives_the_vectors_of_the_bridge(
    base: BridgeWeights, outputs: tuple[np.ndarray, np.ndarray]
) -> None:
    features, logits = outputs
    weights = {name: torch.from_numpy(base[name]) for name in TRAINED}
    start = torch.from_numpy(start_vectors(base, logits))
    vectors = bridge_vectors(weights, torch.from_numpy(features), start).numpy()
    np.testing.assert_allclose(vectors, Bridge(base).pictures(features, logits), atol=2e-6)


def test_a_bridge_without_a_trained_part_starts_unchanged(
    base: BridgeWeights, outputs: tuple[np.ndarray, np.ndarray]
) -> None:
    untrained = Bridge(base).untrained()
    np.testing.assert_allclose(
        Bridge(complete(untrained.weights)).pictures(*outputs), untrained.pictures(*outputs), atol=1e-6
    )


def test_the_mixture_is_exact_at_both_ends_and_linear_between(base: BridgeWeights) -> None:
    tuned = {name: base[name] + 1 for name in TRAINED}
    assert mix(base, tuned, 0.0) is base
    for name in TRAINED:
        np.testing.assert_allclose(mix(base, tuned, 1.0)[name], tuned[name], atol=1e-6)
        np.testing.assert_allclose(mix(base, tuned, 0.25)[name], base[name] + 0.25, atol=1e-6)
    assert mix(base, tuned, 1.0)["text_mean"] is base["text_mean"]


def test_seeds_are_averaged_weight_by_weight() -> None:
    first, second = {"out": np.zeros((2, 2), np.float32)}, {"out": np.ones((2, 2), np.float32)}
    assert average([first, second])["out"].tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_a_training_is_repeatable_and_brings_pictures_to_their_phrases(
    base: BridgeWeights, outputs: tuple[np.ndarray, np.ndarray]
) -> None:
    features, logits = outputs
    kind = PhraseKind("title", ("one", "two", "three"), np.array([0, 1, 2]))
    target = np.eye(3, 384, dtype=np.float32)
    pictures = ItemPictures.of(DATA, [0, 1, 2])
    settings = BridgeSettings(steps=15, batch_size=4, learning_rate=1e-3)
    kinds = [KindVectors(kind, torch.from_numpy(target))]
    start = start_vectors(base, logits)
    first, again = (train_bridge(base, features, start, pictures, kinds, None, settings, seed=1) for _ in range(2))
    assert all(np.array_equal(first[name], again[name]) for name in TRAINED)
    own = np.array([0, 0, 2, 2])  # picture 2 is of both other items

    def fit(bridge: Bridge) -> float:
        return float((bridge.pictures(features, logits) @ target.T)[np.arange(2), own[:2]].mean())

    assert fit(Bridge(mix(base, first, 1.0))) > fit(Bridge(base)) + 0.2


def test_equal_phrases_are_one_whatever_their_case_and_spaces() -> None:
    title, category = phrase_kinds(DATA)
    assert (title.name, title.texts, title.of_item.tolist()) == ("title", ("Red tee", "Hat"), [0, 0, 1])
    assert category.of_item.tolist() == [0, 0, -1]


def test_the_long_text_is_no_phrase_of_the_loss() -> None:
    data = TuningData((TuningItem("a", "a", {"title": "x", "text": "long"}, (0,)),), [], (0,))
    assert [kind.name for kind in phrase_kinds(data)] == ["title"]


def test_a_picture_of_two_items_is_right_for_both() -> None:
    pictures = ItemPictures.of(DATA, [0, 1, 2])
    assert pictures.rows.tolist() == [0, 1, 2, 3]
    assert [items.tolist() for items in pictures.items] == [[0], [0], [1, 2], [2]]
    shared = pictures.share_a_picture(np.array([0, 1, 2]), np.array([0, 2, 3]))
    assert shared.tolist() == [[False] * 3, [False, True, True], [False] * 3]


def test_a_shared_picture_is_no_wrong_answer() -> None:
    vectors = torch.eye(2, 384)
    kind = KindVectors(PhraseKind("title", ("x", "y"), np.array([0, 1])), torch.eye(2, 384))
    items, generator = np.array([0, 1]), np.random.default_rng(0)
    apart, together = np.zeros((2, 2), bool), np.ones((2, 2), bool)
    assert batch_loss(vectors, items, together, [kind], None, generator) == pytest.approx(0.0, abs=1e-6)
    assert batch_loss(vectors, items, apart, [kind], None, generator) > 1e-5


def test_clicked_queries_count_for_all_their_items() -> None:
    clicks = QueryClicks.of(DATA)
    assert clicks is not None
    assert clicks.texts == ("summer", "head")
    assert [rows.tolist() for rows in clicks.of_item] == [[0], [], [0, 1]]
    assert clicks.draw(np.array([0, 1]), np.random.default_rng(0)).tolist() == [0, -1]
    vectors = torch.eye(3, 384)
    right = (clicks, torch.stack([vectors[0] + vectors[2], vectors[1]]))
    loss = batch_loss(vectors, np.array([0, 1, 2]), np.zeros((3, 3), bool), [], right, np.random.default_rng(3))
    assert torch.isfinite(loss)
    assert QueryClicks.of(TuningData(DATA.items, [], DATA.picture_items)) is None


# ---- the cache of tower outputs


def test_only_missing_vectors_are_computed(tmp_path: Path) -> None:
    cache = OutputCache(tmp_path / "outputs.sqlite", "tower 1", 2)
    asked: list[list[int]] = []

    def compute(rows: Sequence[int]) -> NDArray[np.float32]:
        asked.append(list(rows))
        return np.array([[row, row + 0.5] for row in rows], dtype=np.float32)

    first = cache.vectors(["a", "b", "a"], compute, lambda count: None)
    second = cache.vectors(["b", "c"], compute, lambda count: None)
    assert first.tolist() == [[0, 0.5], [1, 1.5], [0, 0.5]]
    assert second.tolist() == [[1, 1.5], [1, 1.5]]
    assert asked == [[0, 1], [1]]


def test_another_tower_has_vectors_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "outputs.sqlite"
    OutputCache(path, "tower 1", 1).vectors(["a"], lambda rows: np.ones((1, 1), np.float32), lambda count: None)
    other = OutputCache(path, "tower 2", 1)
    assert other.vectors(["a"], lambda rows: np.zeros((1, 1), np.float32), lambda count: None).tolist() == [[0.0]]


def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "outputs.sqlite"
    path.write_bytes(b"no database" * 100)
    cache = OutputCache(path, "tower", 1)
    assert cache.vectors(["a"], lambda rows: np.ones((1, 1), np.float32), lambda count: None).tolist() == [[1.0]]
