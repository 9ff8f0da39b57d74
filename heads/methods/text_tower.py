"""What CoOp needs of an encoder: a text tower in torch that accepts learned vectors in the place of words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class TextTower(Protocol):
    """A text tower whose first tokens can be learned."""

    def start_context(self, words: str) -> Tensor:
        """Return the (tokens, width) embeddings of some words, such as "a photo of a", to start from.

        Raises:
            EncoderError: the words have no token.
        """
        ...

    def embed(self, context: Tensor, texts: Sequence[str]) -> Tensor:
        """Encode texts behind a learned context.

        Args:
            context: (tokens, width) for all texts, or (texts, tokens, width) with a context of its own for each.
            texts: one or more texts, such as names of classes.

        Returns:
            (texts, dim) unit rows, in the space of the encoder; differentiable in `context`.
        """
        ...
