"""Registers functions as commands: their help pages, their old names, and options that several commands share."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature
from typing import Any, TypeVar, get_type_hints

import typer

Command = TypeVar("Command", bound=Callable[..., None])

_MARKUP = re.compile(r"\[(?=[a-zA-Z#/@])")
"""A bracket that Rich would read as the start of a style, as in firstsight[recommend]."""


def group(help: str = "", *, examples: Sequence[str] = (), note: str = "", **settings: Any) -> typer.Typer:
    """Make a group of commands, or the place of a single one.

    Args:
        help: one line for the group's help page.
        examples: command lines below it, without `firstsight`.
        note: text below the examples.
        settings: further arguments of `typer.Typer`.
    """
    defaults: dict[str, Any] = {"no_args_is_help": True, "add_completion": False, "rich_markup_mode": "rich"}
    return typer.Typer(help=help or None, epilog=_epilog(examples, note), **defaults | settings)


def command(
    app: typer.Typer,
    name: str | None = None,
    *,
    examples: Sequence[str],
    note: str = "",
    panel: str | None = None,
    old_names: Sequence[str] = (),
) -> Callable[[Command], Command]:
    """Register a function as a command of `app`. Its docstring is the help text.

    A parameter whose type is a dataclass becomes one option for each field. Write a field like an option: a type in
    `Annotated` with a `typer.Option`, and a default.

    Args:
        app: made by `group`.
        name: name of the command; by default the function's.
        examples: command lines below the options, without `firstsight`.
        note: text below the examples.
        panel: title of the panel in the group's list of commands.
        old_names: earlier names that still work; help pages do not list them.
    """

    def register(function: Command) -> Command:
        run = unbundle(function)
        page: dict[str, Any] = {
            "help": _paragraphs(function.__doc__ or ""),
            "epilog": _epilog(examples, note),
            "rich_help_panel": panel,
        }
        for each, hidden in [(name, False), *((old, True) for old in old_names)]:
            app.command(each, hidden=hidden, **page)(run)
        return function

    return register


def unbundle(function: Callable[..., None]) -> Callable[..., None]:
    """Replace dataclass parameters by their fields.

    Typer reads options from the signature. The result has the fields there, and passes dataclasses built from their
    values to `function`.
    """
    parameters: list[Parameter] = []
    bundles: dict[str, type[Any]] = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        bundle = parameter.annotation
        if isinstance(bundle, type) and is_dataclass(bundle):
            bundles[parameter.name] = bundle
            types = get_type_hints(bundle, include_extras=True)
            parameters += [_parameter(field, types[field.name]) for field in fields(bundle)]
        else:
            parameters.append(parameter.replace(kind=Parameter.KEYWORD_ONLY))

    @wraps(function)
    def run(**values: Any) -> None:
        built = {
            name: bundle(**{field.name: values.pop(field.name) for field in fields(bundle)})
            for name, bundle in bundles.items()
        }
        function(**values, **built)

    vars(run)["__signature__"] = Signature(parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _parameter(field: Field[Any], annotation: Any) -> Parameter:
    default = Parameter.empty if field.default is MISSING else field.default
    return Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _epilog(examples: Sequence[str], note: str) -> str | None:
    title = ["[bold]Examples[/bold]"] if examples else []
    lines = [*(f"firstsight {example}" for example in examples), *([note] if note else [])]
    return "\n\n".join([*title, *(_MARKUP.sub(r"\\[", line) for line in lines)]) or None


def _paragraphs(text: str) -> str:
    """Join the lines of each paragraph: Typer would print every line break after the first paragraph."""
    return "\n\n".join(re.sub(r"\s*\n\s*", " ", part) for part in inspect.cleandoc(text).split("\n\n"))
