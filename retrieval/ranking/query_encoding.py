"""Encode queries: embed the parts of many queries in batches, then compute the weighted sum of each query."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from firstsight.duplicates.prints.stored_prints import StoredPrints
from firstsight.encoders.base import Encoder, ImageInput, Vector, Vectors, unit
from firstsight.encoders.isolation import Outcome, try_images, try_texts
from firstsight.errors import FirstsightError, MediaError, QueryError
from firstsight.media.decode.video_sampler import Frame, VideoSampler
from firstsight.media.fetch.fetched_media import fetch_bytes, fetch_file
from firstsight.media.pictures import open_picture
from firstsight.media.policy import MediaPolicy
from firstsight.media.video_prints import VideoPrints
from firstsight.retrieval.query import Medium, Query
from firstsight.retrieval.ranking.colour_boost import WHOLE_TEXT_SHARE, ColourWish, find_colour_wish
from firstsight.retrieval.ranking.part_choice import has_frames
from firstsight.storage.indexes.vector_index import vectors_of_column
from firstsight.storage.store import Store
from firstsight.storage.tables import PICTURE_PARTS

QUERY_FRAMES = 8
"""Number of frames sampled from a query video, of which the query uses the mean, in a database without frames."""

CLIP_FRAMES = 32
"""Maximum number of frames of a query video or item that are compared with frames."""

BATCH = 32
"""Number of pictures encoded at once, and of queries prepared at once."""


@dataclass(frozen=True)
class EncodedQuery:
    """A query with its vectors."""

    query: Query
    vector: Vector  # (dim,) of unit length
    minus: Vectors  # (m, dim) unit rows: vectors to avoid
    medium: Medium
    frames: Vectors  # (n, dim) unit rows: frames of a query of videos and of items with frames alone; else (0, dim)
    prints: VideoPrints | None = None  # of a query of one video or item alone; None if unknown
    wish: ColourWish | None = None  # colours that the text asks for


@dataclass(frozen=True)
class _QueryParts:
    """Parts of a query before encoding: opened pictures and stored item vectors; texts are encoded separately."""

    query: Query
    pictures: list[Image.Image]  # images, then video frames, then minus images
    frames: list[int]  # number of frames of each video
    items: list[Vector]
    item_frames: list[Vectors]  # of each item, if the query is a clip
    prints: VideoPrints | None  # if the query is one video or item
    wish: ColourWish | None = None


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
    wishes = [find_colour_wish(store, query) for query in queries]
    plain = [wish.text for wish in wishes if wish is not None and wish.text is not None]
    texts = list(dict.fromkeys([*(text for query in queries for text in _texts(query)), *plain]))
    vectors = dict(zip(texts, try_texts(encoder(), texts), strict=True)) if texts else {}
    answers: list[EncodedQuery | FirstsightError] = []
    for start in range(0, len(queries), BATCH):
        batch = [_prepare_parts(store, query, encoder, policy) for query in queries[start : start + BATCH]]
        pictures = [picture for parts in batch if isinstance(parts, _QueryParts) for picture in parts.pictures]
        encoded = _encode_pictures(pictures, encoder)
        answers += [
            parts if isinstance(parts, FirstsightError) else _combine_parts(replace(parts, wish=wish), vectors, encoded)
            for parts, wish in zip(batch, wishes[start : start + BATCH], strict=True)
        ]
    return answers


def _texts(query: Query) -> list[str]:
    return ([query.text] if query.text is not None else []) + list(query.minus)


def _prepare_parts(
    store: Store, query: Query, encoder: Callable[[], Encoder], policy: MediaPolicy
) -> _QueryParts | FirstsightError:
    try:
        items = [item_vector(store, item_id) for item_id in query.items]
        item_frames = _item_frames(store, query)
        if not (query.images or query.videos or query.minus_images):
            return _QueryParts(query, [], [], items, item_frames, _stored_prints(store, query))
        min_side = encoder().spec.min_side
        pictures = [_open(image, policy, min_side) for image in query.images]
        frames, prints = [], None
        # the caller names the file, so every folder is allowed
        any_folder = replace(policy, allow_anywhere=True)
        for video in query.videos:
            with fetch_file(os.fspath(video), any_folder) as path, VideoSampler() as sampler:
                sampled, prints = _sample(sampler, path, store, min_side, crops=query.is_clip)
            pictures += [frame.picture for frame in sampled]
            frames.append(len(sampled))
        pictures += [_open(image, policy, min_side) for image in query.minus_images]
        one_clip = query.is_clip and len(query.videos) == 1 and not query.items
        return _QueryParts(query, pictures, frames, items, item_frames, prints if one_clip else None)
    except FirstsightError as error:
        return error


def _sample(
    sampler: VideoSampler, path: Path, store: Store, min_side: int | None, *, crops: bool
) -> tuple[list[Frame], VideoPrints | None]:
    if has_frames(store):
        # the frames that an index run would choose, so that a file finds itself
        sampled = sampler.sample_with_prints(path, rule="auto", max_frames=CLIP_FRAMES, min_side=min_side, crops=crops)
        return sampled.frames, sampled.prints
    return sampler.sample(path, count=QUERY_FRAMES, min_side=min_side), None


def _stored_prints(store: Store, query: Query) -> VideoPrints | None:
    """Fingerprints of the only video of a query of one item."""
    if not query.is_clip or len(query.items) != 1 or not has_frames(store):
        return None
    stored = StoredPrints.read(store, query.items)
    return stored.prints[0] if len(stored) == 1 else None


def _item_frames(store: Store, query: Query) -> list[Vectors]:
    """Frames of each item of a clip query, at most CLIP_FRAMES; with part clip, also pictures."""
    if not (query.items and query.is_clip and query.part in {None, "clip"} and has_frames(store)):
        return []
    views = store.view_rows(query.items)
    parts = PICTURE_PARTS if query.part == "clip" else ("frame",)
    views = views.filter(pc.is_in(views["part"], pa.array(parts))).sort_by("time_s")
    owners = np.array(views["item_id"].to_pylist(), dtype=object)
    vectors = vectors_of_column(views["vector"].combine_chunks())
    frames = []
    for item_id in query.items:
        of_item = vectors[owners == item_id]
        frames.append(of_item[np.unique(np.linspace(0, len(of_item) - 1, CLIP_FRAMES).astype(int))[: len(of_item)]])
    return frames


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
    video_frames = [np.stack([next(pictures) for _ in range(count)]) for count in parts.frames]
    videos = [unit(np.mean(frames, axis=0)) for frames in video_frames]
    minus = [texts[text] for text in query.minus] + [next(pictures) for _ in query.minus_images]
    weighted = [] if query.text is None else [(query.text_weight, _text_vector(query.text, parts.wish, texts))]
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
    avoided = np.asarray(minus, dtype=np.float32).reshape(-1, dim)
    frames = _clip_frames(query, video_frames, parts.item_frames, dim)
    return EncodedQuery(query, vector, avoided, query.medium, frames, parts.prints, parts.wish)


def _text_vector(text: str, wish: ColourWish | None, texts: Mapping[str, Vector]) -> Vector:
    plain = None if wish is None or wish.text is None else texts.get(wish.text)
    return texts[text] if plain is None else unit(WHOLE_TEXT_SHARE * texts[text] + (1 - WHOLE_TEXT_SHARE) * plain)


def _clip_frames(query: Query, videos: Sequence[Vectors], items: Sequence[Vectors], dim: int) -> Vectors:
    """Frames of all parts of a clip query that have a weight above 0; none if a part has none."""
    clips = [
        frames
        for weights, group in ((query.video_weights, videos), (query.item_weights, items))
        for weight, frames in zip(weights or [1.0] * len(group), group, strict=True)
        if weight > 0
    ]
    if not query.is_clip or len(items) != len(query.items) or not all(len(frames) for frames in clips):
        return np.empty((0, dim), dtype=np.float32)
    return np.concatenate(clips).astype(np.float32)


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
