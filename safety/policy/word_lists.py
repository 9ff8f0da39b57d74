"""Search for a policy's listed words in titles, texts, timed texts and pictures of a catalogue, in any case and width.

Words match whole words; in scripts without blanks between words, they match anywhere. Titles are untrusted input, so
the pass over all of them uses Arrow's RE2, which takes linear time. Text in pictures may be misread, so a word there
sends an item to review and never blocks it.
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
from firstsight.storage.facts.fact_columns import OCR_TEXT
from firstsight.storage.picture_texts import Box, TextInPicture, read_picture_texts
from firstsight.storage.store import Store
from firstsight.storage.tables import Part

ROWS_PER_BATCH = 50_000

LINE_CHARACTERS = 120
"""Maximum characters of a line of timed text, or of text in a picture, in evidence."""

IN_PICTURE = "picture"
"""`WordMatch.field` of a word in the text of a picture or frame."""

_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""Prefixes of the Unicode names of letters in scripts without blanks between words."""

_NON_WORD = r"[^\p{L}\p{M}\p{N}_]"  # RE2's own \b only knows ASCII


@dataclass(frozen=True)
class WordMatch:
    """A word of a policy in an item's title or text, in a line of its timed text, or in one of its pictures."""

    item_id: str
    policy_id: str
    action: Action
    word: str  # as in the policy
    field: str  # "title", "text", "timed text" or "picture"
    view_id: str = ""  # of the passage of timed text, or of the picture or frame
    uri: str | None = None  # of its video or picture
    time_s: float | None = None  # of the line, or of the frame
    line: str = ""
    part: Part = "transcript"  # of the view
    box: Box = ()  # of a line in a picture

    def evidence(self) -> Evidence:
        """Return the match as evidence for a decision."""
        if self.field == IN_PICTURE:
            note = f"{self.word!r} in the text of its {self.part}{_at(self.box)}: {self.line[:LINE_CHARACTERS]}"
            place = (self.view_id, self.part, self.uri, self.time_s)
            return Evidence(self.policy_id, *place, 1.0, 1.0, "words", note)
        note = f"{self.word!r} in its {self.field}"
        if self.view_id:
            note += f": {self.line[:LINE_CHARACTERS]}"
            return Evidence(self.policy_id, self.view_id, "transcript", self.uri, self.time_s, 1.0, 1.0, "words", note)
        return Evidence(self.policy_id, "", "title", None, None, 1.0, 1.0, "words", note)


def match_words(store: Store, policies: Iterable[Policy]) -> list[WordMatch]:
    """Find the policies' words in titles, texts, timed texts and the text of pictures.

    Returns:
        For each policy, word and item one match in its title or text, one in the earliest line of its timed text, and
        one in the first picture with the word, always to review.
    """
    listed = [(policy.id, action, word) for policy in policies for action, word in _policy_words(policy)]
    if not listed:
        return []
    any_of = "(?i)" + "|".join(_re2_pattern(word) for _, _, word in listed)
    each = [(policy_id, action, word, _python_pattern(word)) for policy_id, action, word in listed]
    matches: list[WordMatch] = []
    for batch in store.items.search().select(["item_id", "title", "text"]).limit(None).to_batches(ROWS_PER_BATCH):
        plain = {name: _normal(batch[name]) for name in ("title", "text")}
        hit: Any = pc.or_(*(pc.match_substring_regex(column, any_of) for column in plain.values()))
        rows = {name: column.filter(hit).to_pylist() for name, column in {**plain, "id": batch["item_id"]}.items()}
        for item_id, title, text in zip(rows["id"], rows["title"], rows["text"], strict=True):
            fields = {"title": title, "text": text}
            for policy_id, action, word, pattern in each:
                field = next((name for name, value in fields.items() if pattern.search(value)), None)
                if field is not None:
                    matches.append(WordMatch(item_id, policy_id, action, word, field))
    return matches + _match_lines(store, any_of, each) + _match_picture_texts(store, any_of, each)


def _match_lines(
    store: Store, any_of: str, each: Sequence[tuple[str, Action, str, re.Pattern[str]]]
) -> list[WordMatch]:
    if "line_starts" not in store.views.schema.names:  # a database of an earlier layout
        return []
    first: dict[tuple[str, str, str], WordMatch] = {}
    columns = ["view_id", "item_id", "uri", "time_s", "text", "line_starts"]
    search = store.views.search().where("text IS NOT NULL").select(columns).limit(None)
    for batch in search.to_batches(ROWS_PER_BATCH):
        # the words of "for sale" may stand in two lines
        plain = _in_one_line(batch["text"])
        hit: Any = pc.match_substring_regex(plain, any_of)
        for row, text in zip(batch.filter(hit).to_pylist(), plain.filter(hit).to_pylist(), strict=True):
            lines = unicodedata.normalize("NFKC", row["text"]).split("\n")
            starts = row["line_starts"] or [row["time_s"]]
            for policy_id, action, word, pattern in each:
                found = pattern.search(text)
                key = (row["item_id"], policy_id, word)
                if found is None:
                    continue
                number = _line_at(lines, found.start())
                second = float(starts[min(number, len(starts) - 1)])
                if key not in first or second < (first[key].time_s or 0.0):
                    place = (row["view_id"], row["uri"], second, lines[number])
                    first[key] = WordMatch(row["item_id"], policy_id, action, word, "timed text", *place)
    return list(first.values())


def _match_picture_texts(
    store: Store, any_of: str, each: Sequence[tuple[str, Action, str, re.Pattern[str]]]
) -> list[WordMatch]:
    if OCR_TEXT not in store.items.schema.names:  # no picture has been read
        return []
    matches = []
    search = store.items.search().where(f"{OCR_TEXT} != ''").select(["item_id", OCR_TEXT]).limit(None)
    for batch in search.to_batches(ROWS_PER_BATCH):
        hit: Any = pc.match_substring_regex(_in_one_line(batch[OCR_TEXT]), any_of)
        ids = [str(item_id) for item_id in batch["item_id"].filter(hit).to_pylist()]
        for item_id, texts in read_picture_texts(store, ids).items():
            for policy_id, _, word, pattern in each:
                found = next((line for text in texts if (line := _line_in_picture(text, pattern))), None)
                if found is not None:
                    # misread text may look like a word: a person decides, also about words that block in titles
                    matches.append(WordMatch(item_id, policy_id, "review", word, IN_PICTURE, *found))
    return matches


def _line_in_picture(
    text: TextInPicture, pattern: re.Pattern[str]
) -> tuple[str, str | None, float | None, str, Part, Box] | None:
    """The line of a picture with a word, or in which it begins, as the last fields of `WordMatch`; None without it."""
    lines = [unicodedata.normalize("NFKC", line.text) for line in text.lines]
    found = pattern.search(" ".join(lines))
    if found is None:
        return None
    number = _line_at(lines, found.start())
    return text.view_id, text.uri, text.time_s, lines[number], text.part, text.lines[number].box


def _at(box: Sequence[tuple[float, float]]) -> str:
    """Where a line is, in percent of the picture's width and height."""
    if not box:
        return ""
    (left, right), (top, bottom) = ((min(side), max(side)) for side in zip(*box, strict=True))
    return f" at x {left:.0%} to {right:.0%}, y {top:.0%} to {bottom:.0%}"


def _in_one_line(column: Any) -> Any:
    return pc.call_function("replace_substring", [_normal(column)], pc.ReplaceSubstringOptions("\n", " "))


def _line_at(lines: Sequence[str], place: int) -> int:
    """Number of the line with the character at a place of the joined lines."""
    for number, line in enumerate(lines):
        if place <= len(line):
            return number
        place -= len(line) + 1
    return len(lines) - 1


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
    """Return the word as an expression for any number of blanks, and whether it needs a word start and a word end."""
    plain = unicodedata.normalize("NFKC", word).strip()
    inner = r"\s+".join(re.escape(part) for part in plain.split())
    return inner, _spaced(plain[0]), _spaced(plain[-1])


def _spaced(letter: str) -> bool:
    return letter.isalnum() and not unicodedata.name(letter, "").startswith(_UNSPACED)


def group_by_item(matches: Iterable[WordMatch]) -> dict[str, list[WordMatch]]:
    """Group matches by item, with blocking matches first."""
    by_item: dict[str, list[WordMatch]] = {}
    for match in matches:
        by_item.setdefault(match.item_id, []).append(match)
    return {item_id: sorted(group, key=lambda match: match.action != "block") for item_id, group in by_item.items()}
