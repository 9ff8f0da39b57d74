"""A text tower of torch that takes learned vectors in the place of a prompt's first words.

Texts are tokenised behind real words, and the vectors replace the embeddings of these words. So each family keeps its
own tokens, positions, mask and pooling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from firstsight.encoders.base import Arrays
from firstsight.errors import EncoderError

_PROBES = ("zebra", "7 umbrellas")


class PromptedTower:
    """A text tower with a learned context; a `firstsight.heads.methods.text_tower.TextTower`.

    Args:
        tokenize: maps n >= 1 texts to the tower's arrays, the token ids first.
        tower: float32 and on the CPU; its weights are frozen.
        finish: maps the tower's (n, width) outputs to (n, dim) vectors, which are then scaled to length 1.

    Raises:
        EncoderError: the tower looks its words up in no embedding module.
    """

    def __init__(
        self,
        tokenize: Callable[[Sequence[str]], Arrays],
        tower: nn.Module,
        finish: Callable[[Tensor], Tensor] = lambda outputs: outputs,
    ) -> None:
        self._tokenize, self._finish = tokenize, finish
        self._tower = tower.eval().requires_grad_(False)
        self._words = ""
        self._embedding = self._find_embedding()

    def followed_by(self, change: Callable[[Tensor], Tensor]) -> PromptedTower:
        """Return the tower with a change of its unit vectors, which are then scaled to length 1 again."""
        finish = self._finish
        return PromptedTower(
            self._tokenize, self._tower, lambda outputs: change(functional.normalize(finish(outputs), dim=1))
        )

    def start_context(self, words: str) -> Tensor:
        """Return the (tokens, width) embeddings of words; later texts are written behind them.

        Raises:
            EncoderError: the words have no token of their own.
        """
        first, last = self._span(words)
        if first == last:
            raise EncoderError(f"the context {words!r} has no token of this encoder; give words that it knows")
        self._words = words
        ids = self._tokenize([f"{words} {_PROBES[0]}"])[0]
        with torch.no_grad():
            rows: Tensor = self._embedding(torch.from_numpy(ids))
        return rows[0, first:last].clone()

    def embed(self, context: Tensor, texts: Sequence[str]) -> Tensor:
        """Encode texts behind a context.

        Args:
            context: (tokens, width), or (texts, tokens, width); as many tokens as `start_context` returned.
            texts: one or more.

        Returns:
            (texts, dim) unit rows, differentiable in `context`.

        Raises:
            EncoderError: a text cannot be written behind the words of the context.
        """
        first, last = self._span(self._words)
        arrays = self._tokenize([f"{self._words} {text}" for text in texts])
        expected = self._tokenize([f"{self._words} {_PROBES[0]}"])[0][0, :last]
        if arrays[0].shape[1] < last or (wrong := (arrays[0][:, :last] != expected).any(axis=1)).any():
            text = texts[0] if arrays[0].shape[1] < last else texts[int(np.argmax(wrong))]
            raise EncoderError(f"the text {text[:80]!r} changes the tokens of the context {self._words!r}; rename it")
        rows = context if context.ndim == 3 else context.expand(len(texts), -1, -1)

        def replace(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            return torch.cat([output[:, :first], rows.to(output.dtype), output[:, last:]], dim=1)

        with _hook(self._embedding, replace):
            outputs: Tensor = self._tower(*map(torch.from_numpy, arrays))
        return functional.normalize(self._finish(outputs.float()), dim=1)

    def _span(self, words: str) -> tuple[int, int]:
        """First and last + 1 place of the words' tokens, behind the tokens that start every text."""
        return self._common([*_PROBES]), self._common([f"{words} {probe}" for probe in _PROBES])

    def _common(self, texts: Sequence[str]) -> int:
        ids: NDArray[np.int64] = self._tokenize(texts)[0]
        differs = ids[0] != ids[1]
        return int(np.argmax(differs)) if differs.any() else 0

    def _find_embedding(self) -> nn.Embedding:
        arrays = tuple(map(torch.from_numpy, self._tokenize([_PROBES[0]])))
        found: list[nn.Embedding] = []

        def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if isinstance(module, nn.Embedding) and inputs and torch.equal(inputs[0], arrays[0]):
                found.append(module)

        hooks = [m.register_forward_hook(note) for m in self._tower.modules() if isinstance(m, nn.Embedding)]
        try:
            with torch.no_grad():
                self._tower(*arrays)
        finally:
            for hook in hooks:
                hook.remove()
        if not found:
            raise EncoderError("this text tower has no embedding of words that can be replaced; use prompt-offset")
        return found[0]


@contextmanager
def _hook(module: nn.Module, function: Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]) -> Iterator[None]:
    handle = module.register_forward_hook(function)
    try:
        yield
    finally:
        handle.remove()
