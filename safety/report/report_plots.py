"""Plots of the safety report: precision and recall, reliability, scores and drift."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from firstsight.heads.curves import Histogram, PrecisionRecall, Reliability
from firstsight.heads.drift import Drift
from firstsight.retrieval.pages.plots import Plot, Svg, round_axis_end

MAX_POINTS = 400
"""Maximum number of points of a curve. More points would not be visible, but they would make the page larger."""


def precision_recall_plot(curve: PrecisionRecall, marks: Sequence[tuple[str, float]] = ()) -> Svg:
    """Precision by recall, with the prevalence as a dashed line and named thresholds as dots.

    Args:
        curve: the curve.
        marks: (name, threshold).
    """
    plot = Plot()
    plot.x_axis("recall")
    plot.y_axis("precision")
    # points evenly spread over recall, with the first and the last
    kept = np.unique(np.searchsorted(curve.recall, np.linspace(0, curve.recall[-1], MAX_POINTS)))
    plot.line(curve.recall[kept], curve.precision[kept])
    plot.horizontal(curve.prevalence, "base")
    for name, cut in marks:
        place = int(np.searchsorted(-curve.cuts, -cut, side="right")) - 1
        if place >= 0:
            x, y = float(curve.recall[place]), float(curve.precision[place])
            plot.dots([x], [y], "mark", radius=4)
            on_right_half = x > 0.5
            plot.label(x, y, name, dx=-8 if on_right_half else 8, dy=14, anchor="end" if on_right_half else "start")
    return plot.svg(f"precision by recall, average precision {curve.average_precision:.3f}")


def reliability_plot(reliability: Reliability) -> Svg:
    """Share of positives in each bin by its mean score, with 95 % intervals; the diagonal is perfect."""
    # at a low prevalence nearly all bins are near 0; an interval may then exceed the frame
    end = round_axis_end(max(float(reliability.score.max()), float(reliability.observed.max()), 0.01))
    plot = Plot(x_end=end, y_end=end)
    plot.x_axis("mean score")
    plot.y_axis("share of positives")
    plot.segment((0, 0), (end, end), "base")
    for x, low, high in zip(reliability.score, reliability.lower, reliability.upper, strict=True):
        plot.segment((x, low), (x, high), "interval")
    plot.line(reliability.score, reliability.observed)
    plot.dots(reliability.score, reliability.observed)
    return plot.svg(f"reliability, calibration error {reliability.calibration_error:.3f}")


def histogram_plot(histogram: Histogram, marks: Sequence[tuple[str, float]] = ()) -> Svg:
    """Share of each class by score, on a square-root scale, since most negatives are in one bin.

    Args:
        histogram: shares per bin.
        marks: (name, threshold), drawn as vertical lines.
    """
    end = float(histogram.edges[-1])
    plot = Plot(x_end=end)
    plot.x_axis("score")
    plot.y_axis("√ share of class")
    for css, shares in (("negative", histogram.negatives), ("positive", histogram.positives)):
        for share, left, right in zip(shares, histogram.edges[:-1], histogram.edges[1:], strict=True):
            if share > 0:
                plot.box((left, right), (0, float(np.sqrt(share))), css)
    for n, (name, cut) in enumerate(marks):
        plot.vertical(cut, "cut")
        dx = -4 if cut > end / 2 else 4
        plot.label(cut, 1, name, dx=dx, dy=12 + 13 * n, anchor="end" if dx < 0 else "start")
    return plot.svg("scores of positives and negatives")


def drift_plot(drift: Drift) -> Svg:
    """Shares of the reference and of today in each bin, next to each other."""
    highest = float(max(drift.reference.max(), drift.today.max()))
    plot = Plot(x_end=float(len(drift.today)), y_end=round_axis_end(highest))
    plot.x_axis("bin of reference scores")
    plot.y_axis("share")
    for n, (reference, today) in enumerate(zip(drift.reference, drift.today, strict=True)):
        plot.box((n + 0.1, n + 0.5), (0, reference), "negative")
        plot.box((n + 0.5, n + 0.9), (0, today), "positive")
    return plot.svg(f"drift, stability index {drift.psi:.3f}")
