"""Options of `firstsight search` that make up a query."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.search.vector_file import read_vector

if TYPE_CHECKING:
    from firstsight import Query


@dataclass(frozen=True)
class SearchFlags:
    """A query on the command line."""

    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="Words to search for.")] = None
    image: Annotated[
        list[str] | None, panels.query("--image", metavar="FILE|URL", help="Picture to search by (repeatable).")
    ] = None
    video: Annotated[
        list[str] | None, panels.query("--video", metavar="FILE|URL", help="Video to search by (repeatable).")
    ] = None
    item: Annotated[
        list[str] | None, panels.query("--item", metavar="ID", help="Item to find similar ones of (repeatable).")
    ] = None
    vector: Annotated[
        list[Path] | None,
        panels.query(
            "--vector",
            metavar="FILE",
            help="File of a vector to search by: a .npy file, or a JSON list of numbers (repeatable).",
        ),
    ] = None
    minus: Annotated[
        list[str] | None,
        panels.query("--minus", metavar="TEXT", help="Text to avoid: lowers the scores of similar items (repeatable)."),
    ] = None
    minus_image: Annotated[
        list[str] | None, panels.query("--minus-image", metavar="FILE|URL", help="Picture to avoid (repeatable).")
    ] = None
    text_weight: Annotated[float, panels.query("--text-weight", metavar="WEIGHT", help="Weight of the text.")] = 1.0
    image_weight: Annotated[
        list[float] | None,
        panels.query(
            "--image-weight",
            metavar="WEIGHT",
            help="Weight of each picture, in the order of --image (repeatable). By default 1.",
        ),
    ] = None
    video_weight: Annotated[
        list[float] | None,
        panels.query(
            "--video-weight",
            metavar="WEIGHT",
            help="Weight of each video, in the order of --video (repeatable). By default 1.",
        ),
    ] = None
    item_weight: Annotated[
        list[float] | None,
        panels.query(
            "--item-weight",
            metavar="WEIGHT",
            help="Weight of each item, in the order of --item (repeatable). By default 1.",
        ),
    ] = None
    vector_weight: Annotated[
        list[float] | None,
        panels.query(
            "--vector-weight",
            metavar="WEIGHT",
            help="Weight of each vector, in the order of --vector (repeatable). By default 1.",
        ),
    ] = None
    minus_weight: Annotated[
        float,
        panels.query("--minus-weight", metavar="WEIGHT", help="Maximum penalty for --minus and --minus-image, 0 to 1."),
    ] = 0.5
    colour_weight: Annotated[
        float,
        panels.query(
            "--colour-weight",
            metavar="WEIGHT",
            help="Maximum boost for items of the colours in the text, 0 to 10, in standard deviations of the ranking "
            "score; 0 for none.",
        ),
    ] = 3.0
    where: options.Where = None
    kind: options.Kinds = None
    min_relevance: Annotated[
        float | None,
        panels.filters(
            "--min-relevance",
            metavar="RELEVANCE",
            help="Minimum relevance, 0 to 1. One random item in a thousand reaches 0.5.",
        ),
    ] = None
    min_score: Annotated[
        float | None, panels.filters("--min-score", metavar="COSINE", help="Minimum cosine, -1 to 1.")
    ] = None
    include_blocked: options.IncludeBlocked = False
    include_expired: options.IncludeExpired = False
    mode: Annotated[
        str | None,
        panels.ranking(
            "--mode",
            metavar="MODE",
            help="Search by vector (meaning), words (BM25) or hybrid (both). By default hybrid for a text alone, else "
            "vector.",
        ),
    ] = None
    part: Annotated[
        str | None,
        panels.ranking(
            "--part",
            metavar="PART",
            help="Part of an item to compare: item (all parts together), moment (item with its best frame), clip "
            "(frames with frames), the best title, image, frame, transcript or any of these, or best (the better of "
            "item and its best picture). By default item with a text or items, else best; if there are videos, moment "
            "with a text or items, and clip for videos.",
        ),
    ] = None
    diversity: Annotated[
        float,
        panels.ranking("--diversity", metavar="SHARE", help="Difference between results, 0 (no effect) to 1 (MMR)."),
    ] = 0.0
    collapse: Annotated[
        str | None,
        panels.ranking(
            "--collapse",
            metavar="COLUMN",
            help="Keep only the best item of each value of a column, e.g. brand; duplicates: of each near-duplicate "
            "group; none: keep every item. By default the best variant of each product, if the catalogue has group ids "
            "and the query names no variant.",
        ),
    ] = None
    no_rerank: Annotated[
        bool, panels.ranking("--no-rerank", help="Keep the search order, even with a reranker in use.")
    ] = False
    no_understand: Annotated[
        bool,
        panels.query(
            "--no-understand",
            help="Search for the text as it is: no rules for price limits, words to avoid and colours, as in red shoes "
            "not nike under 50.",
        ),
    ] = False
    user: Annotated[
        str | None,
        panels.ranking(
            "--user",
            metavar="ID",
            help="User of the events for whom to order the first 100 results, if personal-search is in use.",
        ),
    ] = None
    k: Annotated[int, panels.output("-k", "--k", "--limit", metavar="N", help="Maximum results.")] = 10
    offset: Annotated[int, panels.output("--offset", metavar="N", help="Results to skip, for pages.")] = 0
    snapshot: Annotated[
        str | None,
        panels.output("--snapshot", metavar="TOKEN", help="Token of an earlier page, to continue the same ranking."),
    ] = None
    moments: Annotated[bool, panels.output("--moments", help="Show the seconds of each video that match.")] = False

    @property
    def has_parts(self) -> bool:
        """Whether there is anything to search by."""
        return bool(self.text or self.image or self.video or self.item or self.vector)

    def query(self) -> Query:
        """Build the query.

        Raises:
            QueryError: nothing to search by, or a value out of range.
            BadParameter: the file of a vector cannot be read.
        """
        import firstsight

        return firstsight.Query(
            text=self.text,
            text_weight=self.text_weight,
            images=self.image or (),
            image_weights=self.image_weight or (),
            videos=self.video or (),
            video_weights=self.video_weight or (),
            items=self.item or (),
            item_weights=self.item_weight or (),
            vectors=[read_vector(path) for path in self.vector or ()],
            vector_weights=self.vector_weight or (),
            minus=self.minus or (),
            minus_images=self.minus_image or (),
            minus_weight=self.minus_weight,
            colour_weight=self.colour_weight,
            mode=self.mode,  # type: ignore[arg-type]  # Query checks it
            part=self.part,  # type: ignore[arg-type]  # Query checks it
            k=self.k,
            offset=self.offset,
            snapshot=self.snapshot,
            where=self.where,
            kinds=self.kind or (),
            min_relevance=self.min_relevance,
            min_score=self.min_score,
            diversity=self.diversity,
            collapse=self.collapse,
            rerank=not self.no_rerank,
            user=self.user,
            understand=not self.no_understand,
            include_blocked=self.include_blocked,
            include_expired=self.include_expired,
            moments=self.moments,
        )
