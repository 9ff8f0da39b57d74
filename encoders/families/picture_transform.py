"""CLIP-style preprocessing of pictures, as fast as the same result allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode, functional

from firstsight.encoders.base import Arrays

MAX_RESIZED_ASPECT = 16
"""Longer side over shorter side above which `SquareTransform` resizes only the middle.

Up to here the whole takes 13 MB at most (edge 512), and keeps its vector by the bit.
"""

MAX_CROPPED_ASPECT = 8
"""The same, above which a library's own transform that crops the middle is given only the middle."""

MAX_WHOLE_ASPECT = 64
"""The same, for a library's own transform that keeps the whole picture: of 224 pixels, 3.5 are left of the shorter."""

_PILLOW_KERNELS = {
    InterpolationMode.BILINEAR: Image.Resampling.BILINEAR,
    InterpolationMode.BICUBIC: Image.Resampling.BICUBIC,
}


@dataclass(frozen=True)
class SquareTransform:
    """Resize with an antialiased kernel, then crop the middle: what most dual encoders do before they normalise.

    Done on bytes by torchvision, four times as fast as Pillow's own resize and within one level of 255 of it. The
    model's mean and standard deviation are applied inside the tower (`NormalisingTower`), where they cost nothing. Of a
    long picture only the middle is resized, by Pillow: the whole of 1 x 40,000 pixels would become 6 GB.
    """

    size: tuple[int, int]  # height, width of the result
    resize: Literal["shortest", "squash"]  # the shorter side to `edge` and the shape kept; or straight to `size`
    edge: int
    interpolation: InterpolationMode
    crop_start: Callable[[float], int]  # where the middle begins: torchvision rounds half a pixel, others cut it off
    mean: tuple[float, ...]  # of pixels in 0 to 1
    std: tuple[float, ...]

    def __call__(self, pictures: Sequence[Image.Image]) -> Arrays:
        """Pictures, RGB, to ((n, h, w, 3) uint8,)."""
        return (np.stack([self._one(picture) for picture in pictures]),)

    def _one(self, picture: Image.Image) -> NDArray[np.uint8]:
        if self.resize == "shortest" and max(picture.size) > MAX_RESIZED_ASPECT * min(picture.size):
            return self._middle(picture)
        # copied, because torch warns of memory it may not write to
        pixels = torch.from_numpy(np.array(picture, dtype=np.uint8)).permute(2, 0, 1)
        edge = [self.edge] if self.resize == "shortest" else list(self.size)
        pixels = functional.resize(pixels, edge, interpolation=self.interpolation, antialias=True)
        height, width = self.size
        top = self.crop_start((pixels.shape[1] - height) / 2)
        left = self.crop_start((pixels.shape[2] - width) / 2)
        pixels = pixels[:, top : top + height, left : left + width]
        return np.asarray(pixels.permute(1, 2, 0).numpy(), dtype=np.uint8)

    def _middle(self, picture: Image.Image) -> NDArray[np.uint8]:
        """What the resize and the crop make together, without the pixels in between.

        Pillow reads what its kernel needs around the box too, so that this is its own resize, cropped.
        """
        longer = int(self.edge * max(picture.size) / min(picture.size))  # cut off, as torchvision does
        resized = (longer, self.edge) if picture.width > picture.height else (self.edge, longer)
        width, height = self.size[::-1]
        left = self.crop_start((resized[0] - width) / 2)
        top = self.crop_start((resized[1] - height) / 2)
        across, down = picture.width / resized[0], picture.height / resized[1]
        box = (left * across, top * down, (left + width) * across, (top + height) * down)
        return np.asarray(picture.resize((width, height), _PILLOW_KERNELS[self.interpolation], box=box))


class NormalisingTower(torch.nn.Module):
    """A picture tower that takes the bytes `SquareTransform` makes, and normalises them itself."""

    def __init__(self, tower: torch.nn.Module, transform: SquareTransform) -> None:
        super().__init__()
        self.tower = tower
        # plain numbers, so that moving the module to bfloat16 leaves them as they are
        self._scale = [255 * std for std in transform.std]
        self._shift = [255 * mean for mean in transform.mean]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, h, w, 3) uint8 -> (n, dim)."""
        scale = torch.tensor(self._scale, dtype=torch.float32, device=pixels.device)
        shift = torch.tensor(self._shift, dtype=torch.float32, device=pixels.device)
        normalised = ((pixels.float() - shift) / scale).permute(0, 3, 1, 2)
        features: torch.Tensor = self.tower(normalised.to(next(self.tower.parameters()).dtype))
        return features


def probe_pictures(count: int = 8, seed: int = 0) -> list[Image.Image]:
    """Drawn pictures of several shapes, the same ones every time: blobs and edges of many scales, a little noise."""
    rng = np.random.default_rng(seed)
    shapes = [(480, 640), (640, 480), (300, 300), (90, 200), (720, 1280), (224, 224), (500, 333), (1000, 400)]
    pictures = []
    for index in range(count):
        height, width = shapes[index % len(shapes)]
        layers = np.zeros((height, width, 3), dtype=np.float32)
        for cells in (2, 5, 12, 40):
            coarse = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
            kernel = Image.Resampling.BICUBIC if rng.random() < 0.5 else Image.Resampling.NEAREST
            layers += np.asarray(coarse.resize((width, height), kernel), dtype=np.float32) / cells**0.5
        layers += rng.normal(0, 4, layers.shape)
        layers -= layers.min()
        pictures.append(Image.fromarray((layers * (255 / layers.max())).astype(np.uint8)))
    return pictures


def is_faithful(transform: SquareTransform, reference: NDArray[np.float32], pictures: Sequence[Image.Image]) -> bool:
    """Whether a transform gives what the model's own preprocessing gives, rounding to bytes aside.

    Args:
        reference: (n, 3, h, w) normalised pixels of the model's own preprocessing.
        pictures: the n pictures it made them from.
    """
    (pixels,) = transform(pictures)
    if reference.shape != (len(pictures), 3, *transform.size):
        return False
    mean, std = np.asarray(transform.mean), np.asarray(transform.std)
    levels = (reference.transpose(0, 2, 3, 1) * std + mean) * 255
    difference = np.abs(levels - pixels)
    return bool(difference.max() <= 3 and difference.mean() <= 0.5)
