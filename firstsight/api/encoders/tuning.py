"""Tuning of an encoder on a catalogue, in the Python API."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from firstsight.config import cache_dir
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.indexer.inputs.input_kinds import CatalogueInput
from firstsight.keywords import check_keywords
from firstsight.media.fetch.fetched_media import require_cache
from firstsight.media.policy import MediaPolicy
from firstsight.tuning.evaluation.general_pictures import packaged_pictures, read_general
from firstsight.tuning.model_folder import check_folder, is_first_process
from firstsight.tuning.reading.catalogue_data import CatalogueData, read_catalogue
from firstsight.tuning.reading.picture_files import PictureStore
from firstsight.tuning.trainers import check_family
from firstsight.tuning.tune import TuneRun
from firstsight.tuning.tune_report import TuneReport
from firstsight.tuning.tune_settings import Method, TuneSettings

if TYPE_CHECKING:
    from firstsight.tuning.tuning_data import TuningData

STARTER: Final = "starter"

MIN_SIDE: Final = 672
"""Minimum length of a decoded picture's shorter side, in pixels: three times the usual 224 of networks."""


class TuneOptions(TypedDict, total=False):
    """Options of `firstsight.tune`: `TuneSettings` by name."""

    method: Method | None
    share: float
    folds: int
    seeds: int | None
    steps: int | None
    batch_size: int | None
    micro_batch: int | None
    learning_rate: float | None
    lora_rank: int
    hard_negatives: int
    image_size: int | None
    max_forgetting: float
    patience: int
    checkpoint_steps: int
    max_items: int
    seed: int


def tune(
    source: CatalogueInput,
    out: str | os.PathLike[str] | None,
    *,
    encoder: str = STARTER,
    encoder_options: EncoderOptions | None = None,
    root: str | os.PathLike[str] | None = None,
    options: CatalogOptions | None = None,
    policy: MediaPolicy | None = None,
    db: str | os.PathLike[str] | None = None,
    general: CatalogueInput | None = None,
    force: bool = False,
    html: str | os.PathLike[str] | None = None,
    on_progress: Callable[[str], None] = lambda line: None,
    **settings: Unpack[TuneOptions],
) -> TuneReport:
    """Tune an encoder on a catalogue, and write it if held-out products gain.

    Titles, the beginnings of texts, categories, colours and similar columns are the phrases; each picture of an item is
    brought near to them. Products are held out in folds, so that the figures are of products that were never learned.

    Args:
        source: a catalogue or rows in memory, as for `firstsight.api.indexing.Indexing.index`. Videos are not used.
        out: folder of the tuned encoder, which `load_encoder("starter:FOLDER")` reads; it must be new, empty or an
            earlier tuned encoder. None to measure only.
        encoder: name for `load_encoder`: `starter`, `starter:FOLDER`, an open_clip or a transformers model.
        encoder_options: device, threads and permissions.
        root: base folder of relative media paths of rows in memory.
        options: how to read the columns of the catalogue.
        policy: allowed sources and maximum sizes of pictures; `root` is set to the catalogue's folder.
        db: database whose searches with clicked items are learned too; None for none.
        general: pictures not to forget: a catalogue, rows, or a folder of captions; None for 69 packaged pictures.
        force: write the encoder although its figures refuse it.
        html: file for the report as an HTML page; `out` gets one in any case.
        on_progress: receives one line for each step worth telling.
        settings: fields of `TuneSettings`.

    Returns:
        All figures. Its `model` is the name of the tuned encoder, None if nothing was written; `refused` says why.

    Raises:
        CatalogError: a catalogue cannot be used, or has no item with a picture and a phrase.
        EncoderError: the encoder cannot be tuned, a setting is out of range, or `out` cannot be written.
        MediaError: a picture has become unreadable during the run.
        StoreError: the cache folder cannot be written, or `db` cannot be read.
        QueryError: `db` has no events on its items.
    """
    check_keywords("tune", settings, TuneOptions)
    if not is_first_process():
        on_progress = _say_nothing
    chosen = TuneSettings(**settings)
    check_family(encoder)
    folder = None if out is None else Path(out).expanduser()
    if folder is not None:
        check_folder(folder)
    policy = policy or MediaPolicy()
    require_cache(policy)
    with ExitStack() as stack:
        work = _work_folder(encoder, source, folder, chosen)
        known = cache_dir() / "tuning" / "readable-pictures.txt"
        pictures = stack.enter_context(PictureStore(policy, work / "pictures", MIN_SIDE, known))
        catalogue = read_catalogue(
            source, pictures, root=root, options=options, max_items=chosen.max_items, on_progress=on_progress
        )
        catalogue = _with_clicks(catalogue, db)
        if general is None:
            check = packaged_pictures()
        else:
            check = read_general(general, stack.enter_context(PictureStore(policy, work / "general", MIN_SIDE, known)))
        run = TuneRun(
            encoder,
            encoder_options or EncoderOptions(),
            catalogue,
            check,
            chosen,
            folder,
            work,
            force,
            None if html is None else Path(html),
            on_progress,
        )
        report = run.run()
    if is_first_process():
        shutil.rmtree(work, ignore_errors=True)  # an interrupted run keeps it and continues there
    return report


def preview_tuning(
    source: CatalogueInput,
    *,
    root: str | os.PathLike[str] | None = None,
    options: CatalogOptions | None = None,
    policy: MediaPolicy | None = None,
    db: str | os.PathLike[str] | None = None,
    max_items: int = TuneSettings.max_items,
    on_progress: Callable[[str], None] = lambda line: None,
) -> tuple[TuningData, CatalogueData]:
    """Read the pairs that a tuning would learn from, without any training.

    Args:
        source, root, options, policy, db, on_progress: as for `firstsight.tune`.
        max_items: items that are used.

    Raises:
        CatalogError: as for `firstsight.tune`.
    """
    work = _work_folder("preview", source, None, TuneSettings())
    known = cache_dir() / "tuning" / "readable-pictures.txt"
    try:
        with PictureStore(policy or MediaPolicy(), work / "pictures", MIN_SIDE, known) as pictures:
            catalogue = read_catalogue(
                source, pictures, root=root, options=options, max_items=max_items, on_progress=on_progress
            )
            catalogue = _with_clicks(catalogue, db)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return catalogue.data, catalogue


def _say_nothing(line: str) -> None:
    """Report nothing: of the processes of torchrun, the first one reports for all."""


def _with_clicks(catalogue: CatalogueData, db: str | os.PathLike[str] | None) -> CatalogueData:
    if db is None:
        return catalogue
    from firstsight.tuning.reading.clicked_queries import read_clicked_queries

    return read_clicked_queries(catalogue, os.fspath(db))


def _work_folder(encoder: str, source: CatalogueInput, out: Path | None, settings: TuneSettings) -> Path:
    """Folder for checkpoints and fetched pictures: the same one for the same run, so that a killed run goes on."""
    name = os.fspath(source) if isinstance(source, str | os.PathLike) else f"rows {type(source).__name__}"
    place = str(out.absolute()) if out is not None else f"process {os.getpid()}"
    key = hashlib.sha256("\0".join([encoder, os.path.abspath(name), place, repr(settings)]).encode()).hexdigest()
    return cache_dir() / "tuning" / "runs" / key[:24]
