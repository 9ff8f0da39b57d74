"""Export of an encoder into a folder that other programs can run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.export.new_folder import new_folder, require_free
from firstsight.errors import EncoderError
from firstsight.extras import is_installed, require_packages
from firstsight.records import Record

if TYPE_CHECKING:
    from firstsight.encoders.export.export_parts import ExportParts, TowerParts
    from firstsight.encoders.export.graphs import Format
    from firstsight.encoders.export.parity import ExportParity, ProbeInputs

DESCRIPTION_FILE: Final = "firstsight_export.json"
PROBE_FILE: Final = "probe.npz"
FORMAT_VERSION: Final = 1
MAX_TENSORRT_BATCH: Final = 64
USUAL_TOKENS: Final = 16

_STANDALONE: Final = Path(__file__).parent / "standalone"


@dataclass(frozen=True)
class ExportReport(Record):
    """Result of `firstsight.export_model`."""

    name: str
    format: str
    folder: str
    dim: int
    fingerprint: str
    bytes: int  # of all files
    runtime: str  # that made the comparison
    min_picture_cosine: float  # of the graphs to the model in float32
    min_text_cosine: float
    min_example_cosine: float | None  # of example.py, from pictures and texts to vectors; None if it cannot prepare any
    notes: tuple[str, ...]  # limits of this export, one sentence each


def export_model(
    name: str,
    folder: str | os.PathLike[str],
    *,
    format: Format = "onnx",
    trust_remote_code: bool = False,
    on_progress: Callable[[str], None] = lambda step: None,
) -> ExportReport:
    """Write both towers of an encoder as graphs, with the tokeniser, the preprocessing and a parity check.

    The graphs take any number of rows, and texts of any length where the tower allows it. Their outputs are the final
    unit vectors. The folder appears only when everything is written and compared.

    Args:
        name: `starter`, `starter:FOLDER`, or an open_clip or transformers model, as for `load_encoder`.
        folder: a new or empty folder.
        format: "onnx", "openvino" or "tensorrt": ONNX with scripts that build and check engines; the engines are built
            at once if TensorRT is installed.
        trust_remote_code: run Python code from the model's repository.
        on_progress: receives one line for each step.

    Raises:
        EncoderError: if the format or model does not exist, the folder is in use, a tower cannot be exported, or a
            cosine of the export to the model in float32 is below .999. Nothing is written then.
        OptionalDependencyError: if the packages of the extra `onnx` are not installed.
    """
    from firstsight.encoders.export.graphs import FORMATS, write_graph
    from firstsight.encoders.export.parity import measure_parity

    if format not in FORMATS:
        raise EncoderError(f"format {format!r} does not exist; choose {', '.join(FORMATS)}")
    if format != "openvino":
        require_packages("onnx", "the export to ONNX", ["onnx", "onnxruntime"])
    target = Path(folder).expanduser()
    require_free(target)
    on_progress(f"loading {name}")
    parts = _parts(name, EncoderOptions(trust_remote_code=trust_remote_code))
    with new_folder(target) as draft:
        suffix = ".xml" if format == "openvino" else ".onnx"
        for which, tower in (("pictures", parts.pictures), ("texts", parts.texts)):
            on_progress(f"exporting the tower of {which}")
            write_graph(tower, draft / f"{which}{suffix}")
        parts.write_tokenizer(draft)
        shutil.copyfile(_STANDALONE / "example.py", draft / "example.py")
        description = _describe(parts, format, suffix)
        _write_json(draft / DESCRIPTION_FILE, description)
        on_progress("comparing with the model")
        parity, probe = measure_parity(draft, parts)
        _require_parity(name, parity)
        _write_json(draft / DESCRIPTION_FILE, description | {"parity": parity.to_dict()})
        _write_probe(draft / PROBE_FILE, parts, probe)
        notes = _limits(parts)
        if format == "tensorrt":
            notes = (*notes, _add_tensorrt(draft, on_progress))
        (draft / "README.md").write_text(_readme(parts, parity, notes), encoding="utf-8")
        size = sum(path.stat().st_size for path in draft.rglob("*") if path.is_file())
    examples = [c for c in (parity.example_pictures, parity.example_texts) if c is not None]
    return ExportReport(
        name=parts.spec.name,
        format=format,
        folder=str(target),
        dim=parts.spec.dim,
        fingerprint=parts.spec.fingerprint,
        bytes=size,
        runtime=parity.runtime,
        min_picture_cosine=round(parity.pictures, 6),
        min_text_cosine=round(parity.texts, 6),
        min_example_cosine=round(min(examples), 6) if examples else None,
        notes=notes,
    )


def _parts(name: str, options: EncoderOptions) -> ExportParts:
    family, _, model = name.partition(":")
    if family == "starter":
        from firstsight.encoders.export.starter_parts import starter_parts

        return starter_parts(model, options)
    if family in ("open_clip", "transformers"):
        from firstsight.encoders.export.dual_parts import dual_parts

        return dual_parts(name, options)
    raise EncoderError(
        f"{name!r} cannot be exported: firstsight knows the towers of starter, open_clip and transformers models only"
    )


def _describe(parts: ExportParts, format: str, suffix: str) -> dict[str, Any]:
    description: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "name": parts.spec.name,
        "fingerprint": parts.spec.fingerprint,
        "dim": parts.spec.dim,
        "image_size": parts.spec.image_size,
        "graphs": "openvino" if format == "openvino" else "onnx",
        **parts.notes,
        "pictures": _describe_tower(parts.pictures, f"pictures{suffix}", parts.spec.dim),
        "texts": _describe_tower(parts.texts, f"texts{suffix}", parts.spec.dim),
    }
    if format == "tensorrt":
        description["tensorrt"] = {
            "pictures": _engine_shapes(parts.pictures, parts.max_tokens),
            "texts": _engine_shapes(parts.texts, parts.max_tokens),
        }
    return description


def _describe_tower(tower: TowerParts, graph: str, dim: int) -> dict[str, Any]:
    return {
        "graph": graph,
        "inputs": [{"name": i.name, "shape": list(i.shape), "dtype": i.dtype} for i in tower.inputs],
        "output": {"name": "vectors", "shape": ["batch", dim], "dtype": "float32", "unit_length": True},
        "preprocessing": tower.rules,
    }


def _engine_shapes(tower: TowerParts, max_tokens: int) -> dict[str, dict[str, list[int]]]:
    """Return the smallest, usual and largest shape of each input."""
    sizes = {
        "min": {"batch": 1, "length": 1},
        "opt": {"batch": 8, "length": min(USUAL_TOKENS, max_tokens)},
        "max": {"batch": MAX_TENSORRT_BATCH, "length": max_tokens},
    }
    return {
        entry.name: {
            kind: [values[size] if isinstance(size, str) else size for size in entry.shape]
            for kind, values in sizes.items()
        }
        for entry in tower.inputs
    }


def _require_parity(name: str, parity: ExportParity) -> None:
    from firstsight.encoders.runtimes.runtime_choice import MIN_COSINE

    if not parity.smallest >= MIN_COSINE:  # NaN is refused too
        raise EncoderError(
            f"the export of {name} reaches a minimum cosine of {parity.smallest:.4f} to the model in {parity.runtime} "
            f"(required: {MIN_COSINE}); nothing was written: try another --format"
        )


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_probe(path: Path, parts: ExportParts, probe: ProbeInputs) -> None:
    """Store prepared inputs with their vectors, so that any machine can check a runtime without firstsight."""
    arrays: dict[str, Any] = {"pictures.vectors": probe.picture_vectors, "texts.vectors": probe.text_vectors}
    for tower, inputs, values in (
        ("pictures", parts.pictures.inputs, probe.pictures),
        ("texts", parts.texts.inputs, probe.texts),
    ):
        arrays |= {f"{tower}.{entry.name}": array for entry, array in zip(inputs, values, strict=True)}
    np.savez_compressed(path, **arrays)


def _limits(parts: ExportParts) -> tuple[str, ...]:
    return tuple(
        f"example.py cannot prepare {which}: {tower.rules['reason']}"
        for which, tower in (("pictures", parts.pictures), ("texts", parts.texts))
        if tower.rules["kind"] == "library"
    )


def _add_tensorrt(draft: Path, on_progress: Callable[[str], None]) -> str:
    """Add the scripts of TensorRT, and build the engines if TensorRT is here; returns one sentence about it."""
    for script in ("build_tensorrt.py", "check_tensorrt.py"):
        shutil.copyfile(_STANDALONE / script, draft / script)
    if not (is_installed("tensorrt") or shutil.which("trtexec")):
        return "no engines were built, because TensorRT is not installed here: run build_tensorrt.py where it is"
    on_progress("building the engines of TensorRT")
    _run_script(draft, "build_tensorrt.py", "TensorRT did not build the engines")
    if not is_installed("tensorrt"):
        return "trtexec built the engines; check them where the package tensorrt is installed: run check_tensorrt.py"
    _run_script(draft, "check_tensorrt.py", "the engines of TensorRT do not give the vectors of the model")
    return "TensorRT built the engines, and check_tensorrt.py accepted them"


def _run_script(draft: Path, script: str, problem: str) -> None:
    done = subprocess.run([sys.executable, script], cwd=draft, capture_output=True, text=True, check=False)
    if done.returncode:
        output = (done.stdout + done.stderr).strip().splitlines()
        raise EncoderError(f"{problem} ({output[-1] if output else done.returncode}); use --format onnx")


def _readme(parts: ExportParts, parity: ExportParity, notes: tuple[str, ...]) -> str:
    graph = "onnxruntime" if parity.runtime.startswith("onnxruntime") else "openvino"
    lines = [
        f"# {parts.spec.name}",
        "",
        f"Exported by firstsight. A vector has {parts.spec.dim} dimensions and unit length; compare by dot product.",
        f"`{DESCRIPTION_FILE}` describes the inputs of both graphs and their preprocessing.",
        "",
        f"    pip install numpy pillow tokenizers {graph}",
        '    python example.py --text "red running shoes" --picture shoe.jpg',
        "",
        f"Minimum cosine to the model in float32, with {parity.runtime}: pictures {parity.pictures:.6f}, texts "
        f"{parity.texts:.6f}.",
        f"`{PROBE_FILE}` has prepared inputs with their vectors, to check any other runtime.",
        *(f"\nNote: {note}." for note in notes),
    ]
    return "\n".join(lines) + "\n"
