"""The transformers family, `transformers:ORG/NAME` and `transformers:FOLDER`: dual encoders of Hugging Face."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode

from firstsight.encoders.base import Arrays, EncoderSpec
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.families.hub import ensure_downloaded, snapshot_folder
from firstsight.encoders.families.model_fingerprint import tokenizer_state, weights_digest
from firstsight.encoders.families.picture_transform import (
    MAX_CROPPED_ASPECT,
    MAX_WHOLE_ASPECT,
    NormalisingTower,
    SquareTransform,
    is_faithful,
)
from firstsight.encoders.families.state_dicts import (
    find_unusable_weights,
    folder_weights,
    is_scale,
    refuse_adapters,
    require_fit,
    unwrap,
)
from firstsight.encoders.families.tokenizer_packages import naming_missing_packages
from firstsight.encoders.families.tokenizer_vocabulary import require_vocabulary
from firstsight.encoders.families.trainable_model import TrainableModel
from firstsight.encoders.families.transformers_names import needed_repositories
from firstsight.encoders.runtimes.dual_encoder import DualEncoder
from firstsight.encoders.runtimes.dual_model import DualModel, Tokens
from firstsight.encoders.runtimes.probe_inputs import probe_pictures
from firstsight.errors import EncoderError, OptionalDependencyError, first_line
from firstsight.media.pictures import crop_long

PADDED_TO_CONTEXT = frozenset({"siglip", "siglip2"})
"""Model types trained on texts padded to the whole context, without a mask."""


def load(model: str, options: EncoderOptions) -> DualEncoder:
    """Load a model that has `get_image_features` and `get_text_features`, with its own processor.

    Weights are read from safetensors or with `weights_only`.

    Args:
        model: a name on the Hugging Face hub, downloaded once into its cache, or a folder in the hub's format.
        options: runtime, device, threads, and permission to run the model's own code.

    Raises:
        EncoderError: if the model or folder does not exist, the hub is not reachable, the model lacks a text or
            picture tower, its weights do not fit, or the runtime cannot run the model.
        OptionalDependencyError: if its tokeniser needs a package of the extra `siglip` that is not installed.
    """
    return DualEncoder(load_model(model, options), options)


def load_model(model: str, options: EncoderOptions) -> DualModel:
    """Load the parts of a transformers model, in float32 on the CPU.

    Args:
        model: as for `load`.
        options: only `trust_remote_code` is used.

    Raises:
        EncoderError: as `load`, except for the runtime.
    """
    return load_trainable(model, options).dual


def load_trainable(model: str, options: EncoderOptions) -> TrainableModel:
    """Load a transformers model with its network, which can be trained and saved.

    Args, raises: as for `load_model`.
    """
    repositories = needed_repositories(model).repositories
    with ensure_downloaded("transformers", repositories, trust_remote_code=options.trust_remote_code):
        loaded, processor = _load(model, options.trust_remote_code)
    try:
        tokenize = TransformersTokenizer(loaded, processor)
        pictures = TransformersPictures(loaded, processor.image_processor)
        with torch.inference_mode():
            dim = int(tokenize.features(["a"]).shape[-1])
    except Exception as error:  # the tokeniser or the image processor belongs to another model
        raise EncoderError(
            f"transformers cannot load {model!r}: its tokeniser or image processor does not fit the model "
            f"({type(error).__name__}: {first_line(error)}); copy their files from the trained model"
        ) from error
    preprocessing = (
        sorted(processor.image_processor.to_dict().items(), key=str),
        tokenizer_state(processor.tokenizer),
        _plain_config(loaded.config),
        tokenize.context,
        tokenize.padding,
        tokenize.names,
    )
    place = Path(model).expanduser()
    # absolute, so that a database finds its encoder from any working directory
    name = str(place.resolve()) if place.is_dir() else model
    spec = EncoderSpec(f"transformers:{name}", dim, pictures.side, weights_digest(loaded, *preprocessing))
    transform = pictures.as_transform()
    dual = DualModel(
        spec,
        prepare_pictures=transform or pictures,
        prepare_texts=tokenize,
        picture_tower=NormalisingTower(pictures.tower, transform) if transform else pictures.tower,
        text_tower=tokenize.tower,
        reference_pictures=pictures.features,
        reference_texts=tokenize.features,
    )

    def save(folder: Path) -> str:
        with _quietly():
            loaded.save_pretrained(folder)
            processor.save_pretrained(folder)
        return f"transformers:{folder.absolute()}"

    return TrainableModel(dual, loaded, save)


class _Tower(torch.nn.Module):
    """One of the model's two feature methods, with inputs by position."""

    def __init__(self, model: Any, method: str, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self._method = method
        self._names = tuple(names)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Map arrays of n rows each to (n, dim) features."""
        dtype = self.model.dtype
        arguments = {
            name: value.to(dtype) if value.is_floating_point() else value
            for name, value in zip(self._names, inputs, strict=True)
        }
        return _pooled(getattr(self.model, self._method)(**arguments))


class TransformersTokenizer:
    """Converts texts to ids, padded as in the model's training, with a mask if its tokeniser makes one."""

    def __init__(self, model: Any, processor: Any) -> None:
        self._model = model
        self.tokenizer = processor.tokenizer
        family = model.config.model_type
        limits = (
            getattr(model.config.text_config, "max_position_embeddings", None),
            self.tokenizer.model_max_length,
            _default_length(processor),
        )
        self.context = min(limit for limit in limits if limit)
        self.padding: str | bool = "max_length" if family in PADDED_TO_CONTEXT else True
        self.names = [name for name in self._tokenize(["a"]) if name in ("input_ids", "attention_mask")]
        self.tower = _Tower(model, "get_text_features", self.names)

    def __call__(self, texts: Sequence[str]) -> Tokens:
        encoded = self._tokenize(texts)
        arrays = tuple(encoded[name].numpy() for name in self.names)
        # Without a mask the padding is unknown, so the full width counts.
        masks = [array for name, array in zip(self.names, arrays, strict=True) if name == "attention_mask"]
        lengths = masks[0].sum(axis=1) if masks else np.full(len(texts), arrays[0].shape[1])
        return Tokens(arrays, np.maximum(lengths, 1))

    def features(self, texts: Sequence[str]) -> torch.Tensor:
        """Compute (n, dim) features with the library's own code."""
        return _pooled(self._model.get_text_features(**self._tokenize(texts)))

    def _tokenize(self, texts: Sequence[str]) -> Any:
        return self.tokenizer(
            list(texts), padding=self.padding, max_length=self.context, truncation=True, return_tensors="pt"
        )


class TransformersPictures:
    """Converts pictures with the model's own image processor."""

    def __init__(self, model: Any, processor: Any) -> None:
        self._model = model
        self.processor = processor
        settings = processor.to_dict()
        crops = settings.get("do_center_crop") and "shortest_edge" in (settings.get("size") or {})
        self._max_aspect = MAX_CROPPED_ASPECT if crops else MAX_WHOLE_ASPECT
        processed = self._process(probe_pictures(1))
        self.names = list(processed)
        pixels = processed["pixel_values"]
        self.side = int(max(pixels.shape[-2:])) if pixels.ndim == 4 else _config_side(model)
        self.tower = _Tower(model, "get_image_features", self.names)

    def __call__(self, pictures: Sequence[Image.Image]) -> Arrays:
        processed = self._process(pictures)
        return tuple(processed[name].numpy() for name in self.names)

    def features(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """Compute (n, dim) features with the library's own code."""
        return _pooled(self._model.get_image_features(**self._process(pictures)))

    def as_transform(self) -> SquareTransform | None:
        """Express the processor as a transform of bytes; None if that is not possible."""
        settings = self.processor.to_dict()
        size, crop = settings.get("size") or {}, settings.get("crop_size") or {}
        if self.names != ["pixel_values"] or not (settings.get("do_resize") and settings.get("do_normalize")):
            return None
        kernel = {2: InterpolationMode.BILINEAR, 3: InterpolationMode.BICUBIC}.get(settings.get("resample"))
        cropped = bool(settings.get("do_center_crop"))
        target = crop if cropped else size
        if kernel is None or "height" not in target or cropped != ("shortest_edge" in size):
            return None
        transform = SquareTransform(
            (target["height"], target["width"]),
            "shortest" if cropped else "squash",
            size["shortest_edge"] if cropped else size["height"],
            kernel,
            crop_start=int,
            mean=tuple(settings["image_mean"]),
            std=tuple(settings["image_std"]),
        )
        pictures = probe_pictures(4)
        return transform if is_faithful(transform, self(pictures)[0], pictures) else None

    def _process(self, pictures: Sequence[Image.Image]) -> Any:
        """Run the processor; very long pictures are cropped first."""
        cropped = [crop_long(picture, self._max_aspect) for picture in pictures]
        return self.processor(images=cropped, return_tensors="pt")


def _config_side(model: Any) -> int:
    """Return the configured picture side, in pixels, of a model with variable picture sizes."""
    vision = model.config.vision_config
    side = getattr(vision, "image_size", None)
    return int(side) if side else int(vision.patch_size * vision.num_patches**0.5)


def _default_length(processor: Any) -> int | None:
    """Return the default maximum length of a processor, in tokens; None if it has none."""
    kwargs = getattr(type(processor), "valid_processor_kwargs", None)
    defaults = getattr(kwargs, "_defaults", {}).get("text_kwargs", {})
    length: int | None = defaults.get("max_length")
    return length


def _plain_config(config: Any) -> list[tuple[str, Any]]:
    """Return the configuration entries that can change vectors: without the source and the saving release."""
    plain = config.to_dict()
    return sorted((k, v) for k, v in plain.items() if k not in {"_name_or_path", "transformers_version"})


def _pooled(output: Any) -> torch.Tensor:
    """Unwrap features: newer releases of transformers return them in an output object."""
    features: torch.Tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    return features


def _load(model: str, trust_remote_code: bool) -> tuple[Any, Any]:
    place = Path(model).expanduser()
    name = str(place) if place.is_dir() else model
    folder = place if place.is_dir() else snapshot_folder(model)
    try:
        with _quietly():
            refuse_adapters(folder)
            config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=trust_remote_code)
            with torch.device("meta"):
                empty = transformers.AutoModel.from_config(config, trust_remote_code=trust_remote_code)
            _require_both_towers(empty, model)
            loaded = _with_weights(empty, config, folder)
            with naming_missing_packages(model):
                processor = transformers.AutoProcessor.from_pretrained(name, trust_remote_code=trust_remote_code)
            _require_whole(processor, folder)
    except OptionalDependencyError:
        raise
    except EncoderError as error:
        raise EncoderError(f"transformers cannot load {model!r}: {error}") from error
    except Exception as error:  # transformers, tokenizers and torch raise anything on a bad folder
        raise EncoderError(
            f"transformers cannot load {model!r}: {first_line(error)}; it takes a folder with config.json, "
            "preprocessor_config.json, tokeniser files and weights, as from_pretrained does"
        ) from error
    return loaded.eval(), processor


def _with_weights(empty: Any, config: Any, folder: Path) -> Any:
    """Load exactly the weights of a folder into a model of this configuration, in float32.

    `from_pretrained` alone draws a missing weight at random.
    """
    kind = type(empty).__name__
    expected = empty.state_dict()
    file, stored = folder_weights(folder)
    weights = unwrap(stored, expected)
    # checked first, because the error of transformers does not name the weight with the wrong shape
    faults = find_unusable_weights(weights, expected)
    require_fit(
        file, kind, faults=faults, remedy="take weights in float32, float16 or bfloat16 and their own config.json"
    )
    loaded, info = type(empty).from_pretrained(
        None, config=config, state_dict=weights, dtype=torch.float32, output_loading_info=True
    )
    saved_as = [name for name in config.architectures or () if name != kind]
    remedy = f"the folder was saved from {saved_as[0]}; " if saved_as else ""
    missing, unexpected = info["missing_keys"], info["unexpected_keys"]
    require_fit(
        file, kind, missing=missing, unexpected=unexpected, remedy=f"{remedy}save a whole {kind} with save_pretrained"
    )
    for scale in filter(is_scale, missing):
        # transformers leaves some scales uninitialised, and the fingerprint covers them
        loaded.get_parameter(scale).data.fill_(getattr(config, f"{scale.rpartition('.')[2]}_init_value", 0.0))
    return loaded


def _require_whole(processor: Any, folder: Path) -> None:
    """Raise EncoderError if a processor lacks its tokeniser, the tokeniser's files, or its image processor."""
    if getattr(processor, "tokenizer", None) is None or getattr(processor, "image_processor", None) is None:
        raise EncoderError(f"{folder} has no tokeniser or no image processor; save both with processor.save_pretrained")
    require_vocabulary(processor.tokenizer, folder)


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence the warnings of transformers and its progress bar for weights."""
    logs = transformers.utils.logging
    verbosity, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(verbosity)
        if bars:
            logs.enable_progress_bar()


def _require_both_towers(loaded: Any, model: str) -> None:
    if not hasattr(loaded, "get_image_features") or not hasattr(loaded, "get_text_features"):
        raise EncoderError(f"{model!r} is a {loaded.config.model_type} model without both a text and a picture tower")
