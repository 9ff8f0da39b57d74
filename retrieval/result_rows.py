"""Read the rows and views of result pages, and build the results from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow.compute as pc

from firstsight.encoders.base import Vector, Vectors
from firstsight.media.stored_media import open_address
from firstsight.retrieval.line_matches import NO_LINES, QueryLines, as_passage
from firstsight.retrieval.moments import Moment, find_moments
from firstsight.retrieval.page_selection import PageHit
from firstsight.retrieval.query import PartChoice
from firstsight.retrieval.ranking.candidates import Ranker
from firstsight.retrieval.results import ClipMatch, PictureTextMatch, SearchResult, ViewMatch, locate
from firstsight.retrieval.timed_product import TimedProduct, timed_products_of_videos
from firstsight.storage.facts.fact_names import with_facts
from firstsight.storage.store import Store
from firstsight.storage.tables import HIDDEN_COLUMNS, PICTURE_PARTS

MAX_MOMENTS = 5
"""Maximum number of moments in one result."""

RESULT_FIELDS = frozenset({"item_id", "kind", "title"})
"""Columns that have a field of their own in a result."""


@dataclass(frozen=True)
class ResultRows:
    """Rows of the items on some result pages, with their views."""

    items: dict[str, dict[str, Any]]  # item id to row
    views: list[dict[str, Any]]
    vectors: Vector  # (views, dim)
    places: dict[str, list[int]]  # item id to indices into `views`
    products: dict[str, tuple[TimedProduct, ...]]  # item id to the products that its videos show
    address: str  # of the database

    @classmethod
    def read(cls, store: Store, item_ids: Sequence[str]) -> ResultRows:
        """Read items and all their views."""
        distinct = list(dict.fromkeys(item_ids))
        table = store.view_rows(distinct)
        flat = pc.list_flatten(table["vector"]).to_numpy()
        columns = ["item_id", "view_id", "part", "uri", "time_s", "start_s", "end_s", "text", "line_starts"]
        views = table.select(columns).to_pylist()
        places: dict[str, list[int]] = {}
        for n, view in enumerate(views):
            view["uri"] = view["uri"] and open_address(view["uri"], store.uri)
            places.setdefault(view["item_id"], []).append(n)
        vectors = flat.reshape(len(views), store.spec.dim)
        products = timed_products_of_videos(store, distinct)
        return cls(store.item_rows(distinct), views, vectors, places, products, store.uri)

    def result(
        self,
        ranker: Ranker,
        hit: PageHit,
        lines: QueryLines = NO_LINES,
        picture_texts: Mapping[str, PictureTextMatch] | None = None,
    ) -> SearchResult:
        """Build the search result of an item.

        Args:
            lines: passages with words of the query.
            picture_texts: lines in pictures with words of the query, by item id.
        """
        # a clip is compared by its nearest frame
        encoded = ranker.encoded
        queries = encoded.frames if ranker.part == "clip" else encoded.vector[None, :]
        item_id = hit.candidate.item_id
        row = self.items[item_id]
        folder = row["catalog_dir"]
        matches = self._matches(item_id, queries, folder, encoded.query.text)
        view = _matched_view(matches, ranker.part)
        nearest = view if ranker.part == "transcript" else None
        frames = ranker.frames
        moments = None if frames is None else self._moments(item_id, queries, folder, frames.floor)
        return SearchResult(
            item_id=item_id,
            kind=row["kind"],
            title=row["title"],
            score=hit.candidate.cosine,
            relevance=hit.relevance,
            view=view,
            picture=next((match for match in matches if match.part in PICTURE_PARTS), None),
            columns=with_facts(
                (name, value) for name, value in row.items() if name not in RESULT_FIELDS | HIDDEN_COLUMNS
            ),
            others=hit.others,
            rank_score=hit.candidate.rank_score,
            boost=hit.candidate.boost,
            colour_boost=hit.candidate.colour_boost,
            moments=None if moments is None else lines.add_to_moments(moments, matches, MAX_MOMENTS, nearest),
            line=lines.best_of(item_id, matches),
            duplicates=hit.duplicates,
            variants=hit.variants,
            products=self.products.get(item_id),
            clip=self._clip(hit, folder),
            picture_text=(picture_texts or {}).get(item_id),
        )

    def _clip(self, hit: PageHit, folder: str) -> ClipMatch | None:
        clip = hit.candidate.clip
        return None if clip is None else replace(clip, uri=locate(open_address(clip.uri, self.address), folder))

    def _matches(self, item_id: str, queries: Vectors, folder: str, text: str | None) -> list[ViewMatch]:
        """Views of an item with their cosine to the query, best first."""
        places = self.places.get(item_id, [])
        scores = (self.vectors[places] @ queries.T).max(axis=1)
        matches = []
        for n in np.argsort(-scores, kind="stable"):
            view = self.views[places[n]]
            uri = None if view["uri"] is None else locate(view["uri"], folder)
            match = ViewMatch(view["part"], uri, view["time_s"], float(scores[n]), view["view_id"])
            matches.append(as_passage(match, view, text) if view["part"] == "transcript" else match)
        return matches

    def _moments(self, item_id: str, queries: Vectors, folder: str, floor: float) -> tuple[Moment, ...]:
        """Matching stretches of an item's videos, best first."""
        videos: dict[str, list[int]] = {}
        for place in self.places.get(item_id, []):
            if self.views[place]["part"] == "frame":
                videos.setdefault(self.views[place]["uri"], []).append(place)
        moments: list[Moment] = []
        for uri, places in videos.items():
            views = [self.views[place] for place in places]
            times = [view["time_s"] for view in views]
            shots = [None if view["start_s"] is None else (view["start_s"], view["end_s"]) for view in views]
            cosines = [float(cosine) for cosine in (self.vectors[places] @ queries.T).max(axis=1)]
            for moment in find_moments(locate(uri, folder), times, shots, cosines, floor=floor):
                within = [n for n, second in enumerate(times) if moment.start_s <= second <= moment.end_s]
                best = views[max(within, key=lambda n: cosines[n])]["view_id"] if within else None
                moments.append(replace(moment, view_id=best))
        return tuple(sorted(moments, key=lambda moment: -moment.score)[:MAX_MOMENTS])


def _matched_view(matches: Sequence[ViewMatch], part: PartChoice) -> ViewMatch | None:
    """Best of the compared views; with part best a picture or frame, or the title of an item that has neither.

    With part moment, it is a frame of an item that has frames, so that every result of a video names a second.
    """
    if part in {"item", "any"}:
        return next(iter(matches), None)
    if part == "moment":
        return next((match for match in matches if match.part == "frame"), next(iter(matches), None))
    if part in {"best", "clip"}:
        return next((match for match in matches if match.part in PICTURE_PARTS), next(iter(matches), None))
    return next((match for match in matches if match.part == part), None)
