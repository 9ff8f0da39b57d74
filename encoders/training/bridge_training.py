"""Training of one bridge on stored tower outputs, and averaging of several bridges."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from firstsight.encoders.base import unit
from firstsight.encoders.starter.bridge import TEMPERATURE, softmax
from firstsight.encoders.training.losses import softmax_loss
from firstsight.encoders.training.view_features import ViewFeatures

BridgeWeights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of the training.

    Chosen on held-out groups of the training sets. `trust` and `sharpness` were chosen by training without the emoji
    and measuring on them, to help on drawings of another style.
    """

    hidden: int = 384
    epochs: int = 8
    batch: int = 1024
    rate: float = 1e-3
    decay: float = 0.05
    dropout: float = 0.5
    noise: float = 0.3  # standard deviation, added to the standardised features
    sharpness: float = 10.0  # inverse temperature of the contrastive softmax
    pull: float = 1.0  # weight of the plain cosine loss
    # Final weight of the learned part relative to the untrained start. A value below 1 generalises better to pictures
    # unlike the training set (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022).
    trust: float = 0.7
    templates: float = 0.5  # share of captions inside a sentence


_TEMPLATES = ("a {}", "{}.", "a photo of a {}", "a picture of a {}", "a drawing of a {}", "{} for sale")


def variants(caption: str) -> tuple[str, str, str]:
    """Return a caption and two sentences with it; the same two for the same caption."""
    first = zlib.crc32(caption.encode()) % len(_TEMPLATES)
    second = (first + 1) % len(_TEMPLATES)
    return caption, _TEMPLATES[first].format(caption), _TEMPLATES[second].format(caption)


@dataclass(frozen=True)
class CaptionVectors:
    """Text vectors for the training, computed once."""

    captions: dict[str, int]  # every variant of every caption -> row of `vectors`
    vectors: NDArray[np.float32]  # (m, 384) unit rows, not centred
    classes: NDArray[np.float32]  # (1000, 384) the ImageNet classes, centred


def held_out(views: ViewFeatures, share: float = 0.1) -> NDArray[np.bool_]:
    """Mark the views of the held-out groups: whole groups, the same ones in every run.

    Fashion-MNIST has only ten groups, so single pictures are held out there.

    Args:
        views: n views.
        share: share of the groups, 0 to 1.

    Returns:
        (n,) flags.
    """
    keys = [
        f"{record['group']} {row}" if record["source"] == "fashion-mnist" else record["group"]
        for row, record in enumerate(views.records)
    ]
    return np.array([zlib.crc32(key.encode()) % 1000 < share * 1000 for key in keys])


class _TrainableBridge(nn.Module):
    """`firstsight.encoders.starter.bridge.Bridge` with gradients, on standardised features."""

    def __init__(self, mean: Tensor, deviation: Tensor, hidden: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.linear = nn.Linear(1280, 384, bias=False)
        self.hidden = nn.Linear(1280 + 384, hidden)
        self.out = nn.Linear(hidden, 384)
        self.dropout = nn.Dropout(dropout)
        for layer in (self.linear, self.out):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.out.bias)

    def standard(self, features: Tensor) -> Tensor:
        return (features - self.get_buffer("mean")) / self.get_buffer("deviation")

    def change(self, standard: Tensor, start: Tensor) -> Tensor:
        """Compute the change to the start, (n, 384)."""
        inner = self.hidden(torch.cat([standard, start * START_SCALE], dim=1))
        added: Tensor = self.linear(standard) * LINEAR_SCALE + self.out(self.dropout(functional.relu(inner)))
        return added


# Unit rows have entries of about 1/20, standardised features of about 1. These factors bring both to one scale for the
# hidden layer, and keep the many standardised features from dominating the sum.
START_SCALE = 384**0.5
LINEAR_SCALE = 1280**-0.5


def train(
    views: ViewFeatures, texts: CaptionVectors, text_mean: NDArray[np.float32], settings: TrainingSettings, seed: int
) -> BridgeWeights:
    """Train one bridge.

    The loss is contrastive in both directions (Radford et al., "CLIP", 2021), plus the plain cosine distance of picture
    and caption. Equal captions are positives; different true captions of one drawing are ignored.

    Args:
        views: outputs of the picture tower.
        texts: vectors of the captions and of the ImageNet classes.
        text_mean: (384,) mean vector of the captions.
        settings: settings of the training.
        seed: random seed.

    Returns:
        Weights for `Bridge`.
    """
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    features = torch.from_numpy(views.features)
    start = torch.from_numpy(unit(softmax(views.logits / np.float32(TEMPERATURE)) @ texts.classes))
    centred = torch.from_numpy(unit(texts.vectors - text_mean))
    bridge = _TrainableBridge(features.mean(dim=0), features.std(dim=0) + 1e-3, settings.hidden, settings.dropout)
    standard = bridge.standard(features)
    groups = torch.from_numpy(np.unique([record["group"] for record in views.records], return_inverse=True)[1])
    colours = torch.from_numpy(np.unique([record["colour"] for record in views.records], return_inverse=True)[1])

    steps = settings.epochs * (len(views.records) // settings.batch)
    optimizer = torch.optim.AdamW(bridge.parameters(), lr=settings.rate, weight_decay=settings.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, total_steps=steps, pct_start=0.1)
    bridge.train()
    for _ in range(settings.epochs):
        captions, rows = _draw_captions(views, texts, settings.templates, generator)
        order = generator.permutation(len(captions))
        for batch in np.split(order, np.arange(settings.batch, len(order), settings.batch)):
            if len(batch) < settings.batch:
                continue
            chosen = torch.from_numpy(batch)
            noisy = standard[chosen] + settings.noise * torch.randn(len(batch), 1280)
            pictures = functional.normalize(start[chosen] + bridge.change(noisy, start[chosen]), dim=1)
            sentences = centred[torch.from_numpy(rows[batch])]
            names = torch.from_numpy(captions[batch])
            same = names[:, None] == names[None, :]
            # "cat" is true of the picture captioned "cat face", but "red cat" is not true of the blue cat.
            # The empty colour sorts first, so its number is 0.
            first, second = colours[chosen][:, None], colours[chosen][None, :]
            compatible = (first == second) | (first == 0) | (second == 0)
            ignored = (groups[chosen][:, None] == groups[chosen][None, :]) & compatible & ~same
            loss = softmax_loss(pictures @ sentences.T * settings.sharpness, same, ignored)
            loss = loss + settings.pull * (1 - (pictures * sentences).sum(dim=1)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return _exported(bridge, texts, text_mean, settings.trust)


def _draw_captions(
    views: ViewFeatures, texts: CaptionVectors, templates: float, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw one true caption per view: its number (equal for equal captions) and the row of its text vector."""
    numbers, rows = [], []
    for record in views.records:
        # The first caption is the most specific; the others are a folder or another name.
        captions = record["captions"]
        first = len(captions) == 1 or generator.random() < 0.6
        caption = captions[0] if first else captions[int(generator.integers(1, len(captions)))]
        numbers.append(texts.captions[caption])
        variant = int(generator.integers(1, 3)) if generator.random() < templates else 0
        rows.append(texts.captions[variants(caption)[variant]])
    return np.array(numbers), np.array(rows)


@torch.inference_mode()
def _exported(
    bridge: _TrainableBridge, texts: CaptionVectors, text_mean: NDArray[np.float32], trust: float
) -> BridgeWeights:
    """Export the weights, with standardisation and scales folded in."""
    mean, deviation = bridge.get_buffer("mean"), bridge.get_buffer("deviation")
    linear = bridge.linear.weight.T * LINEAR_SCALE / deviation[:, None]
    hidden = bridge.hidden.weight.T.clone()
    hidden[:1280] /= deviation[:, None]
    hidden[1280:] *= START_SCALE
    return {
        "text_mean": text_mean,
        "class_vectors": texts.classes,
        "linear": (trust * linear).numpy(),
        "hidden": hidden.numpy(),
        "hidden_bias": (bridge.hidden.bias - mean @ hidden[:1280]).numpy(),
        "out": (trust * bridge.out.weight.T).numpy(),
        "out_bias": (trust * (bridge.out.bias - mean @ linear)).numpy(),
    }


def average_bridges(bridges: list[BridgeWeights]) -> BridgeWeights:
    """Average several bridges into one: hidden layers are concatenated, all other weights averaged."""
    count = len(bridges)
    return {
        "text_mean": bridges[0]["text_mean"],
        "class_vectors": bridges[0]["class_vectors"],
        "linear": np.mean([b["linear"] for b in bridges], axis=0),
        "hidden": np.concatenate([b["hidden"] for b in bridges], axis=1),
        "hidden_bias": np.concatenate([b["hidden_bias"] for b in bridges]),
        "out": np.concatenate([b["out"] for b in bridges]) / np.float32(count),
        "out_bias": np.mean([b["out_bias"] for b in bridges], axis=0),
    }
