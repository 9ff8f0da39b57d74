"""An evaluation of recommenders as one HTML page: tables, and plots of what is found and of how much is shown."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import jinja2
import numpy as np

from firstsight.recommend.evaluation.evaluation_plots import recall_and_coverage, recall_bars, recall_by_known
from firstsight.recommend.evaluation.recommender_evaluation import ProtocolReport


def write_recommender_page(path: Path, reports: Sequence[ProtocolReport], database: str) -> None:
    """Write reports as a page that needs nothing but itself.

    Args:
        path: of the page; replaced where it exists.
        database: what was evaluated, as the page names it.

    Raises:
        OSError: the page cannot be written.
    """
    known = sorted((one for one in reports if one.first is not None), key=lambda one: one.first or 0)
    text = (
        resources.files("firstsight.recommend.evaluation")
        .joinpath("templates/evaluation.html")
        .read_text(encoding="utf-8")
    )
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["figure"] = lambda value: "" if np.isnan(value) else f"{value:.3f}"
    path.write_text(
        environment.from_string(text).render(
            database=database,
            known=recall_by_known(known) if len(known) > 1 else None,
            sections=[
                (
                    report,
                    [
                        ("What is found", recall_bars(report), "Mean recall over users, with its 95 % interval."),
                        (
                            "What is shown",
                            recall_and_coverage(report),
                            "A model at the left finds what it finds among few items.",
                        ),
                    ],
                )
                for report in reports
            ],
        ),
        encoding="utf-8",
    )
