"""The report on a tag as one HTML page."""

from __future__ import annotations

import os
from pathlib import Path

from firstsight.retrieval.pages.plots import Plot, Svg, interval_bar
from firstsight.retrieval.pages.templating import page_template
from firstsight.understanding.tags.training.tag_report import TagReport

SHOWN = 60
"""Maximum number of rows of a table on the page; the table gives the total."""


def write_tag_page(path: str | os.PathLike[str], report: TagReport, database: str) -> None:
    """Write the report as one self-contained page.

    Args:
        path: path of the page; an existing file is replaced.
        report: figures of a version.
        database: address of the database, for the heading.

    Raises:
        OSError: the page cannot be written.
    """
    shown = report.slices[:SHOWN]
    end = max([0.01, *(one.upper for one in shown if one.trials)])
    page = page_template("firstsight.api.understanding", "tags.html").render(
        database=database,
        report=report,
        values=sorted(report.values, key=lambda one: (-one.items, one.value)),
        reliability_plot=_reliability_plot(report),
        slices=[(one, interval_bar(one.rate, one.lower, one.upper, one.rest, end)) for one in shown],
    )
    Path(path).write_text(page, encoding="utf-8")


def _reliability_plot(report: TagReport) -> Svg | None:
    """Share of right values in each bin by its mean probability, with 95 % intervals; the diagonal is perfect."""
    bins = report.calibration
    if bins is None:
        return None
    plot = Plot()
    plot.x_axis("mean probability")
    plot.y_axis("share that is right")
    plot.segment((0, 0), (1, 1), "base")
    for x, low, high in zip(bins.score, bins.lower, bins.upper, strict=True):
        plot.segment((x, low), (x, high), "interval")
    plot.line(bins.score, bins.observed)
    plot.dots(bins.score, bins.observed)
    return plot.svg(f"reliability, calibration error {bins.calibration_error:.3f}")
