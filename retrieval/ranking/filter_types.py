"""Comparisons in a filter of a column with a value of another type, such as `price < 50` where price is text.

LanceDB refuses most of them in its own terms. Some, such as `NOT price < 50`, it answers by comparing the texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from sqlglot import exp

from firstsight.storage.columns import OWN_KINDS, ColumnKind, reinterpret, types_option

_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between, exp.In)


def explain_type_mismatch(
    tree: exp.Expr, kinds: Mapping[str, ColumnKind], facts: Mapping[str, ColumnKind] = MappingProxyType({})
) -> str | None:
    """Find the first comparison of a column with a value of another type.

    Args:
        tree: a parsed condition.
        kinds: types of all columns that filters can use, by name.
        facts: types of facts, by name, such as `colours.red`.

    Returns:
        A clause about the column, its type and what to do; None if all types agree.
    """
    kinds = {**facts, **kinds}
    by_lower = {name.lower(): name for name in kinds}  # LanceDB finds a plain name in any case
    for node in tree.find_all(*_COMPARISONS):
        sides = list(_sides(node))
        columns = [by_lower[name] for name in map(_column_name, sides) if name in by_lower]
        for name in columns:
            for side in sides:
                kind = _literal_kind(side)
                if kind is not None and kind != kinds[name]:
                    return _explain(name, kinds[name], kind, side, is_fact=name in facts)
    return None


def _sides(node: exp.Expr) -> Iterator[exp.Expr]:
    for part in (node.this, *(node.args.get(name) for name in ("expression", "low", "high")), *node.expressions):
        if isinstance(part, exp.Expr):
            yield part.unnest()


def _column_name(node: exp.Expr) -> str | None:
    return ".".join(part.name for part in node.parts).lower() if isinstance(node, exp.Column) else None


def _literal_kind(node: exp.Expr) -> ColumnKind | None:
    if isinstance(node, exp.Neg):
        node = node.this
    if isinstance(node, exp.Boolean):
        return "flag"
    if isinstance(node, exp.Literal):
        return "text" if node.is_string else "number"
    return None


def _explain(name: str, stored: ColumnKind, literal: ColumnKind, node: exp.Expr, *, is_fact: bool) -> str:
    value = node.sql()
    problem = f"compares {name!r} with {value[:40]}, but {name!r} is a {stored} column"
    remedy = {
        "text": f"write '{value}' in quotes to compare texts",
        "number": "write numbers without quotes",
        "flag": "compare it with TRUE or FALSE",
        "time": "write times as timestamp '2026-05-01 12:00:00'",
    }[stored]
    fits = literal == "text" and isinstance(node, exp.Literal) and reinterpret(node.name, stored) is not None
    if is_fact or name in OWN_KINDS or fits or stored == "time":
        return f"{problem}; {remedy}"
    return f"{problem}; {remedy}, or index the catalogue again with {types_option(name, literal)}"
