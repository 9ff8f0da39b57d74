"""Weights in files: read without running anything in them, unwrapped, and compared with what a model expects."""

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
"""Parameters of the loss alone, by the last part of their names: no unit vector depends on them."""

BUFFERS: Final = frozenset({"position_ids", "num_batches_tracked", "n_averaged"})
"""Counters and constants, by the last part of their names: files of other releases have them or lack them."""

INSIDE_NAMES: Final = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Parts that torch.compile, FSDP and activation checkpointing put anywhere into the names of weights."""

ADAPTER_FILES: Final = (
    "adapter_model.safetensors",
    "adapter_model.bin",
    "adapter_config.json",
    "pytorch_lora_weights.safetensors",
    "pytorch_lora_weights.bin",
)
ADAPTER_NAMES: Final = re.compile(r"(^|[._])lora_|\.base_layer\.|^base_model\.model\.")
MERGE_HINT: Final = "merge it first (merge_and_unload() of peft), save the whole model, and load that"

MAX_LISTED_NAMES: Final = 3
"""Weights that a refusal names; the others are counted."""

MAX_NESTING: Final = 2
"""Levels of dictionaries in a training checkpoint that are looked through for weights."""

AVERAGED_KEY_PARTS: Final = ("ema", "swa", "avg")
"""Parts of the keys under which training scripts save copies averaged over the training."""

COPY_AGAIN_HINT: Final = "copy or download it again"


def read_weights(file: Path) -> Mapping[str, Any]:
    """What a file holds: tensors by name, in a training checkpoint inside other dictionaries.

    Safetensors by its extension; anything else is a pickle of torch, read with `weights_only`, so that no code in it is
    run.

    Raises:
        EncoderError: it is cut off, is in no format of these, or holds more than tensors and plain values.
    """
    if file.suffix == ".safetensors":
        try:
            return _safetensors(file)
        except (SafetensorError, OSError, ValueError) as error:
            raise EncoderError(
                f"{file} is cut off or no safetensors file ({first_line(error)}); {COPY_AGAIN_HINT}, "
                "with Git LFS where it came by git"
            ) from error
    if _is_torchscript(file):
        raise EncoderError(
            f"{file} is a TorchScript archive, which holds code, and that is never run; OpenAI's weights are also "
            "open_clip:ARCH-quickgelu/openai, and from a file that you trust torch.jit.load(FILE).state_dict() can be "
            "saved with torch.save"
        )
    try:
        found = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file) or None)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        if forbidden := re.search(
            r"(?:Unsupported global: GLOBAL|Trying to load unsupported GLOBAL) (\S+)", str(error)
        ):
            raise EncoderError(
                f"{file} holds {forbidden[1]} beside its weights, and code in a pickle is never run; save the state "
                "dict alone, best as .safetensors"
            ) from error
        raise EncoderError(
            f"{file} is cut off or no checkpoint of torch ({_reason(error)}); {COPY_AGAIN_HINT}"
        ) from error
    if not isinstance(found, Mapping):
        raise EncoderError(f"{file} holds a {type(found).__name__} and no weights by name; save model.state_dict()")
    return found


def _safetensors(file: Path) -> Weights:
    with safe_open(file, framework="pt") as opened:
        weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118, it is no mapping
        # save_model of safetensors keeps tied weights once, and the other names as metadata
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
    """The first sentence of what torch says; the rest advises to switch `weights_only` off."""
    return first_line(error).split(". ")[0]


def folder_weights(folder: Path) -> tuple[Path, Mapping[str, Any]]:
    """The weights of a folder as transformers writes it, and the file that holds or lists them.

    Raises:
        EncoderError: there are none, a shard is missing, or a file cannot be read, as `read_weights`.
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
        # an index from outside must not lead out of its folder
        if not isinstance(name, str) or Path(name).name != name:
            raise EncoderError(f"{index} names the shard {name!r}, which is no file beside it; {COPY_AGAIN_HINT}")
    absent = [name for name in names if not (index.parent / name).is_file()]
    if absent:
        raise EncoderError(
            f"{index.parent} lacks {list_names(absent)}, named by {index.name}; copy or download the rest"
        )
    return [index.parent / name for name in names]


def refuse_adapters(folder: Path) -> None:
    """Stop where an adapter lies in a folder.

    Its weights belong on top of a base model; without peft the base alone would be loaded.

    Raises:
        EncoderError: there is one.
    """
    for name in ADAPTER_FILES:
        if (folder / name).exists():
            raise EncoderError(
                f"{folder / name} is an adapter (LoRA or the like), which is not applied here; {MERGE_HINT}"
            )


def unwrap(found: Mapping[str, Any], expected: Collection[str]) -> Weights:
    """The weights inside what a training script saved, under the names that the model gives them.

    Of several sets of weights in one file, the one whose names fit best is taken; of equal ones `state_dict`, then the
    first, and copies averaged over the training (`AVERAGED_KEY_PARTS`) last. What wrappers put before or into the names
    (`module.`, `_orig_mod.`, `model.` and any other, one behind another) is taken off.

    Args:
        found: as `read_weights`.
        expected: names of the model's weights.
    """
    candidates = []
    for path, tensors in _tensor_sets(found, ()):
        plain = _unprefixed(_without_inner_wrappers(tensors), expected)
        fitting = sum(name in expected for name in plain)
        averaged = any(mark in part.lower() for part in path for mark in AVERAGED_KEY_PARTS)
        candidates.append(((fitting, not averaged, path[-1:] == ("state_dict",)), plain))
    # max keeps the first of equals
    return max(candidates, key=lambda candidate: candidate[0])[1] if candidates else {}


def _tensor_sets(found: Mapping[Any, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Weights]]:
    tensors = {str(name): value for name, value in found.items() if isinstance(value, torch.Tensor)}
    if tensors:
        yield path, tensors
    if len(path) < MAX_NESTING:
        for name, value in found.items():
            if isinstance(value, Mapping):
                yield from _tensor_sets(value, (*path, str(name)))


def _without_inner_wrappers(tensors: Weights) -> Weights:
    plain = {INSIDE_NAMES.sub("", name): value for name, value in tensors.items()}
    return plain if len(plain) == len(tensors) else tensors


def _unprefixed(tensors: Weights, expected: Collection[str]) -> Weights:
    """Names without what stands before most of those that the model knows."""
    before: Counter[str] = Counter()
    for name in tensors:
        parts = name.split(".")
        before.update(".".join(parts[:n]) for n in range(len(parts)) if ".".join(parts[n:]) in expected)
    if not before:
        return tensors
    prefix = max(before, key=lambda found: (before[found], -len(found)))
    prefix = f"{prefix}." if prefix else ""
    plain = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return plain if len(plain) == len(tensors) else tensors


def is_weight(name: str) -> bool:
    """Whether vectors depend on what goes by this name: not on `BUFFERS`."""
    return name.rpartition(".")[2] not in BUFFERS


def is_scale(name: str) -> bool:
    """Whether this is one of `SCALES`."""
    return name.rpartition(".")[2] in SCALES


def find_unusable_weights(weights: Weights, expected: Mapping[str, torch.Tensor]) -> list[str]:
    """Weights that a model cannot take as they are, each with the reason.

    Those of another shape, those that hold not-a-number, and quantised ones: whole numbers without their scale.
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
    """Stop where a file's weights are not exactly those of a model.

    A weight that is left out would be drawn at random, and one that is not used says that another model was saved.

    Args:
        file: what holds the weights.
        kind: the model's class.
        missing: names of weights that the file lacks; `BUFFERS` and `SCALES` among them are passed over.
        unexpected: names of weights that the model lacks; `BUFFERS` among them are passed over.
        faults: as `unusable`.
        remedy: what to do about it.

    Raises:
        EncoderError: with a few of the names, and how many there are.
    """
    missing = [name for name in missing if is_weight(name) and not is_scale(name)]
    unexpected = [name for name in unexpected if is_weight(name)]
    if any(ADAPTER_NAMES.search(name) for name in unexpected):
        raise EncoderError(
            f"{file} holds an adapter's weights ({list_names(unexpected)}), not merged into it; {MERGE_HINT}"
        )
    parts = [
        f"{len(names)} {what} ({list_names(names)})"
        for names, what in ((missing, "missing"), (unexpected, "unexpected"), (faults, "unusable"))
        if names
    ]
    if parts:
        raise EncoderError(f"the weights in {file} do not fit {kind}: {', '.join(parts)}; {remedy}")


def list_names(names: Collection[str]) -> str:
    """The first few names in their order, and how many more there are."""
    first: Sequence[str] = sorted(names)[:MAX_LISTED_NAMES]
    more = len(names) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")


def _shape(value: torch.Tensor) -> str:
    return " x ".join(map(str, value.shape)) or "one number"
