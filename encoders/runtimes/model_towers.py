"""The towers of a dual model under a runtime: exported graphs, padding of texts, loading."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from firstsight.encoders.base import Arrays, EncoderSpec, Tower, unit
from firstsight.encoders.encoder_options import EncoderOptions, Runtime
from firstsight.encoders.runtimes import runtime_measurements
from firstsight.encoders.runtimes.dual_model import DualModel
from firstsight.encoders.runtimes.openvino_runtime import (
    OpenVinoTower,
    compile_graph,
    computes_in_bf16,
    export,
    is_stored,
    load_graph,
)
from firstsight.encoders.runtimes.probe_inputs import PROBE_TEXTS, probe_pictures
from firstsight.encoders.runtimes.torch_runtime import TorchTower
from firstsight.errors import EncoderError

if TYPE_CHECKING:
    import openvino as ov

# ViT-B-32 pictures per second in bf16 on 2 cores, in 2 streams, by batch size: 1: 34, 4: 38, 8: 41, 16: 42, 32: 41.
PICTURE_ROWS = 8
TEXT_ROWS = 32
GRAPH_VERSION = 1  # raise when the exported graph changes

Which: TypeAlias = Literal["pictures", "texts"]

REFERENCE = Runtime("torch", "fp32")
INT8 = Runtime("openvino", "int8")
INT8_SUFFIX = "-int8"


def make_tower(
    spec: EncoderSpec, model: DualModel | None, which: Which, runtime: Runtime, options: EncoderOptions
) -> Tower:
    """Make a tower of a model under a runtime, ready to run.

    Args:
        spec: the model's description.
        model: the model; None is allowed if the graph of an OpenVINO runtime is stored.
        which: the tower.
        runtime: the engine and its precision.
        options: device and threads.

    Raises:
        EncoderError: if the tower cannot be exported, or if the int8 graph is not stored.
    """
    threads = options.cpu_threads
    if runtime.engine == "openvino":
        # With int8 as well: the remaining floating-point parts of a quantised graph then run in bf16.
        precision = "bf16" if runtime.precision != "fp32" and computes_in_bf16() else "fp32"
        # One stream for texts: a single query then uses every thread.
        streams, rows = (threads, PICTURE_ROWS) if which == "pictures" else (1, TEXT_ROWS)
        graph = load_graph(graph_key(spec, which, runtime), lambda: _missing_graph(model, which, runtime))
        compiled = compile_graph(graph, streams=streams, threads=threads, precision=precision)
        return OpenVinoTower(compiled, streams=streams, rows=rows)
    assert model is not None
    module = model.picture_tower if which == "pictures" else model.text_tower
    return TorchTower(
        module if runtime == REFERENCE else copy.deepcopy(module),  # the reference stays in float32
        threads=threads,
        device=options.device,
        precision=runtime.precision,
        compiled=runtime.engine == "torch-compile",
    )


def graph_key(spec: EncoderSpec, which: Which, runtime: Runtime) -> str:
    """Return the name of a tower's stored graph."""
    suffix = INT8_SUFFIX if which == "pictures" and runtime.precision == "int8" else ""
    return f"{spec.fingerprint[:32]}-{which}-{GRAPH_VERSION}{suffix}"


def has_all_graphs(spec: EncoderSpec, runtime: Runtime) -> bool:
    """Return whether both graphs of an OpenVINO runtime are stored: the model's own weights are then not needed."""
    return runtime.engine == "openvino" and all(is_stored(graph_key(spec, w, runtime)) for w in get_args(Which))


def _missing_graph(model: DualModel | None, which: Which, runtime: Runtime) -> ov.Model:
    assert model is not None
    if which == "pictures" and runtime == INT8:
        raise EncoderError(
            f"the calibrated graph of {model.spec.name} is missing; run: firstsight models calibrate {model.spec.name} "
            "PICTURES_FOLDER"
        )
    return build_graph(model, which)


def build_graph(model: DualModel, which: Which) -> ov.Model:
    """Export a tower in float32; the text graph takes any length if padding can be trimmed.

    Raises:
        EncoderError: if OpenVINO has no PyTorch frontend.
        Exception: if torch cannot trace the tower or OpenVINO cannot convert it.
    """
    if which == "pictures":
        tower, arrays = model.picture_tower, model.prepare_pictures(probe_pictures(2))
        shapes = tuple((-1, *array.shape[1:]) for array in arrays)
    else:
        tower, arrays = model.text_tower, model.prepare_texts(PROBE_TEXTS[1:3]).arrays
        width = -1 if can_trim_padding(model) else arrays[0].shape[1]
        shapes = tuple((-1, width) for _ in arrays)
    tower = tower.cpu()
    return export(tower, tuple(torch.from_numpy(array) for array in arrays), shapes)


def can_trim_padding(model: DualModel) -> bool:
    """Return whether the text tower gives the same vectors without padding; measured once, then cached."""
    known = runtime_measurements.read(model.spec.fingerprint, "trims")
    if known is None:
        known = {"exact": _ignores_padding(model)}
        runtime_measurements.write(model.spec.fingerprint, "trims", known)
    return bool(known["exact"])


def _ignores_padding(model: DualModel) -> bool:
    tokens = model.prepare_texts(PROBE_TEXTS[:4])
    with torch.inference_mode():
        padded = _features(model.text_tower, tokens.arrays)
        for row, length in enumerate(tokens.lengths):
            try:
                trimmed = _features(model.text_tower, tuple(array[row : row + 1, :length] for array in tokens.arrays))
            except (RuntimeError, IndexError, ValueError):  # this tower requires its whole context
                return False
            if np.abs(trimmed[0] - padded[row]).max() > 1e-5:
                return False
    return bool((tokens.lengths < tokens.arrays[0].shape[1]).any())


def _features(tower: nn.Module, arrays: Arrays) -> NDArray[np.float32]:
    device = next(tower.parameters()).device
    return unit(tower(*(torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in arrays)).float().cpu().numpy())
