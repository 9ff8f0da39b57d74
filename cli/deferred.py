"""Commands whose module is imported when they run, so `firstsight --help` imports none of them."""

from __future__ import annotations

import pkgutil
from typing import Any

import typer
from typer.core import TyperCommand


class DeferredCommand(TyperCommand):
    """An entry in the list of commands that stands for a command or a group of commands.

    Args:
        name: name on the command line.
        target: `module:attribute` of its `typer.Typer`, imported on the first call.
        panel: title of the help panel that lists it.
        help: one line for that list. The command's own help page has more.
    """

    def __init__(self, name: str, target: str, *, panel: str, help: str) -> None:
        super().__init__(name, help=help, rich_help_panel=panel)
        self._target = target

    def load(self) -> Any:
        """Import the command or group. Its type is click's, which Typer bundles from 0.26 on."""
        return typer.main.get_command(pkgutil.resolve_name(self._target))

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse the arguments with the loaded command; the group then runs that one."""
        return self.load().make_context(info_name, args, parent, **extra)
