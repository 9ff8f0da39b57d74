"""What can be loaded here: recommended models, what the Hugging Face cache holds, families of other packages."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from firstsight.encoders.families.hub import (
    OPEN_CLIP_CONFIG,
    TRANSFORMERS_WEIGHTS,
    CachedRepository,
    HubRepository,
    arch_config,
    cached_repositories,
    open_clip_config,
    open_clip_weights,
    repository_of_tag,
    weights_among,
)
from firstsight.encoders.registry import ENTRY_POINTS, FAMILIES
from firstsight.errors import EncoderError

FLOAT32_BYTES: Final = 4


@dataclass(frozen=True)
class ModelEntry:
    """A model that `load_encoder` takes by this name."""

    name: str
    dim: int | None  # length of its vectors; None where only loading it would tell
    image_size: int | None  # side in pixels of the square its picture tower sees
    weights_bytes: int | None  # of its files where they are on disk, else of its parameters in float32
    on_disk: bool | None  # None for another package's family, which alone knows
    place: str  # the folder, where it is on disk
    note: str


@dataclass(frozen=True)
class _Recommended:
    """A published model of the short list.

    `arch` is the architecture of open_clip with the same vectors and pictures, from which they are read. `parameters`
    was counted by building the published configuration on torch's meta device: sum(p.numel() for p in parameters()).
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
    """The models to choose from: `starter`, recommended ones, those on disk, families of other packages.

    Args:
        text: only names that hold it, in any case.
        everything: every architecture and tag of open_clip as well, without pairs whose vectors would be wrong.

    Raises:
        EncoderError: no name holds `text`; the message names some near it.
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
    from firstsight.encoders.starter.starter_encoder import BRIDGE_PATH, DIM, IMAGE_SIZE, NAME
    from firstsight.encoders.starter.starter_files import PICTURE_WEIGHTS, TEXT_WEIGHTS

    size = PICTURE_WEIGHTS.size + TEXT_WEIGHTS.size + BRIDGE_PATH.stat().st_size
    yield ModelEntry(NAME, DIM, IMAGE_SIZE, size, True, "installed with firstsight", "English; small, the default")
    known = {entry.name: entry for entry in [*_open_clip_pairs(cached), *_repositories(cached)]}
    recommended = {model.name: model for model in RECOMMENDED}
    for model in RECOMMENDED:
        here = known.get(model.name)
        dim, side = _open_clip_shape(arch_config(model.arch))
        size = model.parameters * FLOAT32_BYTES
        if here is not None and here.on_disk:
            dim, side, size = here.dim or dim, here.image_size or side, here.weights_bytes or size
        place = here.place if here else ""
        yield ModelEntry(model.name, dim, side, size, bool(place), place, model.note)
    yield from (entry for entry in known.values() if entry.on_disk and entry.name not in recommended)
    for point in entry_points(group=ENTRY_POINTS):
        if point.name not in FAMILIES:
            package = point.dist.name if point.dist else "another package"
            yield ModelEntry(f"{point.name}:", None, None, None, None, "", f"a family of {package}")


def _open_clip_pairs(cached: dict[str, CachedRepository]) -> Iterator[ModelEntry]:
    """Every architecture and tag of open_clip that belong together."""
    import open_clip

    from firstsight.encoders.families.open_clip import parse

    for arch, tag in open_clip.list_pretrained():
        try:
            parse(f"{arch}/{tag}")
        except EncoderError:  # weights trained with QuickGELU in an architecture without it, or the reverse
            continue
        yield _entry(
            f"open_clip:{arch}/{tag}", _open_clip_shape(arch_config(arch)), repository_of_tag(arch, tag), cached
        )


def _repositories(cached: dict[str, CachedRepository]) -> Iterator[ModelEntry]:
    """Dual encoders in the cache, under their names on the hub."""
    import open_clip

    published = {repository_of_tag(arch, tag).repo for arch, tag in open_clip.list_pretrained()}
    for repo, found in sorted(cached.items()):
        as_open_clip = _entry(
            f"open_clip:hf-hub:{repo}", (None, None), HubRepository(repo, open_clip_weights("")), cached
        )
        if OPEN_CLIP_CONFIG in found.files and repo not in published and as_open_clip.on_disk:
            shape = _open_clip_shape(open_clip_config(found.folder))
            yield _entry(as_open_clip.name, shape, HubRepository(repo, open_clip_weights("")), cached)
        elsewhere = _entry(f"transformers:{repo}", (None, None), HubRepository(repo, TRANSFORMERS_WEIGHTS), cached)
        if "config.json" in found.files and elsewhere.on_disk and _is_dual(found.folder):
            shape = _transformers_shape(found.folder)
            yield _entry(elsewhere.name, shape, HubRepository(repo, TRANSFORMERS_WEIGHTS), cached)


def _entry(
    name: str, shape: tuple[int | None, int | None], part: HubRepository, cached: dict[str, CachedRepository]
) -> ModelEntry:
    found = cached.get(part.repo)
    weights = weights_among(found.files, part) if found else []
    size = sum(found.files[file] for file in weights) if found and weights else None
    return ModelEntry(name, *shape, size, bool(weights), str(found.folder) if found and weights else "", "")


def _open_clip_shape(config: dict[str, Any]) -> tuple[int | None, int | None]:
    side = config.get("vision_cfg", {}).get("image_size")
    return config.get("embed_dim"), max(side) if isinstance(side, list) else side


def _is_dual(folder: Path) -> bool:
    """Whether a config.json is of a family whose plain model has both towers."""
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
    except (OSError, ValueError, KeyError):  # a family that this release of transformers does not know
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
