"""A smaller text tower: fewer layers, trained to give the teacher's vectors of the same texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from firstsight.encoders.base import Arrays, Vectors
from firstsight.encoders.starter.towers import MiniLM
from firstsight.errors import EncoderError
from firstsight.tuning.distillation.rate_schedule import warm_cosine
from firstsight.tuning.distillation.vector_loss import vector_loss

LEARNING_RATE: Final = 2e-4
BATCH: Final = 64


def kept_layers(total: int, count: int) -> tuple[int, ...]:
    """Return which layers a student with fewer layers keeps: the first, the last, and the rest at even steps.

    Raises:
        EncoderError: the teacher has no such number of layers.
    """
    if not 1 <= count <= total:
        raise EncoderError(f"{count} text layers are not possible; the text tower has {total}: choose 1 to {total}")
    return tuple(int(place) for place in np.linspace(0, total - 1, count)) if count > 1 else (0,)


def with_layers(tower: MiniLM, layers: Sequence[int]) -> MiniLM:
    """Return a copy of a text tower with some of its layers."""
    student = MiniLM([tower.sizes[layer] for layer in layers])
    state = {name: value for name, value in tower.state_dict().items() if not name.startswith("layers.")}
    for place, layer in enumerate(layers):
        for name, value in tower.layers[layer].state_dict().items():
            state[f"layers.{place}.{name}"] = value
    student.load_state_dict(state)
    return student.eval()


def distil_tower(
    tower: MiniLM,
    tokenize: Callable[[Sequence[str]], Arrays],
    texts: Sequence[str],
    targets: Vectors,
    text_mean: NDArray[np.float32],
    *,
    epochs: int,
    seed: int = 0,
    on_progress: Callable[[str], None] = lambda line: None,
) -> MiniLM:
    """Train a text tower in place to give the teacher's vectors.

    The embeddings of words stay: a catalogue has few of them, and the others must keep fitting the layers.

    Args:
        tower: the student.
        tokenize: converts texts to ids and mask.
        texts: n different texts.
        targets: (n, 384) the teacher's vectors of them after the bridge, unit rows.
        text_mean: (384,) of the bridge.
        epochs: passes over the texts.
        seed: of the order.
        on_progress: receives a line for each pass.

    Returns:
        The student, in evaluation mode.
    """
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    wanted, mean = torch.from_numpy(targets), torch.from_numpy(text_mean)
    for name, parameter in tower.named_parameters():
        parameter.requires_grad_(name.startswith("layers."))
    trained = [parameter for parameter in tower.parameters() if parameter.requires_grad]
    batches = -(-len(texts) // BATCH)
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.01)
    schedule = warm_cosine(optimizer, epochs * batches)
    for epoch in range(1, epochs + 1):
        total = 0.0
        order = generator.permutation(len(texts))
        for rows in np.array_split(order, batches):
            ids, mask = tokenize([texts[row] for row in rows])
            sentences = functional.normalize(tower(torch.from_numpy(ids), torch.from_numpy(mask)), dim=1)
            loss = vector_loss(functional.normalize(sentences - mean, dim=1), wanted[torch.from_numpy(rows)])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        on_progress(f"pass {epoch} of {epochs} over {len(texts):,} texts: loss {total / len(texts):.4f}")
    for parameter in tower.parameters():
        parameter.requires_grad_(False)
    return tower.eval()


def parameters_of(tower: MiniLM) -> int:
    """Count the parameters of a tower."""
    return sum(parameter.numel() for parameter in tower.parameters())
