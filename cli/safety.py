"""`firstsight safety`: policies, known pictures, decisions and their review."""

from __future__ import annotations

import typer

from firstsight.cli import safety_hashes, safety_review

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)
app.add_typer(safety_hashes.app, name="hashes")
safety_review.register(app)


@app.callback()
def safety() -> None:
    """Find what policies forbid, decide about it with evidence, and keep a log that shows every change."""
