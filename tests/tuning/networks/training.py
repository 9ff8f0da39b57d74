"""One training of a tiny CLIP, for tests that run it in several processes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.tuning.networks.network_trainer import NetworkTrainer
from firstsight.tuning.networks.tuned_network import TunedNetwork
from firstsight.tuning.tune_settings import TuneSettings
from tests.tuning.networks.drawn_shapes import drawn_catalogue

DATA = drawn_catalogue(40)
ITEMS, HELD_OUT = range(30), range(30, 40)
PHRASES = sorted({text for row in HELD_OUT for text in DATA.items[row].phrases.values()})
TEXTS = ["red shoe", "blue lamp", "a green table"]


def settings(**changes: Any) -> TuneSettings:
    usual = {"steps": 12, "batch_size": 12, "learning_rate": 3e-3, "checkpoint_steps": 4, "hard_negatives": 2}
    return TuneSettings(**(usual | changes))


def trainer(encoder: str, folder: Path, **changes: Any) -> NetworkTrainer:
    options = EncoderOptions(device="cpu", threads=1)
    return NetworkTrainer(encoder, options, DATA, DATA.pictures[:3], settings(**changes), folder)


def train(
    encoder: str, folder: Path, on_progress: Callable[[str], None] = lambda line: None, **changes: Any
) -> TunedNetwork:
    made = trainer(encoder, folder, **changes)
    return made.fit(ITEMS, HELD_OUT, label="fold 1", on_progress=on_progress)


def vectors(tuned: TunedNetwork, share: float = 1.0) -> np.ndarray:
    """Return vectors of pictures and texts."""
    return np.concatenate([tuned.encode_pictures(range(40), share), tuned.encode_texts(PHRASES, share)])


def reciprocal_rank(pictures: np.ndarray, texts: np.ndarray) -> float:
    """Return the mean of 1 / rank of the first right one of the held-out pictures for each of `PHRASES`."""
    found = []
    for phrase, scores in zip(PHRASES, texts @ pictures.T, strict=True):
        ranked = [HELD_OUT[place] for place in np.argsort(-scores)]
        right = [rank for rank, row in enumerate(ranked, 1) if phrase in DATA.items[row].phrases.values()]
        found.append(1 / right[0])
    return float(np.mean(found))


def main() -> None:
    """Train in a process of its own: ENCODER FOLDER RESULT [WORD]. With WORD it stops at a line that contains it."""
    encoder, folder, result, *words = sys.argv[1:]

    def tell(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        if any(word in line for word in words):
            sys.stdin.read()  # the parent kills this process here

    np.save(result, vectors(train(encoder, Path(folder), tell)))


if __name__ == "__main__":
    main()
