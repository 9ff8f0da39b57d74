"""Passages of timed text in results: the passage with the words of the query, its second, and its moment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from firstsight.retrieval.moments import Moment
from firstsight.retrieval.ranking.full_text import find_lines
from firstsight.retrieval.results import ViewMatch
from firstsight.storage.store import Store

_WORD: Final = re.compile(r"\w+")
_STEM: Final = 4
"""Letters at the beginning that must be equal, for words that differ in their endings."""


@dataclass(frozen=True)
class QueryLines:
    """The passages on one result page that have words of the query text."""

    any_word: Mapping[str, float] = field(default_factory=dict)  # view id to BM25
    every_word: frozenset[str] = frozenset()  # ids of the views with every word

    @classmethod
    def find(cls, store: Store, text: str | None, item_ids: Sequence[str]) -> QueryLines:
        """Search the timed texts of the items on a page.

        Args:
            text: of the query; without one, no passage has its words.
        """
        if text is None:
            return NO_LINES
        hits = find_lines(store, text, item_ids, every=False)
        every = find_lines(store, text, item_ids, every=True) if hits else []
        return cls({hit.view_id: hit.score for hit in hits}, frozenset(hit.view_id for hit in every))

    def best_of(self, item_id: str, matches: Sequence[ViewMatch]) -> ViewMatch | None:
        """The passage of an item with most words of the query; None if none has any.

        Args:
            matches: the views of the item.
        """
        found = [match for match in matches if match.view_id in self.any_word]
        return max(found, key=lambda match: (self.any_word[match.view_id or ""], match.score), default=None)

    def add_to_moments(
        self, moments: Sequence[Moment], matches: Sequence[ViewMatch], most: int, nearest: ViewMatch | None = None
    ) -> tuple[Moment, ...]:
        """Add passages with every word of the query to the moments of an item, best first.

        A moment that a passage overlaps gets its text. Other passages are moments of their own, after the moment of the
        best frame and before the others: words that were said are no weaker evidence than a frame that is like others.

        Args:
            moments: of its frames, best first.
            matches: the views of the item, best first.
            most: maximum number of moments.
            nearest: the view that the item is ranked by; a passage is like one with every word.
        """
        chosen = self.every_word
        if nearest is not None and nearest.view_id is not None and nearest.part == "transcript":
            chosen = chosen | {nearest.view_id}
        spoken = [match for match in matches if match.view_id in chosen and match.uri is not None]
        spoken.sort(key=lambda match: -self.any_word.get(match.view_id or "", 0.0))
        visual, of_words = list(moments), list[Moment]()
        for match in spoken:
            assert match.uri is not None
            assert match.start_s is not None
            assert match.end_s is not None
            for place, moment in enumerate(visual):
                if moment.uri == match.uri and moment.start_s < match.end_s and match.start_s < moment.end_s:
                    visual[place] = moment if moment.text is not None else replace(moment, text=match.text)
                    break
            else:
                of_words.append(Moment(match.uri, match.start_s, match.end_s, match.score, match.view_id, match.text))
        return tuple([*visual[:1], *of_words, *visual[1:]][:most])


NO_LINES: Final = QueryLines()


def as_passage(match: ViewMatch, view: Mapping[str, Any], query: str | None) -> ViewMatch:
    """Add the text and the times of a passage to a match.

    Args:
        view: row of `views` of the passage.
        query: its words choose the line whose second the match names; None for the first line.
    """
    text, starts = view["text"], view["line_starts"]
    second = _second_of_words(text, starts, query) if text and starts else view["time_s"]
    return replace(match, time_s=second, text=text, start_s=view["start_s"], end_s=view["end_s"])


def _second_of_words(text: str, starts: Sequence[float], query: str | None) -> float:
    wanted = [word.casefold() for word in _WORD.findall(query or "")]
    lines = [[word.casefold() for word in _WORD.findall(line)] for line in text.split("\n")]
    found = [sum(any(is_like(word, other) for other in line) for word in wanted) for line in lines]
    best = max(range(min(len(found), len(starts))), key=lambda n: found[n])
    return float(starts[best])


def is_like(word: str, other: str) -> bool:
    """Whether two words are equal up to their endings; the index compares stems."""
    length = max(_STEM, min(len(word), len(other)) - 2)
    return word == other or (min(len(word), len(other)) >= _STEM and word[:length] == other[:length])
