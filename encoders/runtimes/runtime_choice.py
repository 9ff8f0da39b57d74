"""Which runtime runs a dual encoder: the fastest that has been seen to give the reference's vectors on this machine.

Two runtimes of one model share its fingerprint, and so one database, because of one rule: a runtime is used only after
its vectors were compared with those of torch in float32. `compare_with_reference` does it at first use, on drawn
pictures and on titles; every cosine must reach `MIN_COSINE`. int8 is compared by `firstsight models calibrate`, on the
user's own pictures, and must keep the neighbours as well (see `int8`). The verdicts are kept in the cache folder, by
fingerprint and machine.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from firstsight.encoders.base import Arrays, EncoderSpec, Tower, unit
from firstsight.encoders.encoder_options import AUTO, FAST, EncoderOptions, Runtime
from firstsight.encoders.picture_transform import probe_pictures
from firstsight.encoders.runtimes import runtime_measurements
from firstsight.encoders.runtimes.openvino_runtime import (
    OpenVinoTower,
    computes_in_bf16,
    cpu_capabilities,
    export,
    is_stored,
    load_graph,
)
from firstsight.encoders.runtimes.openvino_runtime import version as openvino_version
from firstsight.encoders.runtimes.torch_runtime import TorchTower, best_device, check_device
from firstsight.errors import EncoderError, first_line

if TYPE_CHECKING:
    import openvino as ov

    from firstsight.encoders.runtimes.dual_encoder import DualModel

log = logging.getLogger(__name__)

MIN_COSINE = 0.999
"""What every vector of a runtime keeps to that of torch in float32."""

# ViT-B-32 pictures a second in bf16 on 2 cores, in 2 streams: 34 one by one, 38 by 4, 41 by 8, 42 by 16, 41 by 32.
PICTURE_ROWS = 8
TEXT_ROWS = 32
GRAPH_VERSION = 1  # raise when what is exported changes

Which: TypeAlias = Literal["pictures", "texts"]

REFERENCE = Runtime("torch", "fp32")
INT8 = Runtime("openvino", "int8")
INT8_SUFFIX = "-int8"

PROBE_TEXTS = (
    "a",
    "red running shoes",
    "Women's waterproof hiking jacket, size M, navy blue",
    "Stainless steel insulated water bottle 750 ml with bamboo lid, leak-proof, for hiking, cycling and the office",
    "USB-C to HDMI adapter 4K 60Hz",
    "how to fold a fitted sheet in 30 seconds | life hacks",
    "Édition limitée: théière en fonte émaillée",
    "100% cotton",
)


@dataclass(frozen=True)
class RuntimeMeasurement:
    """How a runtime's vectors compare with those of torch in float32."""

    mean_cosine: float
    min_cosine: float
    refused: str = ""  # why this runtime cannot be used; empty where it can


def candidate_runtimes(device: str | None) -> Iterator[Runtime]:
    """The runtimes worth trying here, fastest first, as benchmarks/encoders.py measured them."""
    where = device or best_device()
    if where != "cpu":
        yield from (Runtime("torch", "fp16"), Runtime("torch", "bf16"))
        return
    if computes_in_bf16():
        yield Runtime("openvino", "bf16")
        yield Runtime("torch", "bf16")
    yield Runtime("openvino", "fp32")


def choose_runtime(model: DualModel, options: EncoderOptions) -> Runtime:
    """The runtime that the options lead to, for this model on this machine.

    Raises:
        EncoderError: the runtime asked for cannot run this model, or changes its vectors too much; with the figures.
    """
    if options.runtime == AUTO:
        for runtime in candidate_runtimes(options.device):
            verdict = measure_runtime(model, runtime, options)
            if not verdict.refused:
                return runtime
            log.info("%s is not used for %s: %s", runtime, model.spec.name, verdict.refused)
        return REFERENCE
    runtime = INT8 if options.runtime == FAST else Runtime.parse(options.runtime)
    verdict = measure_runtime(model, runtime, options)
    if verdict.refused:
        raise EncoderError(f"{model.spec.name} cannot be run as {runtime}: {verdict.refused}")
    return runtime


def measure_runtime(model: DualModel, runtime: Runtime, options: EncoderOptions) -> RuntimeMeasurement:
    """How a runtime compares with the reference: from the cache folder, else measured now."""
    if runtime.engine != "openvino" and options.device is not None:
        check_device(options.device)
    if runtime == REFERENCE:
        return RuntimeMeasurement(1.0, 1.0)
    where = machine(runtime, options.device)
    known = runtime_measurements.read(model.spec.fingerprint, where)
    # what failed by an error may be mended by now (a compiler, memory): tried again for whoever asks for it by name
    if known and (known["min_cosine"] or options.runtime == AUTO):
        return RuntimeMeasurement(**known)
    if runtime == INT8:
        return RuntimeMeasurement(
            0, 0, f"not calibrated yet; run: firstsight models calibrate {model.spec.name} PICTURES_FOLDER"
        )
    options.on_progress(f"preparing {model.spec.name} for {runtime} and comparing its vectors; once on this machine")
    try:
        verdict = compare_with_reference(model, runtime, options)
    except Exception as error:  # whatever exporting, compiling or running a model in other numbers may raise
        verdict = RuntimeMeasurement(0, 0, f"it fails ({first_line(error)})")
    runtime_measurements.write(model.spec.fingerprint, where, asdict(verdict))
    return verdict


def compare_with_reference(model: DualModel, runtime: Runtime, options: EncoderOptions) -> RuntimeMeasurement:
    """Compare both towers with those of torch in float32, on drawn pictures and on titles of many lengths."""
    if runtime.engine == "openvino":
        options = replace(options, device="cpu")
    tokens = model.prepare_texts(PROBE_TEXTS)
    cosines = []
    inputs: dict[Which, Arrays] = {"pictures": model.prepare_pictures(probe_pictures()), "texts": tokens.arrays}
    for which, arrays in inputs.items():
        (reference,) = make_tower(model.spec, model, which, REFERENCE, options).run(*arrays)
        (features,) = make_tower(model.spec, model, which, runtime, options).run(*arrays)
        cosines.append((unit(reference) * unit(features)).sum(axis=1))
    together = np.concatenate(cosines)
    mean, smallest = float(together.mean()), float(together.min())
    if smallest >= MIN_COSINE:  # not so for NaN either
        return RuntimeMeasurement(mean, smallest)
    refused = f"its vectors keep a cosine of {smallest:.4f} at worst to those of float32, not {MIN_COSINE}"
    return RuntimeMeasurement(mean, smallest, refused)


def can_trim_padding(model: DualModel) -> bool:
    """Whether the text tower gives the same vectors when the padding is cut off: tried, not assumed."""
    known = runtime_measurements.read(model.spec.fingerprint, "trims")
    if known is None:
        known = {"exact": _ignores_padding(model)}
        runtime_measurements.write(model.spec.fingerprint, "trims", known)
    return bool(known["exact"])


def make_tower(
    spec: EncoderSpec, model: DualModel | None, which: Which, runtime: Runtime, options: EncoderOptions
) -> Tower:
    """A tower of a model under a runtime, ready to run.

    Args:
        model: may be None where the graph of an OpenVINO runtime is stored.
    """
    threads = options.cpu_threads
    if runtime.engine == "openvino":
        # bf16 beside int8 too: what is left of a quantised graph's float32
        precision = "bf16" if runtime.precision != "fp32" and computes_in_bf16() else "fp32"
        # One stream for texts: a lone query then has every thread.
        streams, rows = (threads, PICTURE_ROWS) if which == "pictures" else (1, TEXT_ROWS)
        graph = load_graph(graph_key(spec, which, runtime), lambda: _missing_graph(model, which, runtime))
        return OpenVinoTower(graph, streams=streams, threads=threads, rows=rows, precision=precision)
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
    """The name under which a tower's graph is stored."""
    suffix = INT8_SUFFIX if which == "pictures" and runtime.precision == "int8" else ""
    return f"{spec.fingerprint[:32]}-{which}-{GRAPH_VERSION}{suffix}"


def needs_no_model(spec: EncoderSpec, runtime: Runtime) -> bool:
    """Whether all that this runtime runs is stored, so that the model's own weights may leave the memory."""
    return runtime.engine == "openvino" and all(is_stored(graph_key(spec, w, runtime)) for w in get_args(Which))


def machine(runtime: Runtime, device: str | None) -> str:
    """A runtime with what its numbers depend on: versions, device and the CPU's own abilities."""
    if runtime.engine == "openvino":
        return f"{runtime} openvino {openvino_version()} {cpu_capabilities()}"
    return f"{runtime} torch {torch.__version__} {device or best_device()} {torch.backends.cpu.get_cpu_capability()}"


def _missing_graph(model: DualModel | None, which: Which, runtime: Runtime) -> ov.Model:
    assert model is not None
    if which == "pictures" and runtime == INT8:
        raise EncoderError(f"the calibrated graph of {model.spec.name} is gone; calibrate it again")
    return build_graph(model, which)


def _ignores_padding(model: DualModel) -> bool:
    tokens = model.prepare_texts(PROBE_TEXTS[:4])
    with torch.inference_mode():
        whole = _features(model.text_tower, tokens.arrays)
        for row, length in enumerate(tokens.lengths):
            try:
                cut = _features(model.text_tower, tuple(array[row : row + 1, :length] for array in tokens.arrays))
            except (RuntimeError, IndexError, ValueError):  # a tower built for its whole context only
                return False
            if np.abs(cut[0] - whole[row]).max() > 1e-5:
                return False
    return bool((tokens.lengths < tokens.arrays[0].shape[1]).any())


def _features(tower: nn.Module, arrays: Arrays) -> NDArray[np.float32]:
    device = next(tower.parameters()).device
    return unit(tower(*(torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in arrays)).float().cpu().numpy())


def build_graph(model: DualModel, which: Which) -> ov.Model:
    """A tower exported in float32; texts of any length where padding may be cut off."""
    if which == "pictures":
        tower, arrays = model.picture_tower, model.prepare_pictures(probe_pictures(2))
        shapes = tuple((-1, *array.shape[1:]) for array in arrays)
    else:
        tower, arrays = model.text_tower, model.prepare_texts(PROBE_TEXTS[1:3]).arrays
        width = -1 if can_trim_padding(model) else arrays[0].shape[1]
        shapes = tuple((-1, width) for _ in arrays)
    tower = tower.cpu()
    return export(tower, tuple(torch.from_numpy(array) for array in arrays), shapes)
