"""Queries to vectors: the parts of many queries encoded in batches, then each query's weighted sum."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from firstsight.encoders.base import Encoder, ImageInput, Vector, Vectors, unit
from firstsight.encoders.isolation import Outcome, try_images, try_texts
from firstsight.errors import FirstsightError, MediaError, QueryError
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.fetch.fetched_media import fetch_bytes, fetch_file
from firstsight.media.pictures import open_picture
from firstsight.media.policy import MediaPolicy
from firstsight.retrieval.query import Query
from firstsight.retrieval.ranking.relevance import Medium
from firstsight.storage.store import Store

QUERY_FRAMES = 8
"""Frames of a query video; their mean stands for it."""

BATCH = 32
"""Pictures encoded at once."""


@dataclass(frozen=True)
class EncodedQuery:
    """A query with its vectors."""

    query: Query
    vector: Vector  # (dim,) of unit length
    minus: Vectors  # (m, dim) unit rows: what to avoid
    medium: Medium


@dataclass(frozen=True)
class _QueryParts:
    """A query taken apart: pictures opened, items looked up, texts still to be encoded."""

    query: Query
    pictures: list[Image.Image]  # images, then the frames of videos, then the images to avoid
    frames: list[int]  # of each video
    items: list[Vector]


def encode_queries(
    store: Store, queries: Sequence[Query], *, encoder: Callable[[], Encoder], policy: MediaPolicy
) -> list[EncodedQuery | FirstsightError]:
    """The vectors of queries, in order.

    Args:
        encoder: called only where a text, a picture or a video is among the parts.
        policy: where pictures and videos at addresses may come from.

    Returns:
        For each query its vectors, or why it has none: an unknown item or a text that the encoder fails on
        (QueryError), a picture or video that cannot be used (MediaError). What is wrong with one query costs the
        others nothing.

    Raises:
        EncoderError, EncoderMismatchError: the encoder cannot be loaded, fails on everything, or is not the database's.
    """
    texts = list(dict.fromkeys(text for query in queries for text in _texts(query)))
    vectors = dict(zip(texts, try_texts(encoder(), texts), strict=True)) if texts else {}
    answers: list[EncodedQuery | FirstsightError] = []
    for start in range(0, len(queries), BATCH):
        taken = [_prepare_parts(store, query, encoder, policy) for query in queries[start : start + BATCH]]
        pictures = [picture for parts in taken if isinstance(parts, _QueryParts) for picture in parts.pictures]
        encoded = _encode_pictures(pictures, encoder)
        answers += [
            parts if isinstance(parts, FirstsightError) else _combine_parts(parts, vectors, encoded) for parts in taken
        ]
    return answers


def _texts(query: Query) -> list[str]:
    return ([query.text] if query.text is not None else []) + list(query.minus)


def _prepare_parts(
    store: Store, query: Query, encoder: Callable[[], Encoder], policy: MediaPolicy
) -> _QueryParts | FirstsightError:
    try:
        items = [item_vector(store, item_id) for item_id in query.items]
        if not (query.images or query.videos or query.minus_images):
            return _QueryParts(query, [], [], items)
        min_side = encoder().spec.min_side
        pictures = [_open(image, policy, min_side) for image in query.images]
        frames = []
        # the person asking names the file, so it may lie anywhere
        anywhere = replace(policy, allow_anywhere=True)
        for video in query.videos:
            with fetch_file(video, anywhere) as path, VideoSampler() as sampler:
                sampled = sampler.sample(path, count=QUERY_FRAMES, min_side=min_side)
            pictures += [frame.picture for frame in sampled]
            frames.append(len(sampled))
        pictures += [_open(image, policy, min_side) for image in query.minus_images]
        return _QueryParts(query, pictures, frames, items)
    except FirstsightError as error:
        return error


def _open(image: ImageInput, policy: MediaPolicy, min_side: int) -> Image.Image:
    fetched = fetch_bytes(image, policy) if isinstance(image, str) and "://" in image else image
    return open_picture(fetched, min_side=min_side)


def _encode_pictures(pictures: list[Image.Image], encoder: Callable[[], Encoder]) -> Iterator[Outcome]:
    for start in range(0, len(pictures), BATCH):
        yield from try_images(encoder(), pictures[start : start + BATCH])


def _combine_parts(
    parts: _QueryParts, texts: dict[str, Outcome], pictures: Iterator[Outcome]
) -> EncodedQuery | FirstsightError:
    """The weighted sum of a query's parts; takes its own pictures off `pictures`."""
    query = parts.query
    outcomes = [next(pictures) for _ in parts.pictures]
    for outcome in outcomes:
        if isinstance(outcome, MediaError):
            return outcome
    for text in _texts(query):
        if isinstance(outcome := texts[text], MediaError):
            return QueryError(f"the text {text[:80]!r} cannot be searched by: {outcome}")
    encoded = (outcome for outcome in outcomes if not isinstance(outcome, MediaError))
    known = {text: outcome for text, outcome in texts.items() if not isinstance(outcome, MediaError)}
    return _weighted(parts, known, encoded)


def _weighted(
    parts: _QueryParts, texts: Mapping[str, Vector], pictures: Iterator[Vector]
) -> EncodedQuery | FirstsightError:
    query = parts.query
    images = [next(pictures) for _ in query.images]
    videos = [unit(np.mean([next(pictures) for _ in range(count)], axis=0)) for count in parts.frames]
    minus = [texts[text] for text in query.minus] + [next(pictures) for _ in query.minus_images]
    weighted = [] if query.text is None else [(query.text_weight, texts[query.text])]
    for vectors, weights in (
        (images, query.image_weights),
        (videos, query.video_weights),
        (parts.items, query.item_weights),
    ):
        weighted += zip(weights or [1.0] * len(vectors), vectors, strict=True)
    total = np.sum([weight * vector.astype(np.float64) for weight, vector in weighted], axis=0)
    length = float(np.linalg.norm(total))
    if not np.isfinite(length) or length < 1e-6 * sum(weight for weight, _ in weighted):
        return QueryError("the parts of the query cancel each other out; leave one out or change the weights")
    vector = np.asarray(total / length, dtype=np.float32)
    dim = len(vector)
    return EncodedQuery(query, vector, np.asarray(minus, dtype=np.float32).reshape(-1, dim), _medium(query))


def _medium(query: Query) -> Medium:
    text = query.text is not None and query.text_weight > 0
    pictures = _has_weight(query.images, query.image_weights) or _has_weight(query.videos, query.video_weights)
    if _has_weight(query.items, query.item_weights) or text == pictures:
        return "mixed"
    return "words" if text else "pictures"


def _has_weight(things: Sequence[object], weights: Sequence[float]) -> bool:
    return any(weights) if weights else len(things) > 0


def item_vector(store: Store, item_id: str) -> Vector:
    """An item's fused vector, (dim,) of unit length.

    Raises:
        QueryError: no such item, or nothing of it could be encoded.
    """
    row = store.item_rows([item_id]).get(item_id)
    if row is None:
        raise QueryError(f"there is no item {item_id!r} in {store.uri}")
    if row["vector"] is None:
        raise QueryError(
            f"item {item_id!r} has no vector, since nothing of it could be encoded; see: firstsight failures"
        )
    return np.asarray(row["vector"], dtype=np.float32)
