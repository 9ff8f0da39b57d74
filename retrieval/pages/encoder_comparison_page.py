"""Write a comparison of two encoders as one HTML page: the figures, and the queries that change most."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.policy import MediaPolicy
from firstsight.retrieval.evaluation.encoder_comparison import AFTER, BEFORE, ComparedQuery, EncoderComparison
from firstsight.retrieval.pages.search_evaluation_page import LABELS, MAX_SHOWN_ITEMS, ItemCards
from firstsight.retrieval.pages.templating import PAGES, page_template
from firstsight.storage.store import Store

MAX_WORST_QUERIES = 12
"""Number of queries shown."""


def write_encoder_comparison(path: Path, comparison: EncoderComparison, store: Store, *, policy: MediaPolicy) -> None:
    """Write a comparison as a page without external resources. If a picture cannot be read, its place has the reason.

    Args:
        path: of the page; an existing file is replaced.
        comparison: the figures.
        store: the database, for titles and pictures of the items.
        policy: limits for reading the pictures; local files are read from any folder, since the index has their paths.

    Raises:
        OSError: the page cannot be written.
    """
    worst = comparison.worst(MAX_WORST_QUERIES)
    ids = {item_id for query in worst for of in (query.before, query.after) for item_id in of[:MAX_SHOWN_ITEMS]}
    with VideoSampler() as sampler:
        cards = ItemCards(store, replace(policy, allow_anywhere=True), sampler, sorted(ids))
        queries = [_query(query, cards) for query in worst]
    page = page_template(PAGES, "encoder_comparison.html").render(
        comparison=comparison,
        names={BEFORE: comparison.before, AFTER: comparison.after},
        labels=LABELS,
        queries=queries,
    )
    path.write_text(page, encoding="utf-8")


def _query(compared: ComparedQuery, cards: ItemCards) -> dict[str, Any]:
    query = compared.query
    sides = {BEFORE: compared.before, AFTER: compared.after}
    return {
        "name": compared.name,
        "picture": None if query.image is None else cards.query_picture(query.image),
        "overlap": compared.overlap,
        "ndcg": None if compared.ndcg_before is None else (compared.ndcg_before, compared.ndcg_after),
        "sides": {
            side: [
                cards.card(item_id, f"{rank}.", relevant=query.grades.get(item_id, 0) > 0)
                for rank, item_id in enumerate(ids[:MAX_SHOWN_ITEMS], 1)
            ]
            for side, ids in sides.items()
        },
    }
