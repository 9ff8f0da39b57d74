"""Choice of the fastest runtime that keeps the reference vectors of a dual encoder on this machine.

Two runtimes of one model share its fingerprint and may therefore share a database. One rule makes this safe: a runtime
is used only after a comparison of its vectors with those of torch in float32, the reference. `compare_with_reference`
makes the comparison at first use, on synthetic pictures and on titles; every cosine must reach `MIN_COSINE`.
`firstsight models calibrate` compares int8 on the user's own pictures; int8 must also keep the nearest neighbours (see
`models.int8_calibration`). The measurements are kept in the cache folder, by fingerprint and machine.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from firstsight.encoders.base import Arrays, unit
from firstsight.encoders.encoder_options import AUTO, FAST, EncoderOptions, Runtime
from firstsight.encoders.runtimes import runtime_measurements
from firstsight.encoders.runtimes.dual_model import DualModel
from firstsight.encoders.runtimes.model_towers import INT8, REFERENCE, Which, make_tower
from firstsight.encoders.runtimes.openvino_runtime import computes_in_bf16, cpu_capabilities
from firstsight.encoders.runtimes.openvino_runtime import version as openvino_version
from firstsight.encoders.runtimes.probe_inputs import PROBE_TEXTS, probe_pictures
from firstsight.encoders.runtimes.torch_runtime import best_device, check_device
from firstsight.errors import EncoderError, first_line

log = logging.getLogger(__name__)

MIN_COSINE = 0.999
"""Minimum cosine of every vector of a runtime to the vector of torch in float32."""


@dataclass(frozen=True)
class RuntimeMeasurement:
    """Cosines of a runtime's vectors to those of torch in float32."""

    mean_cosine: float
    min_cosine: float
    refused: str = ""  # the reason for refusing this runtime; empty if it can be used


def candidate_runtimes(device: str | None) -> Iterator[Runtime]:
    """Yield the runtimes to try on this machine, fastest first (order measured by benchmarks/encoders.py).

    Args:
        device: the device of torch; None for the best available one.
    """
    if (device or best_device()) != "cpu":
        yield from (Runtime("torch", "fp16"), Runtime("torch", "bf16"))
        return
    if computes_in_bf16():
        yield Runtime("openvino", "bf16")
        yield Runtime("torch", "bf16")
    yield Runtime("openvino", "fp32")


def choose_runtime(model: DualModel, options: EncoderOptions) -> Runtime:
    """Choose the runtime of a model from the options and the measurements on this machine.

    Raises:
        EncoderError: if the selected runtime cannot run this model or changes its vectors too much; the message has
            the figures.
    """
    if options.runtime == AUTO:
        for runtime in candidate_runtimes(options.device):
            measurement = measure_runtime(model, runtime, options)
            if not measurement.refused:
                return runtime
            log.info("%s is not used for %s: %s", runtime, model.spec.name, measurement.refused)
        return REFERENCE
    runtime = INT8 if options.runtime == FAST else Runtime.parse(options.runtime)
    measurement = measure_runtime(model, runtime, options)
    if measurement.refused:
        raise EncoderError(f"{model.spec.name} cannot be run as {runtime}: {measurement.refused}")
    return runtime


def measure_runtime(model: DualModel, runtime: Runtime, options: EncoderOptions) -> RuntimeMeasurement:
    """Compare a runtime with the reference, or return the cached measurement.

    Raises:
        EncoderError: if torch does not have the device.
    """
    if runtime.engine != "openvino" and options.device is not None:
        check_device(options.device)
    if runtime == REFERENCE:
        return RuntimeMeasurement(1.0, 1.0)
    key = machine(runtime, options.device)
    known = runtime_measurements.read(model.spec.fingerprint, key)
    # The cause of an earlier error (a compiler, memory) may be gone: an explicit choice of the runtime tries again.
    if known and (known["min_cosine"] or options.runtime == AUTO):
        return RuntimeMeasurement(**known)
    if runtime == INT8:
        return RuntimeMeasurement(
            0, 0, f"not calibrated yet; run: firstsight models calibrate {model.spec.name} PICTURES_FOLDER"
        )
    options.on_progress(f"preparing {model.spec.name} for {runtime} and comparing its vectors; once on this machine")
    try:
        measurement = compare_with_reference(model, runtime, options)
    except Exception as error:  # exporting, compiling or running a model in another precision may raise anything
        measurement = RuntimeMeasurement(0, 0, f"it fails ({first_line(error)})")
    runtime_measurements.write(model.spec.fingerprint, key, asdict(measurement))
    return measurement


def compare_with_reference(model: DualModel, runtime: Runtime, options: EncoderOptions) -> RuntimeMeasurement:
    """Compare both towers with those of torch in float32, on `probe_pictures` and `PROBE_TEXTS`."""
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
    if smallest >= MIN_COSINE:  # False for NaN
        return RuntimeMeasurement(mean, smallest)
    refused = f"its vectors reach a minimum cosine of {smallest:.4f} to float32 (required: {MIN_COSINE})"
    return RuntimeMeasurement(mean, smallest, refused)


def machine(runtime: Runtime, device: str | None) -> str:
    """Return the key of a runtime's measurements: versions, device and CPU instruction sets change its numbers."""
    if runtime.engine == "openvino":
        return f"{runtime} openvino {openvino_version()} {cpu_capabilities()}"
    return f"{runtime} torch {torch.__version__} {device or best_device()} {torch.backends.cpu.get_cpu_capability()}"
