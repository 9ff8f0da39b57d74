"""Held-out figures of a tuning: each fold is trained on the other products, and measured at every share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from firstsight.tuning.evaluation.figures import TuneFigure, compare, mean_values
from firstsight.tuning.evaluation.folds import Fold, early_stopping_split, product_folds
from firstsight.tuning.evaluation.retrieval_measures import HeldOutMeasures, Measure, QueryResult
from firstsight.tuning.trainer import Trainer, TunedWeights
from firstsight.tuning.tune_settings import TuneSettings
from firstsight.tuning.tuning_data import TuningData

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the tuned weights on the curve."""


@runtime_checkable
class KnowsBase(Protocol):
    """A trainer whose encoder before the tuning is not its weights at share 0, such as at another size of pictures."""

    def untuned(self) -> TunedWeights:
        """The encoder before the tuning."""
        ...


@runtime_checkable
class TrainsAllSteps(Protocol):
    """A trainer that never stops early, so no products are set apart for that."""

    trains_all_steps: bool


Results = dict[str, list[QueryResult]]


@dataclass
class HeldOutResults:
    """Results of all folds together, in the same order of queries.

    Attributes:
        measures: by name.
        before: results of the encoder before the tuning.
        by_share: results of the tuned encoder by share.
    """

    measures: dict[str, Measure] = field(default_factory=dict)
    before: Results = field(default_factory=dict)
    by_share: dict[float, Results] = field(default_factory=dict)

    def figures(self, share: float) -> tuple[TuneFigure, ...]:
        """Compare the encoder before and after, at one share."""
        after = self.by_share.get(share, {})
        return tuple(
            compare(name, measure.about, measure.cluster, self.before[name], after[name])
            for name, measure in self.measures.items()
        )

    def means(self, share: float) -> dict[str, float]:
        """Mean of each measure at one share."""
        return mean_values(self.by_share.get(share, {}))


def shares_of(settings: TuneSettings) -> tuple[float, ...]:
    """The shares of the curve, with the one of the result."""
    return tuple(sorted({*SHARES, settings.share}))


def measure_held_out(
    trainer: Trainer,
    data: TuningData,
    settings: TuneSettings,
    *,
    category: str | None,
    joined: str | None,
    on_progress: Callable[[str], None],
) -> HeldOutResults:
    """Train on each fold and measure its held-out products.

    Args:
        trainer: of the encoder.
        data: the catalogue.
        settings: of the run.
        category, joined: as for `HeldOutMeasures`.
        on_progress: receives one line for each step worth telling.
    """
    results = HeldOutResults()
    measures = HeldOutMeasures(data, category, joined)
    shares = shares_of(settings)
    base = trainer.untuned() if isinstance(trainer, KnowsBase) else None
    folds = product_folds(data, settings.folds, settings.seed)
    for number, fold in enumerate(folds, 1):
        tuned = fit(trainer, data, fold.train, settings, f"fold {number}", on_progress)
        _extend(results.before, _measure(measures, fold, base or tuned, 0.0))
        for share in shares:
            _extend(results.by_share.setdefault(share, {}), _measure(measures, fold, tuned, share))
        on_progress(f"fold {number} of {len(folds)}: measured {len(fold.held_out):,} held-out items")
    results.measures = {name: measures.measures[name] for name in results.before}
    return results


def fit(
    trainer: Trainer,
    data: TuningData,
    items: Sequence[int],
    settings: TuneSettings,
    label: str,
    on_progress: Callable[[str], None],
) -> TunedWeights:
    """Train on some items; a trainer that stops early gets products for that which no figure is measured on."""
    if isinstance(trainer, TrainsAllSteps):
        return trainer.fit(items, (), label=label, on_progress=on_progress)
    split = early_stopping_split(data, items, settings.seed)
    return trainer.fit(split.train, split.held_out, label=label, on_progress=on_progress)


def _measure(measures: HeldOutMeasures, fold: Fold, tuned: TunedWeights, share: float) -> Results:
    return measures.run(
        fold.held_out,
        lambda rows: tuned.encode_pictures(rows, share),
        lambda texts: tuned.encode_texts(texts, share),
    )


def _extend(all_results: Results, new: Results) -> None:
    for name, found in new.items():
        all_results.setdefault(name, []).extend(found)
