"""Conditions over the columns of `items`: checked, joined, and explained when they cannot be read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from firstsight.errors import QueryError
from firstsight.storage.semantic_id_table import replace_semantic_ids
from firstsight.storage.store import Store, quote
from firstsight.storage.tables import HIDDEN_COLUMNS


def build_condition(store: Store, where: str | None, kinds: Sequence[str]) -> str | None:
    """The condition that LanceDB filters with, or None.

    Args:
        where: an SQL condition over the columns of `items` and over `semantic_id`.
        kinds: "product", "video", "live"; none means all of them.

    Raises:
        QueryError: a condition that does not parse or names a column that is not there.
    """
    conditions = []
    if where is not None:
        conditions.append(f"({_check_condition(store, where)})")
    if kinds:
        conditions.append(f"kind IN ({', '.join(quote(kind) for kind in kinds)})")
    return " AND ".join(conditions) or None


NOT_BLOCKED = "(safety_decision IS NULL OR safety_decision != 'block')"
"""The condition that a safety decision does not keep an item out."""

MAX_BLOCKED_IDS = 5_000
"""Blocked items up to which they are read past: a vector search under a condition looks into every partition."""

_BLOCKED: WeakKeyDictionary[Store, tuple[int, frozenset[str] | None]] = WeakKeyDictionary()
"""What `blocked_items` has found, by the version of the items that it is of."""


def blocked_items(store: Store) -> frozenset[str] | None:
    """The ids of the items that a safety decision keeps out; None where they are more than can be read past."""
    if "safety_decision" not in store.items.schema.names:
        return frozenset()
    version = store.items.version
    state, blocked = _BLOCKED.get(store, (-1, None))
    if state != version:
        search = store.items.search().where("safety_decision = 'block'").select(["item_id"]).limit(MAX_BLOCKED_IDS + 1)
        found = search.to_arrow()["item_id"].to_pylist()
        blocked = None if len(found) > MAX_BLOCKED_IDS else frozenset(str(item_id) for item_id in found)
        _BLOCKED[store] = (version, blocked)
    return blocked


def check_collapse_column(store: Store, name: str) -> None:
    """Refuse a column to collapse by that is not there.

    Raises:
        QueryError: naming the columns.
    """
    shown = [column for column in store.items.schema.names if column not in HIDDEN_COLUMNS]
    if name not in shown:
        raise QueryError(f"there is no column {name!r} to collapse by; the columns are {', '.join(shown)}")


def _check_condition(store: Store, where: str) -> str:
    """Let LanceDB plan the filter, and answer what it does not understand in terms of this database."""
    if not where.strip():
        raise QueryError("the filter is empty; leave --where out, or give a condition such as price < 50")
    _check_parentheses(where)
    _check_depth(where)
    answered = replace_semantic_ids(store, where)
    try:
        store.items.search().where(f"({answered})").limit(1).explain_plan()
    except (ValueError, RuntimeError, OSError) as error:
        raise QueryError(explain_condition_error(store, where, str(error))) from None
    return answered


def _check_parentheses(where: str) -> None:
    """Refuse a filter that would reach past the parentheses it is put into and undo the conditions beside it.

    LanceDB's parser reads one condition and ignores what follows, so "a = 1; b" passes there, and so does
    "a = 1) OR (b = 2" in parentheses.
    """
    depth = 0
    for token in _TOKEN.findall(where):
        if token in {";", "--", "/*", "\\'"}:
            raise QueryError(f"the filter {where!r} has {token} in it; give one plain condition such as price < 50")
        depth += {"(": 1, ")": -1}.get(token, 0)
        if depth < 0:
            raise QueryError(f"the filter {where!r} closes a parenthesis that it has not opened")


_TOKEN = re.compile(r"\\'|'(?:[^'\\]|''|\\(?!'))*'|\"[^\"]*\"|`[^`]*`|--|/\*|[;()]")
"""Literals and quoted names as one token each, so that what stands in them counts for nothing."""

MAX_CHAIN = 250
"""Words and signs of a filter between two of AND, OR and commas. LanceDB goes through an expression by recursion: a sum
of a thousand numbers overflows its stack, and takes the process down."""


def _check_depth(where: str) -> None:
    """Refuse a filter whose expressions nest so deeply that LanceDB cannot go through them."""
    lengths, deepest, betweens = [0], [0], [0]  # of the chain, of its parts, ANDs to come: for each open parenthesis
    for token in _WORD.findall(where):
        word = token.lower()
        if word in {"(", "["}:
            lengths.append(0)
            deepest.append(0)
            betweens.append(0)
        elif word in {")", "]"} and len(lengths) > 1:
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
            raise QueryError(
                f"the filter {where[:60]!r}… has more than {MAX_CHAIN} words and signs in one expression; "
                "part it by AND or OR, or give a list of values: color IN ('red', 'blue')"
            )


_WORD = re.compile(r"'(?:[^'\\]|''|\\(?!'))*'|\"[^\"]*\"|`[^`]*`|\w+|\S")

_NOISE = (
    r"(Invalid (user )?input, |Invalid user input: |Error parsing (statement|function): |Error during planning: )",
    r"SELECT 1 FROM t WHERE .*\(sql parser error: ",
    r"(Error resolving filter expression .*?: |invalid SQL predicate: |sql parser error: )",
    r",? ?\S+\.rs:[\d:]+$",
    r"[ .)]+$",
)
"""What LanceDB's parser says around its reason: its own layers, the statement it builds, places in its source."""


def explain_condition_error(store: Store, where: str, message: str) -> str:
    """What LanceDB says of a condition, in terms of this database."""
    columns = ", ".join(name for name in store.items.schema.names if name not in HIDDEN_COLUMNS)
    unknown = re.search(r"No field named ([^\s.]+(?:\.[^\s.]+)*)", message)
    if unknown:
        name = unknown.group(1).rstrip(".").strip('`"')
        return f"the filter {where!r} asks for {name!r}, which is no column; the columns are {columns}"
    said = message.splitlines()[0]
    for noise in _NOISE:
        said = re.sub(noise, "", said)
    return f"the filter {where!r} cannot be read ({said}); the columns are {columns}"
