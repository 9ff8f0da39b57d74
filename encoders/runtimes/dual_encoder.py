"""A dual encoder of any library, run by whichever runtime is fastest and still right."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from firstsight.encoders.base import Arrays, EncoderSpec, ImageInput, Tower, Vectors, unit
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.runtimes.runtime_choice import can_trim_padding, choose_runtime, make_tower, needs_no_model
from firstsight.errors import MediaError
from firstsight.media.pictures import open_picture


@dataclass(frozen=True)
class Tokens:
    """Texts as a text tower takes them."""

    arrays: Arrays  # (n, width) each: ids, and where the model wants one a 0/1 mask; padded as its library pads
    lengths: NDArray[np.int64]  # (n,) columns that hold more than padding


@dataclass(frozen=True)
class DualModel:
    """A dual encoder as its library loads it, taken apart: what prepares its inputs, and its two towers.

    A family's file makes one. The towers are float32 and in evaluation mode; what they give need not be unit length.
    """

    spec: EncoderSpec
    prepare_pictures: Callable[[Sequence[Image.Image]], Arrays]  # RGB, n >= 1; may be called by several threads
    prepare_texts: Callable[[Sequence[str]], Tokens]  # n >= 1
    picture_tower: nn.Module  # takes what prepare_pictures makes; (n, dim)
    text_tower: nn.Module  # takes Tokens.arrays, or fewer columns of them; (n, dim)
    reference_pictures: Callable[[Sequence[Image.Image]], Tensor]  # the library's own way, to compare with; (n, dim)
    reference_texts: Callable[[Sequence[str]], Tensor]


class DualEncoder:
    """An encoder over a `DualModel`; see `Encoder` for what it promises.

    Not for use by several threads at once.

    Raises:
        EncoderError: the runtime asked for cannot run this model, or not without changing its vectors too much.
    """

    def __init__(self, model: DualModel, options: EncoderOptions) -> None:
        self.spec = model.spec
        self._threads = options.cpu_threads
        self._prepare_pictures = model.prepare_pictures
        self._prepare_texts = model.prepare_texts
        self._options = options
        self._runtime = choose_runtime(model, options)
        self._trims_padding = can_trim_padding(model)
        self._model = None if needs_no_model(model.spec, self._runtime) else model
        self.runtime = str(self._runtime)

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        """Encode pictures, in order, preprocessed as the model's library does it.

        Returns:
            (n, dim) float32, unit rows; (0, dim) for no pictures.

        Raises:
            MediaError: a picture cannot be read; the message says which one by its position.
        """
        vectors = np.empty((len(images), self.spec.dim), dtype=np.float32)
        done = 0
        for (features,) in self._picture_tower.run_all(self._picture_batches(images)):
            vectors[done : done + len(features)] = unit(features)
            done += len(features)
        return vectors

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Encode texts, in order; a text beyond the model's context is cut as the model's library cuts it.

        Returns:
            (n, dim) float32, unit rows; (0, dim) for no texts.
        """
        vectors = np.empty((len(texts), self.spec.dim), dtype=np.float32)
        if not texts:
            return vectors
        tokens = self._prepare_texts(texts)
        # By length, so that a batch is trimmed to its longest text and little of it is padding.
        order = np.argsort(tokens.lengths, kind="stable")
        rows = self._text_tower.rows
        chosen = [order[start : start + rows] for start in range(0, len(order), rows)]
        outputs = self._text_tower.run_all(self._token_batch(tokens, where) for where in chosen)
        for where, (features,) in zip(chosen, outputs, strict=True):
            vectors[where] = unit(features)
        return vectors

    def _token_batch(self, tokens: Tokens, rows: NDArray[np.int64]) -> Arrays:
        width = tokens.lengths[rows].max() if self._trims_padding else tokens.arrays[0].shape[1]
        return tuple(np.ascontiguousarray(array[rows, :width]) for array in tokens.arrays)

    def _picture_batches(self, images: Sequence[ImageInput]) -> Iterator[Arrays]:
        """What the tower takes, a few batches decoded and scaled ahead of it by threads."""
        rows = self._picture_tower.rows
        ahead: deque[Future[Arrays]] = deque()
        try:
            for start in range(0, len(images), rows):
                ahead.append(self._pool.submit(self._read, images[start : start + rows], start))
                if len(ahead) > self._threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()

    def _read(self, images: Sequence[ImageInput], first: int) -> Arrays:
        pictures = []
        for position, image in enumerate(images, first):
            decoded = isinstance(image, Image.Image | np.ndarray)  # nothing to save by shrinking it early
            try:
                pictures.append(open_picture(image, min_side=None if decoded else self.spec.min_side))
            except MediaError as error:
                raise MediaError(error.reason, f"picture {position}: {error}") from error
        return self._prepare_pictures(pictures)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, "firstsight-prepare")

    @cached_property
    def _picture_tower(self) -> Tower:
        return make_tower(self.spec, self._model, "pictures", self._runtime, self._options)

    @cached_property
    def _text_tower(self) -> Tower:
        return make_tower(self.spec, self._model, "texts", self._runtime, self._options)
