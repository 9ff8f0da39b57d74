"""`open_clip:ARCH/TAG`, `open_clip:ARCH@FILE`, `open_clip:hf-hub:ORG/NAME` and `open_clip:FOLDER`."""

from __future__ import annotations

import copy
import difflib
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
from firstsight.encoders.encoder_options import EncoderOptions, looks_like_a_path
from firstsight.encoders.families.hub import ensure_downloaded, snapshot_folder
from firstsight.encoders.families.model_fingerprint import tokenizer_state, weights_digest
from firstsight.encoders.families.open_clip_tokenizer import load_tokenizer
from firstsight.encoders.families.state_dicts import (
    find_unusable_weights,
    is_scale,
    list_names,
    read_weights,
    refuse_adapters,
    require_fit,
    unwrap,
)
from firstsight.encoders.picture_transform import (
    MAX_CROPPED_ASPECT,
    MAX_WHOLE_ASPECT,
    NormalisingTower,
    SquareTransform,
    is_faithful,
    probe_pictures,
)
from firstsight.encoders.runtimes.dual_encoder import DualEncoder, DualModel, Tokens
from firstsight.errors import EncoderError, first_line
from firstsight.media.pictures import crop_long

HUB = "hf-hub:"
LOCAL = "local-dir:"

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
"""The weights in a folder, in the order in which open_clip takes them."""

WEIGHTS_SUFFIXES: Final = (".safetensors", ".bin", ".pt", ".pth")

OPENAI_SIZES: Final = frozenset({"input_resolution", "context_length", "vocab_size"})
"""What OpenAI's own state dicts hold beside the weights."""


def load(model: str, options: EncoderOptions) -> DualEncoder:
    """A model of open_clip, with its own tokeniser and preprocessing.

    Args:
        model: `ARCH/TAG` for published weights, downloaded once into the Hugging Face cache; `ARCH@FILE` for a
            checkpoint (.pt, .bin or .safetensors), read with `weights_only`: a pickle in it is never run;
            `hf-hub:ORG/NAME`; or a folder with `open_clip_config.json`, weights and tokeniser files.

    Raises:
        EncoderError: no such architecture, tag or file; a checkpoint that does not fit; no network; a runtime that
            cannot run it.
    """
    return DualEncoder(load_model(model, options), options)


def load_model(model: str, options: EncoderOptions) -> DualModel:
    """The model taken apart, in float32 on the CPU; raises as `load`."""
    source, weights, name = parse(model)
    with ensure_downloaded(f"open_clip:{model}", options):
        tokenize = load_tokenizer(source, options)
        found, preprocess = _create(source, weights, model)
    side = int(np.max(found.visual.image_size))
    context = getattr(found, "context_length", None)
    config = open_clip.get_model_config(source) or {}
    rules = tokenizer_state(getattr(tokenize, "tokenizer", tokenize))
    fingerprint = weights_digest(found, config, repr(preprocess), context, rules)
    text_tower = _text_tower(found)
    try:
        with torch.inference_mode():
            dim = int(text_tower(tokenize(["a"])).shape[-1])
    except Exception as error:  # a tokeniser of another model
        raise EncoderError(
            f"open_clip cannot load {model}: its tokeniser does not fit the model "
            f"({type(error).__name__}: {first_line(error)}); copy its files from the model that was trained"
        ) from error
    spec = EncoderSpec(f"open_clip:{name}", dim, side, fingerprint)
    transform = _transform(preprocess, found)
    library = _as_arrays(preprocess, found)
    picture_tower = _LibraryTower(found, "encode_image")
    return DualModel(
        spec,
        prepare_pictures=transform or library,
        prepare_texts=_OpenClipTokenizer(tokenize),
        picture_tower=NormalisingTower(picture_tower, transform) if transform else picture_tower,
        text_tower=text_tower,
        reference_pictures=lambda pictures: found.encode_image(torch.from_numpy(*library(pictures))),
        reference_texts=lambda texts: found.encode_text(tokenize(list(texts))),
    )


class _OpenClipTokenizer:
    """open_clip's tokenisers give ids without a mask; their padding is the id after the last word."""

    def __init__(self, tokenizer: Callable[[list[str]], torch.Tensor]) -> None:
        self._tokenizer = tokenizer
        hugging_face = getattr(tokenizer, "tokenizer", None)
        self._padding = getattr(hugging_face, "pad_token_id", None) or 0

    def __call__(self, texts: Sequence[str]) -> Tokens:
        ids = self._tokenizer(list(texts)).numpy()
        used = (ids != self._padding)[:, ::-1]
        lengths = np.where(used.any(axis=1), ids.shape[1] - used.argmax(axis=1), 1)
        return Tokens((ids,), lengths)


class _CausalText(torch.nn.Module):
    """open_clip's text towers without a pad mask, for rows of ids shorter than the context.

    Its own `encode_text` adds the whole context's positions and mask. Where each position sees only those before it
    and the vector is read at the last word, what would follow changes nothing, so both are cut to the row.
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
        """(n, width) ids -> (n, dim)."""
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
    """A tower called as open_clip calls it: `encode_image` or `encode_text`."""

    def __init__(self, model: torch.nn.Module, method: str) -> None:
        super().__init__()
        self.model = copy.copy(model)
        pictures = method == "encode_image"
        self.model._modules = {name: part for name, part in model._modules.items() if (name == "visual") == pictures}
        self._method = method

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(n, …) pixels or ids -> (n, dim)."""
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
    """open_clip's preprocessing as a transform of bytes; None where it is of another kind."""
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


def _as_arrays(preprocess: Any, model: Any) -> Callable[[Sequence[Image.Image]], Arrays]:
    """open_clip's own preprocessing, of pictures that are not too long for it."""
    crops = open_clip.get_model_preprocess_cfg(model).get("resize_mode", "shortest") == "shortest"
    most = MAX_CROPPED_ASPECT if crops else MAX_WHOLE_ASPECT
    return lambda pictures: (torch.stack([preprocess(crop_long(picture, most)) for picture in pictures]).numpy(),)


def parse(model: str) -> tuple[str, str | None, str]:
    """What open_clip calls the architecture, its tag or file (None for a folder or the hub), and the name to keep.

    Paths are kept absolute, so that a database finds its encoder from any working directory.
    """
    if model.startswith(HUB):
        return model, None, model
    if looks_like_a_path(model):
        folder = Path(model).expanduser().resolve()
        if not (folder / "open_clip_config.json").is_file():
            raise EncoderError(
                f"there is no open_clip_config.json in {model!r}; give a folder that holds it beside the weights, "
                "or a checkpoint as open_clip:ARCH@FILE"
            )
        return f"{LOCAL}{folder}", None, str(folder)
    if "@" in model:
        arch, _, weights = model.partition("@")
        file = Path(weights).expanduser().resolve()
        if not file.is_file():
            raise EncoderError(f"there is no checkpoint {weights!r}; give the path of a .pt, .bin or .safetensors file")
        _require_arch(arch)
        return arch, str(file), f"{arch}@{file}"
    arch, _, tag = model.partition("/")
    _require_arch(arch)
    tags = open_clip.list_pretrained_tags_by_model(arch)
    if tag not in tags:
        raise EncoderError(
            f"open_clip has no weights {tag!r} for {arch}; there are {', '.join(tags) or 'none'}; "
            f"for a file of your own: open_clip:{arch}@FILE"
        )
    _require_activation(arch, tag)
    return arch, tag, model


def _require_arch(arch: str) -> None:
    known = open_clip.list_models()
    if arch not in known:
        near = ", ".join(difflib.get_close_matches(arch, known, n=3, cutoff=0.4))
        raise EncoderError(f"open_clip has no architecture {arch!r}; near it are {near or ', '.join(known[:5])}")


def _require_activation(arch: str, tag: str) -> None:
    """open_clip only warns where weights trained with QuickGELU are put into an architecture with GELU."""
    trained = bool(open_clip.get_pretrained_cfg(arch, tag).get("quick_gelu"))
    built = bool((open_clip.get_model_config(arch) or {}).get("quick_gelu"))
    if trained != built:
        other = f"{arch}-quickgelu" if trained else arch.removesuffix("-quickgelu")
        raise EncoderError(
            f"the weights {tag!r} were trained {'with' if trained else 'without'} QuickGELU, so their vectors would be "
            f"wrong in {arch}; use open_clip:{other}/{tag}"
        )


def _create(source: str, weights: str | None, model: str) -> tuple[Any, Any]:
    """The model, in evaluation mode, and its preprocessing."""
    try:
        file = _weights_file(source, weights)
        own = {"load_weights": False, "pretrained_text": False} if file else {"require_pretrained": True}
        with _without_root_log(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found, _, preprocess = open_clip.create_model_and_transforms(
                source, pretrained=weights, weights_only=True, **own, **_published_preprocessing(weights, source)
            )
            if file:
                _load_weights(found, file, _remedy(source, weights))
    except EncoderError as error:
        raise EncoderError(f"open_clip cannot load {model}: {error}") from error
    except Exception as error:  # whatever a bad checkpoint makes torch, safetensors or the hub raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise EncoderError(f"open_clip cannot load {model}: {reason}; {_remedy(source, weights)}") from error
    return found.eval(), preprocess


@contextmanager
def _without_root_log() -> Iterator[None]:
    """Drop records of the root logger by this thread: open_clip logs each of its errors there before it raises it."""
    here = threading.get_ident()

    def is_of_another(record: logging.LogRecord) -> bool:
        return record.thread != here or record.levelno > logging.ERROR

    root = logging.getLogger()
    root.addFilter(is_of_another)
    try:
        yield
    finally:
        root.removeFilter(is_of_another)


def _weights_file(source: str, weights: str | None) -> Path | None:
    """The file with the weights; None where they are published ones, which open_clip finds and reads itself."""
    if source.startswith(LOCAL):
        folder = Path(source.removeprefix(LOCAL))
    elif source.startswith(HUB):
        folder = snapshot_folder(source.removeprefix(HUB))
    else:
        if not weights or not Path(weights).is_file():
            return None
        refuse_adapters(Path(weights).parent)
        return Path(weights)
    refuse_adapters(folder)
    names = sorted(path.name for path in folder.iterdir() if path.suffix in WEIGHTS_SUFFIXES and path.is_file())
    usual = [name for name in WEIGHTS_NAMES if name in names]
    if not names or (not usual and len(names) > 1):
        raise EncoderError(
            f"{folder} holds {f'several weights ({list_names(names)})' if names else 'no weights'}; name those of this "
            f"model {WEIGHTS_NAMES[0]}"
        )
    return folder / (usual or names)[0]


def _load_weights(model: Any, file: Path, remedy: str) -> None:
    """Put a file's weights into a model, all of them and into all of it.

    open_clip's own loading takes no other wrappers than `module.`, tells missing weights in many lines, and resizes
    positions that were learned for pictures or texts of another size: vectors that nobody has trained.
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
            weights[name] = weights[name].reshape(expected[name].shape)  # one number, or a row of one
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
    """For a checkpoint of one's own, the preprocessing that every published checkpoint of its architecture has.

    Left alone, open_clip takes OpenAI's mean and crop for any file, which is wrong for every SigLIP. Where the
    published ones do not agree, a file says nothing, and open_clip's own choice stands; a folder says it all.
    """
    if weights is None or not Path(weights).is_file():
        return {}
    said = [open_clip.get_pretrained_cfg(arch, tag) for tag in open_clip.list_pretrained_tags_by_model(arch)]
    names = ("mean", "std", "interpolation", "resize_mode")
    kinds = {tuple(str(tag.get(name)) for name in names) for tag in said}
    if len(kinds) != 1:
        return {}
    return {f"image_{name}": said[0][name] for name in names if said[0].get(name) is not None}


def _remedy(source: str, weights: str | None) -> str:
    if source.startswith(LOCAL):
        return "check that the folder holds the weights this open_clip_config.json describes"
    if weights is not None and Path(weights).is_file():
        return "check that it was saved from this architecture, all of it and nothing else"
    return "what is on disk of it may be broken: see firstsight models"
