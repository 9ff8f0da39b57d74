"""Write docs/reference/cli.md, the reference of the command line, from the commands themselves: `make reference`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import typer

from firstsight.cli.deferred import DeferredCommand
from firstsight.cli.main import app

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "cli.md"
EXAMPLES = "[bold]Examples[/bold]"
"""The paragraph above the examples of a command (see cli/commands.py)."""


def render_page() -> str:
    """Render the page: all commands by panel, then a section for each command that help pages list."""
    root = typer.main.get_command(app)
    commands: dict[str, Any] = vars(root)["commands"]
    lines = ["# Command line", "", "<!-- written by `make reference`, from the help texts in cli/ -->", ""]
    for paragraph in [_prose(root.help), *map(_prose, (root.epilog or "").split("\n\n"))]:
        lines += [paragraph, ""]
    panels = list(dict.fromkeys(command.rich_help_panel for command in commands.values()))
    for panel in panels:
        listed = {name: command for name, command in commands.items() if command.rich_help_panel == panel}
        lines += [f"**{panel}**", "", *_links("firstsight", listed), ""]
    for name, command in commands.items():
        loaded = command.load() if isinstance(command, DeferredCommand) else command
        lines += _sections(f"firstsight {name}", loaded, level=2)
    return "\n".join(lines).rstrip() + "\n"


def _links(path: str, commands: dict[str, Any]) -> Iterator[str]:
    for name, command in commands.items():
        if not command.hidden:
            summary = (command.help or "").partition("\n\n")[0]
            yield f"- [`{path} {name}`](#{f'{path} {name}'.replace(' ', '-')}): {_prose(summary)}"


def _sections(path: str, command: Any, level: int) -> Iterator[str]:
    """A command, and the commands below it if it is a group."""
    below: dict[str, Any] = getattr(command, "commands", {})
    yield from [f"{'#' * level} {path}", ""]
    for paragraph in (command.help or "").split("\n\n"):
        yield from [_prose(paragraph), ""]
    yield from ["```text", _usage(path, command), "```", ""]
    if below:
        yield from [*_links(path, below), ""]
    yield from _parameters(command.params)
    yield from _examples(command.epilog or "")
    for name, each in below.items():
        if not each.hidden:
            yield from _sections(f"{path} {name}", each, level + 1)


def _usage(path: str, command: Any) -> str:
    arguments = [_argument(each) for each in _shown(command.params) if each.param_type_name == "argument"]
    below = ["COMMAND [ARGS]..."] if hasattr(command, "commands") else []
    return " ".join([path, "[OPTIONS]", *arguments, *below])


def _argument(parameter: Any) -> str:
    name = f"{_metavar(parameter)}{'...' if parameter.nargs == -1 else ''}"
    return name if parameter.required else f"[{name}]"


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _shown(parameters: list[Any]) -> list[Any]:
    return [each for each in parameters if not getattr(each, "hidden", False) and each.name != "help"]


def _parameters(parameters: list[Any]) -> Iterator[str]:
    """The arguments, then the options by panel, in the order of the help page."""
    panels: dict[str, list[Any]] = {}
    for parameter in _shown(parameters):
        title = "Arguments" if parameter.param_type_name == "argument" else parameter.rich_help_panel or "Options"
        panels.setdefault(title, []).append(parameter)
    for title, members in sorted(panels.items(), key=lambda panel: panel[0] != "Arguments"):
        yield from [f"**{title}**", ""]
        for parameter in members:
            facts = "; ".join(_facts(parameter))
            yield f"- `{_spelling(parameter)}`: {_prose(parameter.help)}{f' ({facts})' if facts else ''}"
        yield ""


def _spelling(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return _metavar(parameter)
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    return names if getattr(parameter, "is_flag", False) else f"{names} {_metavar(parameter)}"


def _facts(parameter: Any) -> Iterator[str]:
    """Range, default and environment variable, where the parameter has one."""
    limits = getattr(parameter, "type", parameter)  # newer versions of Typer keep them in the parameter
    low, high = getattr(limits, "min", None), getattr(limits, "max", None)
    if low is not None and high is not None:
        yield f"{low} to {high}"
    elif low is not None:
        yield f"at least {low}"
    elif high is not None:
        yield f"at most {high}"
    default = parameter.default
    if parameter.required and parameter.param_type_name == "option":
        yield "required"
    elif isinstance(default, list | tuple) and default:
        yield f"default `{', '.join(map(str, default))}`"
    elif isinstance(default, str | int | float | Path) and not isinstance(default, bool) and str(default):
        yield f"default `{default}`"
    if parameter.envvar:
        yield f"environment variable `{parameter.envvar}`"


def _examples(epilog: str) -> Iterator[str]:
    """The examples as a block of code, then the notes below them."""
    paragraphs = [part.replace("\\[", "[") for part in epilog.split("\n\n") if part]
    examples: list[str] = []
    if EXAMPLES in paragraphs:
        paragraphs.remove(EXAMPLES)
        examples = list(takewhile(lambda part: part.startswith("firstsight "), paragraphs))
        yield from ["**Examples**", "", "```bash", *examples, "```", ""]
    for note in paragraphs[len(examples) :]:
        yield from [_prose(note), ""]


def _prose(text: str | None) -> str:
    """A help text as Markdown: options as code, and nothing that Markdown reads as a mark."""
    parts = re.split(r"(`[^`]*`)", " ".join((text or "").replace("\\[", "[").split()))
    return "".join(part if part.startswith("`") else _plain(part) for part in parts)


def _plain(text: str) -> str:
    text = re.sub(r"(?<!\w)_|_(?!\w)|[*\\]", r"\\\g<0>", text).replace("<", "&lt;")
    return re.sub(r"(?<![\w-])(?:firstsight (?:COMMAND|[a-z-]+) )?--[a-z][a-z0-9-]*", r"`\g<0>`", text)


if __name__ == "__main__":
    PAGE.write_text(render_page(), encoding="utf-8")
