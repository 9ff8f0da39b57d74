"""`firstsight tags`: categories and attributes of items, learned from a shop's own labels."""

from __future__ import annotations

from firstsight.cli.commands import group
from firstsight.cli.understanding import tag_reading, tag_training

app = group(
    "Learn categories and attributes from labels, and tag items.",
    examples=[
        "tags train labels.csv",
        "tags train --column category",
        "tags explain sneakers-red",
        "tags correct sneakers-red category=shoes --by ana",
        "tags report category --html report.html",
    ],
    note="A label file has the columns item_id, label and optionally tag. New items are tagged when they are indexed. "
    "Filters write tags.NAME, e.g. --where \"tags.category = 'shoes'\".",
)
tag_training.register(app)
tag_reading.register(app)
