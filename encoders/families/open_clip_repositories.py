"""Repositories and configurations of open_clip models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import open_clip
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

from firstsight.encoders.families.hub import HubRepository

OPEN_CLIP_CONFIG: Final = "open_clip_config.json"


def arch_config(arch: str) -> dict[str, Any]:
    """Return the configuration of an open_clip architecture; empty if the architecture does not exist."""
    return open_clip.get_model_config(arch) or {}


def folder_config(folder: Path) -> dict[str, Any]:
    """Return the configuration in a folder's `open_clip_config.json`; empty if it cannot be read."""
    try:
        config = json.loads((folder / OPEN_CLIP_CONFIG).read_text(encoding="utf-8"))
        return dict(config.get("model_cfg", config))
    except (OSError, ValueError, AttributeError):  # a partial download, or another kind of file
        return {}


def repository_of_tag(arch: str, tag: str) -> HubRepository:
    """Return the repository with the weights of an existing architecture and tag."""
    repo, _, file = open_clip.get_pretrained_cfg(arch, tag)["hf_hub"].rpartition("/")
    return HubRepository(repo, weight_files(file))


def weight_files(file: str = "") -> tuple[str, ...]:
    """Return the weight files that open_clip looks for, best first.

    Args:
        file: the file in open_clip's list of weights; empty for the usual one.
    """
    return (f"{file[:-4]}.safetensors", file) if file else (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)


def text_repositories(config: dict[str, Any]) -> list[HubRepository]:
    """Return the repositories with the tokeniser, and with the text tower's configuration.

    Args:
        config: as `arch_config` or `folder_config`.
    """
    text = config.get("text_cfg", {})
    names = (text.get("hf_tokenizer_name"), text.get("hf_model_name"))
    return [HubRepository(repo) for repo in dict.fromkeys(names) if repo]


def text_repositories_of_folder(folder: Path) -> list[HubRepository]:
    """Return the text repositories that a folder's `open_clip_config.json` names."""
    return text_repositories(folder_config(folder))
