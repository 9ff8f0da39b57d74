"""Fingerprint of a model: a digest of its weights, its tokeniser and all other settings that change its vectors."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch


def weights_digest(module: torch.nn.Module, *preprocessing: object) -> str:
    """Return a digest of every parameter and buffer, by name, and of the preprocessing.

    The same weights give the same digest from a .pt and from a .safetensors file. The runtime and its precision are
    not included (see `runtimes.runtime_choice`).

    Args:
        module: the model.
        preprocessing: all other values that change the vectors; their `repr` must be stable.

    Returns:
        64 hexadecimal digits (SHA-256).
    """
    digest = hashlib.sha256(repr(preprocessing).encode())
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(
            value.detach().cpu().contiguous().view(torch.uint8).numpy() if value.ndim else str(value.item()).encode()
        )
    return digest.hexdigest()


def tokenizer_state(tokenizer: Any) -> object:
    """Return the tables and rules of a tokeniser, in a stable order."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        state = json.loads(backend.to_str())
        # set again by each call; the fingerprint has them as the context
        state.pop("truncation", None)
        state.pop("padding", None)
        return json.dumps(state, sort_keys=True)
    if hasattr(tokenizer, "get_vocab"):
        return sorted(tokenizer.get_vocab().items())
    # open_clip's own tokeniser: byte-pair merges in order
    return sorted(tokenizer.encoder.items()), sorted(tokenizer.bpe_ranks.items(), key=lambda pair: pair[1])
