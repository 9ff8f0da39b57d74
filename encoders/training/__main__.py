"""Train the bridge of the `starter` encoder again.

    apt-get download openclipart-png dataset-fashion-mnist tuxpaint-stamps-default
    for package in *.deb; do dpkg -x $package data; done
    npm install --prefix data emoji-datasource-apple@16 emoji-datasource-google@16 \\
        emoji-datasource-facebook@16 emoji-datasource-twitter@16
    python -m firstsight.encoders.training --openclipart data/usr/share/openclipart/png \\
        --emoji data/node_modules --fashion-mnist data/usr/share/datasets/fashion-mnist \\
        --leave-out data/usr/share/tuxpaint/stamps \\
        --cache data/features --out encoders/starter/weights/starter-bridge.safetensors

The stamps are the test set, and some of them are in openclipart too: hence `--leave-out`.

A quarter of an hour on two cores; the picture tower's outputs are kept in the cache folder, after which it is three
minutes. `--validate` trains without the held-out tenth and prints how good the bridge is on it.
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
from firstsight.encoders.starter.starter_encoder import BRIDGE_PATH, IMAGE_BATCH, StarterEncoder
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
    parser.add_argument("--leave-out", type=Path, help="drawings also found in this folder's PNGs are not trained on")
    parser.add_argument("--cache", type=Path, required=True, help="where the picture tower's outputs are kept")
    parser.add_argument("--out", type=Path, default=BRIDGE_PATH, help="the weights file to write")
    parser.add_argument("--seeds", type=int, default=3, help="bridges trained and folded into one")
    parser.add_argument("--validate", action="store_true", help="hold a tenth out, print figures, write nothing")
    options = parser.parse_args(arguments)

    encoder = StarterEncoder()
    makers: dict[str, Callable[[], Iterator[Drawing]]] = {
        "openclipart": lambda: drawn_examples.openclipart(options.openclipart),
        "emoji": lambda: drawn_examples.emoji(options.emoji),
        "fashion-mnist": lambda: drawn_examples.fashion_mnist(
            options.fashion_mnist, GARMENTS_PER_CLASS, np.random.default_rng(SEED)
        ),
        "worn-garments": lambda: drawn_examples.worn_garments(
            options.fashion_mnist, WORN_PER_KIND, np.random.default_rng(SEED)
        ),
    }
    left_out = _features(sorted(options.leave_out.rglob("*.png")), encoder) if options.leave_out else None
    parts = []
    for name, drawings in makers.items():
        stored = options.cache / f"{name}.npz"
        if not stored.exists():
            _say(f"reading {name} and running the picture tower over it")
            view_features.save(view_features.compute(drawings(), encoder, np.random.default_rng(SEED)), stored)
        part = view_features.load(stored)
        if left_out is not None and any(view["plain"] for view in part.records):
            before = len(part.records)
            part = view_features.without_copies(part, left_out)
            _say(f"{name}: {before - len(part.records)} of {before} views left out")
        parts.append(part)
    views = view_features.join(parts)
    _say(f"{len(views.records)} views; encoding their captions")
    texts = _encode_captions(views, encoder)

    apart = held_out(views)
    if options.validate:
        rest = view_features.select(views, apart)
        views = view_features.select(views, ~apart)
    mean = _mean_caption(views, texts)
    bridges = []
    for seed in range(options.seeds):
        _say(f"training bridge {seed + 1} of {options.seeds}")
        bridges.append(train(views, texts, mean, TrainingSettings(), seed))
    weights = average_bridges(bridges)
    if options.validate:
        for name, bridge in (("untrained", Bridge(weights).untrained()), ("trained", Bridge(weights))):
            figures = validate(bridge, rest, texts)
            sys.stdout.write("  ".join([name, *(f"{key}={value:.3f}" for key, value in figures.items())]) + "\n")
        return 0
    # safetensors writes an array's memory as it lies, whatever its strides: only C order comes back as it was.
    save_file({name: np.ascontiguousarray(values, np.float16) for name, values in weights.items()}, options.out)
    _say(f"wrote {options.out} ({options.out.stat().st_size / 1e6:.1f} MB)")
    return 0


def _features(pictures: Sequence[Path], encoder: StarterEncoder) -> NDArray[np.float32]:
    batches = (pictures[start : start + IMAGE_BATCH] for start in range(0, len(pictures), IMAGE_BATCH))
    return np.concatenate([encoder.picture_outputs(encoder.pixels(batch))[0] for batch in batches])


def _say(progress: str) -> None:
    sys.stderr.write(f"{progress}\n")


def _encode_captions(views: ViewFeatures, encoder: StarterEncoder) -> CaptionVectors:
    captions = sorted({text for view in views.records for caption in view["captions"] for text in variants(caption)})
    vectors = unit(encoder.sentence_vectors(captions))
    return CaptionVectors({caption: row for row, caption in enumerate(captions)}, vectors, class_vectors(encoder))


def _mean_caption(views: ViewFeatures, texts: CaptionVectors) -> NDArray[np.float32]:
    """The mean over the different captions of drawings in their own colours."""
    rows = sorted({texts.captions[view["captions"][0]] for view in views.records if not view["colour"]})
    mean: NDArray[np.float32] = texts.vectors[rows].mean(axis=0)
    return mean


if __name__ == "__main__":
    sys.exit(main())
