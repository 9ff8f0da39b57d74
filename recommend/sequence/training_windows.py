"""Training data of the sequence model: windows of histories with the item that comes next at each place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.events.interactions import History, Interactions
from firstsight.recommend.sequence.token_sequences import (
    QUERY,
    TokenSequence,
    begin,
    kind_codes,
    token_sequence,
)

MAX_TARGET_WEIGHT = 4.0
"""Largest weight of one target in the loss: a log may count seconds or cents as weights."""


@dataclass(frozen=True)
class Window:
    """A part of a history, and the targets after each of its tokens.

    Attributes:
        tokens: at most `events` of them.
        targets: (t,) row of the item that comes next; -1 if it is no item.
        weights: (t,) float32, 0 where there is no target.
    """

    tokens: TokenSequence
    targets: NDArray[np.int64]
    weights: NDArray[np.float32]


def make_windows(
    train: Interactions, events: int, query_row: Callable[[str], int] | None = None
) -> tuple[list[Window], NDArray[np.int64]]:
    """Cut the histories of all users into windows, so that each event is a target once.

    Args:
        train: the events.
        events: maximum number of tokens in a window.
        query_row: the content row of a query; None to leave searches out.

    Returns:
        The windows, and the rows of the items that are targets, ascending.
    """
    kinds = kind_codes(train.space.kinds)
    windows: list[Window] = []
    for history in train.histories():
        if len(history):
            windows += _windows_of(history, kinds, events, query_row)
    found = [window.targets[window.targets >= 0] for window in windows]
    return windows, np.unique(np.concatenate([np.empty(0, dtype=np.int64), *found]))


def _windows_of(
    history: History, kinds: NDArray[np.int64], events: int, query_row: Callable[[str], int] | None
) -> list[Window]:
    tokens = begin(token_sequence(history, kinds, query_row))
    targets = np.where(tokens.kinds[1:] == QUERY, -1, tokens.rows[1:])
    logs = tokens.weights[1:]
    weights = np.clip(np.log1p(np.exp(logs)) / np.log(2), 0, MAX_TARGET_WEIGHT)
    weights = np.where(targets >= 0, weights, 0).astype(np.float32)
    windows = []
    for end in range(len(targets), 0, -events):
        part = slice(max(0, end - events), end)
        if (targets[part] >= 0).any():
            windows.append(Window(tokens.part(part), targets[part], weights[part]))
    return windows
