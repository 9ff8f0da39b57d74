"""`firstsight map`: draw all items as points on an HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import print_message, writing

if TYPE_CHECKING:
    from firstsight.retrieval.pages.space_map import Method

EXAMPLES = ["map", "map --html shop.html --color-by category", "map --sample 2000 --method pca"]

app = group()


@command(app, "map", examples=EXAMPLES)
def space_map(
    *,
    color_by: Annotated[
        str | None, panels.map("--color-by", metavar="COLUMN", help="Column or fact that colours the points at first.")
    ] = None,
    sample: Annotated[
        int, panels.map("--sample", metavar="N", help="Maximum points; of more items, a random sample.")
    ] = 10_000,
    method: Annotated[
        str,
        panels.map(
            "--method",
            metavar="NAME",
            help="Projection: tsne, pca (fast and coarse) or umap (pip install 'firstsight\\[umap]').",
        ),
    ] = "tsne",
    seed: Annotated[int, panels.map("--seed", metavar="N", help="Random seed for the sample and the projection.")] = 0,
    html: Annotated[Path, panels.output("--html", metavar="FILE", help="HTML page to write.")] = Path("map.html"),
    pictures_mb: Annotated[
        float,
        panels.output(
            "--pictures-mb", metavar="MIB", help="Maximum size of all pictures on the page, in MiB; 0 for no pictures."
        ),
    ] = 16.0,
    allow_private: options.AllowPrivate = False,
    db: options.DatabaseFlags,
) -> None:
    """Draw a map of all items, similar items close together, as one HTML page.

    The page shows pictures on hover and needs no server.
    """
    evaluation = db.open(allow_private=allow_private).evaluation
    space = evaluation.space_map(
        color_by=color_by,
        sample=sample,
        method=cast("Method", method),  # `space_map` checks it
        seed=seed,
        on_progress=print_message,
    )
    print_message("reading pictures")
    with writing(html, "--html"):
        with_picture = evaluation.write_space_map(html, space, max_picture_bytes=int(pictures_mb * 2**20))
    print_message(
        f"wrote {html}: {len(space.points):,} of {space.total:,} items, {with_picture:,} with a picture, "
        f"{html.stat().st_size / 2**20:.1f} MB"
    )
