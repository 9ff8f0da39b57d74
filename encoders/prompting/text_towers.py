"""Text towers with learned prompts for the encoders of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from firstsight.encoders.base import Encoder
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.reduced.reduced_encoder import ReducedEncoder
from firstsight.encoders.registry import load_dual_model
from firstsight.encoders.starter.starter_encoder import StarterEncoder
from firstsight.encoders.starter.visual import VISUAL_DIM
from firstsight.errors import EncoderError

if TYPE_CHECKING:
    from torch import Tensor

    from firstsight.encoders.prompting.learned_prompts import PromptedTower


def load_text_tower(encoder: Encoder, *, trust_remote_code: bool = False) -> PromptedTower:
    """Load the text tower of an encoder in torch, for learned prompts.

    Args:
        encoder: `starter`, an open_clip or a transformers model, or one of them with reduced vectors.
        trust_remote_code: run Python code from the model's repository.

    Raises:
        EncoderError: the encoder has no text tower in torch, its model cannot be loaded, or the model has changed since
            the encoder was loaded.
        OptionalDependencyError: the model needs an extra that is not installed.
    """
    if isinstance(encoder, ReducedEncoder):
        return _reduced(load_text_tower(encoder.whole, trust_remote_code=trust_remote_code), encoder)
    if isinstance(encoder, StarterEncoder):
        return _starter(encoder)
    name = encoder.spec.name
    if name.partition(":")[0] not in ("open_clip", "transformers"):
        raise EncoderError(
            f"the encoder {name} has no text tower in torch, which coop needs; use the method prompt-offset"
        )
    from firstsight.encoders.prompting.learned_prompts import PromptedTower

    model = load_dual_model(name, EncoderOptions(trust_remote_code=trust_remote_code))
    if model.spec.fingerprint != encoder.spec.fingerprint:
        raise EncoderError(f"the files of {name} have changed since it was loaded; start again with the new files")
    return PromptedTower(lambda texts: model.prepare_texts(texts).arrays, model.text_tower)


def _starter(encoder: StarterEncoder) -> PromptedTower:
    """MiniLM, with the centring that the bridge gives texts."""
    if encoder.model.language_map is not None:
        raise EncoderError(
            f"{encoder.spec.name} encodes texts with a second tower that is not in torch, so coop cannot learn its "
            "prompts; use the method prompt-offset"
        )
    import torch
    from torch.nn import functional

    from firstsight.encoders.prompting.learned_prompts import PromptedTower

    mean = torch.from_numpy(encoder.bridge.text_mean.astype(np.float32))
    extra = 0 if encoder.visual is None else VISUAL_DIM

    def finish(sentences: Tensor) -> Tensor:
        rows = functional.normalize(functional.normalize(sentences, dim=1) - mean, dim=1)
        return functional.pad(rows, (0, extra))

    return PromptedTower(encoder.tokens, encoder.load_text_tower(), finish)


def _reduced(tower: PromptedTower, encoder: ReducedEncoder) -> PromptedTower:
    """The tower behind the matrix of a database."""
    import torch

    matrix = torch.from_numpy(np.ascontiguousarray(encoder.reduction.matrix, dtype=np.float32))
    return tower.followed_by(lambda vectors: vectors @ matrix)
