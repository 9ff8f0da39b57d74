"""Parsed conditions, written as LanceDB reads them.

Each kind of node that a condition may have is listed here; any other is refused. Parentheses stay where the user put
them. sqlglot and LanceDB rank some operators differently, so that a mix of those needs parentheses: what is written is
then read by LanceDB as sqlglot read it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

from sqlglot import exp
from sqlglot.expressions import DataType

from firstsight.storage.sql.condition_dialect import OF_THE_TEXT
from firstsight.storage.sql.conditions import ConditionLimits, RefusalError, quote, quote_name

_LOGIC: Final = (exp.And, exp.Or, exp.Not)
_PREDICATES: Final = (
    *(exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE),
    *(exp.In, exp.Between, exp.Is, exp.Like, exp.ILike, exp.Escape),
)
_ARITHMETIC: Final = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)
_SIGNS: Final[dict[type[exp.Expr], str]] = {
    exp.And: "AND", exp.Or: "OR",
    exp.EQ: "=", exp.NEQ: "!=", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%", exp.DPipe: "||",
}  # fmt: skip
_TYPES: Final = {
    DataType.Type.BOOLEAN: "BOOLEAN", DataType.Type.TINYINT: "TINYINT", DataType.Type.SMALLINT: "SMALLINT",
    DataType.Type.INT: "INT", DataType.Type.BIGINT: "BIGINT", DataType.Type.FLOAT: "FLOAT",
    DataType.Type.DOUBLE: "DOUBLE", DataType.Type.DECIMAL: "DECIMAL", DataType.Type.TEXT: "STRING",
    DataType.Type.UTINYINT: "TINYINT UNSIGNED", DataType.Type.USMALLINT: "SMALLINT UNSIGNED",
    DataType.Type.UINT: "INT UNSIGNED", DataType.Type.UBIGINT: "BIGINT UNSIGNED",
    DataType.Type.BINARY: "BINARY", DataType.Type.DATE: "DATE", DataType.Type.TIMESTAMP: "TIMESTAMP",
}  # fmt: skip
"""The types that LanceDB casts to, as it writes them."""

_PRECISIONS: Final = {DataType.Type.TIMESTAMP: (1,), DataType.Type.DECIMAL: (2,)}
"""The numbers that a type may have in parentheses, where it may have any."""

_NUMBER: Final = re.compile(r"\d+(\.\d*)?([eE][+-]?\d+)?")
_PLAIN_NAME: Final = re.compile(r"[^\W\d]\w*")
_IGNORED: Final = frozenset({"typed", "safe", "_type", "nested", "value_constructor", "bracket_notation"})
"""Notes of sqlglot about a node for other dialects."""


ColumnNames = Callable[[Sequence[str]], str | None]
"""From the parts of a column's name, the SQL to write in its place; None keeps the name. It may raise RefusalError."""


class Writer:
    """Writes one condition."""

    def __init__(self, limits: ConditionLimits, replaced: Mapping[int, str], names: ColumnNames | None = None) -> None:
        self._limits = limits
        self._names = names
        self._replaced = replaced  # by the `id` of a node, the SQL in its place

    def write(self, node: exp.Expr) -> str:
        """The SQL of a node.

        Raises:
            RefusalError: it has a kind of node, a function or a column that is not allowed.
            RecursionError: it nests too deeply.
        """
        if id(node) in self._replaced:
            return self._replaced[id(node)]
        if isinstance(node, exp.And | exp.Or):
            return self._chain(node)
        if type(node) in _SIGNS:
            return self._binary(node)
        writing = _WRITERS.get(type(node))
        if writing is None:
            _refuse(node, f"has {_kind(node)} in it", _COMPARE)
        return writing(self, node)

    # ---- conditions

    def _chain(self, node: exp.Expr) -> str:
        """A chain of one connector, which may have thousands of parts: without recursion."""
        kind, parts = type(node), []
        while type(node) is kind and id(node) not in self._replaced:
            self._only(node, "this", "expression")
            parts.append(self.write(node.expression))
            node = node.this
        return f" {_SIGNS[kind]} ".join([self.write(node), *reversed(parts)])

    def _binary(self, node: exp.Expr) -> str:
        self._only(node, "this", "expression")
        for side in (node.this, node.expression):
            if isinstance(node, exp.DPipe) and isinstance(side, _ARITHMETIC):
                _refuse(side, "mixes || and arithmetic", "put parentheses around one of them")
            if isinstance(node, _ARITHMETIC) and isinstance(side, exp.DPipe):
                _refuse(side, "mixes || and arithmetic", "put parentheses around one of them")
        return f"{self._operand(node.this)} {_SIGNS[type(node)]} {self._operand(node.expression)}"

    def _operand(self, node: exp.Expr) -> str:
        """Write the operand of an operator that binds more tightly than AND, OR and NOT."""
        if isinstance(node, _LOGIC + _PREDICATES) and id(node) not in self._replaced:
            _refuse(node, *_NESTED)
        return self.write(node)

    def _not(self, node: exp.Expr) -> str:
        self._only(node, "this")
        inner = node.this
        if isinstance(inner, exp.And | exp.Or):
            _refuse(inner, "has AND or OR directly after NOT", "put parentheses around the part that NOT negates")
        if id(inner) not in self._replaced and isinstance(inner, exp.In | exp.Between | exp.Is):
            return self._range(inner, "NOT ")
        return f"NOT {self.write(inner)}"

    def _range(self, node: exp.Expr, negated: str = "") -> str:
        left = self._operand(node.this)
        if isinstance(node, exp.Is):
            self._only(node, "this", "expression")
            if not isinstance(node.expression, exp.Null | exp.Boolean):
                _refuse(node, "has an IS", "IS can be followed by NULL, TRUE or FALSE, and by NOT before them")
            return f"{left} IS {negated}{self.write(node.expression)}"
        if isinstance(node, exp.Between):
            self._only(node, "this", "low", "high")
            return f"{left} {negated}BETWEEN {self._operand(node.args['low'])} AND {self._operand(node.args['high'])}"
        self._only(node, "this", "expressions")
        values = node.expressions
        if not values:
            _refuse(node, "has an IN without values", "give a list of values, such as color IN ('red', 'blue')")
        if self._limits.max_values is not None and len(values) > self._limits.max_values:
            _refuse(node, f"has {len(values):,} values after IN", f"the maximum is {self._limits.max_values:,}")
        return f"{left} {negated}IN ({', '.join(map(self.write, values))})"

    def _like(self, node: exp.Expr, escape: str = "") -> str:
        self._only(node, "this", "expression", "negate")
        sign = "LIKE" if isinstance(node, exp.Like) else "ILIKE"
        negated = "NOT " if node.args.get("negate") else ""
        return f"{self._operand(node.this)} {negated}{sign} {self._operand(node.expression)}{escape}"

    def _escape(self, node: exp.Expr) -> str:
        self._only(node, "this", "expression")
        character = node.expression
        if not (isinstance(character, exp.Literal) and character.is_string and len(character.name) == 1):
            _refuse(node, "has an ESCAPE", "ESCAPE must be followed by one character in quotes")
        if not isinstance(node.this, exp.Like | exp.ILike):
            _refuse(node, "has an ESCAPE", "ESCAPE can follow LIKE and ILIKE only")
        return self._like(node.this, f" ESCAPE {quote(character.name)}")

    # ---- values

    def _case(self, node: exp.Expr) -> str:
        self._only(node, "this", "ifs", "default")
        parts = ["CASE"] + ([self.write(node.this)] if node.this else [])
        for branch in node.args["ifs"]:
            self._only(branch, "this", "true")
            parts.append(f"WHEN {self.write(branch.this)} THEN {self.write(branch.args['true'])}")
        default = node.args.get("default")
        return " ".join([*parts, *([f"ELSE {self.write(default)}"] if default else []), "END"])

    def _cast(self, node: exp.Expr) -> str:
        self._only(node, "this", "to")
        kind = "TRY_CAST" if isinstance(node, exp.TryCast) else "CAST"
        return f"{kind}({self.write(node.this)} AS {self._type(node.args['to'])})"

    def _type(self, node: exp.Expr) -> str:
        name = _TYPES.get(node.this)
        if name is None:
            _refuse(node, "casts to a type that is not supported", f"the types are {', '.join(_TYPES.values())}")
        self._only(node, "this", "expressions")
        sizes = [self.write(size.this) for size in node.expressions]
        if sizes and (len(sizes) not in _PRECISIONS.get(node.this, ()) or not all(map(str.isdecimal, sizes))):
            _refuse(node, f"gives {name} a size", "only TIMESTAMP(3) and DECIMAL(9, 2) have sizes")
        return f"{name}({', '.join(sizes)})" if sizes else name

    def _function(self, node: exp.Expr) -> str:
        self._only(node, "this", "expressions")
        named = node.this
        quoted = isinstance(named, exp.Identifier)
        name = named.name if quoted else str(named).lower()
        allowed = self._limits.functions
        if allowed is not None and name not in allowed:
            _refuse(node, f"calls {name[:40]!r}", f"it may call {', '.join(sorted(allowed))}")
        # in backquotes: LanceDB has a grammar of its own for some plain names, such as trim, and refuses what it read
        return f"{quote_name(name)}({', '.join(map(self.write, node.expressions))})"

    def _column(self, node: exp.Expr) -> str:
        self._only(node, "this", "table", "db", "catalog")
        parts = list(node.parts)  # type: ignore[attr-defined]
        written = ".".join(map(self._name, parts))
        found = None if self._names is None else self._names([part.name for part in parts])
        return written if found is None else found

    def _name(self, node: exp.Expr) -> str:
        if not isinstance(node, exp.Identifier):
            _refuse(node, "has a dot without a name after it", _COMPARE)
        self._only(node, "this", "quoted")
        hidden = self._limits.hidden_columns
        if hidden is not None and (node.name.lower() in hidden or node.name.startswith("_")):
            _refuse(node, f"names {node.name[:40]!r}, which is not a column that filters can use")
        if node.quoted:
            return quote_name(node.name)
        if not (_PLAIN_NAME.fullmatch(node.name) and all(c.isalpha() or c == "_" or c.isascii() for c in node.name)):
            _refuse(node, f"has {node.name[:40]!r} in it", "put backquotes around a column name with other signs")
        return node.name  # LanceDB finds a plain name in any case

    def _bracket(self, node: exp.Expr) -> str:
        self._only(node, "this", "expressions")
        if len(node.expressions) != 1:
            _refuse(node, "has brackets with more than one value", "give one place or key, such as tags[1]")
        return f"{self._operand(node.this)}[{self.write(node.expressions[0])}]"

    def _array(self, node: exp.Expr) -> str:
        self._only(node, "expressions")
        return f"[{', '.join(map(self.write, node.expressions))}]"

    def _literal(self, node: exp.Expr) -> str:
        self._only(node, "this", "is_string")
        if node.args["is_string"]:
            return quote(node.name)
        if not _NUMBER.fullmatch(node.name):
            _refuse(node, f"has {node.name[:40]!r} in it", "write numbers as 50, 0.5 or 1e3")
        return node.name

    def _paren(self, node: exp.Expr) -> str:
        self._only(node, "this")
        if not node.meta.get(OF_THE_TEXT):
            _refuse(node, *_NESTED)
        return f"({self.write(node.this)})"

    def _minus(self, node: exp.Expr) -> str:
        self._only(node, "this")
        return f"- {self._operand(node.this)}"  # with a space: two signs would begin a comment

    def _only(self, node: exp.Expr, *names: str) -> None:
        """Refuse additions of other dialects to a node."""
        for name, value in node.args.items():
            if name not in names and name not in _IGNORED and value not in (None, False, []):
                _refuse(node, f"has {_kind(node)} of a kind that is not supported", _COMPARE)


def _refuse(node: exp.Expr, problem: str, remedy: str = "") -> NoReturn:
    place = node
    while (start := _start(place)) is None and place.parent is not None:
        place = place.parent
    raise RefusalError(problem if start is None else f"{problem} (at character {start + 1})", remedy)


def _start(node: exp.Expr) -> int | None:
    """Where a node begins in the text, counted from 0, as far as sqlglot notes it."""
    return min((part.meta["start"] for part in node.walk() if "start" in part.meta), default=None)


def _kind(node: exp.Expr) -> str:
    return _KINDS.get(type(node), "an expression that is not supported")


_KINDS: Final[dict[type[exp.Expr], str]] = {
    exp.In: "an IN",
    exp.Between: "a BETWEEN",
    exp.Like: "a LIKE",
    exp.ILike: "an ILIKE",
    exp.Star: "a *",
    exp.Tuple: "a list without IN before it",
    exp.Concat: "two texts side by side",
    exp.National: "a letter before a quote",
    exp.Alias: "an AS outside CAST",
    exp.Dot: "a name with too many dots",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
}
_NESTED: Final = ("compares the result of a comparison", "put parentheses around the inner comparison")
_COMPARE: Final = "compare columns and values with =, !=, <, >, IN, LIKE, BETWEEN or IS NULL"

_WRITERS: Final[dict[type[exp.Expr], Callable[[Writer, exp.Expr], str]]] = {
    exp.Not: Writer._not,
    exp.In: Writer._range,
    exp.Between: Writer._range,
    exp.Is: Writer._range,
    exp.Like: Writer._like,
    exp.ILike: Writer._like,
    exp.Escape: Writer._escape,
    exp.Case: Writer._case,
    exp.Cast: Writer._cast,
    exp.TryCast: Writer._cast,
    exp.Anonymous: Writer._function,
    exp.Column: Writer._column,
    exp.Bracket: Writer._bracket,
    exp.Array: Writer._array,
    exp.Literal: Writer._literal,
    exp.Paren: Writer._paren,
    exp.Neg: Writer._minus,
    exp.Null: lambda _self, _node: "NULL",
    exp.Boolean: lambda _self, node: "TRUE" if node.this else "FALSE",
}
