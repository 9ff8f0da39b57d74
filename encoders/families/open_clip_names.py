"""Names of open_clip models: parsing, checks of architecture, tag and activation, and the repositories they need."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Final

import open_clip

from firstsight.encoders.encoder_options import looks_like_a_path
from firstsight.encoders.families.hub import HubRepository, NeededRepositories
from firstsight.encoders.families.open_clip_repositories import (
    OPEN_CLIP_CONFIG,
    arch_config,
    repository_of_tag,
    text_repositories,
    weight_files,
)
from firstsight.errors import EncoderError

HUB: Final = "hf-hub:"
LOCAL: Final = "local-dir:"


def parse(model: str) -> tuple[str, str | None, str]:
    """Parse and check the name of an open_clip model.

    Args:
        model: the part after `open_clip:`.

    Returns:
        open_clip's name for the architecture, folder or repository; the tag or file of the weights (None for a folder
        or a repository); and the name to store. The stored name has absolute paths, so that a database finds its
        encoder from any working directory.

    Raises:
        EncoderError: if the architecture, tag, file or folder does not exist, or the tag's weights were trained with
            another activation.
    """
    if model.startswith(HUB):
        return model, None, model
    if looks_like_a_path(model):
        folder = Path(model).expanduser().resolve()
        if not (folder / OPEN_CLIP_CONFIG).is_file():
            raise EncoderError(
                f"there is no {OPEN_CLIP_CONFIG} in {model!r}; give a folder that holds it and the weights, or a "
                "checkpoint as open_clip:ARCH@FILE"
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
            f"for your own file: open_clip:{arch}@FILE"
        )
    _require_activation(arch, tag)
    return arch, tag, model


def needed_repositories(model: str) -> NeededRepositories:
    """Return the repositories that the name of an open_clip model needs.

    Args:
        model: the part after `open_clip:`.

    Raises:
        EncoderError: as `parse`.
    """
    source, weights, name = parse(model)
    if source.startswith(HUB):
        return NeededRepositories((HubRepository(source.removeprefix(HUB), weight_files()),))
    if weights is None:
        return NeededRepositories(place=name, note=f"{name} is a folder; there is nothing to download")
    texts = text_repositories(arch_config(source))
    if "@" in name:  # the user's own weights, with a tokeniser from the hub
        note = "" if texts else f"{weights} is a file; there is nothing to download"
        return NeededRepositories(tuple(texts), weights, note)
    repository = repository_of_tag(source, weights)
    return NeededRepositories((repository, *(text for text in texts if text.repo != repository.repo)))


def _require_arch(arch: str) -> None:
    known = open_clip.list_models()
    if arch not in known:
        near = ", ".join(difflib.get_close_matches(arch, known, n=3, cutoff=0.4))
        raise EncoderError(f"open_clip has no architecture {arch!r}; near it are {near or ', '.join(known[:5])}")


def _require_activation(arch: str, tag: str) -> None:
    """Refuse weights of another activation: open_clip only warns about QuickGELU weights in a GELU architecture."""
    trained = bool(open_clip.get_pretrained_cfg(arch, tag).get("quick_gelu"))
    built = bool((open_clip.get_model_config(arch) or {}).get("quick_gelu"))
    if trained != built:
        other = f"{arch}-quickgelu" if trained else arch.removesuffix("-quickgelu")
        raise EncoderError(
            f"the weights {tag!r} were trained {'with' if trained else 'without'} QuickGELU, so their vectors would be "
            f"wrong in {arch}; use open_clip:{other}/{tag}"
        )
