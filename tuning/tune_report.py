"""The report of a tuning run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from firstsight.records import Record
from firstsight.tuning.evaluation.figures import CurvePoint, TuneFigure
from firstsight.tuning.reading.catalogue_data import ReadReport


@dataclass(frozen=True)
class TuneReport(Record):
    """The figures of a tuning run, and what it wrote.

    Attributes:
        encoder: name of the encoder before the tuning.
        model: name of the tuned encoder for `load_encoder`; None if nothing was written.
        refused: why the tuned encoder should not be used; empty if nothing speaks against it.
        forced: whether it was written all the same.
        decisive: the measure whose gain decides; empty without held-out figures.
        share: share of the tuned weights in the result, 0 to 1.
        folds: number of folds of products.
        figures: held-out measures before and after.
        curve: the same measures at several shares, and the forgetting check.
        general: the pictures of the forgetting check.
        general_pictures: their number.
        general_before, general_after: R@1 from caption to picture, 0 to 1; None before any training.
        max_forgetting: the greatest allowed loss of it.
        read: what was read from the catalogue.
        settings: of the run.
        seconds: time of each part of the run.
    """

    encoder: str
    model: str | None
    refused: str
    forced: bool
    decisive: str
    share: float
    folds: int
    figures: tuple[TuneFigure, ...]
    curve: tuple[CurvePoint, ...]
    general: str
    general_pictures: int
    general_before: float | None
    general_after: float | None
    max_forgetting: float
    read: ReadReport
    settings: Mapping[str, object]
    seconds: Mapping[str, float] = field(default_factory=dict)

    def figure(self, measure: str) -> TuneFigure | None:
        """The figure of a measure; None if the catalogue does not allow it."""
        return next((figure for figure in self.figures if figure.measure == measure), None)
