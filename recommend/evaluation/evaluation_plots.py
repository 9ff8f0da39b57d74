"""Plots of an evaluation as inline SVG; colours come from the page's style sheet.

What goes into the markup is numbers, and names that are escaped where they are put in.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from firstsight.recommend.evaluation.recommender_evaluation import ModelFigures, ProtocolReport

WIDTH = 460
ROW = 26
NAMES = 120
VALUES = 50
TOP = 6
BOTTOM = 34

SERIES = 8
"""Lines that the style sheet tells apart."""


def recall_bars(report: ProtocolReport) -> Markup:
    """Recall of every model as a bar with its 95 % interval, the best first."""
    end = round_axis_end(max((one.interval[1] for one in report.models), default=0.0))
    height = TOP + ROW * len(report.models) + BOTTOM
    parts = [_open_svg(WIDTH, height, f"recall at {report.k} by model, {report.name}"), _grid(end, height)]
    for row, one in enumerate(report.models):
        middle = TOP + ROW * row + ROW / 2
        x, low, high = (_x(value, end) for value in (one.mean("recall"), *one.interval))
        parts.append(
            f'<text class="named" x="{NAMES - 8}" y="{middle + 4}" text-anchor="end">{escape(one.model)}</text>'
            f'<rect class="positive" x="{NAMES}" y="{middle - 7}" width="{x - NAMES:.2f}" height="14"/>'
            f'<path class="interval" d="M{low} {middle}H{high}M{low} {middle - 4}v8M{high} {middle - 4}v8"/>'
            f'<text x="{WIDTH - 2}" y="{middle + 4}" text-anchor="end">{one.mean("recall"):.3f}</text>'
        )
    parts.append(
        f'<text x="{(NAMES + WIDTH - VALUES) / 2}" y="{height - 6}" text-anchor="middle">recall@{report.k}</text>'
    )
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704


def recall_and_coverage(report: ProtocolReport) -> Markup:
    """Every model by what it finds and by how much of the catalogue anybody gets to see."""
    end = round_axis_end(max((one.mean("recall") for one in report.models), default=0.0))
    height = 240
    floor = height - BOTTOM
    parts = [_open_svg(WIDTH, height, f"recall by coverage, {report.name}"), _grid(1.0, height)]
    for step in range(5):
        y = floor - (floor - TOP) * step / 4
        parts.append(f'<path class="grid" d="M{NAMES} {y}H{WIDTH - VALUES}"/>')
        parts.append(f'<text x="{NAMES - 6}" y="{y + 3.5}" text-anchor="end">{end * step / 4:.3g}</text>')
    taken: list[tuple[float, float]] = []
    for one in report.models:
        x = _x(one.coverage, 1.0)
        y = floor - (floor - TOP) * one.mean("recall") / end
        right = x < (NAMES + WIDTH - VALUES) / 2
        label = y + 4
        while any(abs(label - other) < 11 and abs(x - beside) < 110 for beside, other in taken):
            label += 11  # names that would stand on each other
        taken.append((x, label))
        parts.append(f'<circle class="dot" cx="{x}" cy="{y:.2f}" r="4"/>')
        parts.append(
            f'<text class="named" x="{x + (8 if right else -8)}" y="{label:.2f}" '
            f'text-anchor="{"start" if right else "end"}">{escape(one.model)}</text>'
        )
    parts.append(f'<text x="{(NAMES + WIDTH - VALUES) / 2}" y="{height - 6}" text-anchor="middle">coverage</text>')
    turned = f'transform="rotate(-90 {NAMES - 44} {floor / 2})"'
    parts.append(f'<text x="{NAMES - 44}" y="{floor / 2}" text-anchor="middle" {turned}>recall@{report.k}</text>')
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704


def recall_by_known(reports: Sequence[ProtocolReport]) -> Markup:
    """Recall of every model by how many events of a new user are known; `reports` are "user-cold", fewest first."""
    figures: dict[str, list[ModelFigures]] = {}
    for report in reports:
        for one in report.models:
            figures.setdefault(one.model, []).append(one)
    end = round_axis_end(max(one.mean("recall") for some in figures.values() for one in some))
    height = 280
    floor = height - BOTTOM
    k = reports[0].k
    parts = [_open_svg(WIDTH, height, f"recall at {k} by events known")]
    places = [NAMES / 2 + (WIDTH - NAMES * 1.6) * n / max(len(reports) - 1, 1) for n in range(len(reports))]
    for step in range(5):
        y = floor - (floor - TOP) * step / 4
        parts.append(f'<path class="grid" d="M{NAMES / 2} {y}H{places[-1]}"/>')
        parts.append(f'<text x="{NAMES / 2 - 6}" y="{y + 3.5}" text-anchor="end">{end * step / 4:.3g}</text>')
    for x, report in zip(places, reports, strict=True):
        parts.append(f'<text x="{x}" y="{floor + 14}" text-anchor="middle">{report.first}</text>')
    last = sorted(figures, key=lambda name: -figures[name][-1].mean("recall"))
    label = -100.0
    for n, name in enumerate(last):
        ys = [floor - (floor - TOP) * one.mean("recall") / end for one in figures[name]]
        points = " ".join(f"{x:.2f},{y:.2f}" for x, y in zip(places, ys, strict=True))
        label = max(label + 12, ys[-1] + 4)
        parts.append(f'<polyline class="line series-{n % SERIES}" points="{points}"/>')
        parts += [
            f'<circle class="dot series-{n % SERIES}" cx="{x:.2f}" cy="{y:.2f}" r="3"/>'
            for x, y in zip(places, ys, strict=True)
        ]
        parts.append(f'<text class="named" x="{places[-1] + 8}" y="{label:.2f}">{escape(name)}</text>')
    parts.append(f'<text x="{(places[0] + places[-1]) / 2}" y="{height - 4}" text-anchor="middle">events known</text>')
    turned = f'transform="rotate(-90 10 {floor / 2})"'
    parts.append(f'<text x="10" y="{floor / 2}" text-anchor="middle" {turned}>recall@{k}</text>')
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704


def round_axis_end(value: float) -> float:
    """The next of 1, 2, 4, 6, 8 or 10 times a power of ten, at most 1; 1 for nothing."""
    if not value > 0:
        return 1.0
    power = 1.0
    while power > value:
        power /= 10
    return min(1.0, next(power * step for step in (1, 2, 4, 6, 8, 10) if power * step >= value * 0.999))


def _open_svg(width: int, height: float, name: str) -> str:
    return f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(name)}">'


def _grid(end: float, height: float) -> str:
    floor = height - BOTTOM
    parts = []
    for step in range(5):
        x = _x(end * step / 4, end)
        parts.append(f'<path class="grid" d="M{x} {TOP}V{floor}"/>')
        parts.append(f'<text x="{x}" y="{floor + 14}" text-anchor="middle">{end * step / 4:.3g}</text>')
    return "".join(parts)


def _x(value: float, end: float) -> float:
    return round(NAMES + (WIDTH - NAMES - VALUES) * min(max(value / end, 0), 1), 2)
