"""Write the report of a tuning run as one HTML page."""

from __future__ import annotations

from pathlib import Path

from firstsight.retrieval.pages.plots import Svg, line_chart
from firstsight.retrieval.pages.templating import page_template
from firstsight.tuning.evaluation.held_out import HeldOutResults
from firstsight.tuning.report.query_changes import QueryChange, Thumbnails, largest_changes
from firstsight.tuning.tune_report import TuneReport
from firstsight.tuning.tuning_data import TuningData


def write_tune_page(path: Path, report: TuneReport, held_out: HeldOutResults, data: TuningData) -> None:
    """Write a page without external resources; its pictures are small JPEGs inside it.

    Args:
        path: of the page; an existing file is replaced.
        report: figures.
        held_out: results of the queries.
        data: the catalogue.

    Raises:
        OSError: the page cannot be written.
    """
    gained, lost = _changes(report, held_out, data)
    page = page_template("firstsight.tuning.report", "tuning.html").render(
        report=report, curve=_curve(report), gained=gained, lost=lost
    )
    path.write_text(page, encoding="utf-8")


def _curve(report: TuneReport) -> Svg | None:
    if not report.curve:
        return None
    series = {
        short_name(name): [point.figures[name] for point in report.curve]
        for name in (figure.measure for figure in report.figures)
        if all(name in point.figures for point in report.curve)
    }
    general = [point.general for point in report.curve if point.general is not None]
    if len(general) == len(report.curve):
        series["general"] = general
    if not series:
        return None
    return line_chart(
        series,
        [f"{point.share:g}" for point in report.curve],
        x_name="share of the tuned weights",
        y_name="figure",
        title="Held-out figures by the share of the tuned weights",
    )


def short_name(measure: str) -> str:
    """Name a measure in the few letters that fit beside a line."""
    query, _, found = measure.partition(" -> ")
    if "both right" in found:
        return "both right"
    return query if found.startswith("picture P") else found.rpartition(" R@")[0]


def _changes(
    report: TuneReport, held_out: HeldOutResults, data: TuningData
) -> tuple[list[QueryChange], list[QueryChange]]:
    before = held_out.before.get(report.decisive, [])
    after = held_out.by_share.get(report.share, {}).get(report.decisive, [])
    gained, lost = largest_changes(before, after)
    titles = [data.items[item].phrases.get("title", data.items[item].item_id) for item in data.picture_items]
    thumbnails = Thumbnails(data.pictures, titles)
    return [thumbnails.change(*pair) for pair in gained], [thumbnails.change(*pair) for pair in lost]
