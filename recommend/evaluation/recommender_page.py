"""Write an evaluation of recommenders as one HTML page with tables and plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from firstsight.recommend.evaluation.next_item_evaluation import ABOUT, BEST_BY, KS, NextItemReport
from firstsight.recommend.evaluation.recommender_evaluation import ModelFigures, ProtocolReport
from firstsight.retrieval.pages.plots import Svg, bar_chart, line_chart, scatter_chart
from firstsight.retrieval.pages.templating import page_template


def write_recommender_page(path: Path, reports: Sequence[ProtocolReport | NextItemReport], database: str) -> None:
    """Write reports as a page without external resources.

    Args:
        path: of the page; an existing file is replaced.
        reports: one per protocol.
        database: name of the evaluated database, for the heading.

    Raises:
        OSError: the page cannot be written.
    """
    protocols = [report for report in reports if isinstance(report, ProtocolReport)]
    by_known_events = sorted((report for report in protocols if report.first is not None), key=lambda r: r.first or 0)
    page = page_template("firstsight.recommend.evaluation", "evaluation.html").render(
        database=database,
        known=_recall_by_known_events(by_known_events) if len(by_known_events) > 1 else None,
        sections=[(report, _plots(report)) for report in protocols],
        next_sections=[
            (report, _next_plots(report), _next_figures(report))
            for report in reports
            if isinstance(report, NextItemReport)
        ],
        about_next=ABOUT,
    )
    path.write_text(page, encoding="utf-8")


def _plots(report: ProtocolReport) -> list[tuple[str, Svg, str]]:
    """Heading, plot and caption of each figure of a protocol."""
    names = [figures.model for figures in report.models]
    recalls = [figures.mean("recall") for figures in report.models]
    axis = f"recall@{report.k}"
    bars = bar_chart(
        names,
        recalls,
        [figures.interval for figures in report.models],
        x_name=axis,
        title=f"recall at {report.k} by model, {report.name}",
    )
    coverage = scatter_chart(
        names,
        [figures.coverage for figures in report.models],
        recalls,
        x_name="coverage",
        y_name=axis,
        title=f"recall by coverage, {report.name}",
    )
    return [
        ("Recall", bars, "Mean over users, with its 95 % interval."),
        ("Recall and coverage", coverage, "A model on the left shows only few items of the catalogue."),
    ]


def _next_plots(report: NextItemReport) -> list[tuple[str, Svg, str]]:
    names = [model.model for model in report.models]
    plots = []
    for figure, heading in ((BEST_BY, "HR@10"), ("ndcg@10", "NDCG@10")):
        plot = bar_chart(
            names,
            [model.figures[figure] for model in report.models],
            [model.intervals[figure] for model in report.models],
            x_name=heading,
            title=f"{heading} by model, {report.name}",
        )
        plots.append((heading, plot, "Mean over samples, with its 95 % interval over users."))
    return plots


def _next_figures(report: NextItemReport) -> list[str]:
    """Names of the figures in the table; those of cold targets only if there are any."""
    shown = [f"{name}@{k}" for name in ("hr", "ndcg") for k in KS]
    return [*shown, "warm_hr@10", *(["cold_hr@10", "cold_ndcg@10"] if report.n_cold else [])]


def _recall_by_known_events(reports: Sequence[ProtocolReport]) -> Svg:
    """Recall of each model by the number of known events of a new user; `reports` in rising order of that number."""
    by_model: dict[str, list[ModelFigures]] = {}
    for report in reports:
        for figures in report.models:
            by_model.setdefault(figures.model, []).append(figures)
    k = reports[0].k
    return line_chart(
        {model: [figures.mean("recall") for figures in rows] for model, rows in by_model.items()},
        [str(report.first) for report in reports],
        x_name="events known",
        y_name=f"recall@{k}",
        title=f"recall at {k} by events known",
    )
