"""`firstsight map`: the items on a plane, as a page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from firstsight.cli import options
from firstsight.cli.output import tell, writing

EPILOG = """
[bold]Examples[/bold]

firstsight map

firstsight map --html shop.html --color-by category

firstsight map --sample 2000 --method pca
"""


def space_map(
    html: Annotated[Path, typer.Option("--html", metavar="FILE", help="The page to write.")] = Path("map.html"),
    color_by: Annotated[
        str | None,
        typer.Option("--color-by", metavar="COLUMN", help="What colours the points first.", show_default=False),
    ] = None,
    sample: Annotated[int, typer.Option("--sample", metavar="N", help="Most points.")] = 10_000,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="NAME",
            help="tsne; pca, fast and coarse; umap, if pip install 'firstsight\\[umap]'.",
        ),
    ] = "tsne",
    pictures_mb: Annotated[
        float, typer.Option("--pictures-mb", metavar="MB", help="Most of the page that is pictures; 0 for none.")
    ] = 16.0,
    seed: Annotated[int, typer.Option("--seed", help="What draws the sample and starts the placing.")] = 0,
    db: options.Db = None,
    allow_private: options.AllowPrivate = False,
) -> None:
    """Draw the items on a plane, alike ones together: one page with pictures on hover that needs no server."""
    import firstsight
    from firstsight.retrieval.space_map_page import write_space_map

    policy = firstsight.MediaPolicy(allow_private=allow_private)
    database = firstsight.open(db)
    space = database.space_map(color_by=color_by, sample=sample, method=method, seed=seed, on_progress=tell)
    tell("reading pictures")
    with writing(html, "--html"):
        pictured = write_space_map(html, space, database.uri, policy=policy, max_picture_bytes=int(pictures_mb * 2**20))
    tell(
        f"wrote {html}: {len(space.points):,} of {space.total:,} items, {pictured:,} with a picture, "
        f"{html.stat().st_size / 2**20:.1f} MB"
    )
