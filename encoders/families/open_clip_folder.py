"""Writing of a model as a folder that `open_clip:FOLDER` loads."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any, Final

import open_clip
from safetensors.torch import save_file

from firstsight.encoders.families.open_clip_names import LOCAL
from firstsight.encoders.families.open_clip_repositories import OPEN_CLIP_CONFIG
from firstsight.encoders.families.state_dicts import ADAPTER_FILES

WEIGHTS_NAME: Final = "open_clip_model.safetensors"

MODEL_SUFFIXES: Final = (".json", ".txt", ".model", ".vocab", ".tiktoken", ".jinja")
"""Suffixes of the files of tokenisers and configurations; weights, model cards and code are not copied."""

NO_MODEL_FILES: Final = (*ADAPTER_FILES, "tuning.json")
"""Files of these names are not copied either: the report of an earlier tuning is another model's."""

PREPROCESSING: Final = ("mean", "std", "interpolation", "resize_mode")

MAX_COPIED_BYTES: Final = 256 * 1024 * 1024
"""Largest copied file. Vocabularies of tokenisers have at most some ten megabytes."""


def save_open_clip(model: Any, tokenizer: Any, source: str, base: Path | None, folder: Path) -> str:
    """Write a model with its configuration, preprocessing and tokeniser.

    Args:
        model: open_clip's model.
        tokenizer: open_clip's tokeniser.
        source: open_clip's name of the architecture, folder or repository.
        base: the folder that the model was loaded from, whose files besides the weights are copied; None for an
            architecture of open_clip.
        folder: an empty folder.

    Returns:
        The name for `load_encoder`.
    """
    if base is None:
        _write_config(model, tokenizer, source, folder)
    else:
        for file in sorted(base.iterdir()):
            # content is copied, because a snapshot in the cache of the hub consists of links
            if _belongs_to_the_model(file):
                shutil.copyfile(file, folder / file.name)
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    save_file(weights, folder / WEIGHTS_NAME, metadata={"format": "pt"})
    return f"open_clip:{folder.absolute()}"


def _belongs_to_the_model(file: Path) -> bool:
    if not file.is_file() or file.name.startswith(".") or file.name in NO_MODEL_FILES:
        return False
    return file.suffix.lower() in MODEL_SUFFIXES and file.stat().st_size <= MAX_COPIED_BYTES


def _write_config(model: Any, tokenizer: Any, arch: str, folder: Path) -> None:
    """Write the configuration of an architecture of open_clip, and the tokeniser's files if it has any."""
    config = copy.deepcopy(open_clip.get_model_config(arch.removeprefix(LOCAL)) or {})
    hugging_face = getattr(tokenizer, "tokenizer", None)
    if hugging_face is not None:
        hugging_face.save_pretrained(folder)
        # without this entry open_clip would ignore the tokeniser's files
        config.setdefault("text_cfg", {}).setdefault("hf_tokenizer_name", arch)
    used = open_clip.get_model_preprocess_cfg(model)
    preprocessing = {name: used[name] for name in PREPROCESSING if used.get(name) is not None}
    text = json.dumps({"model_cfg": config, "preprocess_cfg": preprocessing}, indent=2)
    (folder / OPEN_CLIP_CONFIG).write_text(text + "\n", encoding="utf-8")
