"""Plots as inline SVG: axes, lines, bars, intervals and labels, from numbers and strings.

The style sheet of the page (`templates/plots.css`) has the colours. All strings are escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = Sequence[float] | NDArray[np.float64]
Ticks: TypeAlias = Sequence[tuple[float, str]]
"""Positions on an axis with their labels."""

Anchor = Literal["start", "middle", "end"]

SERIES_COLOURS = 8
"""Number of line colours in the style sheet."""

CHART_WIDTH = 460
ROW_HEIGHT = 26
NAME_WIDTH = 120
VALUE_WIDTH = 50
"""Sizes of the charts with names, in SVG units."""


class Svg(str):
    """An SVG element whose texts are escaped, so templates insert it as it is."""

    def __html__(self) -> str:
        """Return the element; Jinja calls this and does not escape the value again."""
        return self


class Plot:
    """A plot with two linear axes from 0. Values outside an axis are drawn at its end."""

    def __init__(
        self,
        *,
        x_end: float = 1.0,
        y_end: float = 1.0,
        width: float = 320,
        height: float = 240,
        left: float = 44,
        right: float = 10,
        top: float = 10,
        bottom: float = 36,
    ) -> None:
        """Start an empty plot.

        Args:
            x_end, y_end: end of each axis, above 0.
            width, height: size of the plot in SVG units, axes included.
            left, right, top, bottom: margins in SVG units.
        """
        self.x_end, self.y_end = x_end, y_end
        self.width, self.height = width, height
        self.left, self.right = left, width - right
        self.top, self.floor = top, height - bottom
        self._parts: list[str] = []

    def x(self, value: float) -> float:
        """SVG coordinate of an x value."""
        return round(self.left + (self.right - self.left) * min(max(value / self.x_end, 0), 1), 2)

    def y(self, value: float) -> float:
        """SVG coordinate of a y value."""
        return round(self.floor - (self.floor - self.top) * min(max(value / self.y_end, 0), 1), 2)

    def x_axis(self, name: str, ticks: Ticks | None = None, *, grid: bool = True) -> None:
        """Draw the ticks of the x axis, by default five, and its name."""
        for value, label in quarter_ticks(self.x_end) if ticks is None else ticks:
            if grid:
                self.vertical(value, "grid")
            self._text(self.x(value), self.floor + 14, label, "middle")
        self._text((self.left + self.right) / 2, self.height - 6, name, "middle")

    def y_axis(self, name: str, ticks: Ticks | None = None, *, grid: bool = True, css: str = "") -> None:
        """Draw the ticks of the y axis, by default five, and its name along the axis."""
        for value, label in quarter_ticks(self.y_end) if ticks is None else ticks:
            if grid:
                self.horizontal(value, "grid")
            self._text(self.left - 6, self.y(value) + 3.5, label, "end", css)
        x, middle = max(10, self.left - 44), (self.top + self.floor) / 2
        if name:
            self._text(x, middle, name, "middle", turned=True)

    def line(self, xs: Numbers, ys: Numbers, css: str = "line") -> None:
        """Draw a line through points."""
        points = " ".join(f"{self.x(x)},{self.y(y)}" for x, y in zip(xs, ys, strict=True))
        self._parts.append(f'<polyline class="{css}" points="{points}"/>')

    def dots(self, xs: Numbers, ys: Numbers, css: str = "dot", *, radius: float = 3) -> None:
        """Draw a dot at each point."""
        for x, y in zip(xs, ys, strict=True):
            self._parts.append(f'<circle class="{css}" cx="{self.x(x)}" cy="{self.y(y)}" r="{radius}"/>')

    def box(self, x: tuple[float, float], y: tuple[float, float], css: str) -> None:
        """Draw a rectangle between two x values and two y values."""
        (left, right), (bottom, top) = map(self.x, x), map(self.y, y)
        size = f'width="{right - left:.2f}" height="{bottom - top:.2f}"'
        self._parts.append(f'<rect class="{css}" x="{left}" y="{top}" {size}/>')

    def segment(self, start: tuple[float, float], end: tuple[float, float], css: str) -> None:
        """Draw a straight line between two points (x, y)."""
        self._path(f"M{self.x(start[0])} {self.y(start[1])}L{self.x(end[0])} {self.y(end[1])}", css)

    def vertical(self, value: float, css: str) -> None:
        """Draw a line over the whole height at an x value."""
        self._path(f"M{self.x(value)} {self.top}V{self.floor}", css)

    def horizontal(self, value: float, css: str) -> None:
        """Draw a line over the whole width at a y value."""
        self._path(f"M{self.left} {self.y(value)}H{self.right}", css)

    def whisker(self, x: tuple[float, float], y: float) -> None:
        """Draw a horizontal interval with end caps."""
        low, high = map(self.x, x)
        middle = self.y(y)
        self._path(f"M{low} {middle}H{high}M{low} {middle - 4}v8M{high} {middle - 4}v8", "interval")

    def label(
        self,
        x: float,
        y: float,
        text: str,
        *,
        dx: float = 0,
        dy: float = 0,
        anchor: Anchor = "start",
        css: str = "named",
    ) -> None:
        """Write a text at a point.

        Args:
            x, y: the point, in axis values.
            text: the text.
            dx, dy: offset in SVG units; dy grows downwards.
            anchor: the part of the text that is at the point.
            css: class of the text.
        """
        self._text(self.x(x) + dx, self.y(y) + dy, text, anchor, css)

    def svg(self, name: str) -> Svg:
        """Return the plot as an SVG element.

        Args:
            name: description for screen readers.
        """
        head = f'<svg class="plot" viewBox="0 0 {self.width:g} {self.height:g}" role="img" aria-label="{escape(name)}">'
        return Svg("".join([head, *self._parts, "</svg>"]))

    def _path(self, path: str, css: str) -> None:
        self._parts.append(f'<path class="{css}" d="{path}"/>')

    def _text(self, x: float, y: float, text: str, anchor: Anchor, css: str = "", *, turned: bool = False) -> None:
        style = f'class="{css}" ' if css else ""
        turn = f' transform="rotate(-90 {x:.2f} {y:.2f})"' if turned else ""
        self._parts.append(f'<text {style}x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}"{turn}>{escape(text)}</text>')


def bar_chart(
    names: Sequence[str], values: Numbers, intervals: Iterable[tuple[float, float]], *, x_name: str, title: str
) -> Svg:
    """Draw horizontal bars with intervals, the first at the top.

    Args:
        names: of the n bars.
        values: (n,) lengths, 0 to 1.
        intervals: n pairs (low, high) around the values.
        x_name: name of the axis.
        title: description for screen readers.
    """
    count = len(names)
    intervals = list(intervals)
    end = round_axis_end(max((high for _, high in intervals), default=0.0))
    plot = Plot(
        x_end=end,
        y_end=max(count, 1),
        width=CHART_WIDTH,
        height=6 + ROW_HEIGHT * count + 34,
        left=NAME_WIDTH,
        right=VALUE_WIDTH,
        top=6,
        bottom=34,
    )
    rows = [count - n - 0.5 for n in range(count)]
    plot.x_axis(x_name)
    plot.y_axis("", list(zip(rows, names, strict=True)), grid=False, css="named")
    for row, value, interval in zip(rows, values, intervals, strict=True):
        plot.box((0, value), (row - 0.27, row + 0.27), "positive")
        plot.whisker(interval, row)
        plot.label(end, row, f"{value:.3f}", dx=VALUE_WIDTH - 2, dy=4, anchor="end", css="")
    return plot.svg(title)


def scatter_chart(names: Sequence[str], xs: Numbers, ys: Numbers, *, x_name: str, y_name: str, title: str) -> Svg:
    """Draw named points; names that would overlap move down.

    Args:
        names: of the n points.
        xs: (n,) 0 to 1.
        ys: (n,) 0 to 1.
        x_name, y_name: names of the axes.
        title: description for screen readers.
    """
    plot = Plot(
        y_end=round_axis_end(max(ys, default=0.0)),
        width=CHART_WIDTH,
        left=NAME_WIDTH,
        right=VALUE_WIDTH,
        top=6,
        bottom=34,
    )
    plot.x_axis(x_name)
    plot.y_axis(y_name)
    plot.dots(xs, ys, radius=4)
    taken: list[tuple[float, float]] = []
    for name, x, y in zip(names, xs, ys, strict=True):
        left, down = plot.x(x), 4.0
        while any(abs(plot.y(y) + down - other) < 11 and abs(left - beside) < 110 for beside, other in taken):
            down += 11
        taken.append((left, plot.y(y) + down))
        on_left_half = x < 0.5
        plot.label(x, y, name, dx=8 if on_left_half else -8, dy=down, anchor="start" if on_left_half else "end")
    return plot.svg(title)


def line_chart(series: Mapping[str, Numbers], ticks: Sequence[str], *, x_name: str, y_name: str, title: str) -> Svg:
    """Draw a line for each series over evenly spaced ticks, with its name at its end.

    Args:
        series: name to values, (n,) each, 0 to 1.
        ticks: labels of the n x positions.
        x_name, y_name: names of the axes.
        title: description for screen readers.
    """
    count = len(ticks)
    plot = Plot(
        x_end=max(count - 1, 1),
        y_end=round_axis_end(max((max(values) for values in series.values()), default=0.0)),
        width=CHART_WIDTH,
        height=280,
        left=NAME_WIDTH / 2,
        right=NAME_WIDTH,
        top=6,
        bottom=34,
    )
    plot.x_axis(x_name, [(float(n), tick) for n, tick in enumerate(ticks)], grid=False)
    plot.y_axis(y_name)
    label = -100.0
    by_last = sorted(series, key=lambda name: -series[name][-1])
    for n, name in enumerate(by_last):
        values = series[name]
        plot.line(range(count), values, f"line series-{n % SERIES_COLOURS}")
        plot.dots(range(count), values, f"dot series-{n % SERIES_COLOURS}")
        end = plot.y(values[-1])
        label = max(label + 12, end + 4)  # names do not overlap
        plot.label(count - 1, values[-1], name, dx=8, dy=label - end)
    return plot.svg(title)


def interval_bar(rate: float, lower: float, upper: float, reference: float, end: float) -> Svg:
    """Draw a rate with its interval on an axis from 0 to `end`, small enough for a table cell.

    Args:
        rate: the dot; NaN for none.
        lower, upper: bounds of the interval.
        reference: a second rate as a vertical stroke; NaN for none.
        end: end of the axis, above 0.
    """
    low, high, dot, stroke = (4 + 112 * min(max(value / end, 0.0), 1.0) for value in (lower, upper, rate, reference))
    parts = ['<svg class="bar" viewBox="0 0 120 14" aria-hidden="true"><path class="grid" d="M4 7H116"/>']
    if not np.isnan(reference):
        parts.append(f'<path class="cut" d="M{stroke:.2f} 1V13"/>')
    parts.append(f'<path class="interval" d="M{low:.2f} 7H{high:.2f}"/>')
    if not np.isnan(rate):
        parts.append(f'<circle class="dot" cx="{dot:.2f}" cy="7" r="3"/>')
    return Svg("".join([*parts, "</svg>"]))


def quarter_ticks(end: float) -> Ticks:
    """Ticks at 0, a quarter, a half, three quarters and the whole of an axis."""
    return [(end * step / 4, f"{end * step / 4:.3g}") for step in range(5)]


def round_axis_end(value: float) -> float:
    """Round up to 1, 2, 4, 6, 8 or 10 times a power of ten, at most 1; 1 for 0 or less."""
    if not value > 0:
        return 1.0
    power = 1.0
    while power > value:
        power /= 10
    return min(1.0, next(power * step for step in (1, 2, 4, 6, 8, 10) if power * step >= value * 0.999))
