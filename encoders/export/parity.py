"""Comparison of an export with its model: by the runtime that will run it, on pictures and texts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from firstsight.encoders.base import Arrays, Vectors
from firstsight.encoders.export.export_parts import ExportParts, TowerParts
from firstsight.encoders.export.standalone.example import ExportedModel
from firstsight.encoders.models.model_check import TEXTS
from firstsight.encoders.runtimes.probe_inputs import probe_pictures
from firstsight.errors import EncoderError, OptionalDependencyError, first_line
from firstsight.extras import requires
from firstsight.records import Record

PROBE_PICTURES = 8
STORED_ROWS = 4


@dataclass(frozen=True)
class ExportParity(Record):
    """Smallest cosines of an export to its model in float32."""

    runtime: str  # that ran the graphs, with its version
    pictures: float  # graph alone, on the model's own preprocessing
    texts: float
    example_pictures: float | None  # example.py from picture to vector; None if it cannot prepare them
    example_texts: float | None

    @property
    def smallest(self) -> float:
        """The smallest of all cosines; NaN if one is NaN."""
        found = [self.pictures, self.texts, self.example_pictures, self.example_texts]
        return float(np.min([value for value in found if value is not None]))


@dataclass(frozen=True)
class ProbeInputs:
    """Inputs of both towers with their reference vectors."""

    pictures: Arrays
    picture_vectors: Vectors
    texts: Arrays
    text_vectors: Vectors


def measure_parity(folder: Path, parts: ExportParts) -> tuple[ExportParity, ProbeInputs]:
    """Run the graphs of a written export on drawn pictures and on titles, and compare with the reference.

    Each graph runs on the whole batch and on single rows, so that a fixed batch or length would show.

    Args:
        folder: the export with its description.
        parts: the model.

    Returns:
        The cosines, and inputs with reference vectors for a check on another machine.

    Raises:
        OptionalDependencyError: ONNX Runtime is not installed.
    """
    exported = ExportedModel(folder)
    pictures, texts = probe_pictures(PROBE_PICTURES), list(TEXTS)
    picture_vectors, text_vectors = parts.reference_pictures(pictures), parts.reference_texts(texts)
    pixels, tokens = parts.prepare_pictures(pictures), parts.prepare_texts(texts)
    single = parts.prepare_texts(texts[:1])
    smallest_picture = min(
        _cosine(_run(exported, "pictures", pixels), picture_vectors),
        _cosine(_run(exported, "pictures", tuple(array[:1] for array in pixels)), picture_vectors[:1]),
    )
    smallest_text = min(
        _cosine(_run(exported, "texts", tokens), text_vectors),
        _cosine(_run(exported, "texts", single), text_vectors[:1]),
    )
    parity = ExportParity(
        runtime=_runtime(exported),
        pictures=smallest_picture,
        texts=smallest_text,
        example_pictures=_cosine(exported.encode_images(list(pictures)), picture_vectors)
        if _is_prepared(parts.pictures)
        else None,
        example_texts=_cosine(exported.encode_texts(texts), text_vectors) if _is_prepared(parts.texts) else None,
    )
    stored = ProbeInputs(
        tuple(array[:STORED_ROWS] for array in pixels),
        picture_vectors[:STORED_ROWS],
        tokens,
        text_vectors,
    )
    return parity, stored


def _run(exported: ExportedModel, tower: str, inputs: Arrays) -> Vectors:
    try:
        with requires("onnx", "the parity check of an export"):
            return exported.run(tower, list(inputs))
    except OptionalDependencyError:
        raise
    except Exception as error:  # runtimes raise errors of their own when a graph does not fit its inputs
        raise EncoderError(
            f"{_runtime(exported)} cannot run the exported tower of {tower} ({first_line(error)}); nothing was "
            "written: try another --format"
        ) from error


def _is_prepared(tower: TowerParts) -> bool:
    return bool(tower.rules["kind"] != "library")


def _runtime(exported: ExportedModel) -> str:
    if exported.description["pictures"]["graph"].endswith(".onnx"):
        import onnxruntime

        return f"onnxruntime {onnxruntime.__version__}"
    from firstsight.encoders.runtimes.openvino_runtime import version

    return f"openvino {version()}"


def _cosine(vectors: Any, expected: Vectors) -> float:
    """Return the smallest cosine of unit rows; NaN if a row is NaN."""
    return float((vectors.astype(np.float64) * expected).sum(axis=1).min())
