"""Loading of checkpoints in tests: vectors, error messages, changed weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from firstsight.encoders.base import unit
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.registry import load_dual_model
from firstsight.errors import EncoderError

Weights = dict[str, torch.Tensor]
TEXTS: Final = ["a red shoe", "blue teapot"]
LORA: Final = {f"visual.proj.lora_{part}.default.weight": torch.ones(4, 4) for part in "AB"}


def vectors(name: str) -> tuple[np.ndarray, str]:
    """Return (2, dim) unit rows of two texts, and the fingerprint."""
    model = load_dual_model(name, EncoderOptions())
    with torch.inference_mode():
        return unit(model.reference_texts(TEXTS).numpy()), model.spec.fingerprint


def refusal(name: str) -> str:
    """Return the one-line error of a model that cannot be loaded."""
    with pytest.raises(EncoderError) as caught:
        load_dual_model(name, EncoderOptions())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rewrite(folder: Path, change: Callable[[Weights], Weights]) -> None:
    """Change the weights of a folder of transformers."""
    weights = change(load_file(folder / "model.safetensors"))
    save_file({name: value.clone() for name, value in weights.items()}, folder / "model.safetensors")


def prefixed(prefix: str) -> Callable[[Weights], Weights]:
    """Return a change that adds a prefix to every name."""
    return lambda weights: {prefix + name: value for name, value in weights.items()}
