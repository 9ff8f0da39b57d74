"""Digests of the data of a training: a checkpoint belongs to them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from firstsight.encoders.base import ImageInput
from firstsight.tuning.tuning_data import TuningData


class DataDigest:
    """Digests of parts of a catalogue; each picture is read once."""

    def __init__(self, data: TuningData) -> None:
        self._data = data
        self._pictures: dict[int, str] = {}

    def of(self, *parts: Sequence[int]) -> str:
        """Return one digest of some lists of items: phrases, pictures' content, and clicks."""
        digest = hashlib.blake2b(digest_size=16)
        for items in parts:
            for number in items:
                item = self._data.items[number]
                pictures = [self._picture(row) for row in item.pictures]
                content = [item.item_id, item.product, sorted(item.phrases.items()), pictures]
                digest.update(json.dumps(content).encode() + b"\n")
            digest.update(b"--\n")
        chosen = {number for items in parts for number in items}
        for click in self._data.clicks:
            if known := [number for number in click.items if number in chosen]:
                digest.update(json.dumps([click.query, known]).encode() + b"\n")
        return digest.hexdigest()

    def _picture(self, row: int) -> str:
        if row not in self._pictures:
            self._pictures[row] = picture_digest(self._data.pictures[row])
        return self._pictures[row]


def picture_digest(image: ImageInput) -> str:
    """Return a digest of a picture's content; a missing file has one too, and its reader gives the error."""
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(image, str | os.PathLike):
        try:
            with Path(image).open("rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
        except OSError:
            digest.update(os.fsencode(image))
    elif isinstance(image, bytes):
        digest.update(image)
    elif isinstance(image, Image.Image):
        digest.update(f"{image.mode} {image.size}".encode() + image.tobytes())
    else:
        digest.update(f"{image.dtype} {image.shape}".encode() + np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()
