"""The `firstsight` command: its sub-commands, and how an error becomes one sentence and an exit code."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

import firstsight
from firstsight.cli import (
    cold_start,
    duplicates,
    evaluate,
    events,
    index,
    inspect,
    models,
    optimize,
    recommend,
    remove,
    rerank,
    safety,
    search,
    semantic_ids,
    serve,
    upgrade,
    watch,
)
from firstsight.cli import map as map_
from firstsight.cli.exits import ERROR, USAGE
from firstsight.cli.output import tell
from firstsight.errors import FirstsightError, MissingDatabaseError, QueryError

app = typer.Typer(
    name="firstsight",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 fine, 1 error, 2 wrong usage, 3 finished but more media failed than --max-failures, or "
    "columns look like media and none was used, "
    "130 stopped by Ctrl-C.",
)
app.command("index", epilog=index.EPILOG)(index.index)
app.command("watch", epilog=watch.EPILOG)(watch.watch)
app.command("search", epilog=search.EPILOG)(search.search)
app.command("recommend", epilog=recommend.EPILOG)(recommend.recommend)
app.command("similar", epilog=recommend.SIMILAR_EPILOG)(recommend.similar)
app.command("get")(inspect.get)
app.command("status")(inspect.status)
app.command("failures")(inspect.failures)
app.command("remove", epilog=remove.EPILOG)(remove.remove)
app.command("duplicates", epilog=duplicates.EPILOG)(duplicates.duplicates)
app.command("optimize", epilog=optimize.EPILOG)(optimize.optimize)
app.command("upgrade", epilog=upgrade.EPILOG)(upgrade.upgrade)
app.command("map", epilog=map_.EPILOG)(map_.space_map)
app.command("serve", epilog=serve.EPILOG)(serve.serve)
app.add_typer(serve.keys_app, name="keys")
app.add_typer(models.app, name="models")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(events.app, name="events")
app.add_typer(cold_start.app, name="cold-start")
app.add_typer(rerank.app, name="rerank")
app.add_typer(semantic_ids.app, name="semantic-ids")
app.add_typer(safety.app, name="safety")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"firstsight {firstsight.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Understand items at first sight: index products and videos, search them by text, picture or video."""


def main() -> None:
    """Run the command line; a firstsight error is printed as one sentence on stderr, never as a traceback."""
    # Pillow warns about broken EXIF and the like, once per line of its code: a medium that matters is in `failures`
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        app()
    except (QueryError, MissingDatabaseError) as error:
        sys.exit(_say(error, USAGE))
    except FirstsightError as error:
        sys.exit(_say(error, ERROR))


def _say(error: FirstsightError, code: int) -> int:
    tell(f"firstsight: {error}")
    return code
