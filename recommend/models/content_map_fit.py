"""Learning of a content map from items that one user took shortly after each other.

A batch of pairs is a classification: the second item of a pair must be found among those of all pairs by its mapped
content, and the first among the first ones (in-batch softmax: Radford et al., "CLIP", 2021). Other items that somebody
took together with it are no negatives. A correction for popularity (logQ: Yi et al., RecSys 2019) is left out: cold
items gained less with it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch.nn import functional

from firstsight.encoders.base import Vectors
from firstsight.recommend.events.interactions import Interactions
from firstsight.recommend.models.content_map import ContentMap

WIDTH = 64
"""Rank of the map."""

WINDOW = 3
"""Number of events after an event of a user whose items form pairs with its item."""

EPOCHS = 8
MAX_STEPS = 2_000
"""Maximum number of batches: a limit to the time for a large log, about a minute on one core."""

BATCH = 512
TEMPERATURE = 0.07
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.01
NOISE = 0.5
"""Length of the noise that is added to a unit vector in training."""


def find_pairs(train: Interactions, window: int = WINDOW) -> NDArray[np.int64]:
    """Find pairs of different items that one user took within some events: (pairs, 2) rows, with repeats.

    Args:
        train: the events.
        window: largest number of events from one item to the other, 1 or more.
    """
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for gap in range(1, window + 1):
        first, second = train.items[:-gap], train.items[gap:]
        together = (train.users[gap:] == train.users[:-gap]) & (first != second)
        pairs.append(np.stack([first[together], second[together]], axis=1))
    return np.concatenate(pairs)


def fit_content_map(train: Interactions, content: Vectors, *, width: int = WIDTH, seed: int = 0) -> ContentMap:
    """Learn a map under which the contents of items that people took together are close.

    The same arguments give the same map on the same machine. About 15 CPU seconds for 20,000 events.

    Args:
        train: the events.
        content: (n, d) unit rows in the order of the space; items without content (zeros) are left out.
        width: rank of the map.
        seed: of the start, the batches and the noise.

    Returns:
        The map; one that changes nothing if there are too few pairs to learn from.
    """
    n, d = content.shape
    generator = torch.Generator().manual_seed(seed)
    inner = (torch.randn(d, width, generator=generator) / d**0.5).requires_grad_()
    outer = torch.zeros(width, d, requires_grad=True)
    known = np.abs(content).max(axis=1) > 0
    pairs = find_pairs(train)
    pairs = pairs[known[pairs].all(axis=1)]
    if len(pairs) >= 2:
        ends = (pairs.ravel(), pairs[:, ::-1].ravel())
        together = sparse.csr_array((np.ones(pairs.size, dtype=bool), ends), shape=(n, n))
        vectors = torch.from_numpy(np.ascontiguousarray(content))
        optimizer = torch.optim.AdamW([inner, outer], lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        batches = _draw_batches(len(pairs), seed)
        for step, batch in enumerate(batches):
            first, second = pairs[batch].T
            is_taken = together[first][:, second].toarray() | (first[:, None] == second[None, :])
            np.fill_diagonal(is_taken, False)
            mapped = []
            for rows in (first, second):
                x = vectors[torch.from_numpy(rows)]
                x = x + (NOISE / d**0.5) * torch.randn(x.shape, generator=generator)
                mapped.append(functional.normalize(x + (x @ inner) @ outer, dim=1))
            scores = (mapped[0] @ mapped[1].T) / TEMPERATURE
            scores = scores.masked_fill(torch.from_numpy(is_taken), -torch.inf)
            own = torch.arange(len(first))
            loss = functional.cross_entropy(scores, own) + functional.cross_entropy(scores.T, own)
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / len(batches))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return ContentMap(inner.detach().numpy(), outer.detach().numpy())


def _draw_batches(pairs: int, seed: int) -> list[NDArray[np.int64]]:
    """Batches of all pairs in a new random order for each epoch, of nearly equal sizes, `MAX_STEPS` at most."""
    rng = np.random.default_rng(seed)
    count = max(1, round(pairs / BATCH))
    batches: list[NDArray[np.int64]] = []
    for _ in range(EPOCHS):
        batches += np.array_split(rng.permutation(pairs), count)[: MAX_STEPS - len(batches)]
    return [batch for batch in batches if len(batch) > 1]
