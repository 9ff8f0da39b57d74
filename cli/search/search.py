"""`firstsight search`: search by text, pictures, videos, items, vectors, or a file of queries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import (
    at_second,
    at_tenth,
    clock,
    print_json_lines,
    print_message,
    shown,
    shown_variants,
    writing,
)
from firstsight.cli.search.queries_file import answer_file
from firstsight.cli.search.search_flags import SearchFlags

if TYPE_CHECKING:
    from firstsight import Query, SearchResult, SearchResults

SAID = 80
"""Characters of a passage of timed text in the table of results."""

EXAMPLES = [
    'search "red running shoes"',
    "search --image photo.jpg --kind product -k 5",
    'search "red running shoes not nike under 50"',
    'search "summer dress" --image a.jpg --image-weight 0.5 --minus floral --minus-image b.jpg',
    "search --item guitar-acoustic --where \"price < 200 AND category = 'music'\"",
    "search SPP6 --mode words",
    'search "running shoes" --collapse none --diversity 0.3 --min-relevance 0.5',
    "search --video clip.mp4 --html page.html",
    "search --vector mine.npy --kind product",
    'search "pouring tea" --kind video --moments',
    "search shoes --columns score,title,price --csv > shoes.csv",
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
    output: options.ItemTableFlags,
    allow_private: options.AllowPrivate = False,
    encoder: options.EncoderFlags,
    db: options.DatabaseFlags,
) -> None:
    """Search by text, pictures, videos, items and vectors, alone or together.

    Each result names the view that matched: the title, a picture, or a second of a video. The table has a column
    `said` if a timed text has words of the query, `in_picture` if the text of a picture does, and `clip_at` if videos
    contain the clip of the query: the second at which it begins.
    """
    import firstsight

    database = db.open(encoder, allow_private=allow_private)
    if queries is not None:
        if flags.has_parts or html:
            raise typer.BadParameter("cannot be used with a query or --html", param_hint="--queries")
        if output.csv or output.columns:
            raise typer.BadParameter(
                "prints JSON lines; --csv and --columns are for a single query", param_hint="--queries"
            )
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
    if output.as_json:
        understood = {} if results.understood is None else {"understood": results.understood}
        print_json_lines(result.to_dict() | {"snapshot": results.snapshot} | understood for result in results)
    else:
        if results.understood is not None and not output.csv:  # a line for people, not for a pipe
            from firstsight.retrieval.query_understanding import describe_understood

            print_message(f"understood: {describe_understood(results.understood)}")
        _print(results, query, output, db)


def _print(results: SearchResults, query: Query, output: options.ItemTableFlags, db: options.DatabaseFlags) -> None:
    by_product = any(r.variants is not None for r in results)
    collapsed = query.collapse not in {None, "none"} and not by_product
    spoken = any(r.line is not None for r in results)
    pictured = any(r.picture_text is not None for r in results)
    has_clip = any(r.clip is not None for r in results)
    output.print_items(
        db,
        ["score", "relevance", "item", "kind", "title", "matched", "at"]
        + ["others"] * collapsed
        + ["variants"] * by_product
        + ["clip_at"] * has_clip
        + ["said"] * spoken
        + ["in_picture"] * pictured
        + ["moments"] * query.moments,
        [
            (shown(r.score, ".3f"), shown(r.relevance, ".2f"), r.item_id, r.kind, r.title)
            + ((r.view.part, at_second(r.view.time_s)) if r.view else ("", ""))
            + (r.others,) * collapsed
            + (shown_variants(r.variants),) * by_product
            + (at_tenth(None if r.clip is None else r.clip.offset_s),) * has_clip
            + (_said(r),) * spoken
            + ("" if r.picture_text is None else r.picture_text.text[:SAID],) * pictured
            + (_moments(r),) * query.moments
            for r in results
        ],
        right=["score", "relevance", "others"],
        absent=["others", "variants", "clip_at", "said", "in_picture", "moments"],
        empty="nothing matches" if not query.offset else f"no results after the first {query.offset}",
    )
    if not results:
        return
    if results.reranker is not None:
        print_message(f"reranker {results.reranker} ordered the first 100 results; --no-rerank shows the search order")
    if query.offset or query.snapshot:  # the user reads page by page
        print_message(f"next page: --offset {query.offset + query.k} --snapshot {results.snapshot}")


def _said(result: SearchResult) -> str:
    line = result.line
    return "" if line is None or line.text is None else f"{clock(line.time_s)} {line.text[:SAID].replace(chr(10), ' ')}"


def _moments(result: SearchResult) -> str:
    return ", ".join(f"{clock(moment.start_s)}-{clock(moment.end_s)}" for moment in result.moments or ())
