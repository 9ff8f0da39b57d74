"""Conditions that users write: parsed, checked, rewritten and written again for LanceDB.

LanceDB evaluates a condition in this process and accepts more than a filter needs: it ignores text after a condition,
calls every function and reads every column. So it never gets the user's text. `parse_condition` makes a tree,
`ConditionLimits` restrict the tree, and LanceDB gets a condition that is written from the tree.

Importing sqlglot takes 80 ms: import this module only if there is a condition to parse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from sqlglot import Token, TokenType, exp
from sqlglot.errors import ParseError, TokenError

from firstsight.errors import QueryError
from firstsight.storage.sql.condition_dialect import parse, tokenize
from firstsight.storage.sql.condition_writer import ColumnNames, Writer
from firstsight.storage.sql.conditions import ConditionLimits, RefusalError, one_of, quote, shortened

MAX_CHAIN = 250
"""Words and signs of a filter between two of AND, OR and commas. LanceDB goes through an expression by recursion: a sum
of a thousand numbers overflows its stack, and takes the process down."""

MAX_DEPTH = 20
"""Nested parentheses, brackets and CASEs. sqlglot takes 23 Python frames for each, of the 1,000 that a thread has."""

_KEPT_TREES = 8  # a service checks a condition, then searches with it; pages of one search repeat it


@dataclass(frozen=True)
class Condition:
    """A condition that was parsed and is within its limits."""

    text: str  # as the user wrote it
    sql: str  # for LanceDB
    limits: ConditionLimits
    tree: exp.Expr = field(repr=False, compare=False)  # shared: never changed
    names: ColumnNames | None = field(default=None, repr=False, compare=False)

    def replace_column(self, column: str, answer: Callable[[str, bool], str], usage: str) -> Condition:
        """Replace each comparison of a column with another condition.

        Args:
            column: its name in lower case.
            answer: from a comparison without the column (`= 'a'`, `IN ('a', 'b')`, `LIKE 'a%'`) and whether it is
                negated, the SQL in its place, in parentheses.
            usage: how the column can be used, for the message.

        Raises:
            QueryError: the column is used in another way.
        """
        replaced: dict[int, str] = {}
        for node in self.tree.find_all(exp.Column):
            if _is_named(node, column):
                found = _comparison(node)
                if found is None:
                    shown = shortened(self.text)
                    raise QueryError(f"the filter {shown!r} uses {column} in a way that is not supported; {usage}")
                compared, sql, negated = found
                replaced[id(compared)] = answer(sql, negated)
        if not replaced:
            return self
        sql = _write(self.text, self.tree, self.limits, replaced, self.names)
        return Condition(self.text, sql, self.limits, self.tree, self.names)


def parse_condition(text: str, limits: ConditionLimits | None = None, names: ColumnNames | None = None) -> Condition:
    """Parse a condition and check it.

    Args:
        text: SQL, such as `price < 50 AND category = 'shoes'`.
        limits: by default all that LanceDB evaluates.
        names: gives the SQL of columns that are stored under another name.

    Raises:
        QueryError: it cannot be read, or has something in it that the limits do not allow. The message names what that
            is, its place and what to do.
    """
    limits = limits or ConditionLimits()
    try:
        tokens, tree = _tree(text)
        if limits.max_tokens is not None and tokens > limits.max_tokens:
            raise RefusalError(
                f"has {tokens:,} words, values and signs", f"the maximum is {limits.max_tokens:,}; give a shorter one"
            )
    except RefusalError as refusal:
        raise refusal.error(text, limits) from None
    return Condition(text, _write(text, tree, limits, {}, names), limits, tree, names)


def columns_of(text: str) -> frozenset[str]:
    """Names of the catalogue's columns that a condition uses, in lower case; names with dots are those of facts.

    Raises:
        QueryError: the condition cannot be read.
    """
    try:
        _, tree = _tree(text)
    except RefusalError as refusal:
        raise refusal.error(text, ConditionLimits()) from None
    return frozenset(column.name.lower() for column in tree.find_all(exp.Column) if not column.table)


@lru_cache(maxsize=_KEPT_TREES)
def _tree(text: str) -> tuple[int, exp.Expr]:
    """The number of tokens of a condition, and its tree.

    Raises:
        RefusalError: it is no condition, or nests too deeply.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _out_of_place("half a character", error.start) from None
    try:
        tokens = tokenize(text)
    except TokenError:
        raise RefusalError("cannot be read (a quote is not closed)") from None
    _check_tokens(text, tokens)
    _check_depth(text, tokens)
    try:
        return len(tokens), parse(text, tokens)
    except ParseError as error:
        raise RefusalError(f"cannot be read ({_reason(error, text)})") from None
    except RecursionError:
        raise _too_deep() from None


def _check_tokens(text: str, tokens: Sequence[Token]) -> None:
    """Refuse what has no place in a condition, and any character that is in no token, such as a comment."""
    end = 0
    for token in tokens:
        written = text[token.start : token.end + 1]
        if text[end : token.start].strip():
            raise _out_of_place(text[end : token.start].strip()[:2], end)
        if text[token.start : token.start + 2] in {"--", "/*"}:
            raise _out_of_place(text[token.start : token.start + 2], token.start)
        if token.token_type == TokenType.UNKNOWN or written in _NO_WORDS:
            raise _out_of_place(written[:1], token.start)
        if token.token_type == TokenType.STRING and "\\'" in written:  # some SQL ends the text there, some does not
            raise _out_of_place("\\'", token.start + written.index("\\'"))
        end = token.end + 1
    if text[end:].strip():
        raise _out_of_place(text[end:].strip()[:2], end)


_NO_WORDS: Final = frozenset("`;:!|{}&^~#@$?\\\"'")


def _check_depth(text: str, tokens: Sequence[Token]) -> None:
    """Refuse a filter whose expressions nest so deeply that sqlglot or LanceDB cannot go through them."""
    lengths, deepest, betweens = [0], [0], [0]  # of the chain, of its parts, ANDs to come: for each open parenthesis
    nots = 0  # side by side
    for token in tokens:
        word = token.text.lower() if text[token.start] not in "'\"`" else ""
        if word in {"(", "[", "case"}:
            lengths.append(0)
            deepest.append(0)
            betweens.append(0)
        elif word in {")", "]", "end"} and len(lengths) > 1:
            lengths.pop()
            betweens.pop()
            lengths[-1] += deepest.pop() + 1
        elif word in {"and", "or", ","} and not (word == "and" and betweens[-1]):
            lengths[-1] = 0
        else:
            betweens[-1] += {"between": 1, "and": -1}.get(word, 0)
            lengths[-1] += 1
        deepest[-1] = max(deepest[-1], lengths[-1])
        if deepest[-1] > MAX_CHAIN:
            raise RefusalError(
                f"has more than {MAX_CHAIN} words and signs in one expression",
                "split it with AND or OR, or give a list of values: color IN ('red', 'blue')",
            )
        nots = nots + 1 if word == "not" else 0
        if len(lengths) > MAX_DEPTH + 1 or nots > MAX_DEPTH:
            raise _too_deep()


def _too_deep() -> RefusalError:
    return RefusalError(
        f"nests too deeply in one expression ({MAX_DEPTH} parentheses inside one another are the maximum)",
        "remove the parentheses and NOTs that it does not need",
    )


def _out_of_place(what: str, place: int) -> RefusalError:
    return RefusalError(f"has {what} in it (at character {place + 1})", "give one plain condition such as price < 50")


def _reason(error: ParseError, text: str) -> str:
    """Why sqlglot could not parse a condition, in plain words."""
    found = error.errors[0] if error.errors else {}
    word, line, column = str(found.get("highlight") or ""), found.get("line"), found.get("col")
    if not word or line is None or column is None:
        return "it ends too early"
    start = sum(len(part) for part in text.splitlines(keepends=True)[: line - 1]) + column - len(word)
    if not text[start + len(word) :].strip() and str(found.get("description")).startswith(("Required", "Expect")):
        return f"it ends too early, after {word[:40]!r}"
    return f"{word[:40]!r} is not expected at character {start + 1}"


# ---- trees


def _write(
    text: str, tree: exp.Expr, limits: ConditionLimits, replaced: Mapping[int, str], names: ColumnNames | None
) -> str:
    try:
        return Writer(limits, replaced, names).write(tree)
    except RefusalError as refusal:
        raise refusal.error(text, limits) from None
    except RecursionError:
        raise _too_deep().error(text, limits) from None


def _is_named(node: exp.Column, column: str) -> bool:
    name = node.this
    return len(node.parts) == 1 and (name.name == column or (not name.quoted and name.name.lower() == column))


def _comparison(node: exp.Column) -> tuple[exp.Expr, str, bool] | None:
    """The comparison with texts that a column is the left side of, its SQL, and whether it is negated."""
    compared = node.parent
    if compared is None or compared.this is not node:
        return None
    if isinstance(compared, exp.EQ | exp.NEQ) and _is_text(compared.expression):
        return compared, f"= {quote(compared.expression.name)}", isinstance(compared, exp.NEQ)
    if isinstance(compared, exp.Like) and _is_text(compared.expression) and not isinstance(compared.parent, exp.Escape):
        return compared, f"LIKE {quote(compared.expression.name)}", bool(compared.args.get("negate"))
    if isinstance(compared, exp.In) and compared.expressions and all(map(_is_text, compared.expressions)):
        return compared, one_of([value.name for value in compared.expressions]), False
    return None


def _is_text(node: exp.Expr) -> bool:
    return node.key == "literal" and bool(node.args.get("is_string"))
