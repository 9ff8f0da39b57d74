"""Trying a model out on this machine: how fast it is, and how near to its library's own float32 vectors."""

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
from firstsight.encoders.picture_transform import probe_pictures
from firstsight.encoders.registry import load_dual_model, load_with_options
from firstsight.encoders.runtimes.dual_encoder import DualModel
from firstsight.encoders.runtimes.runtime_choice import (
    INT8,
    MIN_COSINE,
    PROBE_TEXTS,
    can_trim_padding,
    candidate_runtimes,
    measure_runtime,
)
from firstsight.errors import EncoderError, MediaError
from firstsight.media.file_formats import media_kind
from firstsight.media.pictures import open_picture

MAX_SAMPLED_PICTURES: Final = 64
DRAWN_PICTURE_COUNT: Final = 16
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
class ModelCheck:
    """What a model did here."""

    name: str
    dim: int
    image_size: int  # side in pixels
    fingerprint: str
    runtime: str  # the one that ran it, ENGINE:PRECISION; empty where its family does not say
    refused: dict[str, str]  # faster runtimes that auto did not take, and why
    load_seconds: float  # until it could encode; the first time on a machine, its runtimes are compared too
    pictures: int
    unreadable: int  # pictures of the folder that were left out
    pictures_per_second: float  # reading and decoding included
    texts: int
    texts_per_second: float
    one_text_ms: float  # median of a lone text, warm
    texts_are_trimmed: bool | None  # whether padding is cut off, which changes no vector; None where not known
    reference: str  # what the cosines compare with; empty where there is nothing
    mean_cosine: float | None
    min_cosine: float | None
    problem: str  # why it should not be used; empty where it can


def check_model(
    name: str,
    options: EncoderOptions | None = None,
    *,
    folder: Path | None = None,
    on_progress: Callable[[str], None] = lambda step: None,
) -> ModelCheck:
    """Load a model, encode pictures and texts, and compare with the library's own way in float32.

    Both get the pictures as the encoder opens them. That large files are shrunk while they are decoded moves vectors as
    well, by what `base.DECODE_FACTOR` says, whichever runtime is used.

    Args:
        name: as `load_encoder` takes it.
        options: how to run it.
        folder: at most 64 of its pictures are taken, from all its folders; drawn ones by default.
        on_progress: told each step in words.

    Raises:
        EncoderError: it cannot be loaded or not run so, or the folder has no picture that can be read.
    """
    options = options or EncoderOptions()
    taken = sample_pictures(folder) if folder else list(probe_pictures(DRAWN_PICTURE_COUNT))
    sources, unreadable = _readable(taken)
    if not sources:
        raise EncoderError(f"none of the {len(taken)} pictures in {folder} can be read; name a folder with others")
    on_progress(f"loading {name}")
    begin = time.perf_counter()
    encoder = load_with_options(name, options)
    _warm(encoder, sources)
    load_seconds = time.perf_counter() - begin
    on_progress(f"encoding {len(sources)} pictures and {len(TEXTS)} texts")
    picture_vectors, picture_seconds = _timed(lambda: encoder.encode_images(sources))
    text_vectors, text_seconds = _timed(lambda: [encoder.encode_texts(TEXTS) for _ in range(TEXT_ROUNDS)][-1])
    alone = [_timed(partial(encoder.encode_texts, [text]))[1] for text in TEXTS[:TIMED_TEXTS]]
    on_progress("encoding them again, as the reference does")
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
        one_text_ms=round(1000 * statistics.median(alone), 2),
        texts_are_trimmed=can_trim_padding(model) if model else None,
        reference=reference,
        mean_cosine=None if cosines is None else round(float(cosines.mean()), 6),
        min_cosine=None if cosines is None else round(float(cosines.min()), 6),
        problem="" if cosines is None else describe_problem(runtime, cosines[: len(sources)], cosines[len(sources) :]),
    )


def describe_problem(runtime: str, pictures: Vectors, texts: Vectors) -> str:
    """Why vectors with these cosines to the reference's should not be used; empty where they can.

    int8, which is only a picture tower, must keep .99 on average over the pictures; every other runtime .999 at worst.

    Args:
        runtime: ENGINE:PRECISION.
        pictures: (n,) cosines.
        texts: (m,) cosines.
    """
    least = float(np.concatenate([pictures, texts]).min())
    # so written that not-a-number is a problem too
    if runtime == str(INT8):
        mean = float(pictures.mean())
        if mean >= MIN_INT8_COSINE:
            return ""
        return f"its pictures keep a cosine of {mean:.4f} on average to the reference's, not {MIN_INT8_COSINE}"
    if least >= MIN_COSINE:
        return ""
    return f"its vectors keep a cosine of {least:.4f} at worst to the reference's, not {MIN_COSINE}; try --runtime auto"


def pictures_under(folder: Path) -> list[Path]:
    """The files with a picture's extension in a folder and the folders in it, in order of their paths.

    Raises:
        EncoderError: there is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise EncoderError(f"there is no folder {str(folder)!r}; name one that holds pictures")
    found = sorted(path for path in folder.rglob("*") if media_kind(path.name) == "picture" and path.is_file())
    if not found:
        raise EncoderError(f"there is no picture in {folder}; name a folder that holds some, such as .jpg or .png")
    return found


def sample_pictures(folder: Path, most: int = MAX_SAMPLED_PICTURES) -> list[Path]:
    """At most so many of a folder's pictures, evenly spread over `pictures_under`; raises as that."""
    found = pictures_under(folder)
    chosen = np.linspace(0, len(found) - 1, min(most, len(found))).astype(int)
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
    """Towers are loaded at their first use, and some libraries plan at the first batch of a shape."""
    encoder.encode_images(sources[:REFERENCE_ROWS])
    encoder.encode_texts(TEXTS)


def _timed(work: Callable[[], Vectors]) -> tuple[Vectors, float]:
    begin = time.perf_counter()
    made = work()
    return made, max(time.perf_counter() - begin, 1e-9)


def _reference(
    name: str, options: EncoderOptions, sources: Sequence[Path | Image.Image]
) -> tuple[str, Vectors | None, DualModel | None]:
    """What to compare with, its unit rows for the pictures and then the texts, and the model behind them."""
    family = name.partition(":")[0]
    if family == "starter":
        torch_starter = load_with_options(name, EncoderOptions("torch", threads=options.threads))
        both = (torch_starter.encode_images(sources), torch_starter.encode_texts(TEXTS))
        return "starter run by torch in float32", np.concatenate(both), None
    if family not in ("open_clip", "transformers"):
        return "", None, None
    model = load_dual_model(name, options)
    with torch.inference_mode():
        rows = [model.reference_pictures(pictures) for pictures in _opened(sources, model.spec.min_side)]
        rows.append(model.reference_texts(TEXTS))
    return f"the code of {family} itself, in float32", unit(torch.cat(rows).float().cpu().numpy()), model


def _opened(sources: Sequence[Path | Image.Image], min_side: int) -> Iterator[list[Image.Image]]:
    """The pictures as the encoder opens them, a few at a time."""
    for start in range(0, len(sources), REFERENCE_ROWS):
        batch = sources[start : start + REFERENCE_ROWS]
        yield [open_picture(s, min_side=None if isinstance(s, Image.Image) else min_side) for s in batch]


def _cosines(vectors: Vectors, expected: Vectors) -> Vectors:
    """(n,) cosines of unit rows."""
    products: Vectors = (vectors.astype(np.float64) * expected).sum(axis=1)
    return products


def _refused(model: DualModel | None, chosen: str, options: EncoderOptions) -> dict[str, str]:
    """The runtimes that auto tried before the one it took, and what spoke against them: kept from when it chose."""
    if model is None or options.runtime != AUTO:
        return {}
    refused = {}
    for runtime in candidate_runtimes(options.device):
        if runtime == Runtime.parse(chosen):
            break
        refused[str(runtime)] = measure_runtime(model, runtime, options).refused
    return refused
