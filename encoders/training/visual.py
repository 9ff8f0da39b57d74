"""Compute the visual part of `starter:visual` from the weights of the picture tower; no pictures are needed.

    python -m firstsight.encoders.training.visual

* The projection: the first 384 right singular vectors of the ImageNet classifier's centred weights, each multiplied by
  the square root of its singular value. Features that no class depends on are left out.
* The mean: the expected features of a picture of ImageNet. Before the last activation, batch normalisation gives each
  channel its mean and deviation over ImageNet; the mean of the clipped normal variable follows from both. Without the
  mean, all pictures are alike (cosines about .8), and thresholds of cosines mean something else than in `starter`.

Takes seconds. The result is the same on every machine up to rounding.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.stats import norm

from firstsight.encoders.starter.starter_files import PICTURE_WEIGHTS
from firstsight.encoders.starter.starter_model import VISUAL_PATH
from firstsight.encoders.starter.towers import load_picture_tower
from firstsight.encoders.starter.visual import VISUAL_DIM

SHARE: Final = 0.8
CEILING: Final = 6.0  # of the tower's last activation, ReLU6


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=VISUAL_PATH, help="the weights file to write")
    options = parser.parse_args(arguments)
    weights = visual_weights()
    half = {name: np.ascontiguousarray(values, np.float16) for name, values in weights.items() if name != "share"}
    save_file(half | {"share": weights["share"]}, options.out)
    sys.stderr.write(f"wrote {options.out} ({options.out.stat().st_size / 1e6:.1f} MB)\n")
    return 0


def visual_weights() -> dict[str, NDArray[np.float32]]:
    """Compute the weights of `VisualPart` from those of the picture tower."""
    tower = load_picture_tower(PICTURE_WEIGHTS.verify())
    state = {name: value.numpy().astype(np.float64) for name, value in tower.state_dict().items()}
    classifier = state["_fc.weight"]
    _, strengths, directions = np.linalg.svd(classifier - classifier.mean(axis=0), full_matrices=False)
    projection = directions[:VISUAL_DIM].T * np.sqrt(strengths[:VISUAL_DIM])
    # A singular vector has no sign of its own: fix it, so that every machine writes the same weights.
    largest = projection[np.abs(projection).argmax(axis=0), np.arange(VISUAL_DIM)]
    mean = expected_activation(state["_bn1.bias"], np.abs(state["_bn1.weight"]))
    arrays = {"mean": mean, "projection": projection * np.sign(largest), "share": np.array([SHARE])}
    return {name: values.astype(np.float32) for name, values in arrays.items()}


def expected_activation(mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the mean of a normal variable that is clipped to 0..6, for each channel."""

    def above(limit: float) -> NDArray[np.float64]:
        """Compute the mean of max(x - limit, 0)."""
        standard = (limit - mean) / deviation
        excess: NDArray[np.float64] = deviation * norm.pdf(standard) + (mean - limit) * norm.sf(standard)
        return excess

    return above(0.0) - above(CEILING)


if __name__ == "__main__":
    sys.exit(main())
