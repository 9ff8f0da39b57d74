"""A tuning run for any family of encoders: train, measure on held-out products, decide, write."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeAlias

from firstsight.encoders.base import ImageInput
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.tuning.evaluation.figures import CurvePoint
from firstsight.tuning.evaluation.general_pictures import GeneralPictures
from firstsight.tuning.evaluation.held_out import HeldOutResults, KnowsBase, fit, measure_held_out, shares_of
from firstsight.tuning.evaluation.verdict import MIN_PRODUCTS, decisive_figure, reasons_against, too_few_products
from firstsight.tuning.model_folder import (
    CARD_FILE,
    PAGE_FILE,
    check_folder,
    is_first_process,
    replaced_folder,
    write_report,
)
from firstsight.tuning.reading.catalogue_data import CatalogueData
from firstsight.tuning.report.model_card import model_card
from firstsight.tuning.report.tune_page import write_tune_page
from firstsight.tuning.trainer import Trainer, TunedWeights
from firstsight.tuning.trainers import make_trainer
from firstsight.tuning.tune_report import TuneReport
from firstsight.tuning.tune_settings import TuneSettings
from firstsight.tuning.tuning_data import TuningData

MakeTrainer: TypeAlias = Callable[
    [str, EncoderOptions, TuningData, Sequence[ImageInput], TuneSettings, Path, Callable[[str], None]], Trainer
]
"""Makes a trainer, as `trainers.make_trainer` does."""


@dataclass(frozen=True)
class TuneRun:
    """A tuning run.

    Args:
        encoder: name of the encoder, for `load_encoder`.
        options: device, threads and permissions.
        catalogue: training data.
        general: pictures of the forgetting check.
        settings: of the run.
        out: folder of the tuned model; None to write no model.
        work_folder: for checkpoints.
        force: write a refused model all the same.
        page: file for the HTML report, besides the one in `out`; written for a refused model, too.
        on_progress: receives one line for each step worth telling.
        make_trainer: makes the trainer.
    """

    encoder: str
    options: EncoderOptions
    catalogue: CatalogueData
    general: GeneralPictures
    settings: TuneSettings
    out: Path | None
    work_folder: Path
    force: bool = False
    page: Path | None = None
    on_progress: Callable[[str], None] = lambda line: None
    make_trainer: MakeTrainer = make_trainer

    def run(self) -> TuneReport:
        """Train, measure, decide and write.

        Raises:
            EncoderError: the encoder cannot be tuned, or the folder cannot be written.
            MediaError: a picture has become unreadable during the run.
            StoreError: the cache folder cannot be written.
        """
        if self.out is not None:
            check_folder(self.out)
        too_few = too_few_products(self.catalogue.report.products)
        if too_few and not self.force:
            return self._report(refused=too_few)
        started = time.perf_counter()
        trainer = self.make_trainer(
            self.encoder,
            self.options,
            self.catalogue.data,
            self.general.pictures,
            self.settings,
            self.work_folder,
            self.on_progress,
        )
        prepared = time.perf_counter()
        held_out = self._held_out(trainer)
        measured = time.perf_counter()
        data = self.catalogue.data
        tuned = fit(trainer, data, range(len(data.items)), self.settings, "final", self.on_progress)
        finished = time.perf_counter()
        base = trainer.untuned() if isinstance(trainer, KnowsBase) else tuned
        before = self._general_recall(base, 0.0)
        curve = self._curve(tuned, held_out)
        after = next(point.general for point in curve if point.share == self.settings.share)
        figures = held_out.figures(self.settings.share)
        decisive = decisive_figure(figures)
        reasons = [too_few] if too_few else []
        reasons += reasons_against(figures, before, after, self.settings.max_forgetting)
        report = replace(
            self._report(refused="; ".join(reasons)),
            figures=figures,
            decisive=decisive.measure if decisive else "",
            curve=curve,
            general_before=before,
            general_after=after,
            seconds={
                "tower outputs": round(prepared - started, 2),
                "held-out folds": round(measured - prepared, 2),
                "final training": round(finished - measured, 2),
            },
        )
        return self._write(report, tuned, held_out)

    def _held_out(self, trainer: Trainer) -> HeldOutResults:
        if self.catalogue.report.products < 2:
            return HeldOutResults()
        read = self.catalogue.report
        return measure_held_out(
            trainer,
            self.catalogue.data,
            self.settings,
            category=read.category,
            joined=joined_kind(self.catalogue),
            on_progress=self.on_progress,
        )

    def _curve(self, tuned: TunedWeights, held_out: HeldOutResults) -> tuple[CurvePoint, ...]:
        return tuple(
            CurvePoint(share, held_out.means(share), self._general_recall(tuned, share))
            for share in shares_of(self.settings)
        )

    def _general_recall(self, tuned: TunedWeights, share: float) -> float | None:
        if not self.general.captions:
            return None
        captions = tuned.encode_texts(self.general.captions, share)
        return self.general.recall_at_1(captions, tuned.encode_general_pictures(share))

    def _report(self, refused: str) -> TuneReport:
        return TuneReport(
            encoder=self.encoder,
            model=None,
            refused=refused,
            forced=False,
            decisive="",
            share=self.settings.share,
            folds=self.settings.folds,
            figures=(),
            curve=(),
            general=self.general.name,
            general_pictures=len(self.general.captions),
            general_before=None,
            general_after=None,
            max_forgetting=self.settings.max_forgetting,
            read=self.catalogue.report,
            settings=asdict(self.settings),
        )

    def _write(self, report: TuneReport, tuned: TunedWeights, held_out: HeldOutResults) -> TuneReport:
        writes = self.out is not None and (self.force or not report.refused)
        if writes and self.out is not None:
            target = self.out.absolute()
            with replaced_folder(target) as draft:
                name = tuned.save(draft, report.share).replace(str(draft), str(target))
                report = replace(report, model=name, forced=bool(report.refused))
                if is_first_process():
                    write_report(draft, report.to_dict())
                    (draft / CARD_FILE).write_text(model_card(report), encoding="utf-8")
                    write_tune_page(draft / PAGE_FILE, report, held_out, self.catalogue.data)
        if self.page is not None and is_first_process():
            write_tune_page(self.page, report, held_out, self.catalogue.data)
        return report


def joined_kind(catalogue: CatalogueData) -> str | None:
    """The kind of phrases that joins the first attribute with the category, such as "color category"."""
    read = catalogue.report
    counts = Counter(kind for item in catalogue.data.items for kind in item.phrases)
    kinds = [f"{attribute} {read.category}" for attribute in read.attributes]
    return next((kind for kind in kinds if counts[kind]), None)


__all__ = ["MIN_PRODUCTS", "MakeTrainer", "TuneRun", "joined_kind"]
