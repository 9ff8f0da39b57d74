"""Check of a model on this machine: its speed, and its agreement with its library's own float32 vectors."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image

from firstsight.encoders.base import Encoder, Vectors, unit
from firstsight.encoders.encoder_options import AUTO, EncoderOptions, Runtime
from firstsight.encoders.models.int8_calibration import MIN_INT8_COSINE
from firstsight.encoders.registry import load_dual_model, load_with_options
from firstsight.encoders.runtimes.dual_model import DualModel
from firstsight.encoders.runtimes.model_towers import INT8, can_trim_padding
from firstsight.encoders.runtimes.probe_inputs import PROBE_TEXTS, probe_pictures
from firstsight.encoders.runtimes.runtime_choice import MIN_COSINE, candidate_runtimes, measure_runtime
from firstsight.errors import EncoderError, MediaError
from firstsight.media.file_formats import media_kind
from firstsight.media.pictures import open_picture
from firstsight.records import Record

MAX_SAMPLED_PICTURES: Final = 64
SYNTHETIC_PICTURES: Final = 16
REFERENCE_ROWS: Final = 8
TEXT_ROUNDS: Final = 3
TIMED_TEXTS: Final = 9

TEXTS: Final = (
    *PROBE_TEXTS,
    "a photo of a cat",
    "Kids' rain boots with dinosaurs, size 28",
    "红色跑步鞋",
    "Kaffeetasse aus Keramik, 350 ml",
    "best budget phones of the year, compared in ten minutes",
    "wooden chair",
    "Lot of 12 vintage postcards, unused, 1930s, seaside towns, with envelope and letter of the former owner",
    " ".join(["A small red leather shoe with black laces, on the wooden table in summer."] * 8),
)


@dataclass(frozen=True)
class ModelCheck(Record):
    """Results of a model's check on this machine."""

    name: str
    dim: int
    image_size: int  # side in pixels
    fingerprint: str
    runtime: str  # the selected runtime, ENGINE:PRECISION; empty if its family does not report it
    refused: dict[str, str]  # faster runtimes that auto refused -> the reason
    load_seconds: float  # until the first vectors; the first load on a machine also compares runtimes
    pictures: int
    unreadable: int  # skipped pictures of the folder
    pictures_per_second: float  # including reading and decoding
    texts: int
    texts_per_second: float
    one_text_ms: float  # median of a single text, after a warm-up
    texts_are_trimmed: bool | None  # whether padding is trimmed (vectors stay the same); None if not known
    reference: str  # the reference of the cosines; empty if the family has none
    mean_cosine: float | None
    min_cosine: float | None
    problem: str  # the reason against using the model; empty if there is none


def check_model(
    name: str,
    options: EncoderOptions | None = None,
    *,
    folder: Path | None = None,
    on_progress: Callable[[str], None] = lambda step: None,
) -> ModelCheck:
    """Load a model, encode pictures and texts, and compare with the library's own code in float32.

    Both sides get the pictures as the encoder opens them. Shrinking large files during decoding also changes vectors,
    with any runtime; `firstsight.vectors.DECODE_FACTOR` has the figures.

    Args:
        name: as for `load_encoder`.
        options: runtime, device, threads, and permission for remote code.
        folder: source of at most 64 pictures, including subfolders; synthetic pictures by default.
        on_progress: receives one line for each step.

    Raises:
        EncoderError: if the model cannot be loaded or run with these options, or the folder has no readable picture.
    """
    options = options or EncoderOptions()
    sample = sample_pictures(folder) if folder else list(probe_pictures(SYNTHETIC_PICTURES))
    sources, unreadable = _readable(sample)
    if not sources:
        raise EncoderError(f"none of the {len(sample)} pictures in {folder} can be read; give another folder")
    on_progress(f"loading {name}")
    begin = time.perf_counter()
    encoder = load_with_options(name, options)
    _warm(encoder, sources)
    load_seconds = time.perf_counter() - begin
    on_progress(f"encoding {len(sources)} pictures and {len(TEXTS)} texts")
    picture_vectors, picture_seconds = _timed(lambda: encoder.encode_images(sources))
    text_vectors, text_seconds = _timed(lambda: [encoder.encode_texts(TEXTS) for _ in range(TEXT_ROUNDS)][-1])
    single_texts = [_timed(partial(encoder.encode_texts, [text]))[1] for text in TEXTS[:TIMED_TEXTS]]
    on_progress("encoding them again with the reference")
    reference, expected, model = _reference(name, options, sources)
    cosines = None if expected is None else _cosines(np.concatenate([picture_vectors, text_vectors]), expected)
    runtime = str(getattr(encoder, "runtime", ""))
    return ModelCheck(
        name=encoder.spec.name,
        dim=encoder.spec.dim,
        image_size=encoder.spec.image_size,
        fingerprint=encoder.spec.fingerprint,
        runtime=runtime,
        refused=_refused(model, runtime, options),
        load_seconds=round(load_seconds, 2),
        pictures=len(sources),
        unreadable=unreadable,
        pictures_per_second=round(len(sources) / picture_seconds, 2),
        texts=len(TEXTS),
        texts_per_second=round(len(TEXTS) * TEXT_ROUNDS / text_seconds, 2),
        one_text_ms=round(1000 * statistics.median(single_texts), 2),
        texts_are_trimmed=can_trim_padding(model) if model else None,
        reference=reference,
        mean_cosine=None if cosines is None else round(float(cosines.mean()), 6),
        min_cosine=None if cosines is None else round(float(cosines.min()), 6),
        problem="" if cosines is None else describe_problem(runtime, cosines[: len(sources)], cosines[len(sources) :]),
    )


def describe_problem(runtime: str, pictures: Vectors, texts: Vectors) -> str:
    """Return the reason against using vectors with these cosines; empty if there is none.

    int8 has only a picture tower and must reach a mean cosine of .99 over the pictures. Every other runtime must reach
    a minimum cosine of .999.

    Args:
        runtime: ENGINE:PRECISION.
        pictures: (n,) cosines to the reference.
        texts: (m,) cosines to the reference.
    """
    smallest = float(np.concatenate([pictures, texts]).min())
    # written so that NaN is a problem too
    if runtime == str(INT8):
        mean = float(pictures.mean())
        if mean >= MIN_INT8_COSINE:
            return ""
        return f"its pictures reach a mean cosine of {mean:.4f} to the reference (required: {MIN_INT8_COSINE})"
    if smallest >= MIN_COSINE:
        return ""
    figures = f"a minimum cosine of {smallest:.4f} to the reference (required: {MIN_COSINE})"
    return f"its vectors reach {figures}; try --runtime auto"


def pictures_under(folder: Path) -> list[Path]:
    """List the files with a picture's extension in a folder and its subfolders, sorted by path.

    Raises:
        EncoderError: if the folder does not exist or has no picture.
    """
    if not folder.is_dir():
        raise EncoderError(f"there is no folder {str(folder)!r}; give a folder of pictures")
    found = sorted(path for path in folder.rglob("*") if media_kind(path.name) == "picture" and path.is_file())
    if not found:
        raise EncoderError(f"there is no picture in {folder}; give a folder with pictures, such as .jpg or .png files")
    return found


def sample_pictures(folder: Path, limit: int = MAX_SAMPLED_PICTURES) -> list[Path]:
    """Select at most `limit` pictures of a folder, at even steps through `pictures_under`.

    Raises:
        EncoderError: as `pictures_under`.
    """
    found = pictures_under(folder)
    chosen = np.linspace(0, len(found) - 1, min(limit, len(found))).astype(int)
    return [found[index] for index in chosen]


def _readable(sources: Sequence[Path | Image.Image]) -> tuple[list[Path | Image.Image], int]:
    kept = []
    for source in sources:
        try:
            open_picture(source, min_side=1)
        except MediaError:
            continue
        kept.append(source)
    return kept, len(sources) - len(kept)


def _warm(encoder: Encoder, sources: Sequence[Path | Image.Image]) -> None:
    """Encode once before timing: towers load at first use, and some libraries plan at the first batch of a shape."""
    encoder.encode_images(sources[:REFERENCE_ROWS])
    encoder.encode_texts(TEXTS)


def _timed(work: Callable[[], Vectors]) -> tuple[Vectors, float]:
    begin = time.perf_counter()
    result = work()
    return result, max(time.perf_counter() - begin, 1e-9)


def _reference(
    name: str, options: EncoderOptions, sources: Sequence[Path | Image.Image]
) -> tuple[str, Vectors | None, DualModel | None]:
    """Return the reference's description, its unit rows for the pictures and then the texts, and the model."""
    family = name.partition(":")[0]
    if family == "starter":
        torch_starter = load_with_options(name, EncoderOptions("torch", threads=options.threads))
        rows_of_starter = (torch_starter.encode_images(sources), torch_starter.encode_texts(TEXTS))
        return "starter run by torch in float32", np.concatenate(rows_of_starter), None
    if family not in ("open_clip", "transformers"):
        return "", None, None
    model = load_dual_model(name, options)
    with torch.inference_mode():
        rows = [model.reference_pictures(pictures) for pictures in _opened(sources, model.spec.min_side)]
        rows.append(model.reference_texts(TEXTS))
    return f"the code of {family} itself, in float32", unit(torch.cat(rows).float().cpu().numpy()), model


def _opened(sources: Sequence[Path | Image.Image], min_side: int) -> Iterator[list[Image.Image]]:
    """Open the pictures as the encoder does, in batches."""
    for start in range(0, len(sources), REFERENCE_ROWS):
        batch = sources[start : start + REFERENCE_ROWS]
        yield [open_picture(s, min_side=None if isinstance(s, Image.Image) else min_side) for s in batch]


def _cosines(vectors: Vectors, expected: Vectors) -> Vectors:
    """Compute (n,) cosines of unit rows."""
    products: Vectors = (vectors.astype(np.float64) * expected).sum(axis=1)
    return products


def _refused(model: DualModel | None, chosen: str, options: EncoderOptions) -> dict[str, str]:
    """Return the runtimes that auto refused before its choice, with the cached reasons."""
    if model is None or options.runtime != AUTO:
        return {}
    refused = {}
    for runtime in candidate_runtimes(options.device):
        if runtime == Runtime.parse(chosen):
            break
        refused[str(runtime)] = measure_runtime(model, runtime, options).refused
    return refused
