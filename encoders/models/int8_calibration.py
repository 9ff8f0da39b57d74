"""int8 calibration of a picture tower with the user's pictures; refused if it changes the vectors too much.

NNCF's post-training quantisation for transformers turns weights and activations into 8-bit integers (SmoothQuant, Xiao
et al. 2023, and a bias correction). The loss depends on the model's outlier channels and on the pictures. It is
therefore measured on pictures that the quantisation has not seen: their vectors are compared with those of torch in
float32, one by one and by their nearest neighbours. Texts stay in bfloat16, because titles are short.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from firstsight.encoders.base import Arrays, Vectors, unit
from firstsight.encoders.encoder_options import EncoderOptions, Runtime
from firstsight.encoders.registry import load_dual_model
from firstsight.encoders.runtimes import runtime_measurements
from firstsight.encoders.runtimes.model_towers import INT8, REFERENCE, build_graph, graph_key, make_tower
from firstsight.encoders.runtimes.openvino_runtime import (
    OpenVinoTower,
    compile_graph,
    computes_in_bf16,
    load_graph,
    store_graph,
)
from firstsight.encoders.runtimes.probe_inputs import PROBE_TEXTS
from firstsight.encoders.runtimes.runtime_choice import (
    MIN_COSINE,
    RuntimeMeasurement,
    candidate_runtimes,
    machine,
    measure_runtime,
)
from firstsight.errors import EncoderError, MediaError
from firstsight.extras import requires
from firstsight.media.pictures import open_picture
from firstsight.records import Record

if TYPE_CHECKING:
    import openvino as ov

    from firstsight.encoders.runtimes.dual_model import DualModel

MIN_INT8_COSINE = 0.99  # of the mean cosine
MIN_NEIGHBOUR_OVERLAP = 0.95
NEIGHBOURS = 10
QUANTISATION_PICTURES = 128
MIN_CALIBRATION_PICTURES = 200  # including the pictures for the quantisation
MAX_CALIBRATION_PICTURES = 640


@dataclass(frozen=True)
class Int8Calibration(Record):
    """Effect of int8 on a model's vectors and speed."""

    pictures: int  # number of compared pictures, unseen by the quantisation
    mean_cosine: float  # to torch in float32
    min_cosine: float
    overlap: float  # mean share of the ten nearest neighbours that stay, 0 to 1
    speedup: float  # pictures/s relative to the runtime of --runtime auto
    refused: str  # the reason why --runtime fast refuses it; empty if it is accepted


def calibrate(
    name: str,
    pictures: Sequence[Path],
    options: EncoderOptions | None = None,
    on_progress: Callable[[str], None] = lambda step: None,
) -> Int8Calibration:
    """Quantise a model's picture tower to int8, measure it, and store it for `--runtime fast` if it is accurate enough.

    Args:
        name: the name of an open_clip or transformers model.
        pictures: files like those in the catalogue; at least 200 must be readable. If there are more than 640, a random
            sample is used.
        options: threads and permission for remote code; the device is always the CPU.
        on_progress: receives one line for each step.

    Raises:
        EncoderError: if the model cannot be loaded or too few pictures can be read.
        OptionalDependencyError: if NNCF is not installed.
    """
    options = replace(options or EncoderOptions(), device="cpu")
    _require_nncf()
    on_progress("loading the model")
    model = load_dual_model(name, options)
    on_progress("reading pictures")
    prepared = _prepare(model, pictures)
    seen, unseen = prepared[:QUANTISATION_PICTURES], prepared[QUANTISATION_PICTURES:]
    on_progress(f"quantising with {len(seen)} pictures")
    original = load_graph(
        graph_key(model.spec, "pictures", Runtime("openvino")), lambda: build_graph(model, "pictures")
    )
    graph = _quantise(original, seen)
    on_progress(f"comparing {len(unseen)} other pictures with torch in float32")
    tower = make_tower(model.spec, model, "pictures", REFERENCE, options)
    remainder = "bf16" if computes_in_bf16() else "fp32"  # precision of the graph's remaining floating-point parts
    threads = options.cpu_threads
    compiled = compile_graph(graph, streams=threads, threads=threads, precision=remainder)
    quantised = OpenVinoTower(compiled, streams=threads, rows=8)
    reference, vectors = _run(tower.run_all(unseen)), _run(quantised.run_all(unseen))
    cosines = (reference * vectors).sum(axis=1)
    calibration = Int8Calibration(
        pictures=len(unseen),
        mean_cosine=float(cosines.mean()),
        min_cosine=float(cosines.min()),
        overlap=neighbour_overlap(reference, vectors),
        speedup=_speedup(model, quantised, unseen, options),
        refused="",
    )
    calibration = replace(calibration, refused=_refusal(calibration, _text_cosine(model, options)))
    if not calibration.refused:
        store_graph(graph, graph_key(model.spec, "pictures", INT8), replace=True)
    measurement = RuntimeMeasurement(calibration.mean_cosine, calibration.min_cosine, calibration.refused)
    runtime_measurements.write(model.spec.fingerprint, machine(INT8, None), asdict(measurement))
    return calibration


def neighbour_overlap(first: Vectors, second: Vectors, k: int = NEIGHBOURS) -> float:
    """Compute the mean overlap of nearest neighbours between two sets of vectors of the same n > k items.

    Args:
        first: (n, dim) unit rows.
        second: (n, dim) unit rows of the same items.
        k: number of nearest neighbours of each row.

    Returns:
        Mean share of common neighbours, 0 to 1.

    Raises:
        ValueError: if n is not larger than k.
    """
    if len(first) <= k:
        raise ValueError(f"{k} neighbours need more than {k} rows, not {len(first)}")
    nearest = []
    for vectors in (first, second):
        scores = vectors @ vectors.T
        np.fill_diagonal(scores, -np.inf)
        nearest.append(np.argpartition(-scores, k - 1, axis=1)[:, :k])
    return float(np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(*nearest, strict=True)]))


def _prepare(model: DualModel, files: Sequence[Path]) -> list[Arrays]:
    """Prepare pictures for the tower, one per batch, in random order."""
    order = np.random.default_rng(0).permutation(len(files))
    prepared: list[Arrays] = []
    for index in order:
        try:
            picture: Image.Image = open_picture(files[index], min_side=model.spec.min_side)
        except MediaError:
            continue
        prepared.append(model.prepare_pictures([picture]))
        if len(prepared) == MAX_CALIBRATION_PICTURES:
            break
    if len(prepared) < MIN_CALIBRATION_PICTURES:
        raise EncoderError(
            f"{len(prepared)} of {len(files)} files are readable pictures; "
            f"calibration needs {MIN_CALIBRATION_PICTURES} pictures like those in the catalogue"
        )
    return prepared


def _require_nncf() -> None:
    with requires("int8", "int8"):
        import nncf  # noqa: F401


def _quantise(graph: ov.Model, pictures: Sequence[Arrays]) -> ov.Model:
    import nncf

    logging.getLogger("nncf").setLevel(logging.ERROR)  # nncf.set_log_level also mutes handlers of other code
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nncf.quantize(
            graph.clone(),
            nncf.Dataset([list(arrays) for arrays in pictures]),
            model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(pictures),
        )


def _run(outputs: Iterator[tuple[np.ndarray, ...]]) -> Vectors:
    return unit(np.concatenate([features for (features,) in outputs]))


def _text_cosine(model: DualModel, options: EncoderOptions) -> float:
    arrays = model.prepare_texts(PROBE_TEXTS).arrays
    runs = [make_tower(model.spec, model, "texts", runtime, options).run(*arrays)[0] for runtime in (REFERENCE, INT8)]
    return float((unit(runs[0]) * unit(runs[1])).sum(axis=1).min())


def _speedup(model: DualModel, tower: OpenVinoTower, pictures: Sequence[Arrays], options: EncoderOptions) -> float:
    auto = next(r for r in (*candidate_runtimes("cpu"), REFERENCE) if not measure_runtime(model, r, options).refused)
    other = make_tower(model.spec, model, "pictures", auto, options)
    batch = tuple(np.concatenate(arrays) for arrays in zip(*pictures[:64], strict=True))
    seconds: dict[str, list[float]] = {"int8": [], "auto": []}
    for _ in range(4):  # alternating, so that other load affects both; the first round is a warm-up
        for label, timed in (("int8", tower), ("auto", other)):
            started = time.perf_counter()
            timed.run(*batch)
            seconds[label].append(time.perf_counter() - started)
    return float(np.median(seconds["auto"][1:]) / np.median(seconds["int8"][1:]))


def _refusal(calibration: Int8Calibration, text_cosine: float) -> str:
    faults = []
    if not calibration.mean_cosine >= MIN_INT8_COSINE:
        faults.append(f"a mean cosine of {calibration.mean_cosine:.4f} to float32 (required: {MIN_INT8_COSINE})")
    if not calibration.overlap >= MIN_NEIGHBOUR_OVERLAP:
        faults.append(f"{calibration.overlap:.3f} of the ten nearest neighbours (required: {MIN_NEIGHBOUR_OVERLAP})")
    if not text_cosine >= MIN_COSINE:
        faults.append(f"a cosine of {text_cosine:.4f} for texts in bf16 (required: {MIN_COSINE})")
    return f"int8 keeps only {' and '.join(faults)}; use --runtime auto" if faults else ""
