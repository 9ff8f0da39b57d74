"""A distillation: make a student, let it learn the teacher's vectors, measure, decide, write."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from firstsight.encoders.base import Encoder, Vectors
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.export.new_folder import new_folder, require_free
from firstsight.encoders.registry import families, load_with_options
from firstsight.errors import EncoderError
from firstsight.tuning.distillation.distil_report import DistilReport, student_card
from firstsight.tuning.distillation.distil_settings import DistilSettings
from firstsight.tuning.distillation.held_out_comparison import HeldOutComparison, picture_rows, split_items
from firstsight.tuning.distillation.picture_rows import PictureRows, encode_pictures
from firstsight.tuning.distillation.student import Lesson, Student
from firstsight.tuning.distillation.student_measures import NEIGHBOURS, overlap
from firstsight.tuning.distillation.student_verdict import MIN_PRODUCTS, few_products, reasons_against
from firstsight.tuning.distillation.teacher_space import TeacherSpace
from firstsight.tuning.tuning_data import TuningData

CARD_FILE: Final = "README.md"
REPORT_FILE: Final = "distillation.json"

STUDENT_FAMILIES: Final = ("starter", "open_clip", "transformers")

LONG_KIND: Final = "text"
"""Kind of the phrases that are descriptions: several times as long as titles, and unlike queries."""

COMPARED: Final = 512
"""Pictures on which the teacher's vectors are compared with their map to fewer dimensions."""


def distil_encoder(
    encoder: str,
    data: TuningData,
    out: Path | None,
    settings: DistilSettings,
    *,
    options: EncoderOptions | None = None,
    force: bool = False,
    on_progress: Callable[[str], None] = lambda line: None,
) -> DistilReport:
    """Make a smaller variant of an encoder, or teach it the vectors of another one.

    Three tenths of the products are held out. The student learns from the others, is written, loaded again, and
    measured on the held-out ones; the measured student is the result. No label is used: only pictures, titles and other
    phrases.

    Args:
        encoder: name of the encoder that the student is made of; without `settings.teacher` also the teacher.
        data: the catalogue.
        out: a new or empty folder; None to write nothing.
        settings: of the student and the training.
        options: runtime, device, threads and permissions.
        force: write a refused student all the same.
        on_progress: receives one line for each step worth telling.

    Raises:
        EncoderError: an encoder cannot be loaded, the student is not possible, or the folder is in use.
        MediaError: a picture cannot be read.
        OptionalDependencyError: an encoder needs an extra that is not installed.
    """
    family = check_student(encoder, settings)
    if out is not None:
        require_free(out)
    options = options or EncoderOptions()
    learned, held_out = split_items(data, settings.seed)
    products = len({data.items[row].product for row in held_out})
    with tempfile.TemporaryDirectory(prefix="firstsight-distil-") as place:
        work = Path(place)
        student = _make_student(encoder, settings, options, work, on_progress)
        run = _Run(encoder, student, data, learned, held_out, settings, options, on_progress)
        if products < MIN_PRODUCTS and not force:
            return run.empty_report(few_products(products))
        report = run.report(work, products)
        report = replace(report, forced=bool(report.refused) and force)
        if out is None or (report.refused and not force):
            return report
        with new_folder(out) as draft:
            shutil.copytree(work / "student", draft, dirs_exist_ok=True)
            report = replace(report, model=f"{family}:{out.absolute()}")
            (draft / CARD_FILE).write_text(student_card(report), encoding="utf-8")
            (draft / REPORT_FILE).write_text(json.dumps(report.to_dict(), indent=1) + "\n", encoding="utf-8")
    return report


def check_student(encoder: str, settings: DistilSettings) -> str:
    """Return the family of an encoder that can become the student.

    Raises:
        EncoderError: it cannot, a setting does not fit it, or the family of the teacher does not exist.
    """
    family = encoder.partition(":")[0]
    if family not in STUDENT_FAMILIES:
        raise EncoderError(
            f"{encoder!r} cannot be a student; choose starter, starter:FOLDER, an open_clip: or a transformers: model"
        )
    if settings.teacher is not None and settings.teacher.partition(":")[0] not in families():
        raise EncoderError(f"no encoder family is called {settings.teacher!r}; there are {', '.join(families())}")
    if family == "starter":
        return family
    if settings.teacher is None and settings.prune is None:
        raise EncoderError(f"nothing would change in {encoder}; add --prune SHARE, or --teacher NAME to learn from")
    if settings.text_layers is not None or settings.image_size is not None:
        raise EncoderError(
            f"image size and text layers are for starter; {encoder} keeps its own, because its positions are learned "
            "for them: leave them out"
        )
    return family


def _make_student(
    encoder: str,
    settings: DistilSettings,
    options: EncoderOptions,
    work: Path,
    on_progress: Callable[[str], None],
) -> Student:
    family, _, model = encoder.partition(":")
    if family == "starter":
        from firstsight.tuning.distillation.starter_student import StarterStudent

        return StarterStudent(model, settings, options, on_progress)
    from firstsight.tuning.distillation.network_student import NetworkStudent

    return NetworkStudent(encoder, settings, options, work, on_progress)


@dataclass(frozen=True)
class _Run:
    """One distillation: the student, the data and its split."""

    encoder: str
    student: Student
    data: TuningData
    learned: Sequence[int]  # rows of the items to learn from
    held_out: Sequence[int]
    settings: DistilSettings
    options: EncoderOptions
    on_progress: Callable[[str], None]

    def report(self, work: Path, products: int) -> DistilReport:
        """Make, train and measure the student, and decide; it is in `work` / "student" afterwards."""
        pictures = PictureRows(self.data.pictures, picture_rows(self.data, self.learned))
        texts = self._texts()
        self.student.shrink(pictures, texts)
        untrained = self.student.save(_new(work / "untrained"))
        space, reduced = None, None
        if self.settings.teacher is None:
            teacher = self.student.start
            targets = self.student.own_targets(pictures, texts)
        else:
            teacher = load_with_options(self.settings.teacher, self.options)
            space, targets, reduced = self._foreign_targets(teacher, untrained, pictures, texts)
        self.student.train(Lesson(pictures, texts, *targets), self.on_progress)
        trained = self.student.save(_new(work / "student"))
        comparison = HeldOutComparison(self.data, self.held_out)
        before, after = self.student.parameters()
        teacher_times, times = comparison.cpu_times(teacher, trained)
        report = replace(
            self.empty_report(""),
            image_size=self.student.image_size,
            text_tower=self.student.text_tower,
            parameters_before=before,
            parameters_after=after,
            reduced_overlap=reduced,
            figures=comparison.figures(teacher, untrained, trained, space),
            teacher_picture_ms=teacher_times[0],
            teacher_text_ms=teacher_times[1],
            picture_ms=times[0],
            text_ms=times[1],
        )
        reasons = reasons_against(report, self._changed_parts(trained), self.settings, products)
        return replace(report, refused="; ".join(reasons))

    def _foreign_targets(
        self, teacher: Encoder, untrained: Encoder, pictures: PictureRows, texts: Sequence[str]
    ) -> tuple[TeacherSpace, tuple[Vectors, Vectors], float | None]:
        """The teacher's vectors in the student's space, and how many neighbours fewer dimensions keep."""
        known = encode_pictures(teacher, pictures), teacher.encode_texts(texts)
        self.on_progress(f"computed {len(pictures):,} pictures and {len(texts):,} texts with {self.settings.teacher}")
        own = encode_pictures(untrained, pictures), untrained.encode_texts(texts)
        space = TeacherSpace.fit(known, own)
        targets = space.map(known[0]), space.map(known[1])
        reduced = None
        if own[0].shape[1] < known[0].shape[1] and len(pictures) > NEIGHBOURS:
            reduced = float(np.mean(overlap(targets[0][:COMPARED], known[0][:COMPARED])))
        return space, targets, reduced

    def _changed_parts(self, trained: Encoder) -> list[str]:
        """The parts whose vectors differ from the teacher's."""
        if self.settings.teacher is not None or not self.student.text_tower:
            return ["titles", "pictures"]
        changed = {
            "titles": self.settings.changes_texts,
            "pictures": trained.spec.image_size < self.student.start.spec.image_size,
        }
        return [name for name, changes in changed.items() if changes]

    def _texts(self) -> list[str]:
        """All short phrases of the learned items; the same order in every run."""
        own = (self.data.items[row].phrases for row in self.learned)
        texts = sorted({phrase for phrases in own for kind, phrase in phrases.items() if kind != LONG_KIND})
        order = np.random.default_rng(self.settings.seed).permutation(len(texts))
        return [texts[row] for row in order]

    def empty_report(self, refused: str) -> DistilReport:
        """A report without figures."""
        return DistilReport(
            encoder=self.encoder,
            teacher=self.settings.teacher or self.encoder,
            model=None,
            refused=refused,
            forced=False,
            image_size=self.student.image_size,
            text_tower=(),
            parameters_before=0,
            parameters_after=0,
            picture_ms=0.0,
            teacher_picture_ms=0.0,
            text_ms=0.0,
            teacher_text_ms=0.0,
            items=len(self.learned),
            held_out=len(self.held_out),
            required_overlap=self.settings.required_overlap,
            reduced_overlap=None,
            figures=(),
        )


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder
