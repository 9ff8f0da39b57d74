"""Attention in plain operations equals `nn.MultiheadAttention`."""

from __future__ import annotations

import pytest
import torch

from firstsight.encoders.export.plain_attention import with_plain_attention


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("mask", ["none", "bool", "float", "heads"])
def test_plain_attention_equals_the_module(batch_first: bool, mask: str) -> None:
    torch.manual_seed(0)
    module = torch.nn.ModuleDict({"a": torch.nn.MultiheadAttention(12, 3, batch_first=batch_first)}).eval()
    plain = with_plain_attention(module)
    assert type(module["a"]) is torch.nn.MultiheadAttention
    x = torch.randn((2, 5, 12) if batch_first else (5, 2, 12))
    causal = torch.ones(5, 5, dtype=torch.bool).triu(1)
    masks = {
        "none": None,
        "bool": causal,
        "float": torch.zeros(5, 5).masked_fill(causal, -torch.inf),
        "heads": torch.zeros(6, 5, 5).masked_fill(causal, -torch.inf),
    }
    expected = module["a"](x, x, x, need_weights=False, attn_mask=masks[mask])[0]
    found = plain["a"](x, x, x, need_weights=False, attn_mask=masks[mask])[0]  # type: ignore[index]
    assert torch.allclose(found, expected, atol=1e-6)
