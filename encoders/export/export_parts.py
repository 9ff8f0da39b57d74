"""The parts of an encoder that an export writes: two towers with unit vectors, and rules for their inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from firstsight.encoders.base import Arrays, EncoderSpec, Vectors

Rules: TypeAlias = dict[str, Any]
"""Preprocessing rules as plain values for JSON; `standalone/example.py` follows them."""


@dataclass(frozen=True)
class TowerInput:
    """One input of a tower's graph."""

    name: str
    shape: tuple[int | str, ...]  # a text is a variable size
    dtype: str  # of numpy


@dataclass(frozen=True)
class TowerParts:
    """One tower of an export."""

    module: nn.Module  # takes the inputs by position; returns (n, dim) unit rows
    example: Arrays  # of 2 rows, for tracing
    inputs: tuple[TowerInput, ...]
    rules: Rules


@dataclass(frozen=True)
class ExportParts:
    """Everything that an export needs of an encoder."""

    spec: EncoderSpec
    pictures: TowerParts
    texts: TowerParts
    prepare_pictures: Callable[[Sequence[Image.Image]], Arrays]
    prepare_texts: Callable[[Sequence[str]], Arrays]
    reference_pictures: Callable[[Sequence[Image.Image]], Vectors]  # unit rows of torch in float32
    reference_texts: Callable[[Sequence[str]], Vectors]
    write_tokenizer: Callable[[Path], None]  # writes the files of the tokeniser into a folder
    max_tokens: int
    notes: Mapping[str, str] = field(default_factory=dict)  # further facts for the description


class UnitVectors(nn.Module):
    """A tower whose outputs are scaled to unit length."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, *inputs: Tensor) -> Tensor:
        """Map inputs of n rows each to (n, dim) float32 unit rows."""
        return functional.normalize(self.tower(*inputs).float(), dim=1)


def as_inputs(names: Sequence[str], arrays: Arrays, *, variable: str = "") -> tuple[TowerInput, ...]:
    """Describe the inputs of a graph.

    Args:
        names: n names.
        arrays: n examples of at least one row each.
        variable: name of the second dimension, if its size may vary.
    """
    return tuple(
        TowerInput(name, ("batch", *((variable, *array.shape[2:]) if variable else array.shape[1:])), str(array.dtype))
        for name, array in zip(names, arrays, strict=True)
    )


def refused_rules(reason: str, **facts: object) -> Rules:
    """Return rules for inputs that `standalone/example.py` cannot prepare.

    Args:
        reason: names what prepares them instead.
        facts: settings of that other preprocessing.
    """
    return {"kind": "library", "reason": reason, **facts}
