"""Names of transformers models, and the repositories they need. Does not import transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from firstsight.encoders.encoder_options import looks_like_a_path
from firstsight.encoders.families.hub import HubRepository, NeededRepositories
from firstsight.errors import EncoderError

TRANSFORMERS_WEIGHTS: Final = ("model.safetensors", "model-*.safetensors", "pytorch_model.bin", "pytorch_model-*.bin")
"""Patterns of weight files, best first."""


def needed_repositories(model: str) -> NeededRepositories:
    """Return the repository that the name of a transformers model needs.

    Args:
        model: the part after `transformers:`.

    Raises:
        EncoderError: if the name is empty or is a path without a folder.
    """
    if not model:
        raise EncoderError("transformers: names no model; give transformers:ORG/NAME or transformers:FOLDER")
    place = Path(model).expanduser()
    if place.is_dir():
        return NeededRepositories(place=str(place.resolve()), note=f"{model} is a folder; there is nothing to download")
    if looks_like_a_path(model) or model.count("/") > 1:
        raise EncoderError(f"there is no folder {model!r}; give one that holds config.json, tokeniser and weights")
    return NeededRepositories((HubRepository(model, TRANSFORMERS_WEIGHTS),))
