"""`firstsight search`: by text, picture, video or item."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from firstsight.cli import options
from firstsight.cli.output import clock, print_json_lines, print_table, tell, wants_json

EPILOG = """
[bold]Examples[/bold]

firstsight search "red running shoes"

firstsight search --image photo.jpg --kind product -k 5

firstsight search --video clip.mp4 --html page.html

firstsight search --item guitar-acoustic --where "price < 200 AND category = 'music'"
"""


def search(
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="What to look for, in words.", show_default=False)
    ] = None,
    image: Annotated[
        str | None, typer.Option("--image", metavar="FILE|URL", help="Search by a picture.", show_default=False)
    ] = None,
    video: Annotated[
        str | None, typer.Option("--video", metavar="FILE|URL", help="Search by a video.", show_default=False)
    ] = None,
    item: Annotated[
        str | None, typer.Option("--item", metavar="ID", help="More like this item.", show_default=False)
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="Most results.")] = 10,
    where: Annotated[
        str | None,
        typer.Option(
            "--where",
            metavar="SQL",
            help="A condition over the columns: \"price < 50 AND category = 'shoes'\". "
            "A name with blanks stands in `backticks`.",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND", help="product, video or live; may be given again.", show_default=False),
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
    """Find the items nearest to a text, a picture, a video or another item; each result names the view that matched."""
    import firstsight

    policy = firstsight.MediaPolicy(allow_private=allow_private)
    how = firstsight.EncoderOptions(runtime, device, trust_remote_code=trust_remote_code, on_progress=tell)
    database = firstsight.open(db, encoder=encoder, encoder_options=how, policy=policy)
    results = database.search(text, image=image, video=video, item=item, k=k, where=where, kinds=kind or ())
    if html is not None:
        from firstsight.retrieval.contact_sheet import write_contact_sheet

        asked = text or f"more like {item or Path(image or video or '').name}"
        try:
            write_contact_sheet(html, asked, results, policy=policy)
        except OSError as error:
            raise typer.BadParameter(f"{html} cannot be written ({error.strerror})", param_hint="--html") from None
        tell(f"wrote {html}")
    if wants_json(json):
        print_json_lines(result.as_dict() for result in results)
    elif results:
        print_table(
            ["score", "item", "kind", "title", "matched", "at"],
            [
                (f"{r.score:.3f}", r.item_id, r.kind, r.title)
                + ((r.view.part, clock(r.view.time_s)) if r.view else ("", ""))
                for r in results
            ],
            right=["score"],
        )
    else:
        tell("no item passes the filter")
