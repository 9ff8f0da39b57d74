"""Inputs of a network's towers: pictures decoded once, texts as ids, and the computation of vectors."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from firstsight.encoders.base import Arrays, ImageInput, Vectors
from firstsight.encoders.runtimes.dual_model import DualModel
from firstsight.encoders.runtimes.model_towers import can_trim_padding
from firstsight.errors import MediaError
from firstsight.media.pictures import open_picture
from firstsight.recommend.sequence.process_group import ProcessGroup

_CACHE_BYTES = 8 * 1024**3
_ROWS = 32  # of one call without gradients


class PictureInputs:
    """Pictures as inputs of the picture tower; each is decoded and scaled once and then read from a file.

    Args:
        model: of the encoder.
        pictures: readable by `open_picture`.
        folder: for the file, which no other process sees and which disappears with this one.
        threads: for decoding.
    """

    def __init__(self, model: DualModel, pictures: Sequence[ImageInput], folder: Path, threads: int) -> None:
        self._model, self._pictures, self._folder = model, pictures, folder
        self._pool = ThreadPoolExecutor(threads, "firstsight-prepare")
        self._stored: tuple[NDArray[np.generic], ...] | None = None
        self._ready = np.zeros(len(pictures), dtype=np.bool_)

    def __len__(self) -> int:
        return len(self._pictures)

    def arrays(self, rows: Sequence[int]) -> Arrays:
        """Return the tower's inputs of n >= 1 pictures.

        Raises:
            MediaError: a picture cannot be read; the message gives its row.
        """
        missing = [row for row in dict.fromkeys(rows) if not self._ready[row]]
        read = dict(zip(missing, self._pool.map(self._read, missing), strict=True))
        if read and self._stored is None:
            self._stored = self._open(next(iter(read.values())))
        if not self._stored:  # too large for the file
            return tuple(np.concatenate(column) for column in zip(*(read[row] for row in rows), strict=True))
        for row, arrays in read.items():
            for stored, array in zip(self._stored, arrays, strict=True):
                stored[row] = array[0]
            self._ready[row] = True
        return tuple(np.asarray(stored[list(rows)]) for stored in self._stored)

    def _open(self, example: Arrays) -> tuple[NDArray[np.generic], ...]:
        if sum(array.nbytes for array in example) * len(self) > _CACHE_BYTES:
            return ()
        stored = []
        for array in example:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                stored.append(np.memmap(file, dtype=array.dtype, mode="w+", shape=(len(self), *array.shape[1:])))
        return tuple(stored)

    def _read(self, row: int) -> Arrays:
        image = self._pictures[row]
        is_decoded = not isinstance(image, str | bytes) and not hasattr(image, "__fspath__")
        try:
            picture = open_picture(image, min_side=None if is_decoded else self._model.spec.min_side)
        except MediaError as error:
            raise MediaError(error.reason, f"picture {row}: {error}; take it out of the catalogue") from error
        return self._model.prepare_pictures([picture])


class TextInputs:
    """Texts as inputs of the text tower, cut to the longest of each batch where the tower allows it."""

    def __init__(self, model: DualModel) -> None:
        self._model = model
        self._trims_padding = can_trim_padding(model)

    def arrays(self, texts: Sequence[str]) -> Arrays:
        """Return the tower's inputs of n >= 1 texts."""
        tokens = self._model.prepare_texts(texts)
        width = int(tokens.lengths.max()) if self._trims_padding else tokens.arrays[0].shape[1]
        return tuple(np.ascontiguousarray(array[:, :width]) for array in tokens.arrays)


class Towers:
    """Both towers on one device: unit vectors with gradients, or as arrays without.

    Args:
        model: of the encoder; its towers are moved to the device.
        device: of torch.
        autocast: compute in bfloat16 where torch considers it safe, for training only.
    """

    def __init__(self, model: DualModel, device: str, *, autocast: bool) -> None:
        self.picture_tower: nn.Module = model.picture_tower.to(device)
        self.text_tower: nn.Module = model.text_tower.to(device)
        self.dim = model.spec.dim
        self.device = device
        self._autocast = autocast
        self._texts = TextInputs(model)

    def picture_vectors(self, inputs: PictureInputs, rows: Sequence[int]) -> Tensor:
        """Return (n, dim) unit rows, with gradients."""
        return self._unit(self.picture_tower, inputs.arrays(rows))

    def text_vectors(self, texts: Sequence[str]) -> Tensor:
        """Return (n, dim) unit rows, with gradients."""
        return self._unit(self.text_tower, self._texts.arrays(texts))

    def encode_pictures(self, inputs: PictureInputs, rows: Sequence[int], group: ProcessGroup | None = None) -> Vectors:
        """Return (n, dim) float32 unit rows in full precision.

        Args:
            inputs: all pictures.
            rows: of the pictures to encode.
            group: processes that share the work; all of them call this together and get all rows.
        """
        return self._encode(len(rows), group, lambda part: self._plain(inputs.arrays([rows[i] for i in part]), True))

    def encode_texts(self, texts: Sequence[str], group: ProcessGroup | None = None) -> Vectors:
        """Return (n, dim) float32 unit rows in full precision; `group` as for `encode_pictures`."""
        arrays = self._texts.arrays
        return self._encode(len(texts), group, lambda part: self._plain(arrays([texts[i] for i in part]), False))

    def _encode(self, count: int, group: ProcessGroup | None, compute: object) -> Vectors:
        assert callable(compute)
        vectors = torch.zeros(count, self.dim, device=self.device)
        rank, size = (group.rank, group.size) if group is not None else (0, 1)
        own = range(rank * count // size, (rank + 1) * count // size)
        with torch.no_grad():
            for part in _parts(own, _ROWS):
                vectors[part.start : part.stop] = compute(part)
        if group is not None:
            group.sum([vectors])  # other processes' rows are zero here
        return np.asarray(vectors.cpu().numpy(), dtype=np.float32)

    def _plain(self, arrays: Arrays, pictures: bool) -> Tensor:
        tower = self.picture_tower if pictures else self.text_tower
        return functional.normalize(tower(*self._tensors(arrays)).float(), dim=-1)

    def _unit(self, tower: nn.Module, arrays: Arrays) -> Tensor:
        kind = torch.device(self.device).type
        with torch.autocast(kind, torch.bfloat16, enabled=self._autocast):
            features = tower(*self._tensors(arrays))
        return functional.normalize(features.float(), dim=-1)

    def _tensors(self, arrays: Arrays) -> list[Tensor]:
        return [torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in arrays]


def _parts(rows: range, size: int) -> Iterator[range]:
    for start in range(rows.start, rows.stop, size):
        yield range(start, min(start + size, rows.stop))
