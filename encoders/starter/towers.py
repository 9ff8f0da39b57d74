"""The two pretrained towers of the `starter` encoder: torch modules for their packaged weights.

EfficientNet-Lite2 (R. Liu, "Higher accuracy on vision models with EfficientNet-Lite", 2020; the network of Tan and Le,
2019, without squeeze-and-excitation and with ReLU6) and all-MiniLM-L6-v2 (Wang et al., "MiniLM", 2020; Reimers and
Gurevych, "Sentence-BERT", 2019). Implemented here because both are small and a text query should not import timm or
transformers. This file imports torch: import it only to run torch or to export a graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from firstsight.errors import EncoderError, first_line

PIXEL_MEAN, PIXEL_STD = 0.498, 0.502  # of pixels in [0, 1]: (x - 127) / 128, as the network was trained

# (blocks, kernel, stride of the first block, expansion, channels) of each stage of EfficientNet-Lite2: the base network
# at width 1.1 and depth 1.2; the first and last stages keep their depth.
_STAGES = (
    (1, 3, 1, 1, 16),
    (3, 3, 2, 6, 24),
    (3, 5, 2, 6, 48),
    (4, 3, 2, 6, 88),
    (4, 5, 1, 6, 120),
    (5, 5, 2, 6, 208),
    (1, 3, 1, 6, 352),
)


class _SameConv(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: an odd pixel is added at the right and the bottom."""

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for side, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-int(side) // stride) - 1) * stride + kernel - int(side), 0)
            pads += [total // 2, total - total // 2]
        return functional.conv2d(
            functional.pad(x, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups
        )


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class _Block(nn.Module):
    """Inverted residual block: expand, depthwise, project. Attribute names match the packaged weights."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv = nn.Conv2d(before, wide, 1, bias=False)
            self._bn0 = _norm(wide)
        self._depthwise_conv = _SameConv(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = _norm(wide)
        self._project_conv = nn.Conv2d(wide, after, 1, bias=False)
        self._bn2 = _norm(after)
        self.skips = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.skips else y


class EfficientNetLite2(nn.Module):
    """The picture tower: pooled features and ImageNet-1k logits for the bridge."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _SameConv(3, 32, 3, 2, bias=False)
        self._bn0 = _norm(32)
        blocks: list[nn.Module] = []
        widths = [32, *(stage[-1] for stage in _STAGES)]
        for (before, after), (count, kernel, stride, expansion, _) in zip(pairwise(widths), _STAGES, strict=True):
            blocks.append(_Block(before, after, kernel, stride, expansion))
            blocks += [_Block(after, after, kernel, 1, expansion) for _ in range(count - 1)]
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(352, 1280, 1, bias=False)
        self._bn1 = _norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map (n, 260, 260, 3) uint8 RGB to (n, 1280) float32 features and (n, 1000) float32 logits."""
        x = (pixels.permute(0, 3, 1, 2).float() / 255.0 - PIXEL_MEAN) / PIXEL_STD
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = functional.relu6(self._bn1(self._conv_head(x)))
        features = x.mean(dim=(2, 3))
        return features, self._fc(features)


HEAD_SIZE = 32


class _Layer(nn.Module):
    """A post-norm transformer layer of BERT."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        width = heads * HEAD_SIZE
        self.query, self.key, self.value = nn.Linear(dim, width), nn.Linear(dim, width), nn.Linear(dim, width)
        self.out, self.out_norm = nn.Linear(width, dim), nn.LayerNorm(dim, eps=1e-12)
        self.up, self.down = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.norm = nn.LayerNorm(dim, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        def split(y: Tensor) -> Tensor:
            heads: Tensor = y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            return heads

        attended = functional.scaled_dot_product_attention(
            split(self.query(x)), split(self.key(x)), split(self.value(x)), attn_mask=mask
        )
        x = self.out_norm(x + self.out(attended.transpose(1, 2).flatten(2)))
        y: Tensor = self.norm(x + self.down(functional.gelu(self.up(x))))
        return y


class MiniLM(nn.Module):
    """The text tower: a BERT with mean pooling over tokens.

    Args:
        layers: number of attention heads and width of the MLP of each layer.

    Attributes:
        sizes: the same.
    """

    def __init__(self, layers: Sequence[tuple[int, int]] = ((12, 1536),) * 6) -> None:
        super().__init__()
        dim = 384
        self.sizes = tuple(layers)
        self.words, self.positions = nn.Embedding(30522, dim), nn.Embedding(512, dim)
        self.kind = nn.Parameter(torch.zeros(dim))  # the vector of token type 0, the only type used
        self.norm = nn.LayerNorm(dim, eps=1e-12)
        self.layers = nn.ModuleList(_Layer(dim, heads, hidden) for heads, hidden in layers)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Map (n, length) int64 token ids and their 0/1 mask to (n, 384) float32 means, not of unit length."""
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.norm(self.words(ids) + self.positions(places) + self.kind)
        real = mask.to(x.dtype)
        # An added bias, not a boolean mask: both runtimes then do the same arithmetic.
        bias = (1.0 - real)[:, None, None, :] * torch.finfo(torch.float32).min
        for layer in self.layers:
            x = layer(x, bias)
        weights = real[:, :, None]
        mean: Tensor = (x * weights).sum(dim=1) / weights.sum(dim=1)
        return mean


_BERT_LAYER_NAMES = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "out_norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm",
}


def load_picture_tower(weights: Path) -> EfficientNetLite2:
    """Load EfficientNet-Lite2 with its packaged weights, in evaluation mode.

    The file is a pickle, read with `weights_only`: tensors, no code.
    """
    tower = EfficientNetLite2()
    tower.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return tower.eval()


def load_text_tower(weights: Path) -> MiniLM:
    """Load all-MiniLM-L6-v2 with its packaged safetensors, in evaluation mode."""
    stored = load_file(weights)
    state = {
        "words.weight": stored["embeddings.word_embeddings.weight"],
        "positions.weight": stored["embeddings.position_embeddings.weight"],
        "kind": stored["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": stored["embeddings.LayerNorm.weight"],
        "norm.bias": stored["embeddings.LayerNorm.bias"],
    }
    tower = MiniLM()
    for index in range(len(tower.layers)):
        for theirs, ours in _BERT_LAYER_NAMES.items():
            for kind in ("weight", "bias"):
                state[f"layers.{index}.{ours}.{kind}"] = stored[f"encoder.layer.{index}.{theirs}.{kind}"]
    tower.load_state_dict(state)
    return tower.eval()


def load_changed_text_tower(weights: Path) -> MiniLM:
    """Load a text tower from a state dict of `MiniLM` in safetensors, in evaluation mode.

    The number of layers, their heads and the widths of their MLPs are those of the weights.

    Raises:
        EncoderError: the file cannot be read, or holds other weights.
    """
    try:
        state = {name: value.float() for name, value in load_file(weights).items()}
        count = len({name.split(".")[1] for name in state if name.startswith("layers.")})
        sizes = [
            (len(state[f"layers.{index}.query.weight"]) // HEAD_SIZE, len(state[f"layers.{index}.up.weight"]))
            for index in range(count)
        ]
        tower = MiniLM(sizes)
        tower.load_state_dict(state)
    except (OSError, SafetensorError, KeyError, IndexError, RuntimeError) as error:
        raise EncoderError(
            f"the text tower {weights} cannot be used ({first_line(error)}): write the model again with firstsight tune"
        ) from error
    return tower.eval()
