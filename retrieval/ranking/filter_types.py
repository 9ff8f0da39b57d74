"""Comparisons in a filter of a column with a value of another type, such as `price < 50` where price is text.

LanceDB refuses most of them in its own terms. Some, such as `NOT price < 50`, it answers by comparing the texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlglot import exp

from firstsight.storage.columns import OWN_KINDS, ColumnKind, reinterpret, types_option

_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between, exp.In)


def explain_type_mismatch(tree: exp.Expr, kinds: Mapping[str, ColumnKind]) -> str | None:
    """Find the first comparison of a column with a value of another type.

    Args:
        tree: a parsed condition.
        kinds: types of all columns that filters can use, by name.

    Returns:
        A clause about the column, its type and what to do; None if all types agree.
    """
    by_lower = {name.lower(): name for name in kinds}  # LanceDB finds a plain name in any case
    for node in tree.find_all(*_COMPARISONS):
        sides = list(_sides(node))
        columns = [by_lower[side.name.lower()] for side in sides if _is_column(side) and side.name.lower() in by_lower]
        for name in columns:
            for side in sides:
                kind = _literal_kind(side)
                if kind is not None and kind != kinds[name]:
                    return _explain(name, kinds[name], kind, side)
    return None


def _sides(node: exp.Expr) -> Iterator[exp.Expr]:
    for part in (node.this, *(node.args.get(name) for name in ("expression", "low", "high")), *node.expressions):
        if isinstance(part, exp.Expr):
            yield part.unnest()


def _is_column(node: exp.Expr) -> bool:
    return isinstance(node, exp.Column) and not node.table


def _literal_kind(node: exp.Expr) -> ColumnKind | None:
    if isinstance(node, exp.Neg):
        node = node.this
    if isinstance(node, exp.Boolean):
        return "flag"
    if isinstance(node, exp.Literal):
        return "text" if node.is_string else "number"
    return None


def _explain(name: str, stored: ColumnKind, literal: ColumnKind, node: exp.Expr) -> str:
    value = node.sql()
    problem = f"compares {name!r} with {value[:40]}, but {name!r} is a {stored} column"
    remedy = {
        "text": f"write '{value}' in quotes to compare texts",
        "number": "write numbers without quotes",
        "flag": "compare it with TRUE or FALSE",
        "time": "write times as timestamp '2026-05-01 12:00:00'",
    }[stored]
    fits = literal == "text" and isinstance(node, exp.Literal) and reinterpret(node.name, stored) is not None
    if name in OWN_KINDS or fits or stored == "time":
        return f"{problem}; {remedy}"
    return f"{problem}; {remedy}, or index the catalogue again with {types_option(name, literal)}"
