"""Fast CLIP-style preprocessing of pictures, equal to the library's own within rounding."""

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
"""Aspect ratio (longer side / shorter side) above which `SquareTransform` resizes only the middle.

Up to this ratio the whole picture is resized: it takes at most 13 MB (edge 512), and its vector is the same bit by bit.
"""

MAX_CROPPED_ASPECT = 8
"""Aspect ratio above which a library's own cropping transform gets only the middle."""

MAX_WHOLE_ASPECT = 64
"""The same for a library's transform without a crop: at this ratio and 224 pixels, the shorter side has 3.5 pixels."""

_PILLOW_KERNELS = {
    InterpolationMode.BILINEAR: Image.Resampling.BILINEAR,
    InterpolationMode.BICUBIC: Image.Resampling.BICUBIC,
}


@dataclass(frozen=True)
class SquareTransform:
    """Antialiased resize and centre crop, the usual preprocessing of dual encoders before normalisation.

    torchvision resizes bytes four times as fast as Pillow, within one level of 255. `NormalisingTower` applies the
    model's mean and standard deviation inside the tower, at no extra cost. For a long picture Pillow resizes only the
    middle: the whole of 1 x 40,000 pixels would become 6 GB.
    """

    size: tuple[int, int]  # height and width of the result in pixels
    resize: Literal["shortest", "squash"]  # shorter side to `edge`, aspect ratio kept; or directly to `size`
    edge: int  # pixels
    interpolation: InterpolationMode
    crop_start: Callable[[float], int]  # rounds the start of the crop: torchvision rounds to nearest, others down
    mean: tuple[float, ...]  # of pixels from 0 to 1
    std: tuple[float, ...]

    def __call__(self, pictures: Sequence[Image.Image]) -> Arrays:
        """Resize and crop RGB pictures to one array, (n, height, width, 3) uint8."""
        return (np.stack([self._transform_picture(picture) for picture in pictures]),)

    def _transform_picture(self, picture: Image.Image) -> NDArray[np.uint8]:
        if self.resize == "shortest" and max(picture.size) > MAX_RESIZED_ASPECT * min(picture.size):
            return self._middle_of_long_picture(picture)
        # a copy, because torch warns about read-only memory
        pixels = torch.from_numpy(np.array(picture, dtype=np.uint8)).permute(2, 0, 1)
        edge = [self.edge] if self.resize == "shortest" else list(self.size)
        pixels = functional.resize(pixels, edge, interpolation=self.interpolation, antialias=True)
        height, width = self.size
        top = self.crop_start((pixels.shape[1] - height) / 2)
        left = self.crop_start((pixels.shape[2] - width) / 2)
        pixels = pixels[:, top : top + height, left : left + width]
        return np.asarray(pixels.permute(1, 2, 0).numpy(), dtype=np.uint8)

    def _middle_of_long_picture(self, picture: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop in one step, without the whole resized picture.

        Pillow's kernel also reads the pixels around the box, so the result equals its full resize, cropped.
        """
        longer = int(self.edge * max(picture.size) / min(picture.size))  # rounded down, as in torchvision
        resized = (longer, self.edge) if picture.width > picture.height else (self.edge, longer)
        width, height = self.size[::-1]
        left = self.crop_start((resized[0] - width) / 2)
        top = self.crop_start((resized[1] - height) / 2)
        across, down = picture.width / resized[0], picture.height / resized[1]
        box = (left * across, top * down, (left + width) * across, (top + height) * down)
        return np.asarray(picture.resize((width, height), _PILLOW_KERNELS[self.interpolation], box=box))


class NormalisingTower(torch.nn.Module):
    """A picture tower that takes the bytes of a `SquareTransform` and normalises them."""

    def __init__(self, tower: torch.nn.Module, transform: SquareTransform) -> None:
        super().__init__()
        self.tower = tower
        # plain numbers: moving the module to bfloat16 does not change them
        self._scale = [255 * std for std in transform.std]
        self._shift = [255 * mean for mean in transform.mean]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map (n, height, width, 3) uint8 pixels to (n, dim) features."""
        scale = torch.tensor(self._scale, dtype=torch.float32, device=pixels.device)
        shift = torch.tensor(self._shift, dtype=torch.float32, device=pixels.device)
        normalised = ((pixels.float() - shift) / scale).permute(0, 3, 1, 2)
        features: torch.Tensor = self.tower(normalised.to(next(self.tower.parameters()).dtype))
        return features


def is_faithful(transform: SquareTransform, reference: NDArray[np.float32], pictures: Sequence[Image.Image]) -> bool:
    """Return whether a transform equals the model's own preprocessing, except for rounding to bytes.

    Args:
        transform: the transform to check.
        reference: (n, 3, height, width) normalised pixels from the model's own preprocessing.
        pictures: the n source pictures of `reference`.
    """
    (pixels,) = transform(pictures)
    if reference.shape != (len(pictures), 3, *transform.size):
        return False
    mean, std = np.asarray(transform.mean), np.asarray(transform.std)
    levels = (reference.transpose(0, 2, 3, 1) * std + mean) * 255
    difference = np.abs(levels - pixels)
    return bool(difference.max() <= 3 and difference.mean() <= 0.5)
