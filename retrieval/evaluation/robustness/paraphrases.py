"""Paraphrases of titles: by rules for English, by word order for any script with spaces, or from a file of the user.

Each rule is repeatable and gives at most one paraphrase of a title. A rule that does not apply gives none. English is
known from the item's language, else from the words of the title, so that no English rule changes a German title.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from firstsight.errors import QueryError
from firstsight.indexer.formats.opening import open_source
from firstsight.indexer.formats.source import BadRow
from firstsight.retrieval.evaluation.robustness import english_words as words

_WORD: Final = re.compile(r"[A-Za-z]+(?:['’-][A-Za-z]+)*")
_MAX_LISTED: Final = 10


def paraphrase(title: str, rule: str, *, language: str | None = None) -> str | None:
    """Paraphrase a title by one rule.

    Args:
        title: any text.
        rule: a name of `RULES`.
        language: language of the title, such as "en", "en-GB" or "English"; None to decide from its words.

    Returns:
        The paraphrase; None if the rule does not apply or changes nothing.

    Raises:
        QueryError: there is no such rule.
    """
    if rule not in RULES:
        raise QueryError(f"there is no paraphrase rule {rule!r}; the rules are {', '.join(RULES)}")
    clean = " ".join(title.split())
    if rule != "word-order" and not is_english(clean, language):
        return None
    changed = " ".join(RULES[rule](clean).split())
    return changed if changed and changed.casefold() != clean.casefold() else None


def is_english(title: str, language: str | None = None) -> bool:
    """Whether English rules may change a title.

    Args:
        title: any text.
        language: its language, if the catalogue names it.
    """
    if language:
        return re.split(r"[-_ (]", language.strip().lower())[0] in {"en", "eng", "english"}
    found = {word.lower() for word in _WORD.findall(title)}
    if not title.isascii() and any(letter.isalpha() and not letter.isascii() for letter in title):
        return False
    return bool(found & _ENGLISH) and not found & words.FOREIGN


def read_paraphrases(path: str | os.PathLike[str]) -> dict[str, tuple[str, ...]]:
    """Read a file of paraphrases: columns `text` (or `title`, `query`) and `paraphrase`.

    Args:
        path: CSV, TSV, JSON Lines or Parquet file.

    Returns:
        Text -> its paraphrases, in the order of the file.

    Raises:
        QueryError: there is no such file, it cannot be read, or a row lacks a text or a paraphrase. The message lists
            up to ten rows.
    """
    place = Path(path)
    if not place.is_file():
        raise QueryError(f"there is no file {os.fspath(path)!r}; give paraphrases as CSV, TSV, JSON Lines or Parquet")
    source = open_source(str(place))
    found: dict[str, list[str]] = {}
    problems: list[str] = []
    for number, row in source.rows():
        if isinstance(row, BadRow):
            problems.append(f"{source.place} {number}: {row}")
            continue
        text = _cell(row, "text") or _cell(row, "title") or _cell(row, "query")
        other = _cell(row, "paraphrase")
        if text and other:
            found.setdefault(text, []).append(other)
        else:
            problems.append(f"{source.place} {number}: it has no {'paraphrase' if text else 'text'}")
    if problems:
        more = f"\n  and {len(problems) - _MAX_LISTED} more" if len(problems) > _MAX_LISTED else ""
        listed = "\n  ".join(problems[:_MAX_LISTED])
        raise QueryError(f"{place} has {len(problems)} invalid rows; correct or remove them:\n  {listed}{more}")
    if not found:
        raise QueryError(f"{place} has no paraphrases; give rows with the columns text and paraphrase")
    return {text: tuple(dict.fromkeys(others)) for text, others in found.items()}


def _cell(row: Mapping[str, object], name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value).strip()


def _word_order(title: str) -> str:
    """Move the first half of the words behind the second half."""
    parts = title.split()
    half = (len(parts) + 1) // 2
    return " ".join([*parts[half:], *parts[:half]])


def _synonyms(title: str) -> str:
    return _WORD.sub(lambda found: _like(found[0], _SYNONYM.get(found[0].lower())), title)


def _spelling(title: str) -> str:
    return _WORD.sub(lambda found: _like(found[0], _SPELLING.get(found[0].lower())), title)


def _stop_words(title: str) -> str:
    return " ".join(word for word in title.split() if word.lower() not in words.STOP_WORDS)


def _number(title: str) -> str:
    """Change the last noun before "with", "for" and the like between singular and plural."""
    found = list(_WORD.finditer(title))
    end = next((n for n, word in enumerate(found) if n and word[0].lower() in words.STOP_WORDS), len(found))
    noun = found[end - 1] if end else None
    other = None if noun is None else _other_number(noun[0].lower())
    if noun is None or other is None:
        return title
    return title[: noun.start()] + _like(noun[0], other) + title[noun.end() :]


def _other_number(word: str) -> str | None:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word in words.UNCOUNTED or word in words.STOP_WORDS or len(word) < 3 or "'" in word or "’" in word:
        return None
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    if word.endswith("s"):
        return None if word.endswith(("ss", "us", "is")) else word[:-1]
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("ch", "sh", "x")) else "s")


def _like(word: str, replacement: str | None) -> str:
    """The replacement with the capitals of the word; the word without one."""
    if replacement is None:
        return word
    if len(word) > 1 and word.isupper():
        return replacement.upper()
    return replacement[0].upper() + replacement[1:] if word[0].isupper() else replacement


_SYNONYM: Final = {
    word: group[(place + 1) % len(group)] for group in words.SYNONYMS for place, word in enumerate(group)
}
_SPELLING: Final = dict(words.SPELLINGS) | {american: british for british, american in words.SPELLINGS}
_IRREGULAR: Final = dict(words.IRREGULAR) | {plural: singular for singular, plural in words.IRREGULAR}
_ENGLISH: Final = frozenset({*_SYNONYM, *_SPELLING, *_IRREGULAR, *words.STOP_WORDS, *words.COMMON} - words.FOREIGN)

RULES: Final[Mapping[str, Callable[[str], str]]] = {
    "word-order": _word_order,
    "synonyms": _synonyms,
    "stop-words": _stop_words,
    "spelling": _spelling,
    "number": _number,
}
"""Rule -> function of a title; all but word-order are for English."""
