"""Student, untrained student and teacher on held-out items."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np

from firstsight.encoders.base import Encoder, Vectors
from firstsight.tuning.distillation.distil_report import DistilFigure
from firstsight.tuning.distillation.picture_rows import PictureRows, encode_pictures
from firstsight.tuning.distillation.student_measures import NEIGHBOURS, figure, overlap, own_picture_recall
from firstsight.tuning.distillation.student_verdict import OWN_PICTURE
from firstsight.tuning.distillation.teacher_space import TeacherSpace
from firstsight.tuning.tuning_data import TuningData

HELD_OUT_SHARE: Final = 0.3
TIMED: Final = 32


@dataclass(frozen=True)
class _Vectors:
    """Vectors of the held-out pictures and titles by one encoder."""

    pictures: Vectors
    texts: Vectors


class HeldOutComparison:
    """Measures of encoders on the items of held-out products.

    Args:
        data: the catalogue.
        items: rows of the held-out items.
    """

    def __init__(self, data: TuningData, items: Sequence[int]) -> None:
        self._data, self._items = data, items
        self._pictures = PictureRows(data.pictures, picture_rows(data, items))
        self._titles = sorted({title for row in items if (title := title_of(data, row))})

    def figures(
        self, teacher: Encoder, untrained: Encoder, student: Encoder, space: TeacherSpace | None
    ) -> tuple[DistilFigure, ...]:
        """Compare the encoders over the same pictures and titles.

        Args:
            teacher, untrained, student: the encoders.
            space: maps the teacher's vectors to the student's dimensions; None if they share a space.
        """
        pictures, titles = self._pictures, self._titles
        by_teacher, by_untrained, by_student = (
            _Vectors(encode_pictures(e, pictures), e.encode_texts(titles)) for e in (teacher, untrained, student)
        )
        owners = [self._data.items[self._data.picture_items[row]].product for row in pictures.rows]
        place_of = {row: place for place, row in enumerate(pictures.rows)}
        own: dict[str, set[int]] = {title: set() for title in titles}
        products: dict[str, str] = {}
        for row in self._items:
            if title := title_of(self._data, row):
                own[title] |= {place_of[picture] for picture in self._data.items[row].pictures}
                products[title] = self._data.items[row].product
        text_owners = [products[title] for title in titles]
        found = []
        for name, clusters, part in (("pictures", owners, "pictures"), ("titles", text_owners, "texts")):
            t, u, s = (getattr(vectors, part) for vectors in (by_teacher, by_untrained, by_student))
            ones = np.ones(len(t))
            if len(t) > NEIGHBOURS:
                found.append(figure(f"overlap@10 of {name}", clusters, ones, overlap(u, t), overlap(s, t)))
            if len(t):
                targets = t if space is None else space.map(t)
                cosines = ((v * targets).sum(axis=1).astype(np.float64) for v in (u, s))
                found.append(figure(f"cosine of {name}", clusters, ones, *cosines))
        if titles:
            recalls = (
                own_picture_recall(v.texts, v.pictures, [sorted(own[title]) for title in titles])
                for v in (by_teacher, by_untrained, by_student)
            )
            found.append(figure(OWN_PICTURE, text_owners, *recalls))
        return tuple(found)

    def cpu_times(self, teacher: Encoder, student: Encoder) -> list[tuple[float, float]]:
        """CPU milliseconds of one picture and of one title, of the teacher and of the student."""
        images, titles = self._pictures[:TIMED], self._titles[:TIMED]
        encoders = (teacher, student)
        of_pictures = _cpu_ms(lambda encoder: encoder.encode_images(images), encoders, len(images))
        of_titles = _cpu_ms(lambda encoder: encoder.encode_texts(titles), encoders, len(titles))
        return list(zip(of_pictures, of_titles, strict=True))


def split_items(data: TuningData, seed: int) -> tuple[list[int], list[int]]:
    """Rows of the items to learn from, and of those held out; whole products, drawn by a digest."""
    learned: list[int] = []
    held_out: list[int] = []
    for row, item in enumerate(data.items):
        drawn = zlib.crc32(f"{seed} {item.product}".encode()) / 2**32 < HELD_OUT_SHARE
        (held_out if drawn else learned).append(row)
    return learned, held_out


def picture_rows(data: TuningData, items: Sequence[int]) -> list[int]:
    """Rows of the pictures of some items, each once."""
    return sorted({picture for row in items for picture in data.items[row].pictures})


def title_of(data: TuningData, row: int) -> str | None:
    """The title of an item, or its first phrase without one."""
    phrases = data.items[row].phrases
    return phrases.get("title") or next(iter(phrases.values()), None)


def _cpu_ms(run: Callable[[Encoder], object], encoders: Sequence[Encoder], count: int) -> tuple[float, ...]:
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
