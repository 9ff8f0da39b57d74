"""`firstsight safety`: policies, heads, scores, decisions, known pictures and people's review."""

from __future__ import annotations

import typer

from firstsight.cli import safety_hashes, safety_report, safety_review, safety_scores, safety_training

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)
safety_scores.register(app)
safety_training.register(app)
safety_review.register(app)
safety_report.register(app)
app.add_typer(safety_hashes.app, name="hashes")


@app.callback()
def safety() -> None:
    """Find what policies forbid, decide about it with evidence, and keep a log that shows every change."""
