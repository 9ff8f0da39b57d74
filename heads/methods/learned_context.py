"""CoOp: learned vectors in the place of a prompt's words, the same for all classes or one set for each.

The text tower stays frozen; only the context is trained, on stored vectors of the shots. KgCoOp's regulariser keeps the
learned class vectors near those of the prompts that people wrote.

Sources: Zhou et al., "Learning to prompt for vision-language models", 2022, section 3.2; Yao et al., "Visual-language
prompt tuning with knowledge-guided context optimization", 2023, section 3.2. This module imports torch only to train.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from firstsight.errors import EncoderError, SafetyError
from firstsight.heads.methods.class_scores import ClassScores
from firstsight.heads.methods.class_shots import ClassShots
from firstsight.heads.methods.temperature import fit_temperature
from firstsight.heads.methods.text_tower import TextTower

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ContextSettings:
    """Settings of the training of a context.

    Raises:
        SafetyError: a number is out of range.
    """

    words: str = "a photo of a"  # the context starts as these words; their tokens give its length
    class_wise: bool = False  # learn a context for each class, instead of one for all
    keep: float = 0.1  # KgCoOp's weight of the distance to the prompts, 0 or more; 0 is plain CoOp
    steps: int = 60  # of Adam, each on all shots
    learning_rate: float = 0.5  # of Adam, in standard deviations of the start embeddings

    def __post_init__(self) -> None:
        if self.keep < 0 or self.steps < 1 or self.learning_rate <= 0:
            raise SafetyError(
                f"keep {self.keep:g} must be 0 or more, steps {self.steps} 1 or more, and learning_rate "
                f"{self.learning_rate:g} above 0"
            )


@dataclass(frozen=True)
class ContextRecipe:
    """Settings and texts of a fit.

    Args:
        tower: the encoder's text tower.
        texts: one or more texts for each class; the vector of a class is the mean over its texts.
        settings: of the training.
    """

    tower: TextTower
    texts: tuple[tuple[str, ...], ...]
    settings: ContextSettings = field(default_factory=ContextSettings)

    def fit(self, shots: ClassShots) -> ClassScores:
        """Learn the context from the shots, and keep the vectors of the classes.

        Raises:
            EncoderError: the loss is not finite.
        """
        import torch
        from torch.nn import functional

        vectors = torch.from_numpy(np.ascontiguousarray(shots.vectors, dtype=np.float32))
        labels = torch.from_numpy(np.ascontiguousarray(shots.labels))
        weights = torch.from_numpy((shots.weights / shots.weights.sum()).astype(np.float32))
        context = LearnedContext(self.tower, self.texts, self.settings)
        prompts = context.class_vectors().detach().numpy() if shots.prompts is None else shots.prompts
        written = torch.from_numpy(np.ascontiguousarray(prompts, dtype=np.float32))
        # logits as sharp as fit the prompts to these shots; learned with the context, they would only grow
        scale = 1.0 / fit_temperature((shots.vectors @ prompts.T).astype(np.float64), shots.labels, shots.weights)

        def loss(rows: torch.Tensor) -> torch.Tensor:
            logits = scale * vectors @ rows.T
            distance = ((rows - written) ** 2).sum(dim=1).mean()
            fit = torch.sum(weights * functional.cross_entropy(logits, labels, reduction="none"))
            return fit + self.settings.keep * distance

        context.train(loss)
        with torch.no_grad():
            coef = scale * context.class_vectors().numpy()
        setting = {"context_tokens": float(context.tokens), "steps": float(self.settings.steps)}
        setting |= {"class_wise": float(self.settings.class_wise), "keep": self.settings.keep}
        return ClassScores(np.asarray(coef, dtype=np.float32), np.zeros(len(coef)), setting=setting)


class LearnedContext:
    """A context in training.

    Args:
        tower, texts, settings: as for `ContextRecipe`.

    Raises:
        EncoderError: the context's words have no token.
        SafetyError: a class has no text.
    """

    def __init__(self, tower: TextTower, texts: Sequence[Sequence[str]], settings: ContextSettings) -> None:
        if not all(texts):
            raise SafetyError("coop needs at least one text for each class; give a name or a prompt")
        self._tower, self._settings = tower, settings
        start = tower.start_context(settings.words).detach()
        self.tokens = len(start)
        self._flat = [text for several in texts for text in several]
        sizes = [len(several) for several in texts]
        self._class_of = np.repeat(np.arange(len(texts)), sizes)
        self._deviation = float(start.std()) or 1.0
        self.context = (start.repeat(len(texts), 1, 1) if settings.class_wise else start.clone()).requires_grad_()

    def class_vectors(self) -> Tensor:
        """Return the (classes, dim) unit rows of the classes, with gradients."""
        import torch
        from torch.nn import functional

        class_of = torch.from_numpy(self._class_of)
        context = self.context[class_of] if self._settings.class_wise else self.context
        rows = self._tower.embed(context, self._flat)
        sums = torch.zeros((int(class_of.max()) + 1, rows.shape[1])).index_add(0, class_of, rows)
        return functional.normalize(sums, dim=1)

    def train(self, loss: Callable[[Tensor], Tensor]) -> None:
        """Train the context.

        Args:
            loss: of (classes, dim) class vectors, with gradients.

        Raises:
            EncoderError: the loss is not finite.
        """
        import torch

        optimizer = torch.optim.Adam([self.context], self._settings.learning_rate * self._deviation)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self._settings.steps)
        for _ in range(self._settings.steps):
            value = loss(self.class_vectors())
            if not torch.isfinite(value):
                raise EncoderError("the loss of the learned context is not finite; lower its learning_rate")
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
