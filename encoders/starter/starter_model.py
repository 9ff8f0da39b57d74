"""Variants of the `starter` encoder: the built-in ones, and folders that `firstsight tune` writes.

A folder `starter:FOLDER` has these files:

    starter_config.json          {"format": 1, "image_size": 260}
    bridge.safetensors           weights of `Bridge`
    text_tower.safetensors       optional: weights of a changed text tower, with the names of `towers.MiniLM`
    multilingual.safetensors     optional: weights of `LanguageMap`, which adds the tower of several languages
    visual.safetensors           optional: weights of `VisualPart`, which doubles the vectors

Its picture tower, its tokeniser and, without the third file, its text tower are the packaged ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.starter.bridge import TEMPERATURE
from firstsight.encoders.starter.multilingual import MAX_CHARACTERS
from firstsight.encoders.starter.starter_files import (
    LANGUAGE_VOCABULARY,
    LANGUAGE_WEIGHTS,
    PICTURE_WEIGHTS,
    TEXT_WEIGHTS,
    TOKENIZER,
)
from firstsight.encoders.starter.visual import VISUAL_DIM
from firstsight.errors import EncoderError

if TYPE_CHECKING:
    from torch import Tensor

NAME: Final = "starter"
IMAGE_SIZE: Final = 260

# Raise when decoding, resizing, tokenising or a tower's arithmetic changes: part of the fingerprint and of the names of
# the exported graphs.
PREPROCESSING: Final = 1

_WEIGHTS: Final = Path(__file__).parent / "weights"
BRIDGE_PATH: Final = _WEIGHTS / "starter-bridge.safetensors"
LANGUAGE_MAP_PATH: Final = _WEIGHTS / "starter-multilingual.safetensors"
VISUAL_PATH: Final = _WEIGHTS / "starter-visual.safetensors"

CONFIG_FILE: Final = "starter_config.json"
BRIDGE_FILE: Final = "bridge.safetensors"
TEXT_TOWER_FILE: Final = "text_tower.safetensors"
LANGUAGE_MAP_FILE: Final = "multilingual.safetensors"
VISUAL_FILE: Final = "visual.safetensors"

MULTILINGUAL: Final = "multilingual"
"""The name of the built-in variant with a second text tower."""

VISUAL: Final = "visual"
"""The name of the built-in variant with a visual part in the vectors of pictures."""

DIM: Final = 384
"""Length of the vectors of the bridge, and of a model without a visual part."""

FORMAT: Final = 1
IMAGE_SIZES: Final = range(64, 513)
"""Allowed sides of the square input picture, in pixels."""


@dataclass(frozen=True)
class StarterModel:
    """Files and sizes of one variant of `starter`."""

    name: str = NAME
    bridge: Path = BRIDGE_PATH
    image_size: int = IMAGE_SIZE  # side of the square input picture, in pixels
    text_tower: Path | None = None  # weights of a changed text tower; None: the packaged one
    language_map: Path | None = None  # weights of `LanguageMap`; None: English only
    visual: Path | None = None  # weights of `VisualPart`; None: vectors of the bridge alone

    @classmethod
    def of_name(cls, model: str) -> StarterModel:
        """Find a variant by the part of its name after the colon.

        Args:
            model: empty, `multilingual`, `visual`, both joined by a plus sign, or a folder; `./visual` is a folder of
                that name.

        Raises:
            EncoderError: as `of_folder`.
        """
        if not model:
            return cls()
        parts = model.split("+")
        if not {MULTILINGUAL, VISUAL}.issuperset(parts):
            return cls.of_folder(model)
        language_map = LANGUAGE_MAP_PATH if MULTILINGUAL in parts else None
        visual = VISUAL_PATH if VISUAL in parts else None
        # One name for one model, in whatever order its parts are given.
        return cls(f"{NAME}:{'+'.join(sorted(set(parts)))}", language_map=language_map, visual=visual)

    @classmethod
    def of_folder(cls, folder: str) -> StarterModel:
        """Read the description of a folder that `save_starter` wrote; the weights are read at the first use.

        Raises:
            EncoderError: the folder does not exist, lacks a file, or its description is wrong.
        """
        path = Path(folder).expanduser()
        config = _read_config(path / CONFIG_FILE)
        size = config.get("image_size", IMAGE_SIZE)
        if type(size) is not int or size not in IMAGE_SIZES:
            raise EncoderError(
                f"{path / CONFIG_FILE}: image_size {size!r} must be a whole number from {IMAGE_SIZES[0]} to "
                f"{IMAGE_SIZES[-1]}"
            )
        if not (path / BRIDGE_FILE).is_file():
            raise EncoderError(f"{path} lacks {BRIDGE_FILE}; write it again: firstsight tune CATALOGUE --out {folder}")
        optional = [path / name for name in (TEXT_TOWER_FILE, LANGUAGE_MAP_FILE, VISUAL_FILE)]
        text_tower, language_map, visual = (file if file.is_file() else None for file in optional)
        return cls(f"{NAME}:{path.resolve()}", path / BRIDGE_FILE, size, text_tower, language_map, visual)

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return DIM if self.visual is None else DIM + VISUAL_DIM

    def text_tower_digest(self) -> str:
        """Return the SHA-256 of the text tower's weights, 64 hexadecimal digits.

        Raises:
            EncoderError: the file cannot be read.
        """
        return TEXT_WEIGHTS.sha256 if self.text_tower is None else hashlib.sha256(_bytes(self.text_tower)).hexdigest()

    def fingerprint(self) -> str:
        """Compute a digest of everything that changes the vectors.

        Uses the recorded digests of the packaged towers: hashing 115 MB would add a third of a second to every start.
        Their sizes are checked at each opening, and their bytes before the export of a graph. The bridge and a changed
        text tower are hashed themselves, because users train them again.

        Raises:
            EncoderError: a file cannot be read.
        """
        digest = hashlib.sha256(f"{NAME} preprocessing {PREPROCESSING} temperature {TEMPERATURE}".encode())
        for sha256 in (PICTURE_WEIGHTS.sha256, self.text_tower_digest(), TOKENIZER.sha256):
            digest.update(bytes.fromhex(sha256))
        if self.image_size != IMAGE_SIZE:
            digest.update(f"image size {self.image_size}".encode())
        digest.update(_bytes(self.bridge))
        if self.language_map is not None:
            digest.update(f"several languages, {MAX_CHARACTERS} characters".encode())
            for packaged in (LANGUAGE_WEIGHTS, LANGUAGE_VOCABULARY):
                digest.update(bytes.fromhex(packaged.sha256))
            digest.update(_bytes(self.language_map))
        if self.visual is not None:
            digest.update(b"visual part")
            digest.update(_bytes(self.visual))
        return digest.hexdigest()


def save_starter(
    folder: Path,
    bridge: Mapping[str, NDArray[Any]],
    *,
    image_size: int = IMAGE_SIZE,
    text_tower: Mapping[str, Tensor] | None = None,
    base: StarterModel | None = None,
) -> None:
    """Write a variant of `starter`, which `load_encoder("starter:FOLDER")` reads.

    Args:
        folder: created if it does not exist.
        bridge: weights of `Bridge`; stored as float16.
        image_size: side of the square input picture, in pixels.
        text_tower: state dict of a `towers.MiniLM`; None for the packaged text tower.
        base: the variant that was trained further; its map of several languages and its visual part are copied.
            None for a folder with neither.

    Raises:
        EncoderError: a file of `base` cannot be read.
    """
    from safetensors.numpy import save

    kept = {} if base is None else {LANGUAGE_MAP_FILE: base.language_map, VISUAL_FILE: base.visual}
    copies = {name: _bytes(path) for name, path in kept.items() if path is not None}
    folder.mkdir(parents=True, exist_ok=True)
    # A folder without a description is not loaded, so a killed write leaves no half of a model in use.
    (folder / CONFIG_FILE).unlink(missing_ok=True)
    # Files of an earlier model would be read as parts of this one.
    for name in (TEXT_TOWER_FILE, LANGUAGE_MAP_FILE, VISUAL_FILE):
        (folder / name).unlink(missing_ok=True)
    # safetensors ignores strides and writes the raw memory: the arrays must be in C order.
    half = {name: np.ascontiguousarray(values, np.float16) for name, values in bridge.items()}
    # save_file would make files that only their owner can read; a service often runs as another user
    (folder / BRIDGE_FILE).write_bytes(save(half))
    if text_tower is not None:
        from safetensors.torch import save as save_tensors

        tensors = {name: value.contiguous() for name, value in text_tower.items()}
        (folder / TEXT_TOWER_FILE).write_bytes(save_tensors(tensors))
    for name, copied in copies.items():
        (folder / name).write_bytes(copied)
    (folder / CONFIG_FILE).write_text(json.dumps({"format": FORMAT, "image_size": image_size}) + "\n", encoding="utf-8")


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise EncoderError(
            f"{path.parent} is not a starter model: it has no readable {CONFIG_FILE}; make one with firstsight tune "
            f"CATALOGUE --out FOLDER, or use --encoder {NAME}, {NAME}:{MULTILINGUAL} or {NAME}:{VISUAL}"
        ) from None
    except ValueError as error:
        raise EncoderError(f"{path} is not JSON ({error}); write the model again with firstsight tune") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else None
        raise EncoderError(f"{path}: format {found!r} is not known, only {FORMAT}; update firstsight")
    return config


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        remedy = "install firstsight again" if path.parent == _WEIGHTS else "write the model again with firstsight tune"
        raise EncoderError(f"{path} cannot be read ({error}): {remedy}") from error
