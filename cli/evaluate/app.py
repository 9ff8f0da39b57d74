"""`firstsight evaluate`: measure search and recommendation quality."""

from __future__ import annotations

from firstsight.cli.commands import group
from firstsight.cli.evaluate import links, recommend, robustness, search, slates

app = group(
    "Measure how well search and recommendation rank items.",
    examples=[
        "evaluate search --judgements judged.csv --html page.html",
        "evaluate recommend --protocol item-cold",
        "evaluate recommend --samples next_item.jsonl",
        "evaluate slates --diversity 0.3",
        "evaluate links links.csv",
        "evaluate robustness --html page.html",
    ],
)
search.register(app)
recommend.register(app)
slates.register(app)
links.register(app)
robustness.register(app)
