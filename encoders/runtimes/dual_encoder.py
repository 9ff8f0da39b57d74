"""An encoder over the two towers of any library's dual model, with the fastest accurate runtime."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firstsight.encoders.base import Arrays, ImageInput, Tower, Vectors, unit
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.input_lists import as_images, as_texts
from firstsight.encoders.runtimes.dual_model import DualModel, Tokens
from firstsight.encoders.runtimes.model_towers import can_trim_padding, has_all_graphs, make_tower
from firstsight.encoders.runtimes.runtime_choice import choose_runtime
from firstsight.errors import MediaError
from firstsight.media.pictures import open_picture


class DualEncoder:
    """An `Encoder` over a `DualModel`.

    Not thread-safe: use one encoder per thread.

    Raises:
        EncoderError: if the selected runtime cannot run this model or changes its vectors too much.
    """

    def __init__(self, model: DualModel, options: EncoderOptions) -> None:
        self.spec = model.spec
        self._threads = options.cpu_threads
        self._prepare_pictures = model.prepare_pictures
        self._prepare_texts = model.prepare_texts
        self._options = options
        self._runtime = choose_runtime(model, options)
        self._trims_padding = can_trim_padding(model)
        self._model = None if has_all_graphs(model.spec, self._runtime) else model
        self.runtime = str(self._runtime)

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        """Encode pictures, in order, with the preprocessing of the model's library.

        Returns:
            (n, dim) float32, unit rows; (0, dim) for no pictures.

        Raises:
            MediaError: if a picture cannot be read; the message gives its position.
            TypeError: for a single picture; give a list.
        """
        images = as_images(images)
        vectors = np.empty((len(images), self.spec.dim), dtype=np.float32)
        done = 0
        for (features,) in self._picture_tower.run_all(self._picture_batches(images)):
            vectors[done : done + len(features)] = unit(features)
            done += len(features)
        return vectors

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Encode texts, in order; texts longer than the model's context are truncated as in the model's library.

        Returns:
            (n, dim) float32, unit rows; (0, dim) for no texts.

        Raises:
            TypeError: for a single text; give a list.
        """
        texts = as_texts(texts)
        vectors = np.empty((len(texts), self.spec.dim), dtype=np.float32)
        if not texts:
            return vectors
        tokens = self._prepare_texts(texts)
        # Sorted by length: each batch is trimmed to its longest text and contains little padding.
        order = np.argsort(tokens.lengths, kind="stable")
        rows = self._text_tower.rows
        batches = [order[start : start + rows] for start in range(0, len(order), rows)]
        outputs = self._text_tower.run_all(self._token_batch(tokens, batch) for batch in batches)
        for batch, (features,) in zip(batches, outputs, strict=True):
            vectors[batch] = unit(features)
        return vectors

    def _token_batch(self, tokens: Tokens, rows: NDArray[np.int64]) -> Arrays:
        width = tokens.lengths[rows].max() if self._trims_padding else tokens.arrays[0].shape[1]
        return tuple(np.ascontiguousarray(array[rows, :width]) for array in tokens.arrays)

    def _picture_batches(self, images: Sequence[ImageInput]) -> Iterator[Arrays]:
        """Yield inputs of the tower; threads decode and scale a few batches in advance."""
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
            decoded = isinstance(image, Image.Image | np.ndarray)  # early shrinking saves only decoding time
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
