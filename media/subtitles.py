"""Timed text: parse SubRip (.srt) and WebVTT (.vtt) files and lists of timed lines.

The parser is small and strict on purpose: subtitle files come from anywhere, and each limit here has to hold for all of
them. Both formats are read by one rule: a line with `-->` starts a cue, and its text ends at the next blank line. So
headers, notes, styles and cue numbers are skipped. The time of parsing grows linearly with the file.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from firstsight.errors import MediaError
from firstsight.media.language_tags import language_tag
from firstsight.records import Record

MAX_BYTES: Final = 8 * 2**20
"""Largest subtitle file. A film has 100 kB, a stream of 24 hours about 2 MB."""

MAX_LINES: Final = 100_000
"""Maximum number of lines of one file."""

MAX_SECONDS: Final = 7 * 24 * 3600.0
"""Latest time of a line. A later one is a mistake, such as a time of day or a time in milliseconds."""

MAX_CHARACTERS: Final = 2_000
"""Maximum characters of one line; the rest of a longer one is left out. Lines of films have at most 90."""

_TIMING: Final = re.compile(
    r"\s*(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?\s*-->\s*(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?(?=\s|$)"
)
_TAG: Final = re.compile(r"<[^<>\n]{0,200}>|\{[\\a-zA-Z][^{}\n]{0,200}\}")
"""Tags of both formats, such as <i>, <v Ann> and <00:01.000>, and positions of ASS, such as {\\an8}."""
_HEADER_LANGUAGE: Final = re.compile(r"Language:\s*(\S+)", re.IGNORECASE)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Control characters, and marks without width such as those of text direction."""
_LINE_ENDS: Final = re.compile(r"\r\n?|[\u0085\u2028\u2029]")


@dataclass(frozen=True)
class TimedLine(Record):
    """A line of timed text of a video."""

    start_s: float
    end_s: float  # later than `start_s`
    text: str  # plain, without tags and line breaks; not empty
    language: str | None = None  # tag such as "pt-BR"; None if unknown


@dataclass(frozen=True)
class TimedText:
    """The lines of one source, and what was left out."""

    lines: tuple[TimedLine, ...]  # by start, then end
    problem: MediaError | None = None  # lines that were left out, in one sentence; None if all could be used


def parse_subtitle_file(data: bytes, name: str, *, language: str | None = None) -> TimedText:
    """Parse the bytes of a .srt or .vtt file: UTF-8, or UTF-16.

    Args:
        name: path or address, for messages.
        language: tag of all lines; by default that of the file's header, if it has one.

    Raises:
        MediaError: "too_large" above `MAX_BYTES` or `MAX_LINES`; "unsupported" for another encoding; "corrupt" if there
            are no lines, or none can be used.
    """
    if len(data) > MAX_BYTES:
        raise MediaError("too_large", f"{name} is larger than {MAX_BYTES:,} bytes, the limit for subtitles; split it")
    return parse_subtitles(_decode(data, name), name, language=language)


def parse_subtitles(text: str, name: str, *, language: str | None = None) -> TimedText:
    """Parse the text of a .srt or .vtt file; arguments and exceptions as for `parse_subtitle_file`."""
    rows = _LINE_ENDS.sub("\n", text).split("\n")
    if language is None and rows[0].lstrip("\ufeff").startswith("WEBVTT"):
        header = next((match for row in rows[1:20] if (match := _HEADER_LANGUAGE.match(row))), None)
        language = language_tag(header.group(1)) if header else None
    collector = _Collector(name, language)
    for number, start_s, end_s, cue in _cues(rows):
        collector.add(f"line {number:,}", start_s, end_s, cue)
    return collector.finish()


def parse_timed_lines(entries: Sequence[object], name: str, *, language: str | None = None) -> TimedText:
    """Parse a list of objects with `start` and `end` in seconds, `text`, and `language` if it is known.

    Exceptions as for `parse_subtitle_file`.
    """
    collector = _Collector(name, language)
    for number, entry in enumerate(entries, 1):
        place = f"entry {number:,}"
        if not isinstance(entry, Mapping):
            collector.leave_out(place, "is no object with start, end and text")
            continue
        start_s, end_s = (_seconds(entry.get(key, entry.get(f"{key}_s"))) for key in ("start", "end"))
        words, tag = entry.get("text"), entry.get("language")
        if not isinstance(words, str):
            collector.leave_out(place, "has no text")
            continue
        collector.add(place, start_s, end_s, words.split("\n"), language_tag(tag) if isinstance(tag, str) else None)
    return collector.finish()


def parse_timed_json(text: str, name: str, *, language: str | None = None) -> TimedText:
    """Parse a JSON list for `parse_timed_lines`."""
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MediaError("corrupt", f"{name} is not valid JSON ({error})") from None
    return parse_timed_lines(entries if isinstance(entries, list) else [entries], name, language=language)


def check_timed_lines(lines: Iterable[TimedLine], name: str) -> TimedText:
    """Check and clean lines of another package; none are no error: a video may be silent.

    Raises:
        MediaError: "too_large" above `MAX_LINES`; "corrupt" if no line can be used.
    """
    collector = _Collector(name, None)
    for number, line in enumerate(lines, 1):
        collector.add(f"line {number:,}", line.start_s, line.end_s, line.text.split("\n"), line.language)
    return TimedText(()) if collector.is_empty else collector.finish()


def _decode(data: bytes, name: str) -> str:
    head = data[:2_000]
    try:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return data.decode("utf-16")
        if head.count(0) * 4 > len(head):  # UTF-16 without a mark: every second byte of Latin letters is 0
            return data.decode("utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MediaError(
            "unsupported", f"{name} is neither UTF-8 nor UTF-16 (byte {error.start:,}); save it as UTF-8"
        ) from None


def _cues(rows: Sequence[str]) -> Iterator[tuple[int, float | None, float | None, list[str]]]:
    """Yield the number of the timing row, start and end, and the rows of text; None for a time that is not valid."""
    number = 0
    while number < len(rows):
        row = rows[number]
        number += 1
        if "-->" not in row:
            continue
        at = number
        cue: list[str] = []
        while number < len(rows) and rows[number].strip() and "-->" not in rows[number]:
            cue.append(rows[number])
            number += 1
        if number < len(rows) and "-->" in rows[number] and cue and cue[-1].strip().isdecimal():
            cue.pop()  # the number of the next cue, without a blank line before it
        match = _TIMING.match(row)
        if match is None:
            yield at, None, None, cue
        else:
            parts = match.groups()
            yield at, _time(*parts[:4]), _time(*parts[4:]), cue


def _time(hours: str | None, minutes: str, seconds: str, fraction: str | None) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + int((fraction or "0").ljust(3, "0")) / 1000


def _seconds(value: object) -> float | None:
    if isinstance(value, str):
        match = _TIMING.match(f"{value} --> {value}")
        if match is not None:
            return _time(*match.groups()[:4])
        try:
            return float(value)
        except ValueError:
            return None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


class _Collector:
    """Checks and cleans lines one by one."""

    def __init__(self, name: str, language: str | None) -> None:
        self._name = name
        self._language = language
        self._lines: list[tuple[TimedLine, list[str]]] = []  # with its rows of text
        self._seen = 0
        self._left_out = 0
        self._first = ""  # the first line that was left out, and why

    @property
    def is_empty(self) -> bool:
        return not self._seen

    def leave_out(self, place: str, why: str) -> None:
        self._seen += 1
        self._left_out += 1
        self._first = self._first or f"{place} {why}"

    def add(
        self,
        place: str,
        start_s: float | None,
        end_s: float | None,
        rows: Sequence[str],
        language: str | None = None,
    ) -> None:
        if len(self._lines) >= MAX_LINES:
            raise MediaError("too_large", f"{self._name} has more than {MAX_LINES:,} lines; split it")
        if start_s is None or end_s is None or not (math.isfinite(start_s) and math.isfinite(end_s)):
            self.leave_out(place, "has no valid times")
        elif start_s < 0:
            self.leave_out(place, "starts before the video")
        elif max(start_s, end_s) > MAX_SECONDS:
            self.leave_out(place, f"is later than {MAX_SECONDS / 3600:,.0f} hours")
        elif end_s <= start_s:
            self.leave_out(place, "ends before it starts")
        else:
            self._seen += 1
            plain = [row for row in map(_plain, rows) if row]
            if plain:
                line = TimedLine(start_s, end_s, " ".join(plain)[:MAX_CHARACTERS], language or self._language)
                self._lines.append((line, plain))

    def finish(self) -> TimedText:
        if not self._seen:
            raise MediaError("corrupt", f"{self._name} has no timed lines; check that it is a .srt or .vtt file")
        if self._left_out == self._seen:
            raise MediaError("corrupt", f"none of {self._seen:,} lines of {self._name} can be used: {self._first}")
        problem = None
        if self._left_out:
            problem = MediaError(
                "corrupt", f"{self._left_out:,} of {self._seen:,} lines of {self._name} are left out: {self._first}"
            )
        ordered = sorted(self._lines, key=lambda line: (line[0].start_s, line[0].end_s))
        return TimedText(tuple(_without_repeats(ordered)), problem)


def _plain(row: str) -> str:
    """Plain text of a row: no tags, no entities, no control characters, single blanks."""
    without_tags = _TAG.sub("", row[: 4 * MAX_CHARACTERS])
    return " ".join(_CONTROL.sub("", html.unescape(without_tags)).split())


def _without_repeats(lines: Sequence[tuple[TimedLine, list[str]]]) -> Iterator[TimedLine]:
    """Leave out rows that the line before shows already: captions that roll up repeat the last row in each cue."""
    before: list[str] = []
    before_end = -1.0
    for line, rows in lines:
        new = rows
        if line.start_s <= before_end + 0.1 and before and rows[0] == before[-1]:
            new = rows[1:]
        before, before_end = rows, line.end_s
        if new:
            text = line.text if new is rows else " ".join(new)[:MAX_CHARACTERS]
            yield TimedLine(line.start_s, line.end_s, text, line.language)
