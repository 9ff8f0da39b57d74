"""`firstsight search`: search by text, pictures, videos, items, or a file of queries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import (
    clock,
    print_json_lines,
    print_message,
    print_table,
    variants_text,
    wants_json,
    writing,
)
from firstsight.cli.search.queries_file import answer_file
from firstsight.cli.search.search_flags import SearchFlags

if TYPE_CHECKING:
    from firstsight import Query, SearchResult, SearchResults

EXAMPLES = [
    'search "red running shoes"',
    "search --image photo.jpg --kind product -k 5",
    'search "summer dress" --image a.jpg --image-weight 0.5 --minus floral --minus-image b.jpg',
    "search --item guitar-acoustic --where \"price < 200 AND category = 'music'\"",
    "search SPP6 --mode words",
    'search "running shoes" --collapse none --diversity 0.3 --min-relevance 0.5',
    "search --video clip.mp4 --html page.html",
    'search "pouring tea" --kind video --moments',
    "search --queries queries.jsonl --json",
]

NOTE = """
A line of queries.jsonl: {"id": "q1", "text": "red shoes", "images": ["a.jpg"], "where": "price < 50", "k": 5}
""".strip()

app = group()


@command(app, examples=EXAMPLES, note=NOTE)
def search(
    *,
    flags: SearchFlags,
    queries: Annotated[
        Path | None,
        panels.query(
            "--queries",
            metavar="FILE",
            help="File of queries: one JSON object a line, with the fields of firstsight.Query and an optional id; - "
            "for stdin.",
        ),
    ] = None,
    html: Annotated[
        Path | None, panels.output("--html", metavar="FILE", help="HTML page with pictures to write.")
    ] = None,
    json: options.Json = False,
    allow_private: options.AllowPrivate = False,
    encoder: options.EncoderFlags,
    db: options.DatabaseFlags,
) -> None:
    """Search by text, pictures, videos and items, alone or together.

    Each result names the view that matched: the title, a picture, or a second of a video.
    """
    import firstsight

    database = db.open(encoder, allow_private=allow_private)
    if queries is not None:
        if flags.has_parts or html:
            raise typer.BadParameter("cannot be used with a query or --html", param_hint="--queries")
        print_json_lines(answer_file(database, queries))
        return
    query = flags.query()
    results = database.search(query)
    if html is not None:
        from firstsight.retrieval.pages.contact_sheet import write_contact_sheet

        with writing(html, "--html"):
            write_contact_sheet(
                html, query.summary, results, policy=firstsight.MediaPolicy(allow_private=allow_private)
            )
        print_message(f"wrote {html}")
    if wants_json(json):
        print_json_lines(result.as_dict() | {"snapshot": results.snapshot} for result in results)
    else:
        _print(results, query)


def _print(results: SearchResults, query: Query) -> None:
    if not results:
        print_message("nothing matches" if not query.offset else f"no results after the first {query.offset}")
        return
    by_product = any(r.variants is not None for r in results)
    collapsed = any(r.others is not None for r in results) and not by_product
    print_table(
        ["score", "relevance", "item", "kind", "title", "matched", "at"]
        + ["others"] * collapsed
        + ["variants"] * by_product
        + ["moments"] * query.moments,
        [
            (f"{r.score:.3f}", f"{r.relevance:.2f}", r.item_id, r.kind, r.title)
            + ((r.view.part, clock(r.view.time_s)) if r.view else ("", ""))
            + (r.others,) * collapsed
            + (variants_text(r.variants),) * by_product
            + (_moments(r),) * query.moments
            for r in results
        ],
        right=["score", "relevance", "others"],
    )
    if results.reranker is not None:
        print_message(f"reranker {results.reranker} ordered the first 100 results; --no-rerank shows the search order")
    if query.offset or query.snapshot:  # the user reads page by page
        print_message(f"next page: --offset {query.offset + query.k} --snapshot {results.snapshot}")


def _moments(result: SearchResult) -> str:
    return ", ".join(f"{clock(moment.start_s)}-{clock(moment.end_s)}" for moment in result.moments or ())
