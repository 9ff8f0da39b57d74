"""int8 for a picture tower: quantised with the user's own pictures, and refused where it moves the vectors too far.

Weights and activations become 8-bit integers by NNCF's post-training quantisation for transformers (SmoothQuant, Xiao
et al. 2023, and a bias correction). How much that costs depends on the model's outlier channels and on the pictures, so
it is never assumed: the vectors of pictures that the quantisation did not see are compared with those of torch in
float32, one by one and by their neighbours. Texts stay in bfloat16: a title is short.
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
from firstsight.encoders.runtimes.openvino_runtime import OpenVinoTower, computes_in_bf16, load_graph, store_graph
from firstsight.encoders.runtimes.runtime_choice import (
    INT8,
    MIN_COSINE,
    PROBE_TEXTS,
    REFERENCE,
    RuntimeMeasurement,
    build_graph,
    candidate_runtimes,
    graph_key,
    machine,
    make_tower,
    measure_runtime,
)
from firstsight.errors import EncoderError, MediaError, OptionalDependencyError
from firstsight.media.pictures import open_picture

if TYPE_CHECKING:
    import openvino as ov

    from firstsight.encoders.runtimes.dual_encoder import DualModel

MIN_INT8_COSINE = 0.99  # on average
MIN_NEIGHBOUR_OVERLAP = 0.95
NEIGHBOURS = 10
QUANTISATION_PICTURES = 128  # pictures that the quantisation looks at
MIN_CALIBRATION_PICTURES = 200  # pictures, those it looks at among them
MAX_CALIBRATION_PICTURES = 640


@dataclass(frozen=True)
class Int8Calibration:
    """What int8 does to a model's vectors, and to its speed."""

    pictures: int  # that were compared; the quantisation did not see them
    mean_cosine: float  # to torch in float32
    min_cosine: float
    overlap: float  # of each picture's ten nearest among the others, how many stay, 0 to 1
    speedup: float  # pictures a second, over what --runtime auto would run
    refused: str  # why --runtime fast will not use it; empty where it will


def calibrate(
    name: str,
    pictures: Sequence[Path],
    options: EncoderOptions | None = None,
    on_progress: Callable[[str], None] = lambda step: None,
) -> Int8Calibration:
    """Quantise a model's picture tower to int8, measure it, and keep it for `--runtime fast` where it is good enough.

    Args:
        name: of an open_clip or transformers model.
        pictures: files of the kind that will be indexed, 200 or more of them readable; of more than 640, a sample.
        on_progress: told each step in words.

    Raises:
        EncoderError: the model cannot be loaded, or too few pictures can be read.
        OptionalDependencyError: NNCF is not installed.
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
    rest = "bf16" if computes_in_bf16() else "fp32"  # of the graph, what stays floating-point
    quantised = OpenVinoTower(graph, streams=options.cpu_threads, threads=options.cpu_threads, rows=8, precision=rest)
    reference, vectors = _run(tower.run_all(unseen)), _run(quantised.run_all(unseen))
    cosines = (reference * vectors).sum(axis=1)
    measured = Int8Calibration(
        pictures=len(unseen),
        mean_cosine=float(cosines.mean()),
        min_cosine=float(cosines.min()),
        overlap=neighbour_overlap(reference, vectors),
        speedup=_speedup(model, quantised, unseen, options),
        refused="",
    )
    measured = replace(measured, refused=_refusal(measured, _text_cosine(model, options)))
    if not measured.refused:
        store_graph(graph, graph_key(model.spec, "pictures", INT8), replace=True)
    verdict = RuntimeMeasurement(measured.mean_cosine, measured.min_cosine, measured.refused)
    runtime_measurements.write(model.spec.fingerprint, machine(INT8, None), asdict(verdict))
    return measured


def neighbour_overlap(one: Vectors, other: Vectors, k: int = NEIGHBOURS) -> float:
    """The mean share of each row's k nearest other rows that two sets of vectors of the same n > k things agree on.

    Args:
        one, other: (n, dim) unit rows.
    """
    if len(one) <= k:
        raise ValueError(f"{k} neighbours need more than {k} rows, not {len(one)}")
    nearest = []
    for vectors in (one, other):
        scores = vectors @ vectors.T
        np.fill_diagonal(scores, -np.inf)
        nearest.append(np.argpartition(-scores, k - 1, axis=1)[:, :k])
    return float(np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(*nearest, strict=True)]))


def _prepare(model: DualModel, files: Sequence[Path]) -> list[Arrays]:
    """One picture each, as the tower takes them, in an order that has nothing to do with their names."""
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
            f"{len(prepared)} of {len(files)} files are pictures that can be read; "
            f"calibration needs {MIN_CALIBRATION_PICTURES} of the kind that will be indexed"
        )
    return prepared


def _require_nncf() -> None:
    try:
        import nncf  # noqa: F401
    except ImportError as error:
        raise OptionalDependencyError("int8 needs NNCF: pip install 'firstsight[int8]'") from error


def _quantise(graph: ov.Model, pictures: Sequence[Arrays]) -> ov.Model:
    import nncf

    logging.getLogger("nncf").setLevel(logging.ERROR)  # its set_log_level also mutes handlers that others have added
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
    for _ in range(4):  # in turns, so that other work on the machine hits both; the first is for warming up
        for label, runs in (("int8", tower), ("auto", other)):
            started = time.perf_counter()
            runs.run(*batch)
            seconds[label].append(time.perf_counter() - started)
    return float(np.median(seconds["auto"][1:]) / np.median(seconds["int8"][1:]))


def _refusal(measured: Int8Calibration, text_cosine: float) -> str:
    wrong = []
    if not measured.mean_cosine >= MIN_INT8_COSINE:
        wrong.append(f"a mean cosine of {measured.mean_cosine:.4f} to float32 (it must keep {MIN_INT8_COSINE})")
    if not measured.overlap >= MIN_NEIGHBOUR_OVERLAP:
        wrong.append(f"{measured.overlap:.3f} of the ten nearest neighbours (it must keep {MIN_NEIGHBOUR_OVERLAP})")
    if not text_cosine >= MIN_COSINE:
        wrong.append(f"a cosine of {text_cosine:.4f} for texts in bf16 (it must keep {MIN_COSINE})")
    return f"int8 keeps {' and '.join(wrong)}; use --runtime auto" if wrong else ""
