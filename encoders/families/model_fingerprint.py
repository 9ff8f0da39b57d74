"""What a model's fingerprint is made of: its weights, its tokeniser and whatever else changes its vectors."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch


def weights_digest(module: torch.nn.Module, *preprocessing: object) -> str:
    """A digest of every parameter and buffer, by name, and of whatever else changes the vectors.

    The same weights give the same digest from a .pt and from a .safetensors file. How they are run later, in which
    runtime and in which numbers, is no part of it: see `runtimes`.
    """
    digest = hashlib.sha256(repr(preprocessing).encode())
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(
            value.detach().cpu().contiguous().view(torch.uint8).numpy() if value.ndim else str(value.item()).encode()
        )
    return digest.hexdigest()


def tokenizer_state(tokenizer: Any) -> object:
    """What decides how a text becomes ids: the tokeniser's tables and rules, in an order that does not change."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        state = json.loads(backend.to_str())
        # set anew by each call, and given to the fingerprint as the context
        state.pop("truncation", None)
        state.pop("padding", None)
        return json.dumps(state, sort_keys=True)
    if hasattr(tokenizer, "get_vocab"):
        return sorted(tokenizer.get_vocab().items())
    # open_clip's own: byte-pair merges in their order
    return sorted(tokenizer.encoder.items()), sorted(tokenizer.bpe_ranks.items(), key=lambda pair: pair[1])
