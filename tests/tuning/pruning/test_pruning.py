"""Importance of heads and MLP units, and the tower without the least important ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from firstsight.encoders.starter.towers import HEAD_SIZE, MiniLM, load_changed_text_tower
from firstsight.errors import EncoderError
from firstsight.tuning.pruning.importance import TowerImportance, measure_importance
from firstsight.tuning.pruning.pruned_tower import MIN_UNITS, kept_parts, prune_tower
from firstsight.tuning.pruning.trained_weights import edge_ratio

TEXTS = ["red shoe", "a blue mug with a handle", "lamp", "green chair made of wood"]


def tokenize(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Ids from the letters of each text, and their mask."""
    ids = np.zeros((len(texts), max(map(len, texts))), dtype=np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = [1000 + ord(letter) for letter in text]
    return ids, (ids > 0).astype(np.int64)


def tower_with_structure() -> Any:
    """A tower whose matrices have strong directions, as trained ones have."""
    torch.manual_seed(0)
    tower = MiniLM([(4, 128), (4, 128)]).eval()
    for part in tower.modules():
        if isinstance(part, torch.nn.Linear):
            left, right = torch.randn(part.out_features, 2), torch.randn(2, part.in_features)
            part.weight.data += 0.02 * left @ right
    return tower


def silence(tower: Any, heads: Sequence[tuple[int, int]], units: Sequence[tuple[int, int]]) -> None:
    """Make heads and units of a tower reach nothing."""
    for layer, head in heads:
        tower.layers[layer].out.weight.data[:, head * HEAD_SIZE : (head + 1) * HEAD_SIZE] = 0
    for layer, unit in units:
        tower.layers[layer].down.weight.data[:, unit] = 0


def run(tower: Any) -> torch.Tensor:
    with torch.inference_mode():
        vectors: torch.Tensor = tower(*map(torch.from_numpy, tokenize(TEXTS)))
    return vectors


def test_parts_that_reach_nothing_have_no_importance_and_all_others_some() -> None:
    tower = tower_with_structure()
    silence(tower, [(0, 1), (1, 3)], [(0, 5), (1, 100)])
    importance = measure_importance(tower, tokenize, TEXTS)
    assert [np.flatnonzero(values == 0).tolist() for values in importance.heads] == [[1], [3]]
    assert [np.flatnonzero(values == 0).tolist() for values in importance.units] == [[5], [100]]
    assert all(parameter.grad is None for parameter in tower.parameters())


def test_a_tower_without_its_silent_parts_gives_the_same_vectors(tmp_path: Path) -> None:
    tower = tower_with_structure()
    heads = [(0, 1), (0, 2), (1, 0), (1, 3)]
    units = [(0, unit) for unit in range(0, 96)] + [(1, unit) for unit in range(60, 92)]
    silence(tower, heads, units)
    pruned = prune_tower(tower, measure_importance(tower, tokenize, TEXTS), 0.5)
    assert list(pruned.sizes) == [(2, 32), (2, 96)]
    assert torch.allclose(run(pruned), run(tower), atol=1e-5)
    save_file(pruned.state_dict(), tmp_path / "tower.safetensors")
    assert torch.equal(run(load_changed_text_tower(tmp_path / "tower.safetensors")), run(pruned))


def test_the_importance_is_the_squared_change_to_first_order() -> None:
    tower = tower_with_structure()
    importance = measure_importance(tower, tokenize, TEXTS[:1] * 64)
    step = 1e-2
    layer = tower.layers[1]
    before = torch.nn.functional.normalize(run(tower)[:1], dim=1)
    weight = layer.out.weight.data.clone()
    changes = []
    for head in range(4):
        layer.out.weight.data = weight.clone()
        layer.out.weight.data[:, head * HEAD_SIZE : (head + 1) * HEAD_SIZE] *= 1 - step
        after = torch.nn.functional.normalize(run(tower)[:1], dim=1)
        changes.append(float((after - before).square().sum()) / step**2)
    # random directions of unit variance: the mean of squares is the squared length
    assert importance.heads[1] == pytest.approx(changes, rel=0.4)


def test_random_weights_are_refused() -> None:
    torch.manual_seed(0)
    tower = MiniLM([(4, 128)]).eval()
    importance = measure_importance(tower, tokenize, TEXTS)
    with pytest.raises(EncoderError, match=r"spectrum of random weights \(edge ratio .*, required: 1\.25\)"):
        prune_tower(tower, importance, 0.5)


@pytest.mark.parametrize("scale", [0.02, 1.0])
@pytest.mark.parametrize("draw", [torch.nn.init.normal_, torch.nn.init.uniform_])
def test_the_edge_ratio_of_random_weights_is_one_at_any_scale(draw: object, scale: float) -> None:
    torch.manual_seed(1)
    layer = torch.nn.Linear(300, 200)
    draw(layer.weight)  # type: ignore[operator]
    layer.weight.data *= scale
    assert edge_ratio(layer) == pytest.approx(1, abs=0.05)
    assert edge_ratio(torch.nn.ReLU()) == 0


@pytest.mark.slow
def test_the_shipped_text_tower_counts_as_trained() -> None:
    from firstsight.encoders.starter.starter_encoder import StarterEncoder

    assert edge_ratio(StarterEncoder().load_text_tower()) > 1.5


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(EncoderError, match="choose above 0 and below 1"):
        prune_tower(tower_with_structure(), TowerImportance((), ()), share)


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=MIN_UNITS, max_size=60), min_size=1, max_size=4),
    st.floats(0.01, 0.99),
)
def test_the_least_important_parts_go_and_every_layer_keeps_some(values: list[list[float]], share: float) -> None:
    importance = [np.array(layer) for layer in values]
    kept = kept_parts(importance, share, MIN_UNITS)
    total = sum(map(len, importance))
    removed = total - sum(map(len, kept))
    assert removed <= round(share * total)
    assert all(len(layer) >= MIN_UNITS and list(layer) == sorted(set(layer)) for layer in kept)
    free = [layer for layer in range(len(kept)) if len(kept[layer]) > MIN_UNITS]
    for layer in free:  # only a full layer may keep a part that matters less than a removed one
        lowest = importance[layer][kept[layer]].min()
        gone = np.delete(importance[layer], kept[layer])
        assert not len(gone) or gone.max() <= lowest
