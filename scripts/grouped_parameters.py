"""Extension of griffe: an entry of a docstring with several names, as in `k, seed: as for ...`, describes them all."""

import re

from griffe import Class, Docstring, Extension, Function

_GROUP = re.compile(r"^    (\w+(?:, \w+)+):(.*(?:\n     +.*)*)", re.MULTILINE)
_SECTION = re.compile(r"^(Args|Attributes):\n(?:(?: {4}.*)?\n?)*", re.MULTILINE)


def split_groups(docstring: str) -> str:
    """Give each name of a group an entry of its own, with the text of the group."""
    return _SECTION.sub(lambda section: _GROUP.sub(_entries, section[0]), docstring)


def _entries(group: re.Match[str]) -> str:
    return "\n".join(f"    {name}:{group[2]}" for name in group[1].split(", "))


class GroupedParameters(Extension):
    """Splits the groups in docstrings before griffe reads them."""

    def on_function(self, *, func: Function, **_: object) -> None:
        """Split the groups of a function."""
        _split(func.docstring)

    def on_class(self, *, cls: Class, **_: object) -> None:
        """Split the groups of a class."""
        _split(cls.docstring)


def _split(docstring: Docstring | None) -> None:
    if docstring is not None:
        docstring.value = split_groups(docstring.value)
