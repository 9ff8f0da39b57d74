"""The bridge of `starter` with gradients: trained on from its shipped weights, and mixed with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from firstsight.encoders.base import unit
from firstsight.encoders.starter.bridge import TEMPERATURE, softmax
from firstsight.encoders.training.losses import softmax_loss
from firstsight.tuning.starter.phrase_pairs import ItemPictures, PhraseKind, QueryClicks

BridgeWeights = dict[str, NDArray[np.float32]]

TRAINED: Final = ("linear", "hidden", "hidden_bias", "out", "out_bias")
"""Weights that a tuning changes. The rest defines the start of a picture's vector and the centring of texts."""

SHARPNESS: Final = 10.0
"""Inverse temperature of the softmax, as in the training of the shipped bridge."""

NOISE: Final = 0.3
"""Standard deviation of the noise on features, relative to the deviation of each feature over the catalogue."""

WEIGHT_DECAY: Final = 0.05
DEVIATION_FLOOR: Final = 1e-3


class RowVectors(Protocol):
    """(m, 384) unit rows: a tensor, or rows that are computed with gradients at each access."""

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        """Return (n, 384) for n rows."""
        ...


@dataclass(frozen=True)
class KindVectors:
    """A kind of phrases with the text vectors of its phrases and its weight in the loss."""

    kind: PhraseKind
    vectors: RowVectors
    weight: float = 1.0


@dataclass(frozen=True)
class BridgeSettings:
    """Settings of one training of the bridge."""

    steps: int
    batch_size: int
    learning_rate: float


def complete(weights: Mapping[str, NDArray[Any]]) -> BridgeWeights:
    """Give a bridge without a trained part one that changes nothing yet."""
    full = {name: np.asarray(values, dtype=np.float32) for name, values in weights.items()}
    if "linear" not in full:
        width = 384
        generator = np.random.default_rng(0)
        hidden = generator.normal(0.0, (1280 + 384) ** -0.5, (1280 + 384, width)).astype(np.float32)
        full |= {
            "linear": np.zeros((1280, 384), np.float32),
            "hidden": hidden,
            "hidden_bias": np.zeros(width, np.float32),
            "out": np.zeros((width, 384), np.float32),
            "out_bias": np.zeros(384, np.float32),
        }
    return full


def train_bridge(
    base: BridgeWeights,
    features: NDArray[np.float32],
    start: NDArray[np.float32],
    pictures: ItemPictures,
    kinds: Sequence[KindVectors],
    clicks: tuple[QueryClicks, RowVectors] | None,
    settings: BridgeSettings,
    seed: int,
    text_weights: Sequence[Tensor] = (),
) -> BridgeWeights:
    """Train the bridge on, so that pictures come near to the phrases of their items.

    The loss is contrastive in both directions, for each kind of phrases: titles, categories, colours with categories.
    All pictures with an equal phrase are positives of it.

    Args:
        base: weights to start from.
        features: (p, 1280) outputs of the picture tower for `pictures`.
        start: (p, 384) unit rows of `start_vectors`.
        pictures: the pictures with their items.
        kinds: phrases of the items.
        clicks: queries with clicked items and the (q, 384) unit vectors of the queries.
        settings: of this training.
        seed: random seed.
        text_weights: weights of the text vectors that are trained with the bridge, in place.

    Returns:
        The trained weights; the others of `base` are not in it.
    """
    generator = np.random.default_rng(seed)
    noise = torch.Generator().manual_seed(seed)
    starts = torch.from_numpy(np.ascontiguousarray(start))
    inputs = torch.from_numpy(np.ascontiguousarray(features))
    deviation = inputs.std(dim=0, correction=0) + DEVIATION_FLOOR
    weights = {name: torch.from_numpy(base[name].copy()).requires_grad_() for name in TRAINED}
    learned = [*weights.values(), *text_weights]
    optimizer = torch.optim.AdamW(learned, settings.learning_rate, weight_decay=WEIGHT_DECAY, fused=True)
    size = min(settings.batch_size, len(pictures.rows))
    order: list[int] = []
    for _ in range(settings.steps):
        while len(order) < size:
            order += generator.permutation(len(pictures.rows)).tolist()
        places, order = np.array(order[:size]), order[size:]
        chosen = torch.from_numpy(places)
        noisy = inputs[chosen] + NOISE * deviation * torch.randn((size, inputs.shape[1]), generator=noise)
        vectors = bridge_vectors(weights, noisy, starts[chosen])
        items = pictures.draw_items(places, generator)
        loss = batch_loss(vectors, items, pictures.share_a_picture(items, places), kinds, clicks, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: values.detach().numpy() for name, values in weights.items()}


def bridge_vectors(weights: Mapping[str, Tensor], features: Tensor, start: Tensor) -> Tensor:
    """Map (n, 1280) features and (n, 384) start vectors to (n, 384) unit rows, as `Bridge.pictures` does."""
    inner = torch.relu(torch.cat([features, start], dim=1) @ weights["hidden"] + weights["hidden_bias"])
    change = features @ weights["linear"] + inner @ weights["out"] + weights["out_bias"]
    return functional.normalize(start + change, dim=1)


def batch_loss(
    vectors: Tensor,
    items: NDArray[np.int64],
    shared: NDArray[np.bool_],
    kinds: Sequence[KindVectors],
    clicks: tuple[QueryClicks, RowVectors] | None,
    generator: np.random.Generator,
) -> Tensor:
    """Sum the contrastive losses of all kinds over a batch.

    Args:
        vectors: (b, 384) unit rows of the pictures.
        items: (b,) item of each picture.
        shared: (b, b) pairs of a picture and an item that are positives besides those of equal phrases.
    """
    losses = []
    also = torch.from_numpy(shared)
    for each in kinds:
        phrases = torch.from_numpy(each.kind.of_item[items])
        known = phrases >= 0
        if int(known.sum()) > 1:
            of = phrases[known]
            same = (of[:, None] == of[None, :]) | also[known][:, known]
            losses.append(each.weight * softmax_loss(vectors[known] @ each.vectors[of].T * SHARPNESS, same))
    if clicks is not None:
        queries, texts = clicks
        drawn = queries.draw(items, generator)
        known_queries = np.flatnonzero(drawn >= 0)
        if len(known_queries) > 1:
            rows = drawn[known_queries]
            same = torch.from_numpy(queries.clicked[rows][:, items].T)
            losses.append(softmax_loss(vectors @ texts[torch.from_numpy(rows)].T * SHARPNESS, same))
    return torch.stack(losses).sum() if losses else vectors.sum() * 0


def start_vectors(weights: BridgeWeights, logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """(p, 384) unit rows that the bridge adds its change to."""
    return unit(softmax(logits / np.float32(TEMPERATURE)) @ weights["class_vectors"])


def average(trained: Sequence[BridgeWeights]) -> BridgeWeights:
    """Average trainings of several seeds. They share their start, so the hidden units correspond to each other."""
    return {name: np.mean([weights[name] for weights in trained], axis=0, dtype=np.float32) for name in trained[0]}


def mix(base: BridgeWeights, tuned: BridgeWeights, share: float) -> BridgeWeights:
    """Interpolate between the base weights (share 0) and the tuned ones (share 1)."""
    if share == 0:
        return base
    shared = {name: base[name] + np.float32(share) * (values - base[name]) for name, values in tuned.items()}
    return base | shared
