"""Weights as safetensors: no pickle, and every tensor is checked before it is used."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as the bytes of a safetensors file."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def from_bytes(data: bytes, expected: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Read tensors from the bytes of a safetensors file.

    Args:
        data: of the file.
        expected: tensors of the same names, shapes and types; None to check only that the numbers are finite.

    Raises:
        ValueError: the bytes are damaged, a tensor is missing, unknown or of another shape or type, or a number is not
            finite.
    """
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"no safetensors file: {error}") from None
    if expected is not None:
        check_tensors(tensors, expected)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"a number of {name} is not finite")
    return tensors


def check_tensors(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Check that tensors have the names, shapes and types of others.

    Raises:
        ValueError: a tensor is missing, unknown or of another shape or type.
    """
    if different := sorted(set(expected) ^ set(tensors)):
        raise ValueError(f"it {'lacks' if different[0] in expected else 'has an unknown tensor'} {different[0]}")
    for name, tensor in tensors.items():
        shape, dtype = tuple(expected[name].shape), expected[name].dtype
        if tuple(tensor.shape) != shape or tensor.dtype != dtype:
            raise ValueError(f"{name} is {tuple(tensor.shape)} of {tensor.dtype}, not {shape} of {dtype}")
