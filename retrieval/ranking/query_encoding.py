"""Encode queries: embed the parts of many queries in batches, then compute the weighted sum of each query."""

from __future__ import annotations

import os
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
from firstsight.retrieval.query import Medium, Query
from firstsight.storage.store import Store

QUERY_FRAMES = 8
"""Number of frames sampled from a query video; the query uses their mean."""

BATCH = 32
"""Number of pictures encoded at once, and of queries prepared at once."""


@dataclass(frozen=True)
class EncodedQuery:
    """A query with its vectors."""

    query: Query
    vector: Vector  # (dim,) of unit length
    minus: Vectors  # (m, dim) unit rows: vectors to avoid
    medium: Medium


@dataclass(frozen=True)
class _QueryParts:
    """Parts of a query before encoding: opened pictures and stored item vectors; texts are encoded separately."""

    query: Query
    pictures: list[Image.Image]  # images, then video frames, then minus images
    frames: list[int]  # number of frames of each video
    items: list[Vector]


def encode_queries(
    store: Store, queries: Sequence[Query], *, encoder: Callable[[], Encoder], policy: MediaPolicy
) -> list[EncodedQuery | FirstsightError]:
    """Encode queries, in order.

    Args:
        encoder: loads the encoder; called only if a query has a text, picture or video.
        policy: permitted sources and limits of pictures and videos.

    Returns:
        For each query its vectors or its error. QueryError: the query has an unknown item, the encoder fails on its
        text, or its parts cancel each other out. MediaError: a picture or video cannot be used. An error of one query
        does not affect the others.

    Raises:
        EncoderError: the encoder cannot be loaded, or fails on every input.
        EncoderMismatchError: the encoder differs from the one of the database.
    """
    texts = list(dict.fromkeys(text for query in queries for text in _texts(query)))
    vectors = dict(zip(texts, try_texts(encoder(), texts), strict=True)) if texts else {}
    answers: list[EncodedQuery | FirstsightError] = []
    for start in range(0, len(queries), BATCH):
        batch = [_prepare_parts(store, query, encoder, policy) for query in queries[start : start + BATCH]]
        pictures = [picture for parts in batch if isinstance(parts, _QueryParts) for picture in parts.pictures]
        encoded = _encode_pictures(pictures, encoder)
        answers += [
            parts if isinstance(parts, FirstsightError) else _combine_parts(parts, vectors, encoded) for parts in batch
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
        # the caller names the file, so every folder is allowed
        any_folder = replace(policy, allow_anywhere=True)
        for video in query.videos:
            with fetch_file(os.fspath(video), any_folder) as path, VideoSampler() as sampler:
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
    """Compute the query vector; consumes the query's own outcomes from `pictures`."""
    query = parts.query
    outcomes = [next(pictures) for _ in parts.pictures]
    for outcome in outcomes:
        if isinstance(outcome, MediaError):
            return outcome
    for text in _texts(query):
        if isinstance(outcome := texts[text], MediaError):
            return QueryError(f"the text {text[:80]!r} cannot be encoded: {outcome}")
    picture_vectors = (outcome for outcome in outcomes if not isinstance(outcome, MediaError))
    text_vectors = {text: outcome for text, outcome in texts.items() if not isinstance(outcome, MediaError)}
    return _weighted_sum(parts, text_vectors, picture_vectors)


def _weighted_sum(
    parts: _QueryParts, texts: Mapping[str, Vector], pictures: Iterator[Vector]
) -> EncodedQuery | FirstsightError:
    query = parts.query
    images = [next(pictures) for _ in query.images]
    videos = [unit(np.mean([next(pictures) for _ in range(count)], axis=0)) for count in parts.frames]
    minus = [texts[text] for text in query.minus] + [next(pictures) for _ in query.minus_images]
    weighted = [] if query.text is None else [(query.text_weight, texts[query.text])]
    own = [np.asarray(vector, dtype=np.float32) for vector in query.vectors]
    for vectors, weights in (
        (images, query.image_weights),
        (videos, query.video_weights),
        (parts.items, query.item_weights),
        (own, query.vector_weights),
    ):
        weighted += zip(weights or [1.0] * len(vectors), vectors, strict=True)
    total = np.sum([weight * vector.astype(np.float64) for weight, vector in weighted], axis=0)
    length = float(np.linalg.norm(total))
    if not np.isfinite(length) or length < 1e-6 * sum(weight for weight, _ in weighted):
        return QueryError("the parts of the query cancel each other out; leave one out or change the weights")
    vector = np.asarray(total / length, dtype=np.float32)
    dim = len(vector)
    return EncodedQuery(query, vector, np.asarray(minus, dtype=np.float32).reshape(-1, dim), query.medium)


def item_vector(store: Store, item_id: str) -> Vector:
    """Read the fused vector of an item, (dim,) of unit length.

    Raises:
        QueryError: the item does not exist, or has no vector.
    """
    row = store.item_rows([item_id]).get(item_id)
    if row is None:
        raise QueryError(f"there is no item {item_id!r} in {store.uri}")
    if row["vector"] is None:
        raise QueryError(
            f"item {item_id!r} has no vector, because none of its parts could be encoded; see: firstsight failures"
        )
    return np.asarray(row["vector"], dtype=np.float32)
