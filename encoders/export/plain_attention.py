"""Attention in plain operations, in place of `nn.MultiheadAttention`.

torch traces that module to a fused operator that ONNX does not have, or with the length of the example as a constant.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def with_plain_attention(module: nn.Module) -> nn.Module:
    """Return a copy of a module with the same outputs and no `nn.MultiheadAttention`; the module itself if it has none.

    Attention with a key padding mask, added keys or added zeros is not expressed here and stays.
    """
    if not any(map(_is_expressible, module.modules())):
        return module
    changed = copy.deepcopy(module)
    for parent in list(changed.modules()):
        for name, child in list(parent.named_children()):
            if _is_expressible(child):
                setattr(parent, name, PlainAttention(child))
    return changed


def _is_expressible(module: nn.Module) -> bool:
    return type(module) is nn.MultiheadAttention and module.bias_k is None and not module.add_zero_attn


class PlainAttention(nn.Module):
    """The same attention as an `nn.MultiheadAttention`, with its weights."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.heads: int = attention.num_heads
        self.batch_first: bool = attention.batch_first
        if attention.in_proj_weight is not None:
            weights = attention.in_proj_weight.detach().chunk(3)
        else:
            weights = tuple(
                weight.detach()
                for weight in (attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight)
            )
        biases = (None,) * 3 if attention.in_proj_bias is None else attention.in_proj_bias.detach().chunk(3)
        self.query, self.key, self.value = (_linear(w, b) for w, b in zip(weights, biases, strict=True))
        self.out_proj = attention.out_proj

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = False,
        attn_mask: Tensor | None = None,
        **others: Any,
    ) -> tuple[Tensor, None]:
        """Attend; masks as in `nn.MultiheadAttention`, except for a key padding mask, which raises ValueError."""
        if key_padding_mask is not None:
            raise ValueError("attention with a key padding mask")
        if not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            attn_mask = ~attn_mask  # True forbids there, and allows in scaled_dot_product_attention
        if attn_mask is not None and attn_mask.ndim == 3:  # rows of all heads
            attn_mask = attn_mask.unflatten(0, (-1, self.heads))
        q, k, v = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part, x in ((self.query, query), (self.key, key), (self.value, value))
        )
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)
        result = self.out_proj(attended.transpose(1, 2).flatten(2))
        return (result if self.batch_first else result.transpose(0, 1)), None


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = nn.Parameter(weight)
    if bias is not None:
        layer.bias = nn.Parameter(bias)
    return layer
