"""A dual encoder whose weights can change and be saved, as tuning needs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from firstsight.encoders.runtimes.dual_model import DualModel


@dataclass(frozen=True)
class TrainableModel:
    """A dual model with the network behind its towers.

    The towers of `dual` share the weights of `network`: a change of one is a change of the other.

    Attributes:
        dual: preprocessing and towers.
        network: the library's whole model, float32, in evaluation mode.
        save: writes `network` as an ordinary model into a folder, which exists and is empty, and returns the folder's
            name for `load_encoder`. The folder holds weights as safetensors, configuration and tokeniser.
    """

    dual: DualModel
    network: nn.Module
    save: Callable[[Path], str]
