"""The search query: its parts and weights, and the settings for ranking, filters and pages.

Scores, for parts p (a text, pictures, videos, items, vectors) with weights w_p:

    q           = unit( sum_p  w_p * unit(p) )                         the query vector
    score       = cos(item, q)                                          -1 to 1; item: the vector chosen by `part`
    penalty     = minus_weight * max(0, max_m cos(item, unit(m)))       0 to minus_weight, m over the minus parts
    vector mode ranks by   score - penalty
    hybrid mode ranks by   fused * (1 - penalty)                        fused: see `firstsight.retrieval.ranking.fusion`

The order of the parts does not matter. A part of weight 0 has no effect. `minus` parts lower an item's score by a
bounded penalty. They do not change the query vector, because a subtraction could reverse its direction.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from firstsight.errors import QueryError
from firstsight.keywords import check_texts
from firstsight.retrieval.query_vectors import plain_vectors
from firstsight.vectors import VectorInput

if TYPE_CHECKING:
    from firstsight.encoders.base import ImageInput

Mode = Literal["vector", "words", "hybrid"]
"""vector: cosine of embeddings; words: BM25 over title and text; hybrid: both, fused."""

PartChoice = Literal["item", "title", "image", "frame", "transcript", "any", "best", "moment", "clip"]
"""Vector to compare with the query.

item: the fused vector; title, image, frame, transcript: the best view of that part; any: the best view of all parts;
best: the best of the fused vector and the views of pictures and frames; moment: the fused vector, together with the
best frame of items that have frames; clip: the frames of the query's videos and items, with the pictures and frames of
each item.
"""

Medium = Literal["words", "pictures", "mixed"]
"""Medium of a query: text, pictures or videos, or both (also items and vectors)."""

Fusion = Literal["rrf", "weighted"]
"""Fusion method of mode hybrid; see `firstsight.retrieval.ranking.fusion`."""

MAX_RESULTS = 10_000
"""Maximum of offset + k."""

DEFAULT_COLOUR_WEIGHT = 3.0
"""Measured by benchmarks/understanding_parts/colours.py."""

KINDS = ("product", "video", "live")

NO_COLLAPSE = "none"
"""Value of `Query.collapse` that keeps every item, also in a database that knows products."""


@dataclass(frozen=True)
class Query:
    """A search query. Values are checked on construction.

    Attributes:
        text: description of the items to find.
        text_weight: weight of the text in the query vector, 0 or more.
        images: pictures: paths, addresses, bytes, PIL images, arrays.
        image_weights: one per picture; empty: 1 each.
        videos: paths or addresses; the query uses frames of each, or their mean beside other parts. A `Path` is stored
            as a string, also in the fields for pictures.
        video_weights: one per video; empty: 1 each.
        items: item ids: find similar items; these items are not in the results.
        item_weights: one per item; empty: 1 each.
        vectors: vectors of the database's encoder, scaled to unit length; stored as tuples of floats.
        vector_weights: one per vector; empty: 1 each.
        minus: texts to avoid.
        minus_images: pictures to avoid.
        minus_weight: maximum penalty for minus and minus_images, 0 to 1.
        colour_weight: maximum boost for items of the colours in the text, in standard deviations of the ranking score,
            0 to 10; 0 for none. See `firstsight.retrieval.ranking.colour_boost`.
        mode: "vector", "words" or "hybrid"; None: hybrid for a text alone, else vector.
        fusion: how mode hybrid joins both rankings; see `firstsight.retrieval.ranking.fusion`.
        part: vector to compare with, see `PartChoice`; None: item with a text or items, else best. In a database with
            frames: clip for videos and items that have frames, moment for other queries with a text or items.
        k: maximum number of results, 1 to 10,000.
        offset: number of results to skip; offset + k is at most 10,000.
        where: SQL condition over the columns of `items`.
        kinds: "product", "video", "live"; empty: all.
        min_score: minimum cosine, -1 to 1.
        min_relevance: minimum relevance, 0 to 1.
        diversity: 0: rank by score only, 1: by difference only (1 - lambda of MMR).
        collapse: None: keep the best item per product if the database knows products and the query names no
            variant; column name: the best item per value; "duplicates": per near-duplicate group; "none": keep all
            items.
        moments: return the matching stretches of each video.
        snapshot: token of earlier results: search the rows of that state.
        include_blocked: include items that a safety decision blocks.
        include_expired: include items whose `expires_at` has passed, such as live streams that are over.
        rerank: reorder the first results with the promoted reranker of this kind of query, if any.
        user: a user of the events: move the first 100 results by a bounded boost for what the user likes, if a version
            of personal search is in use; for a text alone in the default mode.
        understand: find price limits, words to avoid and colours in the text by rules, and apply them: "red shoes not
            nike under 50". See `SearchResults.understood`.

    Raises:
        QueryError: a value has the wrong type or is out of range, the query has no part, or two settings contradict
            each other. The message names the value and the remedy.
    """

    text: str | None = None
    text_weight: float = 1.0
    images: Sequence[ImageInput] = ()
    image_weights: Sequence[float] = ()
    videos: Sequence[str | os.PathLike[str]] = ()
    video_weights: Sequence[float] = ()
    items: Sequence[str] = ()
    item_weights: Sequence[float] = ()
    vectors: Sequence[VectorInput] = ()
    vector_weights: Sequence[float] = ()
    minus: Sequence[str] = ()
    minus_images: Sequence[ImageInput] = ()
    minus_weight: float = 0.5
    colour_weight: float = DEFAULT_COLOUR_WEIGHT
    mode: Mode | None = None
    fusion: Fusion = "weighted"
    part: PartChoice | None = None
    k: int = 10
    offset: int = 0
    where: str | None = None
    kinds: Sequence[str] = ()
    min_score: float | None = None
    min_relevance: float | None = None
    diversity: float = 0.0
    collapse: str | None = None
    moments: bool = False
    snapshot: str | None = None
    include_blocked: bool = False
    include_expired: bool = False
    rerank: bool = True
    user: str | None = None
    understand: bool = True

    def __post_init__(self) -> None:
        for name in _LIST_FIELDS:
            object.__setattr__(self, name, _as_tuple(name, getattr(self, name)))
        for name in ("images", "videos", "minus_images"):
            object.__setattr__(self, name, tuple(_path_as_text(value) for value in getattr(self, name)))
        object.__setattr__(self, "vectors", plain_vectors(self.vectors))
        self._check_types()
        self._check_parts()
        self._check_ranges()

    # ---- derived values

    @property
    def resolved_mode(self) -> Mode:
        """The mode in use: `mode` if set, else hybrid for a text alone over whole items, else vector."""
        if self.mode is not None:
            return self.mode
        others = self.images or self.videos or self.items or self.vectors
        return "hybrid" if self.text is not None and not others and self.part in _TEXT_PARTS else "vector"

    @property
    def medium(self) -> Medium:
        """Medium of the parts that have a weight above 0."""
        text, pictures = self._has_text, self._has_part("image") or self._has_part("video")
        if self._has_part("item") or self._has_part("vector") or text == pictures:
            return "mixed"
        return "words" if text else "pictures"

    @property
    def resolved_part(self) -> PartChoice:
        """The part in use in a database without frames: `part` if set, else item with a text or items, else best.

        An item's title moves its fused vector away from its pictures. So a picture can be nearer to the fused vector of
        another item than to that of its own item. A vector may be that of a picture.
        """
        if self.part is not None:
            return self.part
        whole_items = self._has_text or self._has_part("item") or self.resolved_mode != "vector"
        return "item" if whole_items else "best"

    @property
    def is_clip(self) -> bool:
        """Whether the query consists of videos and items alone; parts of weight 0 do not count."""
        others = self._has_text or self._has_part("image") or self._has_part("vector")
        return not others and (self._has_part("video") or self._has_part("item"))

    @property
    def summary(self) -> str:
        """Short text of the query, for a heading."""
        parts = [self.text] if self.text else []
        parts += [f"more like {_short_name(example)}" for example in (*self.items, *self.images, *self.videos)]
        parts += ["a vector"] * len(self.vectors)
        avoided = ", ".join([*self.minus, *(_short_name(image) for image in self.minus_images)])
        return " + ".join(parts) + (f", without {avoided}" if avoided else "")

    # ---- to and from JSON

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Query:
        """Make a query from plain values, such as parsed JSON.

        Args:
            plain: field names of this class to values; pictures are paths or addresses.

        Raises:
            QueryError: `plain` is no mapping, has an unknown key, or has a picture that is no path or address; or
                the values do not make a valid query. For an unknown key the message suggests similar names.
        """
        if not isinstance(plain, Mapping):
            raise QueryError(f'a query is an object such as {{"text": "red shoes"}}, not {_short_repr(plain)}')
        known = [field.name for field in fields(cls)]
        for key in plain:
            if key not in known:
                similar = difflib.get_close_matches(str(key), known, n=3)
                hint = f"did you mean {' or '.join(similar)}" if similar else f"the keys are {', '.join(known)}"
                raise QueryError(f"a query has no {str(key)!r}; {hint}")
        for name in ("images", "minus_images"):
            for image in _as_tuple(name, plain.get(name, ())):
                if not isinstance(image, str):
                    raise QueryError(f"{name} holds {_short_repr(image)}; give paths or addresses")
        return cls(**plain)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults, as plain values for `from_dict`.

        Raises:
            QueryError: a picture is given as bytes, an image or an array, so it has no plain form.
        """
        for image in (*self.images, *self.minus_images):
            if not isinstance(image, str):
                raise QueryError(f"a picture given as {type(image).__name__} has no plain form; give a path or address")
        plain = {name: _as_list(value) for name, value in asdict(self).items()}
        defaults: dict[str, Any] = {field.name: [] if field.default == () else field.default for field in fields(self)}
        return {name: value for name, value in plain.items() if value != defaults[name]}

    # ---- checks

    def _check_types(self) -> None:
        for name in ("text", "where", "collapse", "snapshot", "user"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise QueryError(f"{name} must be a string, not {_short_repr(value)}")
        for name in ("rerank", "understand", "moments", "include_blocked", "include_expired"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise QueryError(f"{name} must be true or false, not {_short_repr(value)}")
        for name in ("videos", "items", "minus", "kinds"):
            check_texts(name, getattr(self, name))
        for name in ("images", "minus_images"):
            for image in getattr(self, name):
                if not isinstance(image, str | bytes) and not hasattr(type(image), "__array_interface__"):
                    raise QueryError(
                        f"{name} holds {_short_repr(image)}; give paths, addresses, bytes, PIL images or arrays"
                    )
        for name, choices in (("mode", Mode), ("fusion", Fusion), ("part", PartChoice)):
            value = getattr(self, name)
            if value not in get_args(choices) and not (name in {"mode", "part"} and value is None):
                raise QueryError(f"{name} must be one of {', '.join(get_args(choices))}, not {_short_repr(value)}")
        for kind in self.kinds:
            if kind not in KINDS:
                raise QueryError(f"kind {kind!r} is not one of {', '.join(KINDS)}")

    def _check_parts(self) -> None:
        if self.user is not None and not self.user.strip():
            raise QueryError("the user is empty; give the id of a user of the events, or leave it out")
        if self.text is not None and not self.text.strip():
            raise QueryError("the query is empty; describe the items to find")
        for name in _PART_NAMES:
            weights, examples = getattr(self, f"{name}_weights"), getattr(self, f"{name}s")
            if weights and len(weights) != len(examples):
                raise QueryError(
                    f"there are {len(weights)} {name} weights for {len(examples)} {name}s; give one each, or none"
                )
        weights = self._weights()
        if not weights:
            raise QueryError("there is nothing to search by; give a text, a picture, a video, an item or a vector")
        for weight in weights:
            _check_number("a weight", weight, 0, math.inf)
        if not any(weights):
            raise QueryError("every weight of the query is 0; give one part a weight above 0")
        if any(not text.strip() for text in self.minus):
            raise QueryError("a minus text is empty; describe what to avoid, or leave it out")
        mode = self.resolved_mode
        if mode != "vector" and self.text is None:
            raise QueryError(f"mode {mode} needs a text; give one, or use mode vector")
        if mode == "words" and (len(weights) > 1 or self.minus or self.minus_images):
            raise QueryError("mode words takes a text alone; with other parts or minus terms use mode hybrid")
        if mode != "vector" and self.part not in _TEXT_PARTS:
            raise QueryError(f"mode {mode} ranks whole items; with part {self.part} use mode vector")
        if self.part == "clip" and not self.is_clip:
            raise QueryError("part clip compares frames with frames; give videos or items, and nothing else")

    @property
    def _has_text(self) -> bool:
        return self.text is not None and self.text_weight > 0

    def _has_part(self, name: str) -> bool:
        """Whether a part of this name, such as "image", has a weight above 0."""
        weights = getattr(self, f"{name}_weights")
        return any(weights) if weights else len(getattr(self, f"{name}s")) > 0

    def _weights(self) -> list[float]:
        text = [self.text_weight] if self.text is not None else []
        media = [
            weight
            for name in _PART_NAMES
            for weight in getattr(self, f"{name}_weights") or [1.0] * len(getattr(self, f"{name}s"))
        ]
        return text + media

    def _check_ranges(self) -> None:
        _check_whole("k", self.k, 1, MAX_RESULTS)
        _check_whole("offset", self.offset, 0, MAX_RESULTS - 1)
        if self.offset + self.k > MAX_RESULTS:
            raise QueryError(f"offset {self.offset} + k {self.k} is over {MAX_RESULTS}; narrow the query instead")
        _check_number("minus_weight", self.minus_weight, 0, 1)
        _check_number("colour_weight", self.colour_weight, 0, 10)
        _check_number("diversity", self.diversity, 0, 1)
        if self.min_score is not None:
            _check_number("min_score", self.min_score, -1, 1)
        if self.min_relevance is not None:
            _check_number("min_relevance", self.min_relevance, 0, 1)


_TEXT_PARTS = (None, "item", "moment")
"""Parts that words can join: those of whole items."""

_PART_NAMES = ("image", "video", "item", "vector")
"""Names of the parts that a query can have several of, in the singular."""

_LIST_FIELDS = tuple(field.name for field in fields(Query) if field.default == () and field.name != "vectors")
"""Every field that holds several values, without the vectors, which have checks of their own."""


def _as_tuple(name: str, value: object) -> tuple[Any, ...]:
    # a string is a sequence of letters, and bytes are a sequence of numbers; neither is meant as a list
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise QueryError(f"{name} must be a list, not {_short_repr(value)}")
    return tuple(value)


def _path_as_text(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _as_list(value: object) -> object:
    return [_as_list(entry) for entry in value] if isinstance(value, tuple) else value


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise QueryError(f"{name} must be between {low} and {high}, not {_short_repr(value)}")


def _check_number(name: str, value: object, low: float, high: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not low <= value <= high:  # type: ignore[operator]  # `number` says that value is a number
        between = f"{low:g} or more" if high == math.inf else f"between {low:g} and {high:g}"
        raise QueryError(f"{name} must be {between}, not {_short_repr(value)}")


def _short_repr(value: object) -> str:
    return repr(value)[:80]


def _short_name(example: object) -> str:
    if isinstance(example, str) or hasattr(example, "__fspath__"):
        return str(example).rstrip("/").rpartition("/")[2]
    return "a picture"
