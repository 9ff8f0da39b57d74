"""Train the bridge of the `starter` encoder.

    apt-get download openclipart-png dataset-fashion-mnist tuxpaint-stamps-default
    for package in *.deb; do dpkg -x $package data; done
    npm install --prefix data emoji-datasource-apple@16 emoji-datasource-google@16 \\
        emoji-datasource-facebook@16 emoji-datasource-twitter@16
    python -m firstsight.encoders.training --openclipart data/usr/share/openclipart/png \\
        --emoji data/node_modules --fashion-mnist data/usr/share/datasets/fashion-mnist \\
        --leave-out data/usr/share/tuxpaint/stamps \\
        --cache data/features --out encoders/starter/weights/starter-bridge.safetensors

The stamps are the test set. Some of them are also in openclipart, so `--leave-out` excludes them from training.

Takes a quarter of an hour on two cores. Later runs take three minutes, because the picture tower's outputs are cached.
`--validate` trains without a held-out tenth and prints the bridge's figures on it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from firstsight.encoders.base import unit
from firstsight.encoders.starter.bridge import Bridge
from firstsight.encoders.starter.starter_encoder import IMAGE_BATCH, StarterEncoder
from firstsight.encoders.starter.starter_model import BRIDGE_PATH
from firstsight.encoders.training import drawn_examples, view_features
from firstsight.encoders.training.bridge_training import (
    CaptionVectors,
    TrainingSettings,
    average_bridges,
    held_out,
    train,
    variants,
)
from firstsight.encoders.training.bridge_validation import validate
from firstsight.encoders.training.drawn_examples import Drawing
from firstsight.encoders.training.imagenet_classes import class_vectors
from firstsight.encoders.training.view_features import ViewFeatures

SEED = 1
GARMENTS_PER_CLASS = 500
WORN_PER_KIND = 250


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--openclipart", type=Path, required=True, help="usr/share/openclipart/png of the package")
    parser.add_argument("--emoji", type=Path, required=True, help="node_modules with the emoji-datasource packages")
    parser.add_argument("--fashion-mnist", type=Path, required=True, help="usr/share/datasets/fashion-mnist")
    parser.add_argument("--leave-out", type=Path, help="folder of PNGs to exclude from training")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the picture tower's outputs")
    parser.add_argument("--out", type=Path, default=BRIDGE_PATH, help="the weights file to write")
    parser.add_argument("--seeds", type=int, default=3, help="number of bridges to train and average (default 3)")
    parser.add_argument("--validate", action="store_true", help="hold out a tenth, print figures, write no file")
    options = parser.parse_args(arguments)

    encoder = StarterEncoder()
    sources: dict[str, Callable[[], Iterator[Drawing]]] = {
        "openclipart": lambda: drawn_examples.openclipart(options.openclipart),
        "emoji": lambda: drawn_examples.emoji(options.emoji),
        "fashion-mnist": lambda: drawn_examples.fashion_mnist(
            options.fashion_mnist, GARMENTS_PER_CLASS, np.random.default_rng(SEED)
        ),
        "worn-garments": lambda: drawn_examples.worn_garments(
            options.fashion_mnist, WORN_PER_KIND, np.random.default_rng(SEED)
        ),
    }
    excluded = _features(sorted(options.leave_out.rglob("*.png")), encoder) if options.leave_out else None
    parts = []
    for name, drawings in sources.items():
        stored = options.cache / f"{name}.npz"
        if not stored.exists():
            _report(f"reading {name} and running the picture tower over it")
            view_features.save(view_features.compute(drawings(), encoder, np.random.default_rng(SEED)), stored)
        part = view_features.load(stored)
        if excluded is not None and any(view["plain"] for view in part.records):
            before = len(part.records)
            part = view_features.without_copies(part, excluded)
            _report(f"{name}: {before - len(part.records)} of {before} views excluded")
        parts.append(part)
    views = view_features.join(parts)
    _report(f"{len(views.records)} views; encoding their captions")
    texts = _encode_captions(views, encoder)

    is_held_out = held_out(views)
    if options.validate:
        validation = view_features.select(views, is_held_out)
        views = view_features.select(views, ~is_held_out)
    mean = _mean_caption(views, texts)
    bridges = []
    for seed in range(options.seeds):
        _report(f"training bridge {seed + 1} of {options.seeds}")
        bridges.append(train(views, texts, mean, TrainingSettings(), seed))
    weights = average_bridges(bridges)
    if options.validate:
        for name, bridge in (("untrained", Bridge(weights).untrained()), ("trained", Bridge(weights))):
            figures = validate(bridge, validation, texts)
            sys.stdout.write("  ".join([name, *(f"{key}={value:.3f}" for key, value in figures.items())]) + "\n")
        return 0
    # safetensors ignores strides and writes the raw memory: the arrays must be in C order.
    save_file({name: np.ascontiguousarray(values, np.float16) for name, values in weights.items()}, options.out)
    _report(f"wrote {options.out} ({options.out.stat().st_size / 1e6:.1f} MB)")
    return 0


def _features(pictures: Sequence[Path], encoder: StarterEncoder) -> NDArray[np.float32]:
    batches = (pictures[start : start + IMAGE_BATCH] for start in range(0, len(pictures), IMAGE_BATCH))
    return np.concatenate([encoder.picture_outputs(encoder.pixels(batch))[0] for batch in batches])


def _report(progress: str) -> None:
    sys.stderr.write(f"{progress}\n")


def _encode_captions(views: ViewFeatures, encoder: StarterEncoder) -> CaptionVectors:
    captions = sorted({text for view in views.records for caption in view["captions"] for text in variants(caption)})
    vectors = unit(encoder.sentence_vectors(captions))
    return CaptionVectors({caption: row for row, caption in enumerate(captions)}, vectors, class_vectors(encoder))


def _mean_caption(views: ViewFeatures, texts: CaptionVectors) -> NDArray[np.float32]:
    """Compute the mean vector of the distinct captions of drawings in their own colours."""
    rows = sorted({texts.captions[view["captions"][0]] for view in views.records if not view["colour"]})
    mean: NDArray[np.float32] = texts.vectors[rows].mean(axis=0)
    return mean


if __name__ == "__main__":
    sys.exit(main())
