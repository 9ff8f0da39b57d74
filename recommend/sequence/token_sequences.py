"""Histories as sequences of tokens: the events and searches of a user in the order of time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from firstsight.recommend.events.interactions import History
from firstsight.recommend.events.searches import Searches

if TYPE_CHECKING:
    import torch

KINDS = ("product", "video", "live", "query", "start")
"""Kinds of tokens; the position of a name is its code."""

KIND_CODES = 8
TYPE_CODES = 32
"""Places for codes, more than there are now: new kinds and types do not change the shapes of stored weights."""

GAP_BUCKETS = 16
"""Classes of the time since the token before: 0 for the first token and for flat gaps, then powers of four seconds."""

QUERY, START = KINDS.index("query"), KINDS.index("start")

NO_CONTENT = -1
"""Content row of the first token of a history: it stands for no item."""

FLAT_GAP_US = 1_000_000
"""Gap between the events of a history that has only an order."""

_KIND_OF: Mapping[str, int] = {name: code for code, name in enumerate(KINDS)}


@dataclass(frozen=True)
class TokenSequence:
    """One user's tokens, oldest first.

    Attributes:
        rows: (t,) rows of content: items by their rows of the space, then queries.
        kinds: (t,) int64 indices into `KINDS`.
        types: (t,) int64 indices into `EVENT_TYPES`; 0 for a query.
        gaps: (t,) int64, 0 to `GAP_BUCKETS` - 1.
        weights: (t,) float32, logarithms of the weights; 0 for a query and for weight 1.
    """

    rows: NDArray[np.int64]
    kinds: NDArray[np.int64]
    types: NDArray[np.int64]
    gaps: NDArray[np.int64]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, rows: slice) -> TokenSequence:
        """The tokens of a slice."""
        return TokenSequence(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class Tokens:
    """Sequences as tensors (b, length), padded at the end; see `TokenSequence`."""

    rows: torch.Tensor
    kinds: torch.Tensor
    types: torch.Tensor
    gaps: torch.Tensor
    weights: torch.Tensor
    lengths: torch.Tensor  # (b,) tokens that are no padding


def kind_codes(kinds: NDArray[np.object_]) -> NDArray[np.int64]:
    """(n,) codes of the kinds of items."""
    return np.array([_KIND_OF.get(kind, 0) for kind in kinds], dtype=np.int64)


def token_sequence(
    history: History,
    item_kinds: NDArray[np.int64],
    query_row: Callable[[str], int] | None = None,
    *,
    limit: int | None = None,
) -> TokenSequence:
    """Put the events and searches of a history into one sequence.

    A search stands before an event of the same time: a click follows its query.

    Args:
        history: of the user.
        item_kinds: (n,) codes of the items of the space.
        query_row: the content row of a query, -1 for one without a vector; None to leave searches out.
        limit: maximum number of tokens, the newest.
    """
    searches = history.searches if query_row is not None else Searches.none()
    items, times, weights, types = history.items, history.times, history.weights, history.types
    if limit is not None:
        items, times, weights, types = items[-limit:], times[-limit:], weights[-limit:], types[-limit:]
    rows = items.astype(np.int64)
    kinds = item_kinds[rows]
    codes, logs = types.astype(np.int64), np.log(weights).astype(np.float32)
    if query_row is not None and len(searches):
        start = 0 if limit is None else max(0, len(searches) - limit)
        found = np.array([query_row(str(text)) for text in searches.texts[start:]], dtype=np.int64)
        asked = searches.times[start:][found >= 0]
        found = found[found >= 0]
        zeros = np.zeros(len(found), dtype=np.int64)
        order = np.lexsort((np.r_[np.ones(len(rows), np.int64), zeros], np.r_[times, asked]))
        rows, times = np.r_[rows, found][order], np.r_[times, asked][order]
        kinds = np.r_[kinds, np.full(len(found), QUERY)][order]
        codes, logs = np.r_[codes, zeros][order], np.r_[logs, zeros.astype(np.float32)][order]
    sequence = TokenSequence(rows, kinds, codes, gap_buckets(times), logs)
    return sequence if limit is None else sequence.part(slice(max(0, len(sequence) - limit), None))


def begin(sequence: TokenSequence) -> TokenSequence:
    """Put the start token before a sequence: its state predicts the first event, and is that of an empty history."""
    zero = np.zeros(1, dtype=np.int64)
    return TokenSequence(
        np.r_[zero + NO_CONTENT, sequence.rows],
        np.r_[zero + START, sequence.kinds],
        np.r_[zero, sequence.types],
        np.r_[zero, sequence.gaps],
        np.r_[np.zeros(1, dtype=np.float32), sequence.weights],
    )


def gap_buckets(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """(t,) classes of the time since the token before.

    A log that has only an order has equal gaps of one second: all its classes are 0.
    """
    gaps = np.zeros(len(times), dtype=np.int64)
    if len(times) < 2:
        return gaps
    differences = np.maximum(np.diff(times), 0)
    if np.all(differences == FLAT_GAP_US):
        return gaps
    gaps[1:] = 1 + np.clip(np.log2(1 + differences / 1e6) / 2, 0, GAP_BUCKETS - 2).astype(np.int64)
    return gaps


def pad(sequences: Sequence[TokenSequence], device: str = "cpu") -> Tokens:
    """Join sequences to tensors, padded at the end with row 0."""
    import torch

    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    length = max(1, int(lengths.max(initial=1)))
    tensors: list[Any] = []
    for field in fields(TokenSequence):
        padded = np.zeros((len(sequences), length), dtype=np.float32 if field.name == "weights" else np.int64)
        for row, sequence in zip(padded, sequences, strict=True):
            row[: len(sequence)] = getattr(sequence, field.name)
        tensors.append(torch.from_numpy(padded).to(device))
    tensors.append(torch.from_numpy(lengths).to(device))
    return Tokens(*tensors)
