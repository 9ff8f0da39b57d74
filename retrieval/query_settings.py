"""Keyword arguments of a search."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

from firstsight.retrieval.query import Fusion, Mode, PartChoice
from firstsight.vectors import VectorInput

if TYPE_CHECKING:
    from firstsight.encoders.base import ImageInput


class QuerySettings(TypedDict, total=False):
    """The fields of `firstsight.retrieval.query.Query` except `text`, which documents their meaning and defaults."""

    text_weight: float
    images: Sequence[ImageInput]
    image_weights: Sequence[float]
    videos: Sequence[str | os.PathLike[str]]
    video_weights: Sequence[float]
    items: Sequence[str]
    item_weights: Sequence[float]
    vectors: Sequence[VectorInput]
    vector_weights: Sequence[float]
    minus: Sequence[str]
    minus_images: Sequence[ImageInput]
    minus_weight: float
    colour_weight: float
    mode: Mode | None
    fusion: Fusion
    part: PartChoice | None
    k: int
    offset: int
    where: str | None
    kinds: Sequence[str]
    min_score: float | None
    min_relevance: float | None
    diversity: float
    collapse: str | None
    moments: bool
    snapshot: str | None
    include_blocked: bool
    include_expired: bool
    rerank: bool
    user: str | None
    understand: bool
