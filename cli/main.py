"""The `firstsight` command: the list of commands, and how an error becomes one sentence and an exit code."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import firstsight
from firstsight.cli.deferred import DeferredCommand
from firstsight.cli.exits import ERROR, USAGE
from firstsight.cli.output import print_message
from firstsight.errors import FirstsightError, MissingDatabaseError, QueryError

COMMANDS = {
    "Catalogue": {
        "index": ("catalogue.index:app", "Index a catalogue: encode new and changed items."),
        "status": ("catalogue.inspect:status_app", "Show the contents of a database and its runs."),
        "get": ("catalogue.inspect:get_app", "Show one item with its views."),
        "failures": ("catalogue.inspect:failures_app", "List media that could not be used."),
        "export": ("catalogue.export:app", "Write items and vectors to Parquet, .npz or JSON lines."),
        "duplicates": ("catalogue.duplicates:app", "List groups of near-duplicate items."),
        "video-products": ("catalogue.video_products:app", "List, propose and review the products in videos."),
        "watch": ("catalogue.watch:app", "Index the latest frames of a live stream."),
        "remove": ("catalogue.remove:app", "Remove items."),
        "optimize": ("catalogue.optimize:app", "Merge small files and update indexes."),
        "reindex": ("catalogue.reindex:app", "Make the vectors of another encoder."),
        "upgrade": ("catalogue.upgrade:app", "Upgrade a database of an earlier version."),
    },
    "Understanding": {
        "facts": ("understanding.facts:app", "Show and update what is found in pictures."),
        "tags": ("understanding.tags:app", "Learn categories and attributes, and tag items."),
        "quality": ("understanding.quality:app", "List pictures with problems, such as blur."),
    },
    "Search": {
        "search": ("search.search:app", "Search by text, picture, video or item."),
        "map": ("search.map:app", "Draw a map of all items as an HTML page."),
        "evaluate": ("evaluate.app:app", "Measure search and recommendation quality."),
        "rerank": ("search.rerank:app", "Train rerankers for search results."),
        "personal-search": ("recommend.personal_search:app", "Order search results for a user."),
    },
    "Recommend": {
        "recommend": ("recommend.recommend:app", "Recommend items to a user, or users for an item."),
        "similar": ("recommend.recommend:similar_app", "List items with similar content."),
        "events": ("recommend.events:app", "Store and count user events."),
        "ranking": ("recommend.ranking:app", "Fit the ranking of recommendations, and explain it."),
        "cold-start": ("recommend.cold_start:app", "Train models that rank new items."),
        "sequence": ("recommend.sequence:app", "Train models of what comes next."),
        "semantic-ids": ("recommend.semantic_ids:app", "Give items semantic IDs such as 12-200-7-0."),
    },
    "Models": {
        "models": ("models:app", "List, check, calibrate and export encoders."),
        "tune": ("tuning.tune:app", "Tune an encoder on a catalogue."),
        "encoder": ("catalogue.encoders:app", "Switch a database to another encoder, and back."),
    },
    "Safety": {
        "safety": ("safety.app:app", "Score, review and block items by policy."),
    },
    "Service": {
        "serve": ("service:serve_app", "Serve a database over HTTP, with a web page."),
        "keys": ("service:keys_app", "Add, list and revoke API keys."),
    },
}
"""Panel -> command -> where its `typer.Typer` is in `firstsight.cli`, and its line on the help page."""


class CommandList(TyperGroup):
    """The root group: all commands of `COMMANDS`, not yet imported."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for panel, commands in COMMANDS.items():
            for name, (target, line) in commands.items():
                self.add_command(DeferredCommand(name, f"firstsight.cli.{target}", panel=panel, help=line))


app = typer.Typer(
    name="firstsight",
    cls=CommandList,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="firstsight COMMAND --help shows the options of a command, with examples.\n\n"
    "Exit codes: 0 success; 1 error; 2 wrong usage; 3 finished, but more media failed than --max-failures allows, or "
    "no column with media was used; 130 stopped by Ctrl-C.",
)


def print_version(requested: bool) -> None:
    """Print the version and exit, if requested."""
    if requested:
        typer.echo(f"firstsight {firstsight.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Understand items at first sight: index products and videos, then search them by text, picture or video."""


def main() -> None:
    """Run the command line. Print a firstsight error as one sentence on stderr, without a traceback."""
    # Pillow warns about damaged EXIF data and similar; `firstsight failures` lists the media that matter
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        app()
    except (QueryError, MissingDatabaseError) as error:
        sys.exit(report(error, USAGE))
    except FirstsightError as error:
        sys.exit(report(error, ERROR))


def report(error: FirstsightError, code: int) -> int:
    """Print an error and return the exit code."""
    print_message(f"firstsight: {error}")
    return code
