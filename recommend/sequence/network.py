"""The network of the sequence model: causal self-attention over content vectors.

Source: Kang and McAuley, "Self-attentive sequential recommendation", ICDM 2018 (SASRec), with projected content vectors
in the place of learned item vectors. As there, input and output share them: an untrained network already ranks what is
like the history, and held-out figures are higher than with two projections.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from firstsight.recommend.sequence.sequence_settings import SequenceSettings
from firstsight.recommend.sequence.token_sequences import GAP_BUCKETS, KIND_CODES, TYPE_CODES, Tokens

INITIAL_SCALE = 10.0
"""Initial factor of the cosines in the softmax."""


class SequenceNetwork(nn.Module):
    """States of histories, and vectors of items, whose cosine says how well an item continues a history."""

    def __init__(self, settings: SequenceSettings, content_width: int, id_count: int = 0) -> None:
        """
        Args:
            settings: shape of the network.
            content_width: numbers in a content vector.
            id_count: learned item vectors; 0 unless `settings.ids`.
        """
        super().__init__()
        width = settings.width
        self.content_dropout = settings.content_dropout
        self.project = nn.Linear(content_width, width)
        self.kinds = _zeros(KIND_CODES, width)
        self.types = _zeros(TYPE_CODES, width)
        self.gaps = _zeros(GAP_BUCKETS, width)
        self.weight = nn.Parameter(torch.zeros(width))
        self.positions = nn.Embedding(settings.events, width)
        nn.init.normal_(self.positions.weight, std=0.02)
        self.ids = nn.Embedding(id_count + 1, width, padding_idx=0) if settings.ids else None
        if self.ids is not None:
            nn.init.normal_(self.ids.weight, std=0.02)
            with torch.no_grad():
                self.ids.weight[0] = 0
        self.read_norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(_Block(width, settings.heads, settings.dropout) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(settings.dropout)
        self.scale = nn.Parameter(torch.tensor(math.log(INITIAL_SCALE)))

    def items(self, content: Tensor, ids: Tensor) -> Tensor:
        """Project items: (n, width) unit rows, from content (n, content_width) and id codes (n,), 0 for no id."""
        vectors = self.project(functional.dropout(content, self.content_dropout, self.training))
        if self.ids is not None:
            vectors = vectors + self.dropout(self.ids(ids))
        return functional.normalize(vectors, dim=-1)

    def read(self, content: Tensor) -> Tensor:
        """Read content vectors (..., content_width) of tokens: (..., width)."""
        read: Tensor = self.project(functional.dropout(content, self.content_dropout, self.training))
        return read

    def states(self, read: Tensor, ids: Tensor, tokens: Tokens) -> Tensor:
        """Vectors of the user after each token: (b, length, width), unit rows.

        Args:
            read: (b, length, width) content of the tokens, as `read` returns it.
            ids: (b, length) id codes, 0 for no id.
            tokens: codes of the tokens, padded at the end.
        """
        x = read + self.kinds(tokens.kinds) + self.types(tokens.types) + self.gaps(tokens.gaps)
        x = x + tokens.weights.unsqueeze(-1) * self.weight + self.positions.weight[: read.shape[1]]
        if self.ids is not None:
            x = x + self.ids(ids)
        x = self.dropout(self.read_norm(x))
        for block in self.blocks:
            x = block(x)
        states: Tensor = functional.normalize(self.norm(x), dim=-1)
        return states

    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """(users, items) cosines times the learned scale."""
        return (users @ items.T) * torch.exp(self.scale.clamp(max=math.log(100)))


class _Block(nn.Module):
    """Causal self-attention and a feed-forward layer, each normalised first."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.rate = heads, dropout
        self.attention_norm = nn.LayerNorm(width)
        self.mix = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        parts = self.mix(self.attention_norm(x)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(
            *(query, key, value), dropout_p=self.rate if self.training else 0.0, is_causal=True
        )
        x = x + self.dropout(self.join(mixed.transpose(1, 2).reshape(batch, length, width)))
        fed: Tensor = x + self.dropout(self.narrow(functional.gelu(self.widen(self.feed_norm(x)))))
        return fed


def _zeros(count: int, width: int) -> nn.Embedding:
    """A table that starts at zero: a code that training never saw changes nothing."""
    table = nn.Embedding(count, width)
    nn.init.zeros_(table.weight)
    return table
