"""Distillation of a smaller encoder on a catalogue, in the Python API."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypedDict, Unpack

from firstsight.config import cache_dir
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.export.new_folder import require_free
from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.indexer.inputs.input_kinds import CatalogueInput
from firstsight.keywords import check_keywords
from firstsight.media.fetch.fetched_media import require_cache
from firstsight.media.policy import MediaPolicy
from firstsight.tuning.distillation.distil import check_student, distil_encoder
from firstsight.tuning.distillation.distil_report import DistilReport
from firstsight.tuning.distillation.distil_settings import DistilSettings
from firstsight.tuning.reading.catalogue_data import read_catalogue
from firstsight.tuning.reading.picture_files import PictureStore
from firstsight.tuning.tune_settings import TuneSettings

MIN_SIDE: Final = 520
"""Minimum length of a decoded picture's shorter side, in pixels: twice the size of starter's input."""

NETWORK_SIDE: Final = 672
"""The same where another model takes part: three times the usual 224."""


class DistilOptions(TypedDict, total=False):
    """Options of `firstsight.distil`: `DistilSettings` by name."""

    teacher: str | None
    image_size: int | None
    text_layers: int | None
    prune: float | None
    steps: int
    text_steps: int
    min_overlap: float | None
    max_loss: float
    learning_rate: float | None
    seed: int


def distil(
    source: CatalogueInput,
    out: str | os.PathLike[str] | None,
    *,
    encoder: str = "starter",
    encoder_options: EncoderOptions | None = None,
    root: str | os.PathLike[str] | None = None,
    options: CatalogOptions | None = None,
    policy: MediaPolicy | None = None,
    max_items: int = TuneSettings.max_items,
    force: bool = False,
    on_progress: Callable[[str], None] = lambda line: None,
    **settings: Unpack[DistilOptions],
) -> DistilReport:
    """Make a smaller variant of an encoder, or teach it the vectors of another one, on a catalogue.

    The student learns to give its teacher's vectors of the catalogue's pictures and titles. No label is used. Three
    tenths of the products are held out; the student is written only if it keeps its teacher's neighbours on them.

    Args:
        source: a catalogue or rows in memory, as for `firstsight.tune`.
        out: a new or empty folder, which `load_encoder("FAMILY:FOLDER")` reads then; None to measure only.
        encoder: the model that the student is made of: a `starter`, open_clip or transformers model. Without `teacher`
            also the encoder whose vectors are learned.
        encoder_options: runtime, device, threads and permissions.
        root: base folder of relative media paths of rows in memory.
        options: how to read the columns of the catalogue.
        policy: allowed sources and maximum sizes of pictures.
        max_items: items that are used, 2 or more; of more, whole products are drawn.
        force: write the student although its figures refuse it.
        on_progress: receives one line for each step worth telling.
        settings: fields of `DistilSettings`. Without `teacher`, `image_size`, `text_layers` and `prune`, the student
            gets pictures of 192 pixels.

    Returns:
        All figures. Its `model` is the name of the student, None if nothing was written; `refused` says why.

    Raises:
        CatalogError: the catalogue cannot be used, or has no item with a picture and a phrase.
        EncoderError: an encoder cannot be loaded, the student is not possible, a setting is out of range, or `out` is
            in use.
        MediaError: a picture has become unreadable during the run.
        OptionalDependencyError: an encoder needs an extra that is not installed.
        StoreError: the cache folder cannot be written.
    """
    check_keywords("distil", settings, DistilOptions)
    chosen = DistilSettings(**settings)
    TuneSettings(max_items=max_items)  # the same range
    check_student(encoder, chosen)
    folder = None if out is None else Path(out).expanduser()
    if folder is not None:
        require_free(folder)  # before the catalogue is read
    policy = policy or MediaPolicy()
    require_cache(policy)
    names = (encoder, chosen.teacher or encoder)
    min_side = MIN_SIDE if all(name.partition(":")[0] == "starter" for name in names) else NETWORK_SIDE
    known = cache_dir() / "tuning" / "readable-pictures.txt"
    with (
        tempfile.TemporaryDirectory(prefix="firstsight-distil-") as work,
        PictureStore(policy, Path(work), min_side, known) as pictures,
    ):
        catalogue = read_catalogue(
            source, pictures, root=root, options=options, max_items=max_items, on_progress=on_progress
        )
        return distil_encoder(
            encoder,
            catalogue.data,
            folder,
            chosen,
            options=encoder_options,
            force=force,
            on_progress=on_progress,
        )
