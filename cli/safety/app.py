"""`firstsight safety`: score items by policy, review them, and keep an audit log."""

from __future__ import annotations

from firstsight.cli.commands import group
from firstsight.cli.safety import hashes, report, review, robustness, scores, training

app = group(
    "Score items by policy, block or review them, and keep an audit log.",
    examples=[
        "safety policies",
        "safety score",
        "safety explain sneakers-red",
        "safety queue",
        "safety train labels.csv",
        "safety robustness labels.csv",
    ],
)
scores.register(app)
review.register(app)
training.register(app)
report.register(app)
robustness.register(app)
app.add_typer(hashes.app, name="hashes", rich_help_panel="Known pictures")
