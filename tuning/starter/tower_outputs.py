"""Outputs of starter's towers for the pictures and phrases of a catalogue, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firstsight.config import cache_dir
from firstsight.encoders.base import ImageInput
from firstsight.encoders.starter.starter_encoder import StarterEncoder
from firstsight.encoders.starter.starter_files import PICTURE_WEIGHTS, TOKENIZER
from firstsight.encoders.starter.starter_model import DIM, PREPROCESSING
from firstsight.tuning.reading.picture_files import CataloguePictures

FEATURES: Final = 1280
LOGITS: Final = 1000

_PICTURES_AHEAD: Final = 16
"""Pictures that are decoded together while the tower computes."""


def cache_file() -> Path:
    """The file with all tower outputs."""
    return cache_dir() / "tuning" / "starter-outputs.sqlite"


class TowerOutputs:
    """Outputs of both towers, before the bridge.

    Args:
        encoder: its towers compute missing outputs.
        on_progress: receives a line for each hundred new pictures or texts.
    """

    def __init__(self, encoder: StarterEncoder, on_progress: Callable[[str], None] = lambda line: None) -> None:
        # imported here: SQLite is not needed by commands that only read a model
        from firstsight.tuning.starter.output_cache import OutputCache

        self._encoder = encoder
        self._on_progress = on_progress
        model = encoder.model
        pictures = f"pictures {PREPROCESSING} {PICTURE_WEIGHTS.sha256[:32]} {model.image_size}"
        of_texts = hashlib.sha256(f"{model.text_tower_digest()} {TOKENIZER.sha256}".encode())
        of_texts.update(encoder.bridge.text_mean.tobytes())
        if model.language_map is not None:
            of_texts.update(model.language_map.read_bytes())
        texts = f"texts {PREPROCESSING} {of_texts.hexdigest()[:32]}"
        self._pictures = OutputCache(cache_file(), pictures, FEATURES + LOGITS)
        self._texts = OutputCache(cache_file(), texts, DIM)

    def pictures(self, pictures: Sequence[ImageInput]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Compute or read (p, 1280) features and (p, 1000) logits of pictures.

        Raises:
            MediaError: a picture cannot be read.
        """
        keys = [picture_key(pictures, row) for row in range(len(pictures))]

        def compute(rows: Sequence[int]) -> NDArray[np.float32]:
            parts = []
            with ThreadPoolExecutor(2, "firstsight-tune-decode") as pool:
                batches = [rows[start : start + _PICTURES_AHEAD] for start in range(0, len(rows), _PICTURES_AHEAD)]
                for images in pool.map(lambda batch: [pictures[row] for row in batch], batches):
                    parts.append(np.concatenate(self._encoder.picture_outputs(self._encoder.pixels(images)), axis=1))
            return np.concatenate(parts)

        def show(count: int) -> None:
            self._on_progress(f"computed the picture tower on {count:,} new pictures")

        both = self._pictures.vectors(keys, compute, show)
        return both[:, :FEATURES], both[:, FEATURES:]

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Compute or read (n, 384) unit vectors of texts, without a visual part."""
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in texts]

        def compute(rows: Sequence[int]) -> NDArray[np.float32]:
            return self._encoder.semantic_texts([texts[row] for row in rows])

        def show(count: int) -> None:
            self._on_progress(f"computed the text tower on {count:,} new texts")

        return self._texts.vectors(keys, compute, show)


def picture_key(pictures: Sequence[ImageInput], row: int) -> str:
    """Digest of a picture's content, with the kind of the content: a file's bytes or pixels."""
    if isinstance(pictures, CataloguePictures):
        return f"file {pictures.digest(row)}"
    picture = pictures[row]
    if isinstance(picture, bytes):
        return f"file {hashlib.sha256(picture).hexdigest()}"
    if isinstance(picture, str | os.PathLike):
        try:
            with open(picture, "rb") as file:
                return f"file {hashlib.file_digest(file, 'sha256').hexdigest()}"
        except OSError:
            return f"missing {os.fspath(picture)}"  # the decoder reports it in its own words
    if isinstance(picture, Image.Image):
        name = f"{picture.mode} {picture.size}"
        return f"pixels {name} {hashlib.sha256(picture.tobytes()).hexdigest()}"
    return f"pixels {picture.shape} {hashlib.sha256(np.ascontiguousarray(picture).tobytes()).hexdigest()}"
