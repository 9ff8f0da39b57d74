"""A distillation of `starter`: make a smaller student, let it learn the teacher's vectors, measure, decide, write."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import ImageInput, Vectors
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.export.new_folder import new_folder, require_free
from firstsight.encoders.starter.starter_encoder import StarterEncoder
from firstsight.encoders.starter.starter_model import StarterModel, save_starter
from firstsight.encoders.starter.towers import MiniLM
from firstsight.errors import EncoderError
from firstsight.tuning.distillation.bridge_student import distil_bridge
from firstsight.tuning.distillation.distil_report import DistilFigure, DistilReport, student_card
from firstsight.tuning.distillation.distil_settings import DistilSettings
from firstsight.tuning.distillation.student_measures import NEIGHBOURS, figure, overlap, own_picture_recall
from firstsight.tuning.distillation.student_verdict import MIN_PRODUCTS, OWN_PICTURE, few_products, reasons_against
from firstsight.tuning.distillation.text_student import BATCH, distil_tower, kept_layers, parameters_of, with_layers
from firstsight.tuning.pruning.importance import measure_importance
from firstsight.tuning.pruning.pruned_tower import prune_tower
from firstsight.tuning.tuning_data import TuningData

CARD_FILE: Final = "README.md"
REPORT_FILE: Final = "distillation.json"

HELD_OUT_SHARE: Final = 0.3

LONG_KIND: Final = "text"
"""Kind of the phrases that are descriptions: several times as long as titles, and unlike queries."""

MIN_PASSES: Final = 3
IMPORTANCE_TEXTS: Final = 256
TIMED: Final = 32
PICTURE_BATCH: Final = 32


@dataclass(frozen=True)
class _Vectors:
    """Vectors of the held-out pictures and titles by one encoder."""

    pictures: Vectors
    texts: Vectors


def distil_starter(
    encoder: str,
    data: TuningData,
    out: Path | None,
    settings: DistilSettings,
    *,
    options: EncoderOptions | None = None,
    force: bool = False,
    on_progress: Callable[[str], None] = lambda line: None,
) -> DistilReport:
    """Make a smaller variant of `starter` that gives its teacher's vectors.

    Three tenths of the products are held out. The student learns from the others, is written, loaded again, and
    measured on the held-out ones; the measured student is the result. No label is used: only pictures, titles and other
    phrases.

    Args:
        encoder: `starter` or `starter:FOLDER`, the teacher.
        data: the catalogue.
        out: a new or empty folder; None to write nothing.
        settings: of the student and the training.
        options: runtime and threads of the towers.
        force: write a refused student all the same.
        on_progress: receives one line for each step worth telling.

    Raises:
        EncoderError: the encoder is not a `starter`, the student is not possible, or the folder is in use.
        MediaError: a picture cannot be read.
    """
    model = check_teacher(encoder)
    if out is not None:
        require_free(out)
    options = options or EncoderOptions()
    teacher = StarterEncoder(options.runtime, options.threads, StarterModel.of_name(model))
    size = settings.image_size or teacher.spec.image_size
    if size > teacher.spec.image_size:
        raise EncoderError(
            f"image size {size} is larger than the teacher's {teacher.spec.image_size}; choose a smaller one"
        )
    if size == teacher.spec.image_size and not settings.changes_texts:
        raise EncoderError(f"image size {size} is the teacher's own, so nothing would become smaller; choose less")
    learned, held_out = split_items(data, settings.seed)
    products = {data.items[row].product for row in held_out}
    if len(products) < MIN_PRODUCTS and not force:
        return _too_few(teacher, encoder, len(learned), len(held_out), len(products), settings)
    with tempfile.TemporaryDirectory(prefix="firstsight-distil-") as place:
        work = Path(place)
        run = _Run(teacher, data, learned, held_out, settings, options, on_progress)
        untrained, student = run.students(work)
        report = run.report(encoder, untrained, student, len(products))
        report = replace(report, forced=bool(report.refused) and force)
        if out is None or (report.refused and not force):
            return report
        with new_folder(out) as draft:
            shutil.copytree(work / "student", draft, dirs_exist_ok=True)
            report = replace(report, model=f"starter:{out.absolute()}")
            (draft / CARD_FILE).write_text(student_card(report), encoding="utf-8")
            (draft / REPORT_FILE).write_text(json.dumps(report.to_dict(), indent=1) + "\n", encoding="utf-8")
    return report


def check_teacher(encoder: str) -> str:
    """Return the variant of an encoder that can be a teacher: its name after "starter:", empty for the built-in one.

    Raises:
        EncoderError: the encoder is not a `starter`.
    """
    family, _, model = encoder.partition(":")
    if family != "starter":
        raise EncoderError(f"{encoder!r} cannot be distilled; choose starter or starter:FOLDER as the teacher")
    return model


@dataclass(frozen=True)
class _Run:
    """One distillation: the teacher, the data and its split."""

    teacher: StarterEncoder
    data: TuningData
    learned: Sequence[int]  # rows of the items to learn from
    held_out: Sequence[int]
    settings: DistilSettings
    options: EncoderOptions
    on_progress: Callable[[str], None]

    def students(self, work: Path) -> tuple[StarterEncoder, StarterEncoder]:
        """Write the student before and after its training below a folder, and load both."""
        start = self._smaller_tower()
        weights = self.teacher.bridge.weights
        size = self.settings.image_size or self.teacher.spec.image_size
        untrained = self._write(work / "untrained", weights, size, start)
        changed: dict[str, Any] = weights
        if size != self.teacher.spec.image_size:
            changed = self._trained_bridge(untrained)
        tower = None if start is None else self._trained_tower(start)
        return untrained, self._write(work / "student", changed, size, tower)

    def _smaller_tower(self) -> MiniLM | None:
        """The student's text tower before its training; None if the teacher's stays."""
        settings = self.settings
        if not settings.changes_texts:
            return None
        tower = self.teacher.load_text_tower()
        if settings.text_layers is not None:
            tower = with_layers(tower, kept_layers(len(tower.layers), settings.text_layers))
        if settings.prune is not None:
            texts = self._texts()[:IMPORTANCE_TEXTS]
            importance = measure_importance(tower, self.teacher.tokens, texts, seed=settings.seed)
            tower = prune_tower(tower, importance, settings.prune)
            self.on_progress(f"pruned {settings.prune:.0%} of the heads and MLP units by their importance")
        return tower

    def _trained_bridge(self, untrained: StarterEncoder) -> dict[str, Any]:
        rows = _pictures(self.data, self.learned)
        features, logits = _outputs(untrained, self.data.pictures, rows)
        targets = self.teacher.bridge.pictures(*_outputs(self.teacher, self.data.pictures, rows))
        return distil_bridge(
            self.teacher.bridge,
            features,
            logits,
            targets,
            steps=self.settings.steps,
            seed=self.settings.seed,
            on_progress=self.on_progress,
        ).weights

    def _trained_tower(self, tower: MiniLM) -> MiniLM:
        texts = self._texts()
        batches = -(-len(texts) // BATCH)
        return distil_tower(
            tower,
            self.teacher.tokens,
            texts,
            self.teacher.bridge.texts(self.teacher.sentence_vectors(texts)),
            self.teacher.bridge.text_mean,
            epochs=max(MIN_PASSES, -(-self.settings.text_steps // batches)),
            seed=self.settings.seed,
            on_progress=self.on_progress,
        )

    def _texts(self) -> list[str]:
        """All short phrases of the learned items; the same order in every run."""
        own = (self.data.items[row].phrases for row in self.learned)
        texts = sorted({phrase for phrases in own for kind, phrase in phrases.items() if kind != LONG_KIND})
        order = np.random.default_rng(self.settings.seed).permutation(len(texts))
        return [texts[row] for row in order]

    def _write(self, folder: Path, bridge: dict[str, Any], size: int, tower: MiniLM | None) -> StarterEncoder:
        if tower is None and self.teacher.model.text_tower is not None:
            tower = self.teacher.load_text_tower()
        save_starter(
            folder,
            bridge,
            image_size=size,
            text_tower=None if tower is None else tower.state_dict(),
            base=self.teacher.model,
        )
        return StarterEncoder(self.options.runtime, self.options.threads, StarterModel.of_folder(str(folder)))

    def report(self, encoder: str, untrained: StarterEncoder, student: StarterEncoder, products: int) -> DistilReport:
        """Measure the student on the held-out items, and decide."""
        pictures = _pictures(self.data, self.held_out)
        titles = sorted({title for row in self.held_out if (title := _title(self.data, row))})
        images = [self.data.pictures[row] for row in pictures]
        by_teacher, by_untrained, by_student = (
            _Vectors(e.encode_images(images), e.encode_texts(titles)) for e in (self.teacher, untrained, student)
        )
        figures = self._figures(pictures, titles, by_teacher, by_untrained, by_student)
        tower = student.load_text_tower()
        times = {}
        for which, run in (
            ("picture_ms", lambda e: e.encode_images(images[:TIMED])),
            ("text_ms", lambda e: e.encode_texts(titles[:TIMED])),
        ):
            count = min(TIMED, len(images) if which == "picture_ms" else len(titles))
            times[f"teacher_{which}"], times[which] = _cpu_ms(run, (self.teacher, student), count)
        report = DistilReport(
            encoder=encoder,
            model=None,
            refused="",
            forced=False,
            image_size=student.spec.image_size,
            text_tower=tower.sizes,
            parameters_before=parameters_of(self.teacher.load_text_tower()),
            parameters_after=parameters_of(tower),
            items=len(self.learned),
            held_out=len(self.held_out),
            required_overlap=self.settings.required_overlap,
            figures=figures,
            **times,
        )
        changed = {
            "titles": self.settings.changes_texts,
            "pictures": student.spec.image_size < self.teacher.spec.image_size,
        }
        names = [name for name, changes in changed.items() if changes]
        return replace(report, refused="; ".join(reasons_against(report, names, self.settings, products)))

    def _figures(
        self, pictures: Sequence[int], titles: Sequence[str], teacher: _Vectors, untrained: _Vectors, student: _Vectors
    ) -> tuple[DistilFigure, ...]:
        owners = [self.data.items[self.data.picture_items[row]].product for row in pictures]
        place_of = {row: place for place, row in enumerate(pictures)}
        own: dict[str, set[int]] = {title: set() for title in titles}
        products: dict[str, str] = {}
        for row in self.held_out:
            if title := _title(self.data, row):
                own[title] |= {place_of[picture] for picture in self.data.items[row].pictures}
                products[title] = self.data.items[row].product
        text_owners = [products[title] for title in titles]
        found = []
        for name, clusters, part in (("pictures", owners, "pictures"), ("titles", text_owners, "texts")):
            t, u, s = (getattr(vectors, part) for vectors in (teacher, untrained, student))
            ones = np.ones(len(t))
            if len(t) > NEIGHBOURS:
                found.append(figure(f"overlap@10 of {name}", clusters, ones, overlap(u, t), overlap(s, t)))
            if len(t):
                cosines = ((v * t).sum(axis=1).astype(np.float64) for v in (u, s))
                found.append(figure(f"cosine of {name}", clusters, ones, *cosines))
        if titles:
            recalls = (
                own_picture_recall(v.texts, v.pictures, [sorted(own[title]) for title in titles])
                for v in (teacher, untrained, student)
            )
            found.append(figure(OWN_PICTURE, text_owners, *recalls))
        return tuple(found)


def _too_few(
    teacher: StarterEncoder, encoder: str, items: int, held_out: int, products: int, settings: DistilSettings
) -> DistilReport:
    return DistilReport(
        encoder=encoder,
        model=None,
        refused=few_products(products),
        forced=False,
        image_size=settings.image_size or teacher.spec.image_size,
        text_tower=(),
        parameters_before=0,
        parameters_after=0,
        picture_ms=0.0,
        teacher_picture_ms=0.0,
        text_ms=0.0,
        teacher_text_ms=0.0,
        items=items,
        held_out=held_out,
        required_overlap=settings.required_overlap,
        figures=(),
    )


def split_items(data: TuningData, seed: int) -> tuple[list[int], list[int]]:
    """Rows of the items to learn from, and of those held out; whole products, drawn by a digest."""
    learned: list[int] = []
    held_out: list[int] = []
    for row, item in enumerate(data.items):
        drawn = zlib.crc32(f"{seed} {item.product}".encode()) / 2**32 < HELD_OUT_SHARE
        (held_out if drawn else learned).append(row)
    return learned, held_out


def _pictures(data: TuningData, items: Sequence[int]) -> list[int]:
    return sorted({picture for row in items for picture in data.items[row].pictures})


def _title(data: TuningData, row: int) -> str | None:
    phrases = data.items[row].phrases
    return phrases.get("title") or next(iter(phrases.values()), None)


def _outputs(
    encoder: StarterEncoder, pictures: Sequence[ImageInput], rows: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Run the picture tower in batches: at most one batch of pictures is in memory."""
    parts = [
        encoder.picture_outputs(encoder.pixels([pictures[row] for row in rows[start : start + PICTURE_BATCH]]))
        for start in range(0, len(rows), PICTURE_BATCH)
    ]
    features, logits = zip(*parts, strict=True)
    return np.concatenate(features), np.concatenate(logits)


def _cpu_ms(
    run: Callable[[StarterEncoder], object], encoders: Sequence[StarterEncoder], count: int
) -> tuple[float, ...]:
    """CPU milliseconds of one input for each encoder: the least of two rounds, in turn."""
    best = [float("inf")] * len(encoders)
    for _ in range(2):
        for place, encoder in enumerate(encoders):
            with _cpu_time() as spent:
                run(encoder)
            best[place] = min(best[place], spent[0])
    return tuple(round(1000 * seconds / max(count, 1), 3) for seconds in best)


@contextmanager
def _cpu_time() -> Iterator[list[float]]:
    spent = [0.0]
    begin = time.process_time()
    yield spent
    spent[0] = time.process_time() - begin
