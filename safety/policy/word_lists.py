"""Title words: what a policy lists, found in the titles and texts of a catalogue, whatever their case or width.

Words are whole words; of scripts that write without blanks any place in a word counts. Titles are strangers' input, so
that the pass over all of them is Arrow's RE2, whose time is linear.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from firstsight.safety.policy.decisions import Action, Evidence
from firstsight.safety.policy.policies import Policy
from firstsight.storage.store import Store

ROWS_PER_BATCH = 50_000

_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""Beginnings of the Unicode names of letters that stand in words without blanks between them."""

_NON_WORD = r"[^\p{L}\p{M}\p{N}_]"  # RE2's own \b knows ASCII alone


@dataclass(frozen=True)
class WordMatch:
    """A word of a policy in an item's title or text."""

    item_id: str
    policy_id: str
    action: Action
    word: str  # as the policy has it
    field: str  # "title" or "text"

    def evidence(self) -> Evidence:
        """As a reason for a decision."""
        note = f"{self.word!r} in its {self.field}"
        return Evidence(self.policy_id, "", "title", None, None, 1.0, 1.0, "words", note)


def match_words(store: Store, policies: Iterable[Policy]) -> list[WordMatch]:
    """Every word of the policies that stands in a title or text: one match a policy, word and item."""
    wanted = [(policy.id, action, word) for policy in policies for action, word in _policy_words(policy)]
    if not wanted:
        return []
    any_of = "(?i)" + "|".join(_re2_pattern(word) for _, _, word in wanted)
    each = [(policy_id, action, word, _python_pattern(word)) for policy_id, action, word in wanted]
    found: list[WordMatch] = []
    for batch in store.items.search().select(["item_id", "title", "text"]).limit(None).to_batches(ROWS_PER_BATCH):
        plain = {name: _normal(batch[name]) for name in ("title", "text")}
        hit: Any = pc.or_(*(pc.match_substring_regex(column, any_of) for column in plain.values()))
        rows = {name: column.filter(hit).to_pylist() for name, column in {**plain, "id": batch["item_id"]}.items()}
        for item_id, title, text in zip(rows["id"], rows["title"], rows["text"], strict=True):
            fields = {"title": title, "text": text}
            for policy_id, action, word, pattern in each:
                where = next((name for name, value in fields.items() if pattern.search(value)), None)
                if where is not None:
                    found.append(WordMatch(item_id, policy_id, action, word, where))
    return found


def _normal(column: Any) -> Any:
    return pc.call_function("utf8_normalize", [pc.fill_null(column, "")], pc.Utf8NormalizeOptions("NFKC"))


def _policy_words(policy: Policy) -> Sequence[tuple[Action, str]]:
    return [*(("block", word) for word in policy.block_words), *(("review", word) for word in policy.words)]


def _re2_pattern(word: str) -> str:
    inner, opens, closes = _word_pattern(word)
    return (f"(?:^|{_NON_WORD})" if opens else "") + inner + (f"(?:{_NON_WORD}|$)" if closes else "")


def _python_pattern(word: str) -> re.Pattern[str]:
    inner, opens, closes = _word_pattern(word)
    return re.compile((r"(?<!\w)" if opens else "") + inner + (r"(?!\w)" if closes else ""), re.IGNORECASE)


def _word_pattern(word: str) -> tuple[str, bool, bool]:
    """The word as an expression, blanks of any number, and whether a word has to begin and end with it."""
    plain = unicodedata.normalize("NFKC", word).strip()
    inner = r"\s+".join(re.escape(part) for part in plain.split())
    return inner, _spaced(plain[0]), _spaced(plain[-1])


def _spaced(letter: str) -> bool:
    return letter.isalnum() and not unicodedata.name(letter, "").startswith(_UNSPACED)


def group_by_item(matches: Iterable[WordMatch]) -> dict[str, list[WordMatch]]:
    """Matches by item, those that block first."""
    found: dict[str, list[WordMatch]] = {}
    for match in matches:
        found.setdefault(match.item_id, []).append(match)
    return {item_id: sorted(some, key=lambda one: one.action != "block") for item_id, some in found.items()}
