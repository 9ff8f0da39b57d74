"""Bodies and answers of search and recommendation; the OpenAPI document is made from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from firstsight.retrieval.query import DEFAULT_COLOUR_WEIGHT

ItemKind = Literal["product", "video", "live"]
Weights = Annotated[list[float], Field(max_length=64)]
Picture = Annotated[str, Field(description="an http(s) address, a data URI, or the file in base64")]
Words = Annotated[str, Field(max_length=8_000)]
NumberList = Annotated[list[float], Field(min_length=1, max_length=4_096)]
ItemId = Annotated[str, Field(min_length=1, max_length=512)]

COLLAPSE = (
    "none: every variant of a product; by default, if the catalogue has group ids, one of each product and none of the "
    "products that the request starts from"
)

MAX_K = 1_000
"""Maximum results of one answer."""


class StrictModel(BaseModel):
    """A body that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class SearchRequest(StrictModel):
    """One query, with the fields of `firstsight.Query`. A page has 24 results by default."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": "red running shoes", "k": 3},
                {"text": "red", "items": ["sneakers-red"], "minus": ["leather"], "kinds": ["product"], "k": 3},
                {"text": "a cup of tea", "where": "kind = 'video'", "moments": True, "k": 3},
            ]
        }
    )

    text: Words | None = None
    text_weight: float = 1.0
    images: list[Picture] = Field(default_factory=list, max_length=16)
    image_weights: Weights = Field(default_factory=list)
    videos: list[Annotated[str, Field(max_length=4_000, description="an http(s) address")]] = Field(
        default_factory=list, max_length=4
    )
    video_weights: Weights = Field(default_factory=list)
    items: list[ItemId] = Field(default_factory=list, max_length=64)
    item_weights: Weights = Field(default_factory=list)
    vectors: list[NumberList] = Field(
        default_factory=list,
        max_length=16,
        description="vectors of the database's encoder, of its dimension and any length above 0",
    )
    vector_weights: Weights = Field(default_factory=list)
    minus: list[Words] = Field(default_factory=list, max_length=32)
    minus_images: list[Picture] = Field(default_factory=list, max_length=16)
    minus_weight: float = 0.5
    colour_weight: float = DEFAULT_COLOUR_WEIGHT
    mode: Literal["vector", "words", "hybrid"] | None = None
    fusion: Literal["rrf", "weighted"] = "weighted"
    part: Literal["item", "title", "image", "frame", "transcript", "any", "best", "moment", "clip"] | None = Field(
        None,
        description="vector to compare: item is the fused vector, best the better of it and the best picture or frame; "
        "moment the fused vector with the best frame, clip frames with frames; by default item for a query with a text "
        "or items, else best; in a database with videos, moment with a text or items, and clip for videos",
    )
    k: int = Field(24, ge=1, le=MAX_K)
    offset: int = Field(0, ge=0, lt=10_000)
    where: Annotated[str, Field(max_length=20_000)] | None = None
    kinds: list[ItemKind] = Field(default_factory=list, max_length=3)
    min_score: float | None = None
    min_relevance: float | None = None
    diversity: float = 0.0
    collapse: str | None = Field(
        None,
        description="null: the best variant of each product, if the catalogue has group ids and the query names no "
        "variant; a column: the best item of each value; duplicates: of each near-duplicate group; none: every item",
    )
    moments: bool = False
    snapshot: str | None = Field(None, description="`snapshot` of an earlier answer, for the next pages of its ranking")
    include_blocked: bool = Field(False, description="needs the scope moderate")
    include_expired: bool = Field(False, description="also items whose expires_at has passed")
    rerank: bool = True
    user: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        None,
        description="a user of the events, for whom the first 100 results are ordered if personal search is in use",
    )
    understand: bool = Field(True, description="find price limits, words to avoid and colours in the text by rules")


class UnderstoodText(BaseModel):
    """The parts of a query's text."""

    text: str = Field(description="the words that no rule used")
    colours: list[str]
    minus: list[str] = Field(description="words to avoid")
    min_price: float | None
    max_price: float | None
    currency: str | None = Field(description="ISO 4217 code; null if unknown. Prices are compared as they are")
    unmet: list[Literal["price"]] = Field(description="price: no item is within the limits, so they are not applied")


class SearchAnswer(BaseModel):
    """A page of results."""

    results: list[dict[str, Any]] = Field(
        description="as SearchResult.to_dict; view, picture and line have a view_id; line is the passage of timed text "
        "with most words of the query, picture_text the line of text in a picture; with one result per product, "
        "variants is the number of its variants; columns.facts has the facts: colour, colours, language, tags, …"
    )
    snapshot: str = Field(description="send it with next_offset to get the next page of the same ranking")
    next_offset: int | None = Field(description="null if this page is the last")
    understood: UnderstoodText | None = Field(None, description="parts of the text that rules found; null for none")


class HistoryEvent(StrictModel):
    """An event of a user on an item, or a search."""

    item_id: ItemId | None = Field(None, description="null for a search")
    timestamp: str | float
    weight: float = 1.0
    event: str | None = Field(None, max_length=100, description="such as click or purchase")
    query: str | None = Field(None, max_length=2_000, description="text of a search")


GroupName = Annotated[str, Field(min_length=1, max_length=1_000)]
CAPS = "maximum items, or share, by group: brand (each value), seller=acme (one value), new (items without events)"
FLOORS = "minimum items, or share, by group: seller=acme (one value), new (items without events)"


class RecommendRequest(StrictModel):
    """The user or history of a slate, and its settings: fields of `SlateSettings`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"history": ["guitar-acoustic", "bass-guitar"], "k": 6},
                {"user": "u42", "quotas": {"video": 2}, "k": 6, "explore": 0.2},
            ]
        }
    )

    user: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    history: list[ItemId | HistoryEvent] | None = Field(None, max_length=10_000)
    k: int = Field(24, ge=1, le=MAX_K)
    quotas: dict[ItemKind, int | float] = Field(default_factory=dict)
    kinds: list[ItemKind] = Field(default_factory=list, max_length=3, description="only these kinds; empty for all")
    explore: float = 0.1
    diversity: float = 0.0
    near_duplicate: float = 0.95
    allow_copies: bool = Field(False, description="also near-duplicates of the slate's items and of the history")
    cap: int | None = None
    cap_column: str | None = None
    caps: dict[GroupName, int | float] = Field(default_factory=dict, max_length=100, description=CAPS)
    floors: dict[GroupName, int | float] = Field(default_factory=dict, max_length=100, description=FLOORS)
    merge: Literal["score", "rank"] = "score"
    collapse: Literal["none"] | None = Field(None, description=COLLAPSE)
    age: int | None = Field(None, le=150)
    repeat_after_days: float | None = Field(None, le=36_500)
    seed: int | None = Field(None, ge=0, lt=2**63)
    moments: bool = Field(False, description="give each video the stretch that suits the user's interests best")
    log: bool = Field(False, description="log the slots with their propensities; needs the scope write")
    experiment: str = Field("", max_length=200, description="name of the A/B experiment that decides the bucket")


class SlateAnswer(BaseModel):
    """A slate."""

    slate_id: str
    items: list[dict[str, Any]] = Field(description="as Recommendation.to_dict, with view_id")
    interests: list[dict[str, Any]] = Field(description="interests of the user: kind, item_id, share, items")
    titles: dict[str, str] = Field(description="titles of the items that interests and slots refer to")
    missing: dict[str, int] = Field(description="slots of quotas that no item could fill, items that floors lack")
    events: int
    bucket: int | None = Field(None, description="number of the user in the experiment, 0 to 99")
    versions: dict[str, int] = Field(default_factory=dict, description="of the tables and models of the slate")


class ItemAnswer(BaseModel):
    """An item with its views."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **{"item_id": "sneakers-red", "kind": "product", "title": "Red running shoes", "text": None},
                    **{"created_at": None, "starts_at": None, "expires_at": None, "indexed_at": "2026-05-01T12:00:00Z"},
                    "columns": {"price": 59.9},
                    "facts": {
                        **{"colour": "red", "colours": {"red": 0.71, "white": 0.2}, "language": "en"},
                        "tags": {"category": "shoes", "category_p": 0.99, "category_by": "predicted"},
                    },
                    "views": [{"view_id": "sneakers-red#title", "part": "title", "facts": {}}],
                }
            ]
        }
    )

    item_id: str
    kind: str
    title: str | None
    text: str | None
    created_at: str | None
    starts_at: str | None
    expires_at: str | None
    indexed_at: str
    columns: dict[str, Any]
    facts: dict[str, Any] = Field(description="found in pictures and texts; unknown ones are left out")
    views: list[dict[str, Any]] = Field(description="each with `facts`, what was found in its picture")


class SimilarAnswer(BaseModel):
    """Items similar to an item."""

    results: list[dict[str, Any]] = Field(
        description="as SimilarItem.to_dict, with view_id; a video has its moment: start_s, end_s, score, view_id"
    )
    videos: list[dict[str, Any]] = Field(description="videos that show the item, with their seconds")
