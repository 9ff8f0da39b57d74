"""Passages: neighbouring lines of timed text together, so that a vector has some words to describe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from firstsight.media.subtitles import TimedLine

MAX_SECONDS: Final = 15.0
"""Maximum length of a passage with several lines, in seconds."""

MAX_CHARACTERS: Final = 200
"""Maximum characters of a passage with several lines; a longer line is a passage of its own."""

MAX_PAUSE_S: Final = 4.0
"""Longest pause between two lines of a passage, in seconds: after a longer one the talk may be about something else."""


@dataclass(frozen=True)
class Passage:
    """Lines of timed text that are encoded together."""

    start_s: float
    end_s: float
    text: str  # one line of timed text per line
    line_starts: tuple[float, ...]  # second of each line of `text`
    language: str | None

    @property
    def encoded_text(self) -> str:
        """The text as the encoder gets it, in one line."""
        return in_one_line(self.text)


def in_one_line(text: str) -> str:
    """The lines of a passage as one text, for the encoder."""
    return text.replace("\n", " ")


def make_passages(lines: Sequence[TimedLine]) -> list[Passage]:
    """Join neighbouring lines of one language into passages.

    Args:
        lines: by start; they may overlap.
    """
    groups: list[list[TimedLine]] = []
    characters, end_s = 0, 0.0
    for line in lines:
        fits = (
            bool(groups)
            and groups[-1][0].language == line.language
            and characters + 1 + len(line.text) <= MAX_CHARACTERS
            and max(end_s, line.end_s) - groups[-1][0].start_s <= MAX_SECONDS
            and line.start_s - end_s <= MAX_PAUSE_S
        )
        if fits:
            groups[-1].append(line)
            characters, end_s = characters + 1 + len(line.text), max(end_s, line.end_s)
        else:
            groups.append([line])
            characters, end_s = len(line.text), line.end_s
    return [
        Passage(
            start_s=group[0].start_s,
            end_s=max(line.end_s for line in group),
            text="\n".join(line.text for line in group),
            line_starts=tuple(line.start_s for line in group),
            language=group[0].language,
        )
        for group in groups
    ]
