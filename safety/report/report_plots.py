"""Small plots as inline SVG: lines, bins with intervals, bars. Colours come from the page's style sheet.

The markup holds numbers and escaped names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from firstsight.heads.array_types import Floats
from firstsight.heads.curves import Histogram, PrecisionRecall, Reliability
from firstsight.heads.drift import Drift

WIDTH, HEIGHT = 320, 240
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 10, 36

MAX_POINTS = 400
"""Maximum number of points of a curve: more would be invisible at this size, and the page would grow."""


@dataclass(frozen=True)
class _Axes:
    """Frame with x and y from 0 to a given end."""

    x_end: float
    y_end: float

    def x(self, value: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * min(max(value / self.x_end, 0), 1), 2)

    def y(self, value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(max(value / self.y_end, 0), 1), 2)

    def drawn(self, name: str, x_name: str, y_name: str, inside: Sequence[str]) -> Markup:
        """Return the whole plot; screen readers read `name`."""
        parts = [f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">']
        for step in range(5):
            x, y = self.x_end * step / 4, self.y_end * step / 4
            parts.append(
                f'<path class="grid" d="M{LEFT} {self.y(y)}H{WIDTH - RIGHT}M{self.x(x)} {TOP}V{HEIGHT - BOTTOM}"/>'
            )
            parts.append(f'<text x="{LEFT - 6}" y="{self.y(y) + 3.5}" text-anchor="end">{y:.3g}</text>')
            parts.append(f'<text x="{self.x(x)}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{x:.3g}</text>')
        across, down = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
        turned = f'transform="rotate(-90 10 {down})"'
        parts.append(f'<text x="{across}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_name)}</text>')
        parts.append(f'<text x="10" y="{down}" text-anchor="middle" {turned}>{escape(y_name)}</text>')
        return Markup("".join([*parts, *inside, "</svg>"]))  # noqa: S704


def precision_recall_plot(curve: PrecisionRecall, marks: Sequence[tuple[str, float]] = ()) -> Markup:
    """Draw precision by recall, with the prevalence as a dashed line and named cuts as dots.

    Args:
        curve: the curve.
        marks: (name, cut) of each dot.
    """
    axes = _Axes(1.0, 1.0)
    # points spread evenly over recall, with the first and the last
    kept = np.unique(np.searchsorted(curve.recall, np.linspace(0, curve.recall[-1], MAX_POINTS)))
    inside = [_line(axes, curve.recall[kept], curve.precision[kept])]
    inside.append(f'<path class="base" d="M{LEFT} {axes.y(curve.prevalence)}H{WIDTH - RIGHT}"/>')
    for name, cut in marks:
        place = int(np.searchsorted(-curve.cuts, -cut, side="right")) - 1
        if place >= 0:
            x, y = axes.x(float(curve.recall[place])), axes.y(float(curve.precision[place]))
            end = "end" if x > WIDTH / 2 else "start"
            inside.append(f'<circle class="mark" cx="{x}" cy="{y}" r="4"/>')
            inside.append(
                f'<text class="named" x="{x + (-8 if end == "end" else 8)}" y="{y + 14}" text-anchor="{end}">'
                f"{escape(name)}</text>"
            )
    name = f"precision by recall, average precision {curve.average_precision:.3f}"
    return axes.drawn(name, "recall", "precision", inside)


def reliability_plot(bins: Reliability) -> Markup:
    """Draw the share of positives in each bin by its mean score, with 95 % intervals; the diagonal is perfect."""
    # at a low prevalence nearly all bins are near 0; an interval may leave the frame
    end = _nice(max(float(bins.score.max()), float(bins.observed.max()), 0.01))
    axes = _Axes(end, end)
    inside = [f'<path class="base" d="M{axes.x(0)} {axes.y(0)}L{axes.x(end)} {axes.y(end)}"/>']
    for x, low, high in zip(bins.score, bins.lower, bins.upper, strict=True):
        inside.append(f'<path class="interval" d="M{axes.x(x)} {axes.y(low)}V{axes.y(high)}"/>')
    inside.append(_line(axes, bins.score, bins.observed))
    inside += [
        f'<circle class="dot" cx="{axes.x(x)}" cy="{axes.y(y)}" r="3"/>'
        for x, y in zip(bins.score, bins.observed, strict=True)
    ]
    name = f"reliability, calibration error {bins.calibration_error:.3f}"
    return axes.drawn(name, "mean score", "share of positives", inside)


def histogram_plot(histogram: Histogram, marks: Sequence[tuple[str, float]] = ()) -> Markup:
    """Draw the shares of each class by score, on a square-root scale, because most negatives are in one bin."""
    axes = _Axes(float(histogram.edges[-1]), 1.0)
    inside = []
    for name, shares in (("negative", histogram.negatives), ("positive", histogram.positives)):
        for share, left, right in zip(shares, histogram.edges[:-1], histogram.edges[1:], strict=True):
            if share > 0:
                x, y = axes.x(left), axes.y(float(np.sqrt(share)))
                inside.append(
                    f'<rect class="{name}" x="{x}" y="{y}" width="{axes.x(right) - x:.2f}" '
                    f'height="{HEIGHT - BOTTOM - y:.2f}"/>'
                )
    for n, (name, cut) in enumerate(marks):
        x = axes.x(cut)
        end = "end" if x > WIDTH / 2 else "start"
        inside.append(f'<path class="cut" d="M{x} {TOP}V{HEIGHT - BOTTOM}"/>')
        inside.append(
            f'<text class="named" x="{x + (-4 if end == "end" else 4)}" y="{TOP + 12 + 13 * n}" text-anchor="{end}">'
            f"{escape(name)}</text>"
        )
    return axes.drawn("scores of positives and negatives", "score", "√ share of class", inside)


def drift_plot(drift: Drift) -> Markup:
    """Draw the shares of reference scores and of current scores in each bin, side by side."""
    axes = _Axes(float(len(drift.today)), _nice(max(drift.reference.max(), drift.today.max())))
    inside = []
    for n, (then, now) in enumerate(zip(drift.reference, drift.today, strict=True)):
        for name, share, left in (("negative", then, n + 0.1), ("positive", now, n + 0.5)):
            x, y = axes.x(left), axes.y(share)
            inside.append(
                f'<rect class="{name}" x="{x}" y="{y}" width="{axes.x(left + 0.4) - x:.2f}" '
                f'height="{HEIGHT - BOTTOM - y:.2f}"/>'
            )
    return axes.drawn(f"drift, stability index {drift.psi:.3f}", "bin of reference scores", "share", inside)


def interval_bar(rate: float, lower: float, upper: float, rest: float, end: float) -> Markup:
    """Draw a rate with its interval on a scale from 0 to `end`, and the rate of the rest as a stroke."""
    x = [
        round(4 + 112 * min(max(value / end, 0.0), 1.0), 2) if value == value else None
        for value in (lower, upper, rate, rest)
    ]
    parts = ['<svg class="bar" viewBox="0 0 120 14" aria-hidden="true"><path class="grid" d="M4 7H116"/>']
    if x[3] is not None:
        parts.append(f'<path class="cut" d="M{x[3]} 1V13"/>')
    parts.append(f'<path class="interval" d="M{x[0]} 7H{x[1]}"/>')
    if x[2] is not None:
        parts.append(f'<circle class="dot" cx="{x[2]}" cy="7" r="3"/>')
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704


def _line(axes: _Axes, xs: Floats, ys: Floats) -> str:
    points = " ".join(f"{axes.x(x)},{axes.y(y)}" for x, y in zip(xs, ys, strict=True))
    return f'<polyline class="line" points="{points}"/>'


def _nice(value: float) -> float:
    """Round up to 1, 2, 4 or 10 times a power of ten, at most 1."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(min(1.0, next(power * factor for factor in (1, 2, 4, 10) if power * factor >= value * 0.999)))
