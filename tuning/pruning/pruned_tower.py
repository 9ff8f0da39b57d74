"""Cut heads and MLP units out of a text tower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from firstsight.encoders.starter.towers import HEAD_SIZE, MiniLM
from firstsight.errors import EncoderError
from firstsight.tuning.pruning.importance import TowerImportance
from firstsight.tuning.pruning.trained_weights import MIN_TRAINED_EDGE, edge_ratio

MIN_HEADS: Final = 1
MIN_UNITS: Final = 32
"""Heads and MLP units that every layer keeps."""


def prune_tower(tower: MiniLM, importance: TowerImportance, share: float) -> MiniLM:
    """Return a copy of a tower without its least important heads and MLP units.

    Heads compete with the heads of all layers, units with the units of all layers, so layers get different widths.

    Args:
        tower: the tower; it does not change.
        importance: of its parts.
        share: share of the heads and of the units to remove, above 0 and below 1.

    Raises:
        EncoderError: the share is out of range, or the weights are random: no part of them is more important by
            training, and a loss measured on them says nothing.
    """
    if not 0 < share < 1:
        raise EncoderError(f"share {share} to prune is out of range; choose above 0 and below 1")
    edge = edge_ratio(tower)
    if not edge >= MIN_TRAINED_EDGE:  # NaN is refused too
        raise EncoderError(
            "this text tower cannot be pruned: its matrices have the spectrum of random weights (edge ratio "
            f"{edge:.2f}, required: {MIN_TRAINED_EDGE}); prune a trained model"
        )
    heads = kept_parts(importance.heads, share, MIN_HEADS)
    units = kept_parts(importance.units, share, MIN_UNITS)
    pruned = MiniLM([(len(h), len(u)) for h, u in zip(heads, units, strict=True)])
    state: dict[str, Tensor] = {k: v for k, v in tower.state_dict().items() if not k.startswith("layers.")}
    for place, layer in enumerate(tower.layers):
        rows = torch.from_numpy((heads[place][:, None] * HEAD_SIZE + np.arange(HEAD_SIZE)).ravel())
        kept = torch.from_numpy(units[place])
        for name, value in layer.state_dict().items():
            part = name.partition(".")[0]
            if part in ("query", "key", "value"):
                value = value[rows]
            elif part == "up":
                value = value[kept]
            elif name == "out.weight":
                value = value[:, rows]
            elif name == "down.weight":
                value = value[:, kept]
            state[f"layers.{place}.{name}"] = value
    pruned.load_state_dict(state)
    return pruned.eval()


def kept_parts(importance: Sequence[NDArray[np.float64]], share: float, least: int) -> list[NDArray[np.int64]]:
    """Select the parts that stay, in order, for each layer.

    Args:
        importance: of the parts of each layer.
        share: share of all parts to remove.
        least: parts that every layer keeps.
    """
    places = [(layer, part) for layer, values in enumerate(importance) for part in range(len(values))]
    order = np.argsort(np.concatenate(importance), kind="stable")
    left = [len(values) for values in importance]
    removed: set[tuple[int, int]] = set()
    target = round(share * len(places))
    for place in order:
        if len(removed) == target:
            break
        layer, part = places[place]
        if left[layer] > least:
            left[layer] -= 1
            removed.add((layer, part))
    return [
        np.array([part for part in range(len(values)) if (layer, part) not in removed], dtype=np.int64)
        for layer, values in enumerate(importance)
    ]
