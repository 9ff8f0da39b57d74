"""Extension of griffe for the API reference: it reads three habits of this package's docstrings.

- An entry with several names, as in `k, seed: as for ...`, describes each of them.
- The comment of a dataclass field describes it. Classes with such comments get a table of their fields.
- `**options: Unpack[Options]` becomes an entry for each key of the TypedDict. A key is described there, or where the
  docstring of the TypedDict says: "the fields of `Query`", "the arguments of `Indexing.index`".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from griffe import (
    Attribute,
    Class,
    Docstring,
    DocstringParameter,
    DocstringSectionKind,
    DocstringSectionParameters,
    ExprSubscript,
    Extension,
    Function,
    GriffeLoader,
    Module,
    NameResolutionError,
    Object,
)

_GROUP = re.compile(r"^    (\w+(?:, \w+)+):(.*(?:\n     +.*)*)", re.MULTILINE)
_SECTION = re.compile(r"^(Args|Attributes):\n(?:(?: {4}.*)?\n?)*", re.MULTILINE)
_MIRROR = re.compile(r"[Tt]he (?:fields|arguments) of `([\w.]+)`")
UNKNOWN_DEFAULT = "..."


def split_groups(docstring: str) -> str:
    """Give each name of a group an entry of its own, with the text of the group."""
    return _SECTION.sub(lambda section: _GROUP.sub(_entries, section[0]), docstring)


def _entries(group: re.Match[str]) -> str:
    return "\n".join(f"    {name}:{group[2]}" for name in group[1].split(", "))


@dataclass(frozen=True)
class Entry:
    """Description and default of a field or an argument."""

    text: str
    default: Any = None


class DocstringHabits(Extension):
    """Splits groups while the package is loaded, and completes its docstrings once it is."""

    def on_function(self, *, func: Function, **_: object) -> None:
        """Split the groups of a function."""
        _split(func.docstring)

    def on_class(self, *, cls: Class, **_: object) -> None:
        """Split the groups of a class."""
        _split(cls.docstring)

    def on_package(self, *, pkg: Module, loader: GriffeLoader, **_: object) -> None:
        """Complete the docstrings of all classes, then of the functions that use them."""
        objects = list(_objects(pkg))
        for each in objects:
            if isinstance(each, Class):
                _describe_fields(each)
        for each in objects:
            if isinstance(each, Function):
                _describe_options(each, loader)


def _split(docstring: Docstring | None) -> None:
    if docstring is not None:
        docstring.value = split_groups(docstring.value)


def _objects(holder: Object) -> Iterator[Object]:
    for member in holder.members.values():
        if isinstance(member, Object):
            yield member
            yield from _objects(member)
    if isinstance(holder, Class):
        for overloads in holder.overloads.values():
            yield from overloads


def _describe_options(function: Function, loader: GriffeLoader) -> None:
    """Replace the entry of `**options` by one for each key of its TypedDict."""
    for parameter in function.parameters:
        annotation = parameter.annotation
        if not (isinstance(annotation, ExprSubscript) and annotation.canonical_name == "Unpack" and function.docstring):
            continue
        options = loader.modules_collection[str(annotation.slice.canonical_path)]  # type: ignore[union-attr]
        described = _keys(options, loader)
        section = _section(function.docstring, DocstringSectionKind.parameters)
        if section is None:
            section = DocstringSectionParameters([])
            function.docstring.parsed.append(section)
        section.value[:] = [entry for entry in section.value if entry.name.lstrip("*") != parameter.name]
        for name, key in options.all_members.items():
            entry = described.get(name, Entry(""))
            default = UNKNOWN_DEFAULT if entry.default is None else str(entry.default)
            section.value.append(
                DocstringParameter(name, annotation=key.annotation, description=entry.text, value=default)
            )


def _keys(options: Class, loader: GriffeLoader) -> dict[str, Entry]:
    """Describe the keys of a TypedDict: in its bases first, so that its own descriptions replace theirs."""
    found: dict[str, Entry] = {}
    for each in reversed([options, *options.mro()]):
        for name in _MIRROR.findall(each.docstring.value if each.docstring else ""):
            try:
                mirrored = loader.modules_collection[name if "." in name else each.resolve(name)]
            except (KeyError, NameResolutionError):
                continue
            found |= _arguments(mirrored) if mirrored.is_function else _fields(mirrored)
        found |= {name: entry for name, entry in _fields(each).items() if entry.text}
    return found


def _arguments(function: Function) -> dict[str, Entry]:
    section = _section(function.docstring, DocstringSectionKind.parameters)
    return {entry.name: Entry(entry.description, entry.value) for entry in (section.value if section else [])}


def _fields(holder: Class) -> dict[str, Entry]:
    section = _section(holder.docstring, DocstringSectionKind.attributes)
    described = {entry.name: entry.description for entry in (section.value if section else [])}
    return {
        name: Entry(described.get(name) or _comment(member), member.value)
        for name, member in holder.members.items()
        if isinstance(member, Attribute) and member.annotation is not None
    }


def _section(docstring: Docstring | None, kind: DocstringSectionKind) -> Any:
    sections = docstring.parsed if docstring else []
    return next((section for section in sections if section.kind is kind), None)


def _comment(field: Attribute) -> str:
    """The docstring of a field, else the comment behind it, else the comments above it."""
    if field.docstring:
        return field.docstring.value
    last, lines = field.endlineno, field.lines_collection[field.filepath]  # type: ignore[index]
    if found := re.search(r"  # (?!noqa|type:)(.+)$", lines[(last or 0) - 1]):
        return found[1]
    above: list[str] = []
    for line in reversed(lines[: (field.lineno or 1) - 1]):
        if not line.strip().startswith("# ") or line.strip().startswith("# --"):
            break
        above.insert(0, line.strip().removeprefix("# "))
    return " ".join(above)


def _describe_fields(cls: Class) -> None:
    """Add a section about the fields to the docstring of a class whose fields have comments."""
    if (
        "dataclass" not in cls.labels
        or not cls.docstring
        or re.search(r"^(Args|Attributes):", cls.docstring.value, re.M)
    ):
        return
    fields = [
        member
        for name, member in cls.members.items()
        if isinstance(member, Attribute) and "property" not in member.labels and not name.startswith("_")
    ]
    if any(_comment(field) and not field.docstring for field in fields):
        section = "\n".join(["Attributes:", *(f"    {field.name}: {_comment(field)}" for field in fields)])
        before, raises, after = cls.docstring.value.partition("\n\nRaises:")
        cls.docstring.value = f"{before}\n\n{section}{raises}{after}"
