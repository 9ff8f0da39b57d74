"""Panels of options on help pages: each is `typer.Option` with the title of one panel."""

from __future__ import annotations

from functools import partial

import typer

query = partial(typer.Option, rich_help_panel="Query")
filters = partial(typer.Option, rich_help_panel="Filters")
ranking = partial(typer.Option, rich_help_panel="Ranking")
catalogue = partial(typer.Option, rich_help_panel="Catalogue")
media = partial(typer.Option, rich_help_panel="Media")
facts = partial(typer.Option, rich_help_panel="Facts")
stream = partial(typer.Option, rich_help_panel="Stream")
map = partial(typer.Option, rich_help_panel="Map")
run = partial(typer.Option, rich_help_panel="Run")
events = partial(typer.Option, rich_help_panel="Events")
training = partial(typer.Option, rich_help_panel="Training")
user = partial(typer.Option, rich_help_panel="User")
slate = partial(typer.Option, rich_help_panel="Slate")
ids = partial(typer.Option, rich_help_panel="Semantic IDs")
evaluation = partial(typer.Option, rich_help_panel="Evaluation")
policies = partial(typer.Option, rich_help_panel="Policies")
hashes = partial(typer.Option, rich_help_panel="Hashes")
audit = partial(typer.Option, rich_help_panel="Audit log")
server = partial(typer.Option, rich_help_panel="Server")
limits = partial(typer.Option, rich_help_panel="Limits")
output = partial(typer.Option, rich_help_panel="Output")
encoder = partial(typer.Option, rich_help_panel="Encoder")
database = partial(typer.Option, rich_help_panel="Database")
