"""Items similar to an item with frames: frames are compared with frames, as in a search by clip.

The fused vector of a video is the mean of its title and of all its frames, so it hardly shows that two videos share a
scene. `rank_by_clip` finds candidates by the vectors of views and compares all pictures and frames of each. Items whose
video contains the item's video, by their fingerprints, come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import Encoder
from firstsight.errors import FirstsightError
from firstsight.media.policy import MediaPolicy
from firstsight.media.stored_media import open_address
from firstsight.recommend.items import ItemSpace
from firstsight.recommend.slates.moments.best_moments import Wanted
from firstsight.recommend.slates.rules.slate_products import SlateProducts
from firstsight.retrieval.query import Query
from firstsight.retrieval.ranking.clip_ranking import rank_by_clip
from firstsight.retrieval.ranking.fetch_batching import run_rankings
from firstsight.retrieval.ranking.item_reader import SELECTIVE_ITEMS, ItemReader
from firstsight.retrieval.ranking.query_encoding import EncodedQuery, encode_queries
from firstsight.retrieval.results import ClipMatch, locate
from firstsight.storage.store import Store
from firstsight.vectors import Vectors

_SAMPLED = 1_000  # items of which the cosine of a random item is measured


@dataclass(frozen=True)
class Similarity:
    """An item similar to another one."""

    place: int  # its row in the space
    score: float  # -1 to 1
    clip: ClipMatch | None = None  # where its video contains that of the other item


def read_clip(store: Store, item_id: str) -> EncodedQuery | None:
    """Read the frames and fingerprints of an item as a query; None if it has no frames.

    Raises:
        QueryError: the item does not exist, or has no vector.
    """
    (encoded,) = encode_queries(store, [Query(items=[item_id])], encoder=_no_encoder, policy=MediaPolicy())
    if isinstance(encoded, FirstsightError):
        raise encoded
    return encoded if len(encoded.frames) else None


def similar_to_clip(
    store: Store,
    space: ItemSpace,
    clip: EncodedQuery,
    k: int,
    *,
    allowed: NDArray[np.bool_],
    near_duplicate: float = 1.0,
    products: SlateProducts | None = None,
) -> list[Similarity]:
    """Find the items with the most similar pictures and frames, best first.

    Args:
        store: the database, of the same version as the space.
        space: all items.
        clip: the item, from `read_clip`.
        k: maximum number of results.
        allowed: (n,) the items that may be found.
        near_duplicate: cosine of fused vectors from which two results count as the same; only the first one is kept. 1
            keeps all.
        products: of the items; the first variant of each is found. None for every item.
    """
    reader = _SpaceReader(store=store, encoded=clip, condition=None, part="clip", space=space, may_be_found=allowed)
    need = k
    while True:
        (ranking,) = run_rankings(store, [rank_by_clip(reader, need)])
        if isinstance(ranking, FirstsightError):
            raise ranking
        found: list[Similarity] = []
        codes: set[int] = set()
        places = space.places(candidate.item_id for candidate in ranking.candidates)
        for place, candidate in zip(places.tolist(), ranking.candidates, strict=True):
            code = -1 if products is None else int(products.codes[place])
            if code in codes:
                continue
            if near_duplicate < 1:
                kept = space.vectors[[similarity.place for similarity in found]]
                if (kept @ space.vectors[place] >= near_duplicate).any():
                    continue
            found.append(Similarity(place, candidate.cosine, candidate.clip))
            codes |= {code} - {-1}
            if len(found) == k:
                break
        if ranking.complete or len(found) == k:
            return _locate_clips(store, space, found)
        need = 4 * len(ranking.candidates)


def wanted_moment(space: ItemSpace, vectors: Vectors) -> Wanted:
    """Choose what the frames of similar videos are compared with, to find their moments.

    Args:
        space: all items.
        vectors: (n, dim) unit rows, the frames of the item, or its fused vector.
    """
    items = space.vectors[space.has_vector]
    sample = items[:: max(1, len(items) // _SAMPLED)]
    return Wanted(vectors, float(np.median((sample @ vectors.T).max(axis=1))))


def _locate_clips(store: Store, space: ItemSpace, found: Sequence[Similarity]) -> list[Similarity]:
    """Make the addresses of clips ready to open."""
    ids = {similarity.place: str(space.item_ids[similarity.place]) for similarity in found if similarity.clip}
    folders = store.column_values(list(ids.values()), ["catalog_dir"]) if ids else {}

    def locate_clip(similarity: Similarity) -> Similarity:
        if similarity.clip is None:
            return similarity
        folder = folders[ids[similarity.place]]["catalog_dir"]
        uri = locate(open_address(similarity.clip.uri, store.uri), folder)
        return replace(similarity, clip=replace(similarity.clip, uri=uri))

    return [locate_clip(similarity) for similarity in found]


@dataclass(frozen=True, kw_only=True)
class _SpaceReader(ItemReader):
    """Filters items in memory."""

    space: ItemSpace
    may_be_found: NDArray[np.bool_]  # (n,)

    def passing(self, item_ids: Sequence[str]) -> set[str]:
        places = self.space.places(item_ids)
        passes = (places >= 0) & self.may_be_found[places]
        return {item_id for item_id, passing in zip(item_ids, passes.tolist(), strict=True) if passing}

    def ids_of_selective_filter(self) -> list[str] | None:
        count = int(self.may_be_found.sum())
        if count > min(SELECTIVE_ITEMS, len(self.space) // 2):
            return None
        return [str(item_id) for item_id in self.space.item_ids[self.may_be_found]]


def _no_encoder() -> Encoder:
    raise AssertionError("a query of one item needs no encoder")
