"""The open_clip family: `open_clip:ARCH/TAG`, `ARCH@FILE`, `hf-hub:ORG/NAME` and `FOLDER`."""

from __future__ import annotations

import copy
import logging
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import open_clip
import torch
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict
from open_clip.transformer import TextTransformer, text_global_pool
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode

from firstsight.encoders.base import Arrays, EncoderSpec
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.families.hub import ensure_downloaded, snapshot_folder
from firstsight.encoders.families.model_fingerprint import tokenizer_state, weights_digest
from firstsight.encoders.families.open_clip_folder import save_open_clip
from firstsight.encoders.families.open_clip_names import HUB, LOCAL, needed_repositories, parse
from firstsight.encoders.families.open_clip_repositories import text_repositories_of_folder
from firstsight.encoders.families.open_clip_tokenizer import load_tokenizer
from firstsight.encoders.families.picture_transform import (
    MAX_CROPPED_ASPECT,
    MAX_WHOLE_ASPECT,
    NormalisingTower,
    SquareTransform,
    is_faithful,
)
from firstsight.encoders.families.state_dicts import (
    find_unusable_weights,
    is_scale,
    list_names,
    read_weights,
    refuse_adapters,
    require_fit,
    unwrap,
)
from firstsight.encoders.families.trainable_model import TrainableModel
from firstsight.encoders.runtimes.dual_encoder import DualEncoder
from firstsight.encoders.runtimes.dual_model import DualModel, Tokens
from firstsight.encoders.runtimes.probe_inputs import probe_pictures
from firstsight.errors import EncoderError, first_line
from firstsight.media.pictures import crop_long

WEIGHTS_NAMES: Final = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)
"""The usual names of a folder's weights, in open_clip's order of preference."""

WEIGHTS_SUFFIXES: Final = (".safetensors", ".bin", ".pt", ".pth")

OPENAI_SIZES: Final = frozenset({"input_resolution", "context_length", "vocab_size"})
"""Further entries in OpenAI's own state dicts."""


def load(model: str, options: EncoderOptions) -> DualEncoder:
    """Load an open_clip model, with its own tokeniser and preprocessing.

    Args:
        model: `ARCH/TAG` for published weights, downloaded once into the Hugging Face cache; `ARCH@FILE` for a
            checkpoint (.pt, .bin or .safetensors), read with `weights_only`, so that no code in a pickle runs;
            `hf-hub:ORG/NAME`; or a folder with `open_clip_config.json`, weights and tokeniser files.
        options: runtime, device, threads, and permission for remote code.

    Raises:
        EncoderError: if the architecture, tag or file does not exist, the checkpoint does not fit, the hub is not
            reachable, or the runtime cannot run the model.
    """
    return DualEncoder(load_model(model, options), options)


def load_model(model: str, options: EncoderOptions) -> DualModel:
    """Load the parts of an open_clip model, in float32 on the CPU.

    Args:
        model: as for `load`.
        options: only `trust_remote_code` is used.

    Raises:
        EncoderError: as `load`, except for the runtime.
    """
    return load_trainable(model, options).dual


def load_trainable(model: str, options: EncoderOptions) -> TrainableModel:
    """Load an open_clip model with its network, which can be trained and saved.

    Args, raises: as for `load_model`.
    """
    source, weights, name = parse(model)
    with ensure_downloaded(
        "open_clip",
        needed_repositories(model).repositories,
        trust_remote_code=options.trust_remote_code,
        further=text_repositories_of_folder,
    ):
        tokenize = load_tokenizer(source, options)
        loaded, preprocess = _create(source, weights, model)
    side = int(np.max(loaded.visual.image_size))
    context = getattr(loaded, "context_length", None)
    config = open_clip.get_model_config(source) or {}
    rules = tokenizer_state(getattr(tokenize, "tokenizer", tokenize))
    fingerprint = weights_digest(loaded, config, repr(preprocess), context, rules)
    text_tower = _text_tower(loaded)
    try:
        with torch.inference_mode():
            dim = int(text_tower(tokenize(["a"])).shape[-1])
    except Exception as error:  # the tokeniser belongs to another model
        raise EncoderError(
            f"open_clip cannot load {model}: its tokeniser does not fit the model "
            f"({type(error).__name__}: {first_line(error)}); copy its files from the trained model"
        ) from error
    spec = EncoderSpec(f"open_clip:{name}", dim, side, fingerprint)
    transform = _transform(preprocess, loaded)
    library = OpenClipPictures(preprocess, loaded)
    picture_tower = _LibraryTower(loaded, "encode_image")
    dual = DualModel(
        spec,
        prepare_pictures=transform or library,
        prepare_texts=OpenClipTokenizer(tokenize),
        picture_tower=NormalisingTower(picture_tower, transform) if transform else picture_tower,
        text_tower=text_tower,
        reference_pictures=lambda pictures: loaded.encode_image(torch.from_numpy(*library(pictures))),
        reference_texts=lambda texts: loaded.encode_text(tokenize(list(texts))),
    )
    base = _local_folder(source)
    return TrainableModel(dual, loaded, lambda folder: save_open_clip(loaded, tokenize, source, base, folder))


class OpenClipTokenizer:
    """Wraps a tokeniser of open_clip: it returns ids without a mask, and the padding ids follow the last word."""

    def __init__(self, tokenizer: Callable[[list[str]], torch.Tensor]) -> None:
        self.tokenizer = tokenizer
        hugging_face = getattr(tokenizer, "tokenizer", None)
        self._padding = getattr(hugging_face, "pad_token_id", None) or 0

    def __call__(self, texts: Sequence[str]) -> Tokens:
        ids = self.tokenizer(list(texts)).numpy()
        used = (ids != self._padding)[:, ::-1]
        lengths = np.where(used.any(axis=1), ids.shape[1] - used.argmax(axis=1), 1)
        return Tokens((ids,), lengths)


class _CausalText(torch.nn.Module):
    """A text tower of open_clip without a pad mask, for rows of ids shorter than the context.

    open_clip's `encode_text` adds the positions and the mask of the whole context. In a causal tower that reads the
    vector at the last word, later positions change nothing, so this class cuts both to the row's length.
    """

    def __init__(self, text: Any, pool: str, eos: int | None) -> None:
        super().__init__()
        self.token_embedding = text.token_embedding
        self.positional_embedding = text.positional_embedding
        self.transformer = text.transformer
        self.ln_final = text.ln_final
        self.text_projection: Any = text.text_projection
        self.attn_mask: torch.Tensor | None
        self.register_buffer("attn_mask", text.attn_mask, persistent=False)
        self._pool, self._eos = pool, eos

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Map (n, width) ids to (n, dim) features."""
        dtype = self.ln_final.weight.dtype
        width = ids.shape[1]
        x: torch.Tensor = self.token_embedding(ids).to(dtype) + self.positional_embedding[:width].to(dtype)
        mask = None if self.attn_mask is None else self.attn_mask[:width, :width]
        x = self.ln_final(self.transformer(x, attn_mask=mask))
        features: torch.Tensor = text_global_pool(x, ids, self._pool, eos_token_id=self._eos)
        if self.text_projection is None:
            return features
        if isinstance(self.text_projection, torch.nn.Linear):
            features = self.text_projection(features)
            return features
        features = features @ self.text_projection
        return features


class _LibraryTower(torch.nn.Module):
    """A tower behind open_clip's own method, `encode_image` or `encode_text`."""

    def __init__(self, model: torch.nn.Module, method: str) -> None:
        super().__init__()
        self.model = copy.copy(model)
        pictures = method == "encode_image"
        self.model._modules = {name: part for name, part in model._modules.items() if (name == "visual") == pictures}
        self._method = method

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map (n, …) pixels or ids to (n, dim) features."""
        if inputs.is_floating_point():
            inputs = inputs.to(next(self.model.parameters()).dtype)
        features: torch.Tensor = getattr(self.model, self._method)(inputs)
        return features


def _text_tower(model: Any) -> torch.nn.Module:
    if isinstance(model, open_clip.CLIP):
        return _CausalText(model, model.text_pool_type, model.text_eos_id)
    text = getattr(model, "text", None)
    if isinstance(text, TextTransformer) and text.cls_emb is None and not (text.use_pad_mask or text.output_tokens):
        return _CausalText(text, text.pool_type, text.eos_id)
    return _LibraryTower(model, "encode_text")


def _transform(preprocess: Any, model: Any) -> SquareTransform | None:
    """Express open_clip's preprocessing as a transform of bytes; None if that is not possible."""
    config = open_clip.get_model_preprocess_cfg(model)
    size, resize = config["size"], config.get("resize_mode", "shortest")
    height, width = (size, size) if isinstance(size, int) else size
    if resize not in ("shortest", "squash") or (resize == "shortest" and height != width):
        return None
    kernel = InterpolationMode.BILINEAR if config.get("interpolation") == "bilinear" else InterpolationMode.BICUBIC
    transform = SquareTransform(
        (height, width),
        resize,
        height,
        kernel,
        crop_start=round,
        mean=tuple(map(float, config["mean"])),
        std=tuple(map(float, config["std"])),
    )
    pictures = probe_pictures(4)
    reference = torch.stack([preprocess(picture) for picture in pictures]).numpy()
    return transform if is_faithful(transform, reference, pictures) else None


class OpenClipPictures:
    """open_clip's own preprocessing; very long pictures are cropped first.

    Attributes:
        settings: open_clip's settings of it: size, mean, std, interpolation, resize_mode and fill_color.
    """

    def __init__(self, preprocess: Any, model: Any) -> None:
        self.settings: dict[str, Any] = dict(open_clip.get_model_preprocess_cfg(model))
        self._preprocess = preprocess
        crops = self.settings.get("resize_mode", "shortest") == "shortest"
        self._max_aspect = MAX_CROPPED_ASPECT if crops else MAX_WHOLE_ASPECT

    def __call__(self, pictures: Sequence[Image.Image]) -> Arrays:
        """Prepare n pictures: one array, (n, 3, height, width) float32."""
        return (torch.stack([self._preprocess(crop_long(p, self._max_aspect)) for p in pictures]).numpy(),)


def _create(source: str, weights: str | None, model: str) -> tuple[Any, Any]:
    """Create the model, in evaluation mode, and its preprocessing."""
    try:
        file = _weights_file(source, weights)
        settings = {"load_weights": False, "pretrained_text": False} if file else {"require_pretrained": True}
        with _without_root_log(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            created, _, preprocess = open_clip.create_model_and_transforms(
                source, pretrained=weights, weights_only=True, **settings, **_published_preprocessing(weights, source)
            )
            if file:
                _load_weights(created, file, _remedy(source, weights))
    except EncoderError as error:
        raise EncoderError(f"open_clip cannot load {model}: {error}") from error
    except Exception as error:  # torch, safetensors and the hub raise anything on a bad checkpoint
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise EncoderError(f"open_clip cannot load {model}: {reason}; {_remedy(source, weights)}") from error
    return created.eval(), preprocess


@contextmanager
def _without_root_log() -> Iterator[None]:
    """Drop this thread's records of the root logger: open_clip logs each error there and then raises it."""
    here = threading.get_ident()

    def is_kept(record: logging.LogRecord) -> bool:
        return record.thread != here or record.levelno > logging.ERROR

    root = logging.getLogger()
    root.addFilter(is_kept)
    try:
        yield
    finally:
        root.removeFilter(is_kept)


def _local_folder(source: str) -> Path | None:
    """Return the folder with a model's files; None for an architecture of open_clip."""
    if source.startswith(LOCAL):
        return Path(source.removeprefix(LOCAL))
    return snapshot_folder(source.removeprefix(HUB)) if source.startswith(HUB) else None


def _weights_file(source: str, weights: str | None) -> Path | None:
    """Return the file with the weights; None for published weights, which open_clip finds itself."""
    folder = _local_folder(source)
    if folder is None:
        if not weights or not Path(weights).is_file():
            return None
        refuse_adapters(Path(weights).parent)
        return Path(weights)
    refuse_adapters(folder)
    names = sorted(path.name for path in folder.iterdir() if path.suffix in WEIGHTS_SUFFIXES and path.is_file())
    usual = [name for name in WEIGHTS_NAMES if name in names]
    if not names or (not usual and len(names) > 1):
        raise EncoderError(
            f"{folder} holds {f'several weights ({list_names(names)})' if names else 'no weights'}; name the file of "
            f"this model {WEIGHTS_NAMES[0]}"
        )
    return folder / (usual or names)[0]


def _load_weights(model: Any, file: Path, remedy: str) -> None:
    """Load exactly a file's weights into a model: none is missing, none is left over.

    open_clip's own loader accepts no wrapper but `module.`, lists missing weights in many lines, and resizes positions
    learned for pictures or texts of another size, which gives untrained vectors.
    """
    if file.suffix in (".npz", ".npy"):
        open_clip.load_checkpoint(model, str(file))
        return
    expected = model.state_dict()
    weights = convert_state_dict(model, unwrap(read_weights(file), expected))
    if "positional_embedding" in weights and not hasattr(model, "positional_embedding"):
        weights = convert_to_custom_text_state_dict(weights)
    if "logit_bias" in expected:
        weights.setdefault("logit_bias", torch.zeros_like(expected["logit_bias"]))
    for name in filter(is_scale, weights):
        if name in expected and weights[name].numel() == expected[name].numel():
            weights[name] = weights[name].reshape(expected[name].shape)  # a scalar or a vector of length one
    require_fit(
        file,
        f"{type(model).__name__} of this architecture",
        missing=[name for name in expected if name not in weights],
        unexpected=[name for name in weights if name not in expected and name not in OPENAI_SIZES],
        faults=find_unusable_weights(weights, expected),
        remedy=remedy,
    )
    model.load_state_dict({name: value for name, value in weights.items() if name in expected}, strict=False)


def _published_preprocessing(weights: str | None, arch: str) -> dict[str, Any]:
    """Return the preprocessing for a user's checkpoint: the common one of the architecture's published checkpoints.

    By default open_clip uses OpenAI's mean and crop for any file, which is wrong for every SigLIP. If the published
    checkpoints differ, open_clip's default applies. A folder needs none of this: it contains its preprocessing.
    """
    if weights is None or not Path(weights).is_file():
        return {}
    published = [open_clip.get_pretrained_cfg(arch, tag) for tag in open_clip.list_pretrained_tags_by_model(arch)]
    names = ("mean", "std", "interpolation", "resize_mode")
    kinds = {tuple(str(tag.get(name)) for name in names) for tag in published}
    if len(kinds) != 1:
        return {}
    return {f"image_{name}": published[0][name] for name in names if published[0].get(name) is not None}


def _remedy(source: str, weights: str | None) -> str:
    if source.startswith(LOCAL):
        return "check that the folder holds the weights this open_clip_config.json describes"
    if weights is not None and Path(weights).is_file():
        return "check that it was saved from this architecture, complete and with nothing else"
    return "its files on disk may be damaged: see firstsight models"
