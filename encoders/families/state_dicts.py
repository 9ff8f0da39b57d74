"""Weights in files: safe reading without code, unwrapping, and comparison with a model's own weights."""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import torch
from safetensors import SafetensorError, safe_open

from firstsight.errors import EncoderError, first_line

Weights: TypeAlias = dict[str, torch.Tensor]

SCALES: Final = frozenset({"logit_scale", "logit_bias", "temperature"})
"""Parameters of the loss only, by the last part of their names; unit vectors do not depend on them."""

BUFFERS: Final = frozenset({"position_ids", "num_batches_tracked", "n_averaged"})
"""Counters and constants, by the last part of their names; files of some releases lack them."""

INSIDE_NAMES: Final = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Parts that torch.compile, FSDP and activation checkpointing insert into the names of weights."""

ADAPTER_FILES: Final = (
    "adapter_model.safetensors",
    "adapter_model.bin",
    "adapter_config.json",
    "pytorch_lora_weights.safetensors",
    "pytorch_lora_weights.bin",
)
ADAPTER_NAMES: Final = re.compile(r"(^|[._])lora_|\.base_layer\.|^base_model\.model\.")
MERGE_HINT: Final = "merge it first (merge_and_unload() of peft), save the whole model, and load that one"

MAX_LISTED_NAMES: Final = 3
"""Maximum number of names in an error message; the rest are counted."""

MAX_NESTING: Final = 2
"""Maximum depth of nested dictionaries in a training checkpoint."""

AVERAGED_KEY_PARTS: Final = ("ema", "swa", "avg")
"""Parts of the keys of averaged copies (exponential or stochastic weight averaging) in training checkpoints."""

COPY_AGAIN_HINT: Final = "copy or download it again"


def read_weights(file: Path) -> Mapping[str, Any]:
    """Read a file of weights: tensors by name, in a training checkpoint inside other dictionaries.

    The extension .safetensors selects that format. Any other file is read as a torch pickle with `weights_only`, so
    that none of its code runs.

    Raises:
        EncoderError: if the file is truncated, has another format, or contains more than tensors and plain values.
    """
    if file.suffix == ".safetensors":
        try:
            return _safetensors(file)
        except (SafetensorError, OSError, ValueError) as error:
            raise EncoderError(
                f"{file} is truncated or not a safetensors file ({first_line(error)}); {COPY_AGAIN_HINT}, "
                "with Git LFS if it comes from git"
            ) from error
    if _is_torchscript(file):
        raise EncoderError(
            f"{file} is a TorchScript archive, which holds code; firstsight never runs it. For OpenAI's weights use "
            "open_clip:ARCH-quickgelu/openai. For a file that you trust, save torch.jit.load(FILE).state_dict() with "
            "torch.save"
        )
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file) or None)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        if forbidden := re.search(
            r"(?:Unsupported global: GLOBAL|Trying to load unsupported GLOBAL) (\S+)", str(error)
        ):
            raise EncoderError(
                f"{file} holds {forbidden[1]} in addition to its weights; firstsight never runs code in a pickle. "
                "Save the state dict alone, preferably as .safetensors"
            ) from error
        raise EncoderError(
            f"{file} is truncated or not a torch checkpoint ({_reason(error)}); {COPY_AGAIN_HINT}"
        ) from error
    if not isinstance(content, Mapping):
        raise EncoderError(f"{file} holds a {type(content).__name__}, not weights by name; save model.state_dict()")
    return content


def _safetensors(file: Path) -> Weights:
    with safe_open(file, framework="pt") as opened:
        weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118, not a mapping
        # save_model of safetensors stores tied weights once, and their other names as metadata
        for name, kept in (opened.metadata() or {}).items():
            if kept in weights:
                weights.setdefault(name, weights[kept])
    return weights


def _is_torchscript(file: Path) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


def _reason(error: BaseException) -> str:
    """Return the first sentence of torch's message; the rest advises to disable `weights_only`."""
    return first_line(error).split(". ")[0]


def folder_weights(folder: Path) -> tuple[Path, Mapping[str, Any]]:
    """Read the weights of a folder in the format of transformers.

    Returns:
        The file with the weights (or the index of the shards), and the weights.

    Raises:
        EncoderError: if the folder has no weights, a shard is missing, or a file cannot be read (see `read_weights`).
    """
    for name in ("model.safetensors", "pytorch_model.bin"):
        file, index = folder / name, folder / f"{name}.index.json"
        if file.is_file():
            return file, read_weights(file)
        if index.is_file():
            shards: dict[str, Any] = {}
            for shard in _shards(index):
                shards |= read_weights(shard)
            return index, shards
    others = sorted(p.name for p in folder.glob("*") if p.suffix in {".safetensors", ".bin", ".pt", ".pth", ".ckpt"})
    raise EncoderError(
        f"{folder} has no model.safetensors, no pytorch_model.bin and no index of shards"
        + (f", only {list_names(others)}" if others else "")
        + "; save the model with save_pretrained"
    )


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EncoderError(f"{index} cannot be read ({first_line(error)}); {COPY_AGAIN_HINT}") from error
    for name in names:
        # an untrusted index must not name files outside its folder
        if not isinstance(name, str) or Path(name).name != name:
            raise EncoderError(
                f"{index} names the shard {name!r}, which is not a file in its folder; {COPY_AGAIN_HINT}"
            )
    absent = [name for name in names if not (index.parent / name).is_file()]
    if absent:
        raise EncoderError(
            f"{index.parent} lacks {list_names(absent)}, named by {index.name}; copy or download the rest"
        )
    return [index.parent / name for name in names]


def refuse_adapters(folder: Path) -> None:
    """Refuse a folder with an adapter.

    An adapter's weights belong on top of a base model; without peft only the base model would be loaded.

    Raises:
        EncoderError: if the folder contains an adapter.
    """
    for name in ADAPTER_FILES:
        if (folder / name).exists():
            raise EncoderError(
                f"{folder / name} is an adapter (LoRA or similar), which firstsight does not apply; {MERGE_HINT}"
            )


def unwrap(content: Mapping[str, Any], expected: Collection[str]) -> Weights:
    """Extract the weights from a training checkpoint, and rename them to the model's names.

    If a file has several sets of weights, the set with the best fitting names is used. Among equals `state_dict` comes
    first, then the order in the file; averaged copies (`AVERAGED_KEY_PARTS`) come last. Prefixes and inserted parts of
    wrappers (`module.`, `_orig_mod.`, `model.` and any other, also several of them) are removed from the names.

    Args:
        content: the content of a file, as `read_weights` returns it.
        expected: names of the model's weights.

    Returns:
        Weights by name; empty if the file has none.
    """
    candidates = []
    for path, tensors in _tensor_sets(content, ()):
        plain = _unprefixed(_without_inner_wrappers(tensors), expected)
        fitting = sum(name in expected for name in plain)
        averaged = any(mark in part.lower() for part in path for mark in AVERAGED_KEY_PARTS)
        candidates.append(((fitting, not averaged, path[-1:] == ("state_dict",)), plain))
    # max keeps the first of equals
    return max(candidates, key=lambda candidate: candidate[0])[1] if candidates else {}


def _tensor_sets(content: Mapping[Any, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Weights]]:
    tensors = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
    if tensors:
        yield path, tensors
    if len(path) < MAX_NESTING:
        for name, value in content.items():
            if isinstance(value, Mapping):
                yield from _tensor_sets(value, (*path, str(name)))


def _without_inner_wrappers(tensors: Weights) -> Weights:
    plain = {INSIDE_NAMES.sub("", name): value for name, value in tensors.items()}
    return plain if len(plain) == len(tensors) else tensors


def _unprefixed(tensors: Weights, expected: Collection[str]) -> Weights:
    """Remove the prefix that most of the known names share."""
    prefixes: Counter[str] = Counter()
    for name in tensors:
        parts = name.split(".")
        prefixes.update(".".join(parts[:n]) for n in range(len(parts)) if ".".join(parts[n:]) in expected)
    if not prefixes:
        return tensors
    prefix = max(prefixes, key=lambda candidate: (prefixes[candidate], -len(candidate)))
    prefix = f"{prefix}." if prefix else ""
    plain = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return plain if len(plain) == len(tensors) else tensors


def is_weight(name: str) -> bool:
    """Return whether vectors depend on the entry of this name: false for `BUFFERS`."""
    return name.rpartition(".")[2] not in BUFFERS


def is_scale(name: str) -> bool:
    """Return whether this is one of `SCALES`."""
    return name.rpartition(".")[2] in SCALES


def find_unusable_weights(weights: Weights, expected: Mapping[str, torch.Tensor]) -> list[str]:
    """List the weights that a model cannot use, each with the reason.

    Reasons are another shape, not-a-number values, and quantised values (integers without their scale).
    """
    faults = []
    for name, value in weights.items():
        if name not in expected or not is_weight(name):
            continue
        if value.shape != expected[name].shape:
            faults.append(f"{name} is {_shape(value)} in the file and {_shape(expected[name])} in the model")
        elif expected[name].is_floating_point() and not value.is_floating_point():
            faults.append(f"{name} is quantised to {str(value.dtype).removeprefix('torch.')}")
        elif value.is_floating_point() and bool(value.isnan().any()):
            faults.append(f"{name} holds not-a-number")
    return faults


def require_fit(
    file: Path,
    kind: str,
    *,
    missing: Collection[str] = (),
    unexpected: Collection[str] = (),
    faults: Collection[str] = (),
    remedy: str,
) -> None:
    """Refuse a file whose weights are not exactly those of a model.

    A missing weight would be drawn at random, and an unused weight means that the file belongs to another model.

    Args:
        file: the file with the weights.
        kind: the model's class.
        missing: names of weights that the file lacks; `BUFFERS` and `SCALES` are ignored.
        unexpected: names of weights that the model lacks; `BUFFERS` are ignored.
        faults: unusable weights, as `find_unusable_weights` returns them.
        remedy: advice for the end of the message.

    Raises:
        EncoderError: if any such weight remains; the message has a few names and their number.
    """
    missing = [name for name in missing if is_weight(name) and not is_scale(name)]
    unexpected = [name for name in unexpected if is_weight(name)]
    if any(ADAPTER_NAMES.search(name) for name in unexpected):
        raise EncoderError(
            f"{file} holds an adapter's weights ({list_names(unexpected)}) that are not merged; {MERGE_HINT}"
        )
    parts = [
        f"{len(names)} {fault} ({list_names(names)})"
        for names, fault in ((missing, "missing"), (unexpected, "unexpected"), (faults, "unusable"))
        if names
    ]
    if parts:
        raise EncoderError(f"the weights in {file} do not fit {kind}: {', '.join(parts)}; {remedy}")


def list_names(names: Collection[str]) -> str:
    """Join the first few names, in sorted order, and the number of the rest."""
    first: Sequence[str] = sorted(names)[:MAX_LISTED_NAMES]
    more = len(names) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")


def _shape(value: torch.Tensor) -> str:
    return " x ".join(map(str, value.shape)) or "one number"
