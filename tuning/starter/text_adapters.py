"""Low-rank adapters (Hu et al., "LoRA", 2022) in the attention of starter's text tower, merged after the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from firstsight.encoders.base import Vectors
from firstsight.encoders.starter.starter_encoder import StarterEncoder
from firstsight.encoders.starter.towers import MiniLM
from firstsight.extras import requires

with requires("tune", "tuning of starter's text tower with LoRA", "choose --method bridge"):
    from peft import LoraConfig, inject_adapter_in_model

ADAPTED: Final = ("query", "value")
"""Layers of each attention that get an adapter."""

TEXT_BATCH: Final = 64
_NAME: Final = "default"

WeightChanges = dict[str, NDArray[np.float32]]
"""Changes of a tower's weights by their names."""


class AdaptedTextTower:
    """The text tower of an encoder with adapters that learn; the tower's own weights stay.

    Args:
        encoder: its tokeniser, its text tower and the mean of its bridge are used.
        rank: of the adapters.
        seed: of their initial values. An adapter begins as no change.
    """

    def __init__(self, encoder: StarterEncoder, rank: int, seed: int) -> None:
        self._tower: nn.Module = encoder.load_text_tower().requires_grad_(False)
        config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=list(ADAPTED))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            inject_adapter_in_model(config, self._tower, _NAME)
        self._tower.eval()
        self._encoder = encoder
        self._mean = torch.from_numpy(encoder.bridge.text_mean)

    def parameters(self) -> list[Tensor]:
        """The weights that learn."""
        return [value for name, value in self._tower.named_parameters() if ".lora_" in name]

    def vectors_of(self, texts: Sequence[str]) -> AdaptedVectors:
        """Return the vectors of texts, which change with the adapters."""
        return AdaptedVectors(self, texts)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Map n >= 1 texts to (n, 384) unit rows, with gradients."""
        ids, mask = self._encoder.tokens(texts)
        return _centred(self._tower(torch.from_numpy(ids), torch.from_numpy(mask)), self._mean)

    def changes(self) -> WeightChanges:
        """Return what the adapters add to the weights, by the names of a tower without adapters."""
        found: WeightChanges = {}
        for name, module in self._tower.named_modules():
            layer: Any = module
            if name.rpartition(".")[2] in ADAPTED:
                found[f"{name}.weight"] = layer.get_delta_weight(_NAME).detach().numpy()
        return found


class AdaptedVectors:
    """Vectors of texts that learn: each access encodes the different texts of its rows."""

    def __init__(self, tower: AdaptedTextTower, texts: Sequence[str]) -> None:
        self._tower, self._texts = tower, texts

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        """Return (n, 384) unit rows for n rows of the texts, with gradients."""
        different, places = torch.unique(rows, return_inverse=True)
        return self._tower.encode([self._texts[row] for row in different.tolist()])[places]


class ChangedTexts:
    """Text vectors of an encoder whose text tower was changed, at every share of the change.

    Args:
        encoder: gives the tower before the change.
        changes: of the weights, at share 1.
    """

    def __init__(self, encoder: StarterEncoder, changes: Mapping[str, NDArray[np.float32]]) -> None:
        self._encoder, self._changes = encoder, changes
        self._last: tuple[float, MiniLM] | None = None

    def tower(self, share: float) -> MiniLM:
        """The text tower with a share of the change, merged, in evaluation mode."""
        if self._last is None or self._last[0] != share:
            tower = self._encoder.load_text_tower().requires_grad_(False)
            for name, change in self._changes.items():
                tower.get_parameter(name).add_(torch.from_numpy(change), alpha=share)
            self._last = share, tower
        return self._last[1]

    def encode(self, texts: Sequence[str], share: float) -> Vectors:
        """Return (n, 384) unit rows, without a visual part."""
        tower, mean = self.tower(share), torch.from_numpy(self._encoder.bridge.text_mean)
        vectors = np.empty((len(texts), len(mean)), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))  # keeps the padding short
        with torch.inference_mode():
            for start in range(0, len(order), TEXT_BATCH):
                rows = order[start : start + TEXT_BATCH]
                ids, mask = self._encoder.tokens([texts[row] for row in rows])
                vectors[rows] = _centred(tower(torch.from_numpy(ids), torch.from_numpy(mask)), mean).numpy()
        return vectors


def average_changes(trained: Sequence[WeightChanges]) -> WeightChanges:
    """Average the changes of several seeds. Changes are averaged, not adapters: their product is not linear."""
    return {name: np.mean([changes[name] for changes in trained], axis=0, dtype=np.float32) for name in trained[0]}


def _centred(sentences: Tensor, mean: Tensor) -> Tensor:
    """Map sentence vectors to unit rows, as `Bridge.texts` does."""
    return functional.normalize(functional.normalize(sentences, dim=1) - mean, dim=1)
