"""`firstsight search`: by text, pictures, videos, items, or a file of queries."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstsight.cli import options
from firstsight.cli.output import clock, print_json_lines, print_table, tell, wants_json, writing
from firstsight.errors import FirstsightError, QueryError

if TYPE_CHECKING:
    from firstsight import Database, Query, SearchResult, SearchResults

EPILOG = """
[bold]Examples[/bold]

firstsight search "red running shoes"

firstsight search --image photo.jpg --kind product -k 5

firstsight search "summer dress" --image a.jpg --image-weight 0.5 --minus floral --minus-image b.jpg

firstsight search --item guitar-acoustic --where "price < 200 AND category = 'music'"

firstsight search SPP6 --mode words

firstsight search "running shoes" --collapse parent --diversity 0.3 --min-relevance 0.5

firstsight search --video clip.mp4 --html page.html

firstsight search "pouring tea" --kind video --moments

firstsight search --queries queries.jsonl --json

A line of queries.jsonl: {"id": "q1", "text": "red shoes", "images": ["a.jpg"], "where": "price < 50", "k": 5}
"""

BATCH = 256
"""Lines of a queries file that are answered before the next are read."""


def search(
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="What to look for, in words.", show_default=False)
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            "--image", metavar="FILE|URL", help="Search by a picture; may be given again.", show_default=False
        ),
    ] = None,
    video: Annotated[
        list[str] | None,
        typer.Option("--video", metavar="FILE|URL", help="Search by a video; may be given again.", show_default=False),
    ] = None,
    item: Annotated[
        list[str] | None,
        typer.Option("--item", metavar="ID", help="More like this item; may be given again.", show_default=False),
    ] = None,
    text_weight: Annotated[float, typer.Option("--text-weight", help="What the text counts.")] = 1.0,
    image_weight: Annotated[
        list[float] | None,
        typer.Option("--image-weight", help="What each picture counts, in order. By default 1.", show_default=False),
    ] = None,
    video_weight: Annotated[
        list[float] | None,
        typer.Option("--video-weight", help="What each video counts, in order.", show_default=False),
    ] = None,
    item_weight: Annotated[
        list[float] | None,
        typer.Option("--item-weight", help="What each item counts, in order.", show_default=False),
    ] = None,
    minus: Annotated[
        list[str] | None,
        typer.Option("--minus", metavar="TEXT", help="What to avoid; may be given again.", show_default=False),
    ] = None,
    minus_image: Annotated[
        list[str] | None,
        typer.Option(
            "--minus-image", metavar="FILE|URL", help="A picture to avoid; may be given again.", show_default=False
        ),
    ] = None,
    minus_weight: Annotated[
        float, typer.Option("--minus-weight", help="Most that what is to be avoided costs, 0 to 1.")
    ] = 0.5,
    mode: Annotated[
        str | None,
        typer.Option(
            "--mode",
            metavar="MODE",
            help="vector (by meaning), words (BM25) or hybrid. By default hybrid for a text alone, else vector.",
            show_default=False,
        ),
    ] = None,
    part: Annotated[
        str,
        typer.Option(
            "--part", metavar="PART", help="What is compared: item, or its best title, image, frame, or any of these."
        ),
    ] = "item",
    k: Annotated[int, typer.Option("-k", "--k", "--limit", help="Most results.")] = 10,
    offset: Annotated[int, typer.Option("--offset", help="Results to leave out before the first.")] = 0,
    snapshot: Annotated[
        str | None,
        typer.Option(
            "--snapshot",
            metavar="TOKEN",
            help="The token of an earlier page: cut this one from the same ranking.",
            show_default=False,
        ),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            "--where",
            metavar="SQL",
            help="A condition over the columns: \"price < 50 AND category = 'shoes'\". "
            "Put `backquotes` around a name with blanks.",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND", help="product, video or live; may be given again.", show_default=False),
    ] = None,
    min_relevance: Annotated[
        float | None,
        typer.Option(
            "--min-relevance",
            help="Least relevance, 0 to 1: .5 is what one random item in a thousand has.",
            show_default=False,
        ),
    ] = None,
    min_score: Annotated[
        float | None, typer.Option("--min-score", help="Least cosine, -1 to 1.", show_default=False)
    ] = None,
    diversity: Annotated[
        float, typer.Option("--diversity", help="How much results should differ, 0 to 1 (MMR).")
    ] = 0.0,
    collapse: Annotated[
        str | None,
        typer.Option(
            "--collapse",
            metavar="COLUMN",
            help="Only the best item of each value of a column, such as parent; or duplicates: of near-duplicates.",
            show_default=False,
        ),
    ] = None,
    no_rerank: Annotated[
        bool, typer.Option("--no-rerank", help="Keep the search's own order where a reranker is promoted.")
    ] = False,
    include_blocked: Annotated[
        bool, typer.Option("--include-blocked", help="Also items that a safety decision keeps out.")
    ] = False,
    moments: Annotated[
        bool, typer.Option("--moments", help="Of each video, also the seconds from and to which it matches.")
    ] = False,
    queries: Annotated[
        Path | None,
        typer.Option(
            "--queries",
            metavar="FILE",
            help="Many queries at once: a JSON object a line, with the fields of firstsight.Query and an id.",
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write the results as a page with pictures.", show_default=False),
    ] = None,
    db: options.Db = None,
    encoder: options.Encoder = None,
    runtime: options.Runtime = "auto",
    device: options.Device = None,
    trust_remote_code: options.TrustRemoteCode = False,
    allow_private: options.AllowPrivate = False,
    json: options.Json = False,
) -> None:
    """Find items by a text, pictures, videos, items, or several of them; each result names the view that matched."""
    import firstsight

    asked: dict[str, Any] = {
        "text": text,
        "text_weight": text_weight,
        "images": image or (),
        "image_weights": image_weight or (),
        "videos": video or (),
        "video_weights": video_weight or (),
        "items": item or (),
        "item_weights": item_weight or (),
        "minus": minus or (),
        "minus_images": minus_image or (),
        "minus_weight": minus_weight,
        "mode": mode,
        "part": part,
        "k": k,
        "offset": offset,
        "snapshot": snapshot,
        "where": where,
        "kinds": kind or (),
        "min_relevance": min_relevance,
        "min_score": min_score,
        "diversity": diversity,
        "collapse": collapse,
        "rerank": not no_rerank,
        "include_blocked": include_blocked,
        "moments": moments,
    }
    policy = firstsight.MediaPolicy(allow_private=allow_private)
    how = options.encoder_options(runtime, device, trust_remote_code)
    database = firstsight.open(db, encoder=encoder, encoder_options=how, policy=policy)
    if queries is not None:
        if text or image or video or item or html:
            raise typer.BadParameter("a file of queries is searched by alone", param_hint="--queries")
        print_json_lines(_answers(database, queries))
        return
    query = firstsight.Query(**asked)
    results = database.search(query)
    if html is not None:
        from firstsight.retrieval.pages.contact_sheet import write_contact_sheet

        with writing(html, "--html"):
            write_contact_sheet(html, query.summary, results, policy=policy)
        tell(f"wrote {html}")
    if wants_json(json):
        print_json_lines(result.as_dict() | {"snapshot": results.snapshot} for result in results)
    else:
        _print(results, query)


def _print(results: SearchResults, query: Query) -> None:
    if not results:
        tell("nothing matches" if not query.offset else f"there are no more than {query.offset} results")
        return
    shared = query.collapse is not None
    print_table(
        ["score", "relevance", "item", "kind", "title", "matched", "at"]
        + ["others"] * shared
        + ["moments"] * query.moments,
        [
            (f"{r.score:.3f}", f"{r.relevance:.2f}", r.item_id, r.kind, r.title)
            + ((r.view.part, clock(r.view.time_s)) if r.view else ("", ""))
            + (r.others,) * shared
            + (_moments(r),) * query.moments
            for r in results
        ],
        right=["score", "relevance", "others"],
    )
    if results.reranker is not None:
        tell(f"the first 100 are in the order of reranker {results.reranker}; --no-rerank for the search's own")
    if query.offset or query.snapshot:  # somebody turns pages
        tell(f"next page: --offset {query.offset + query.k} --snapshot {results.snapshot}")


def _moments(result: SearchResult) -> str:
    return ", ".join(f"{clock(moment.start_s)}-{clock(moment.end_s)}" for moment in result.moments or ())


def _answers(database: Database, path: Path) -> Iterator[dict[str, Any]]:
    """One answer a line: `results` and `snapshot`, or the `error` that this line alone has; with its `id`, if any."""
    try:
        file = sys.stdin if str(path) == "-" else path.open(encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read ({error.strerror})", param_hint="--queries") from None
    with file:
        numbered = ((n, line) for n, line in enumerate(file, start=1) if line.strip())
        while lines := list(islice(numbered, BATCH)):
            read = [_read(n, line) for n, line in lines]
            asked = [one for _, one in read if not isinstance(one, QueryError)]
            found = iter(database.search_many(asked))
            for head, one in read:
                answer: FirstsightError | SearchResults = one if isinstance(one, QueryError) else next(found)
                if isinstance(answer, FirstsightError):
                    yield head | {"error": str(answer)}
                else:
                    ranker = {} if answer.reranker is None else {"reranker": answer.reranker}
                    yield head | {"snapshot": answer.snapshot} | ranker | {"results": [r.as_dict() for r in answer]}


def _read(number: int, line: str) -> tuple[dict[str, Any], Query | QueryError]:
    """A line's number and id, and its query or what is wrong with it."""
    from firstsight import Query

    head: dict[str, Any] = {"line": number}
    try:
        plain = json_module.loads(line)
    except ValueError as error:
        return head, QueryError(f"line {number} is no JSON ({error})")
    if isinstance(plain, dict) and "id" in plain:
        head["id"] = plain.pop("id")
    try:
        return head, Query.from_dict(plain)
    except QueryError as error:
        return head, error
