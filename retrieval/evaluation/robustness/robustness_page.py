"""Write a measurement of robustness as one HTML page: plots with example pictures, tables, and slices."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from firstsight.retrieval.evaluation.robustness.robustness_report import (
    ALL,
    TASKS,
    RobustnessFigure,
    RobustnessReport,
    RobustnessTask,
)
from firstsight.retrieval.pages.plots import Plot, Svg, interval_bar
from firstsight.retrieval.pages.templating import PAGES, page_template

ABOUT: dict[RobustnessTask, str] = {
    "picture to product": "The query is a corrupted picture, compared with intact pictures; its product is relevant.",
    "text to picture": "The query is a text, compared with the corrupted pictures of the sample.",
    "typos": "The query is a text with typos, compared with intact pictures.",
    "paraphrases": "The query is a text in other words, compared with intact pictures. Each row has the texts that the "
    "rule changes.",
}

DRAWN: dict[RobustnessTask, int] = {"picture to product": 1, "text to picture": 10, "typos": 10}
"""Tasks with a line in a plot, and the depth of the recall in it."""

_TOP = 1.2  # end of the axis: a change may also raise the recall a little
_MAX_UNREADABLE = 20  # messages on the page


def write_robustness_page(path: Path, report: RobustnessReport) -> None:
    """Write a report as a page without external resources.

    Args:
        path: of the page; an existing file is replaced.
        report: the report.

    Raises:
        OSError: the page cannot be written.
    """
    corruptions = _changes(report, "picture to product")
    page = page_template(PAGES, "robustness.html").render(
        report=report,
        legend=[(f"series-{n}", f"{task}, recall@{k}") for n, (task, k) in enumerate(DRAWN.items())],
        plots=[
            {
                "name": name,
                "svg": _plot(report, name, ("picture to product", "text to picture")),
                "examples": _shown(report, name),
            }
            for name in corruptions
        ],
        typos=_plot(report, "typos", ("typos",)) if _changes(report, "typos") else None,
        tables=[_table(report, task) for task in TASKS if _changes(report, task)],
        slices=_slices(report),
        unreadable=report.unreadable[:_MAX_UNREADABLE],
    )
    path.write_text(page, encoding="utf-8")


def _changes(report: RobustnessReport, task: RobustnessTask) -> list[str]:
    names = dict.fromkeys(one.change for one in report.figures if one.task == task and one.column is None)
    return [name for name in names if name != ALL]


def _plot(report: RobustnessReport, change: str, tasks: Sequence[RobustnessTask]) -> Svg:
    """Draw the kept recall at each strength, with intervals; strength 0 is the intact picture or text."""
    strengths = sorted({f.strength for f in report.figures if f.change == change and f.strength is not None})
    end = max(strengths, default=1)
    plot = Plot(x_end=float(end), y_end=_TOP, height=200)
    plot.x_axis("strength", [(float(n), str(n)) for n in (0, *strengths)], grid=False)
    plot.y_axis("recall kept", [(share / 4, f"{share / 4:g}") for share in range(5)])
    for task in tasks:
        series = list(DRAWN).index(task)
        figures = [f for f in report.select(task, change, DRAWN[task]) if f.strength is not None and f.kept == f.kept]
        points = [(0.0, 1.0), *((float(f.strength or 0), f.kept) for f in figures)]
        plot.line([x for x, _ in points], [y for _, y in points], f"line series-{series}")
        for figure in figures:
            x = float(figure.strength or 0)
            plot.segment((x, figure.low), (x, figure.high), "interval")
        plot.dots([x for x, _ in points], [y for _, y in points], f"dot series-{series}")
    told = "; ".join(f"{task}, recall at {DRAWN[task]}" for task in tasks)
    return plot.svg(
        f"Share of the recall kept under {change} at each strength: {told}. The table below has the values."
    )


def _shown(report: RobustnessReport, change: str) -> list[str]:
    return [
        "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii") for data in report.examples.get(change, ())
    ]


def _table(report: RobustnessReport, task: RobustnessTask) -> dict[str, Any]:
    changes = [*_changes(report, task), ALL]
    figures = [one for one in report.figures if one.task == task and one.column is None]
    strengths = sorted({one.strength for one in figures if one.strength is not None})
    rows = []
    for k in sorted({one.k for one in figures}):
        for change in changes:
            by_strength = {one.strength: one for one in figures if (one.change, one.k) == (change, k)}
            if not by_strength:
                continue
            mean = by_strength.get(None) or next(iter(by_strength.values()))
            rows.append({"change": change, "k": k, "figures": [by_strength.get(s) for s in strengths], "mean": mean})
    return {"task": task, "about": ABOUT[task], "strengths": strengths, "rows": rows}


def _slices(report: RobustnessReport) -> list[dict[str, Any]]:
    """Tables of the slices: the mean over all changes of a task."""
    found = []
    for task in TASKS:
        changes = _changes(report, task)
        change = ALL if len(changes) > 1 else next(iter(changes), ALL)
        depth = DRAWN.get(task, 10)
        for column in dict.fromkeys(f.column for f in report.figures if f.task == task and f.column is not None):
            rows = report.select(task, change, depth, column=column)
            overall = [f for f in report.select(task, change, depth) if f.strength is None or len(changes) == 1]
            if rows:
                whole = overall[-1].kept if overall else float("nan")
                bars = [{"figure": row, "bar": _bar(row, whole)} for row in rows]
                found.append({"task": task, "column": column, "k": depth, "whole": whole, "rows": bars})
    return found


def _bar(figure: RobustnessFigure, whole: float) -> Svg | str:
    if figure.kept != figure.kept:
        return ""
    return interval_bar(figure.kept, figure.low, figure.high, whole, _TOP)
