"""`starter`, the small built-in encoder. Its towers are ordinary packages, so it needs no download."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firstsight.encoders.base import EncoderSpec, ImageInput, Tower, Vectors
from firstsight.encoders.encoder_options import AUTO, FAST, EncoderOptions, Runtime
from firstsight.encoders.input_lists import as_images, as_texts
from firstsight.encoders.starter.bridge import Bridge
from firstsight.encoders.starter.multilingual import LanguageMap, LanguageTower, require_languages
from firstsight.encoders.starter.starter_files import PICTURE_WEIGHTS, TEXT_WEIGHTS, TOKENIZER
from firstsight.encoders.starter.starter_model import DIM, IMAGE_SIZE, NAME, PREPROCESSING, StarterModel
from firstsight.encoders.starter.visual import VisualPart
from firstsight.errors import EncoderError, MediaError
from firstsight.media.pictures import open_picture

if TYPE_CHECKING:
    import openvino as ov
    from tokenizers import Tokenizer

    from firstsight.encoders.starter.towers import MiniLM

MAX_TOKENS = 256  # the training context of all-MiniLM-L6-v2; a title has 5 to 30 tokens
IMAGE_BATCH = 32  # scaling the next batch in a thread gained nothing on two cores
TEXT_BATCH = 64

RUNTIMES = (Runtime("openvino"), Runtime("torch"))


def fit_square(picture: Image.Image, side: int = IMAGE_SIZE) -> NDArray[np.uint8]:
    """Scale the whole picture (antialiased bicubic) into the middle of a white square.

    Padding replaces cropping because a product fills its picture: a crop would remove parts of shoes and trousers.

    Args:
        picture: an RGB picture.
        side: side of the square in pixels.

    Returns:
        (side, side, 3) uint8.
    """
    scale = side / max(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    small = picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
    square = np.full((side, side, 3), 255, dtype=np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = np.asarray(small)
    return square


class StarterEncoder:
    """EfficientNet-Lite2 for pictures and all-MiniLM-L6-v2 for texts, joined by a bridge from this project.

    Each tower loads at its first use, so a text query never loads the picture tower. Not thread-safe: use one encoder
    per thread, or a lock.

    Args:
        runtime: "torch" or "openvino". "auto" (and "fast") selects torch with a CUDA device, else OpenVINO. Both give
            the same vectors (cosine above .9999).
        threads: CPU threads; by default all CPUs that this process may use.
        model: a variant of the encoder; the built-in one if None.

    Raises:
        EncoderError: if the runtime is unknown or not available for `starter`, `threads` is below one, or the model's
            files cannot be read.
        OptionalDependencyError: the model knows several languages, and the extra `multilingual` is missing.
    """

    def __init__(self, runtime: str = AUTO, threads: int | None = None, model: StarterModel | None = None) -> None:
        options = EncoderOptions(runtime, threads=threads)
        chosen = _fastest() if runtime in (AUTO, FAST) else Runtime.parse(runtime)
        if chosen not in RUNTIMES:
            raise EncoderError(
                f"{NAME} does not run as {chosen}, only as {' or '.join(map(str, RUNTIMES))}: at lower precision its "
                "picture vectors change too much (bf16: minimum cosine .974)"
            )
        self.runtime = str(chosen)
        self._engine = chosen.engine
        self._threads = options.cpu_threads
        self.model = model = model or StarterModel()
        if model.language_map is not None:
            require_languages()
        self.spec = EncoderSpec(model.name, model.dim, model.image_size, model.fingerprint(), decode_factor=2)

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        """Encode pictures, in order; each is padded with white to a square and not cropped.

        Returns:
            (n, 384) float32, unit rows, or (n, 768) for a model with a visual part.

        Raises:
            MediaError: if a picture cannot be read; the message gives its position.
            TypeError: for a single picture; give a list.
        """
        images = as_images(images)
        vectors = np.empty((len(images), self.spec.dim), dtype=np.float32)
        for start in range(0, len(images), IMAGE_BATCH):
            pixels = self.pixels(images[start : start + IMAGE_BATCH], first=start)
            features, logits = self.picture_outputs(pixels)
            semantic = self.bridge.pictures(features, logits)
            joint = semantic if self.visual is None else self.visual.join(semantic, features)
            vectors[start : start + len(pixels)] = joint
        return vectors

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Encode texts, in order; texts are truncated to 256 tokens (some 190 words).

        The second text tower of a model of several languages reads 2,000 characters.

        Returns:
            (n, 384) float32, unit rows, or (n, 768) for a model with a visual part.

        Raises:
            TypeError: for a single text; give a list.
        """
        vectors = self.semantic_texts(as_texts(texts))
        return vectors if self.visual is None else self.visual.extend(vectors)

    def semantic_texts(self, texts: Sequence[str]) -> Vectors:
        """Encode texts without the visual part: (n, 384) unit rows, which no training of the bridge changes."""
        texts = [_without_surrogates(text) for text in texts]
        vectors = self.bridge.texts(self.sentence_vectors(texts))
        if self._languages is not None:
            tower, language_map = self._languages
            vectors = language_map.combined(vectors, tower.vectors(texts))
        return vectors

    def pixels(self, images: Sequence[ImageInput], first: int = 0) -> NDArray[np.uint8]:
        """Prepare pictures for the picture tower.

        Args:
            images: n >= 1 pictures.
            first: position of the first picture, for error messages.

        Returns:
            (n, side, side, 3) uint8 RGB; the side of the built-in model is 260.

        Raises:
            MediaError: if a picture cannot be read; the message gives its position.
        """
        return np.stack([_read(image, first + i, self.model.image_size) for i, image in enumerate(images)])

    def picture_outputs(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run the picture tower without the bridge, as the bridge's training needs.

        Args:
            pixels: (n, side, side, 3) RGB, n >= 1.

        Returns:
            (n, 1280) pooled features and (n, 1000) ImageNet logits.
        """
        features, logits = self._picture_tower.run(pixels)
        return features, logits

    def sentence_vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Run the text tower without the bridge: (n, 384) vectors, not of unit length."""
        vectors = np.empty((len(texts), DIM), dtype=np.float32)
        if not texts:
            return vectors
        tokens = self._token_ids(texts)
        # Sorted by length to keep the padding short. Attention is masked, so padding does not change a vector.
        order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
        for start in range(0, len(order), TEXT_BATCH):
            batch = order[start : start + TEXT_BATCH]
            (vectors[batch],) = self._text_tower.run(*_pad([tokens[i] for i in batch]))
        return vectors

    def tokens(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Convert n >= 1 texts to inputs of the text tower: (n, longest) int64 token ids and their 0/1 mask."""
        return _pad(self._token_ids(texts))

    def _token_ids(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        return [np.asarray(encoding.ids, dtype=np.int64) for encoding in self._tokenizer.encode_batch(list(texts))]

    @cached_property
    def bridge(self) -> Bridge:
        """The bridge between the towers, loaded at first use."""
        return Bridge.load(self.model.bridge)

    @cached_property
    def visual(self) -> VisualPart | None:
        """The visual part, loaded at first use; None if the model has none."""
        return None if self.model.visual is None else VisualPart.load(self.model.visual)

    @cached_property
    def _languages(self) -> tuple[LanguageTower, LanguageMap] | None:
        """The second text tower and its map, loaded at first use; None if the model is for English only."""
        path = self.model.language_map
        return None if path is None else (LanguageTower(), LanguageMap.load(path))

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(TOKENIZER.locate()))
        # The file's own settings truncate and pad every text to 128 tokens.
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_TOKENS)
        return tokenizer

    @cached_property
    def _picture_tower(self) -> Tower:
        if self._engine == "torch":
            from firstsight.encoders.runtimes.torch_runtime import TorchTower
            from firstsight.encoders.starter.towers import load_picture_tower

            return TorchTower(load_picture_tower(PICTURE_WEIGHTS.verify()), threads=self._threads)
        from firstsight.encoders.runtimes.openvino_runtime import OpenVinoTower

        size = self.model.image_size
        name = _graph_name("pictures" if size == IMAGE_SIZE else f"pictures-{size}", PICTURE_WEIGHTS.sha256)
        # Pictures/s on 2 cores in f32: 98 one by one on 2 streams of 1 thread, 90 on 1 stream of 2 threads, 82 in
        # batches of 32; torch at most 47. Batches of one also make a vector independent of its batch.
        return OpenVinoTower.load_shared(
            name, lambda: _export_picture_tower(size), streams=self._threads, threads=self._threads, rows=1
        )

    @cached_property
    def _text_tower(self) -> Tower:
        if self._engine == "torch":
            from firstsight.encoders.runtimes.torch_runtime import TorchTower

            return TorchTower(self.load_text_tower(), threads=self._threads)
        from firstsight.encoders.runtimes.openvino_runtime import OpenVinoTower

        if self.model.text_tower is None:
            TEXT_WEIGHTS.locate()
        name = _graph_name("texts", self.model.text_tower_digest())
        # One stream is as fast as two on long lists (460 titles/s), and a single query gets every thread.
        return OpenVinoTower.load_shared(
            name, lambda: _export_text_tower(self.load_text_tower()), streams=1, threads=self._threads, rows=TEXT_BATCH
        )

    def load_text_tower(self) -> MiniLM:
        """Load the text tower for torch, in evaluation mode: for its export, and for training it.

        Raises:
            EncoderError: the weights cannot be read, or are damaged.
        """
        from firstsight.encoders.starter.towers import load_changed_text_tower, load_text_tower

        path = self.model.text_tower
        return load_text_tower(TEXT_WEIGHTS.verify()) if path is None else load_changed_text_tower(path)


def _read(image: ImageInput, position: int, side: int) -> NDArray[np.uint8]:
    try:
        return fit_square(open_picture(image, min_side=2 * side), side)
    except MediaError as error:
        raise MediaError(error.reason, f"picture {position}: {error}") from error


def _without_surrogates(text: str) -> str:
    """Replace lone surrogates, which JSON can hold and no tokeniser accepts, with question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _pad(tokens: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pad the token ids of n texts to (n, longest) ids and their 0/1 mask."""
    ids = np.zeros((len(tokens), max(map(len, tokens))), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, text in enumerate(tokens):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return ids, mask


def _fastest() -> Runtime:
    # Reads files only: importing torch would take seconds before every search.
    torch = find_spec("torch")
    built_for_cuda = torch is not None and any(Path(str(torch.origin)).parent.glob("lib/*torch_cuda.*"))
    has_cuda = built_for_cuda and Path("/proc/driver/nvidia/version").exists()
    return RUNTIMES[1] if has_cuda or find_spec("openvino") is None else RUNTIMES[0]


def _graph_name(tower: str, sha256: str) -> str:
    return f"{NAME}-{tower}-{PREPROCESSING}-{sha256[:16]}"


def _export_picture_tower(side: int) -> ov.Model:
    import torch

    from firstsight.encoders.runtimes.openvino_runtime import export
    from firstsight.encoders.starter.towers import load_picture_tower

    tower = load_picture_tower(PICTURE_WEIGHTS.verify())
    shape = (1, side, side, 3)
    return export(tower, (torch.zeros(shape, dtype=torch.uint8),), (shape,))


def _export_text_tower(tower: MiniLM) -> ov.Model:
    import torch

    from firstsight.encoders.runtimes.openvino_runtime import export

    example = torch.ones((2, 7), dtype=torch.int64)
    return export(tower, (example, example), ((-1, -1), (-1, -1)))
