"""List of models: recommended ones, the content of the Hugging Face cache, families of other packages."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

import open_clip

from firstsight.encoders.families.hub import CachedRepository, HubRepository, cached_repositories, weights_among
from firstsight.encoders.families.open_clip_names import parse
from firstsight.encoders.families.open_clip_repositories import (
    OPEN_CLIP_CONFIG,
    arch_config,
    folder_config,
    repository_of_tag,
    weight_files,
)
from firstsight.encoders.families.transformers_names import TRANSFORMERS_WEIGHTS
from firstsight.encoders.registry import ENTRY_POINTS, FAMILIES
from firstsight.errors import EncoderError
from firstsight.extras import install_command, is_installed
from firstsight.records import Record

FLOAT32_BYTES: Final = 4


@dataclass(frozen=True)
class ModelEntry(Record):
    """A model that `load_encoder` accepts by this name."""

    name: str
    dim: int | None  # length of its vectors; None if unknown before loading
    image_size: int | None  # side in pixels of its square input picture; None if unknown before loading
    weights_bytes: int | None  # size of its files if on disk, else of its parameters in float32
    on_disk: bool | None  # None for another package's family: unknown here
    place: str  # the folder if on disk, else empty
    note: str


@dataclass(frozen=True)
class _Recommended:
    """A published model of the short list.

    `dim` and `image_size` come from `arch`, the open_clip architecture with the same vectors and pictures. `parameters`
    was counted on the published configuration, built on torch's meta device: sum(p.numel() for p in parameters()).
    """

    name: str
    arch: str
    parameters: int
    note: str


RECOMMENDED: Final = (
    _Recommended("open_clip:ViT-B-32/laion2b_s34b_b79k", "ViT-B-32", 151_277_313, "English; fast, a good first one"),
    _Recommended("open_clip:ViT-B-16/datacomp_xl_s13b_b90k", "ViT-B-16", 149_620_737, "English; finer detail"),
    _Recommended("open_clip:ViT-L-14/datacomp_xl_s13b_b90k", "ViT-L-14", 427_616_513, "English; best of these, slow"),
    _Recommended("open_clip:ViT-B-16-SigLIP2/webli", "ViT-B-16-SigLIP2", 375_187_970, "many languages; strong"),
    _Recommended(
        "transformers:google/siglip2-base-patch16-224", "ViT-B-16-SigLIP2", 375_187_970, "the same in transformers"
    ),
    _Recommended("transformers:google/siglip-base-patch16-224", "ViT-B-16-SigLIP", 203_155_970, "English"),
    _Recommended("transformers:openai/clip-vit-base-patch32", "ViT-B-32", 151_277_313, "English; the first CLIP"),
    _Recommended("open_clip:MobileCLIP2-S2/dfndr2b", "MobileCLIP2-S2", 99_243_329, "English; small"),
    _Recommended("transformers:OFA-Sys/chinese-clip-vit-base-patch16", "ViT-B-16", 188_262_913, "Chinese"),
    _Recommended(
        "open_clip:hf-hub:Marqo/marqo-ecommerce-embeddings-B",
        "ViT-B-16-SigLIP",
        203_155_970,
        "English; trained on shop items",
    ),
    _Recommended(
        "open_clip:xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k",
        "xlm-roberta-base-ViT-B-32",
        366_121_473,
        "many languages",
    ),
)


def list_models(text: str = "", *, everything: bool = False) -> list[ModelEntry]:
    """List `starter`, the recommended models, the models on disk, and families of other packages.

    Args:
        text: return only names that contain this text, in any case.
        everything: add every architecture and tag of open_clip, except pairs with wrong vectors.

    Raises:
        EncoderError: if no name contains `text`; the message suggests similar names.
    """
    cached = cached_repositories()
    listed = {entry.name: entry for entry in _short_list(cached)}
    pairs = {entry.name: entry for entry in _open_clip_pairs(cached)}
    shown = listed | {name: entry for name, entry in pairs.items() if everything and name not in listed}
    found = [entry for name, entry in shown.items() if text.lower() in name.lower()]
    if not found:
        raise EncoderError(_nothing_found(text, [*listed, *pairs], [n for n in pairs if text.lower() in n.lower()]))
    return found


def _short_list(cached: dict[str, CachedRepository]) -> Iterator[ModelEntry]:
    from firstsight.encoders.starter.starter_files import (
        LANGUAGE_VOCABULARY,
        LANGUAGE_WEIGHTS,
        PICTURE_WEIGHTS,
        TEXT_WEIGHTS,
    )
    from firstsight.encoders.starter.starter_model import (
        BRIDGE_PATH,
        IMAGE_SIZE,
        LANGUAGE_MAP_PATH,
        VISUAL_PATH,
        StarterModel,
    )

    size = PICTURE_WEIGHTS.size + TEXT_WEIGHTS.size + BRIDGE_PATH.stat().st_size
    place = "installed with firstsight"
    plain, visual = StarterModel(), StarterModel.of_name("visual")
    yield ModelEntry(plain.name, plain.dim, IMAGE_SIZE, size, True, place, "English; small, the default")
    note = "starter with a part for comparing pictures"
    yield ModelEntry(visual.name, visual.dim, IMAGE_SIZE, size + VISUAL_PATH.stat().st_size, True, place, note)
    size += LANGUAGE_WEIGHTS.size + LANGUAGE_VOCABULARY.size + LANGUAGE_MAP_PATH.stat().st_size
    installed = is_installed(LANGUAGE_WEIGHTS.package)
    yield ModelEntry(
        StarterModel.of_name("multilingual").name,
        plain.dim,
        IMAGE_SIZE,
        size,
        installed,
        place if installed else "",
        "starter for texts in 16 languages" + ("" if installed else f"; {install_command('multilingual')}"),
    )
    known = {entry.name: entry for entry in [*_open_clip_pairs(cached), *_repositories(cached)]}
    recommended = {model.name: model for model in RECOMMENDED}
    for model in RECOMMENDED:
        cached_entry = known.get(model.name)
        dim, side = _open_clip_shape(arch_config(model.arch))
        size = model.parameters * FLOAT32_BYTES
        if cached_entry is not None and cached_entry.on_disk:
            dim = cached_entry.dim or dim
            side = cached_entry.image_size or side
            size = cached_entry.weights_bytes or size
        place = cached_entry.place if cached_entry else ""
        yield ModelEntry(model.name, dim, side, size, bool(place), place, model.note)
    yield from (entry for entry in known.values() if entry.on_disk and entry.name not in recommended)
    for point in entry_points(group=ENTRY_POINTS):
        if point.name not in FAMILIES:
            package = point.dist.name if point.dist else "another package"
            yield ModelEntry(f"{point.name}:", None, None, None, None, "", f"a family of {package}")


def _open_clip_pairs(cached: dict[str, CachedRepository]) -> Iterator[ModelEntry]:
    """Yield every architecture and tag of open_clip with matching activations."""
    for arch, tag in open_clip.list_pretrained():
        try:
            parse(f"{arch}/{tag}")
        except EncoderError:  # only one of weights and architecture has QuickGELU
            continue
        yield _entry(
            f"open_clip:{arch}/{tag}", _open_clip_shape(arch_config(arch)), repository_of_tag(arch, tag), cached
        )


def _repositories(cached: dict[str, CachedRepository]) -> Iterator[ModelEntry]:
    """Yield the dual encoders in the cache, by their names on the hub."""
    published = {repository_of_tag(arch, tag).repo for arch, tag in open_clip.list_pretrained()}
    for repo, found in sorted(cached.items()):
        repository = HubRepository(repo, weight_files())
        as_open_clip = _entry(f"open_clip:hf-hub:{repo}", (None, None), repository, cached)
        if OPEN_CLIP_CONFIG in found.files and repo not in published and as_open_clip.on_disk:
            shape = _open_clip_shape(folder_config(found.folder))
            yield _entry(as_open_clip.name, shape, repository, cached)
        repository = HubRepository(repo, TRANSFORMERS_WEIGHTS)
        as_transformers = _entry(f"transformers:{repo}", (None, None), repository, cached)
        if "config.json" in found.files and as_transformers.on_disk and _is_dual(found.folder):
            yield _entry(as_transformers.name, _transformers_shape(found.folder), repository, cached)


def _entry(
    name: str, shape: tuple[int | None, int | None], repository: HubRepository, cached: dict[str, CachedRepository]
) -> ModelEntry:
    found = cached.get(repository.repo)
    weights = weights_among(found.files, repository) if found else []
    size = sum(found.files[file] for file in weights) if found and weights else None
    return ModelEntry(name, *shape, size, bool(weights), str(found.folder) if found and weights else "", "")


def _open_clip_shape(config: dict[str, Any]) -> tuple[int | None, int | None]:
    side = config.get("vision_cfg", {}).get("image_size")
    return config.get("embed_dim"), max(side) if isinstance(side, list) else side


def _is_dual(folder: Path) -> bool:
    """Return whether the model type in a config.json has both towers in its base model."""
    from transformers.models.auto import modeling_auto as auto

    try:
        family = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return False
    zero_shot = auto.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES.get(family)
    return zero_shot is not None and zero_shot == auto.MODEL_MAPPING_NAMES.get(family)


def _transformers_shape(folder: Path) -> tuple[int | None, int | None]:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError):  # this release of transformers does not know the model type
        return None, None
    text, vision = getattr(config, "text_config", None), getattr(config, "vision_config", None)
    dims = (getattr(config, "projection_dim", None), getattr(text, "projection_size", None))
    side = getattr(vision, "image_size", None)
    patches = getattr(vision, "num_patches", None)
    if side is None and patches:
        side = round(getattr(vision, "patch_size", 0) * patches**0.5)
    return next((dim for dim in (*dims, getattr(text, "hidden_size", None)) if dim), None), side


def _nothing_found(text: str, names: Sequence[str], hidden: Sequence[str]) -> str:
    if hidden:
        return f"no model of the short list has {text!r} in its name; with --all there are {len(hidden)}"
    words = {word.lower(): name for name in reversed(names) for word in re.split(r"[:/_-]", name)}
    near = dict.fromkeys(words[word] for word in difflib.get_close_matches(text.lower(), words, n=3))
    return f"no model has {text!r} in its name; near it {'is' if len(near) == 1 else 'are'} " + ", ".join(
        near or names[:3]
    )
