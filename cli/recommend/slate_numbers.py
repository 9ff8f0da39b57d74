"""Numbers of slots on the command line: `--kind video=4`, `--cap brand=2`, `--floor seller=acme:2`."""

from __future__ import annotations

from collections.abc import Iterable

import typer


def read_quotas(texts: Iterable[str]) -> dict[str, float]:
    """Read `KIND=NUMBER`; a number with a decimal point is a share."""
    return {name: _number(number) for name, number in (_pair(text, "--kind") for text in texts)}


def read_limits(texts: Iterable[str], option: str) -> dict[str, float]:
    """Read `COLUMN=NUMBER`, `COLUMN=VALUE:NUMBER` or `new=NUMBER` into numbers by group."""
    return {group: _number(number) for group, number in (_group_limit(text, option) for text in texts)}


def _group_limit(text: str, option: str) -> tuple[str, str]:
    group, colon, number = text.rpartition(":")
    if colon and "=" in group and _is_number(number):
        return group, number
    if text.count("=") == 1 and not _is_number(text.partition("=")[2]):
        raise typer.BadParameter(f"{text!r} has no number; write {text}:2 for two items", param_hint=option)
    return _pair(text, option)


def _pair(text: str, option: str) -> tuple[str, str]:
    """Split `NAME=NUMBER`."""
    name, equals, number = text.rpartition("=")
    if not equals or not name or not _is_number(number):
        raise typer.BadParameter(f"{text!r} is not NAME=NUMBER, such as product=6", param_hint=option)
    return name, number


def _is_number(text: str) -> bool:
    return text.isascii() and text.replace(".", "", 1).isdecimal()


def _number(text: str) -> float:
    """A count, or a share if it has a decimal point."""
    return float(text) if "." in text else int(text)
