"""JSON read in pieces, so that a large array does not have to fit in memory.

The standard library parses each element of an array; this module finds where the elements are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

MAX_VALUE: Final = 64 << 20
"""Characters in one element of an array."""

_BLANK: Final = re.compile(r"[ \t\r\n]*")
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_MARGIN: Final = 16  # characters; an error this close to the end of the buffer may be due to the missing rest
_decode = json.JSONDecoder().raw_decode


class JsonError(ValueError):
    """The text is not JSON; the message has the line."""


def parse_json(text: str) -> object:
    """Parse JSON; half a surrogate pair, as in a text cut within an emoji, becomes U+FFFD."""
    return _without_half_pairs(json.loads(text), text)


def _without_half_pairs(value: object, text: str) -> object:
    if not _SURROGATE.search(text):
        return value
    wide = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
    whole: object = json.loads(wide.decode("utf-16", "replace"))
    return whole


class JsonReader:
    """A place in a JSON text that moves forward.

    Args:
        blocks: the text in pieces.

    Raises:
        JsonError: by every method: the text is not JSON or nested too deeply, or a value is longer than `MAX_VALUE`.
    """

    def __init__(self, blocks: Iterator[str]) -> None:
        self._blocks = blocks
        self._text = ""
        self._at = 0
        self._line = 1  # of the start of the buffer

    @property
    def line(self) -> int:
        """Line of the place, counted from 1."""
        return self._line + self._text.count("\n", 0, self._at)

    def peek(self) -> str:
        """Skip blanks; return the next character, empty at the end of the text."""
        while True:
            found = _BLANK.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill():
                return ""

    def value(self) -> object:
        """Read the next value as a whole."""
        self.peek()
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except json.JSONDecodeError as error:
                line = self._line + error.lineno - 1
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - _MARGIN
                if cut and self._fill():
                    continue
                raise JsonError(f"line {line}: {error.msg}") from None
            except RecursionError:
                raise JsonError(f"line {self.line}: a value is nested too deeply") from None
            except ValueError as error:  # a number with thousands of digits
                raise JsonError(f"line {self.line}: {error}") from None
            if isinstance(value, int | float) and end >= len(self._text) - _MARGIN:
                size = end - self._at
                if self._fill():
                    continue  # the number may go on
                end = self._at + size
            if end - self._at > MAX_VALUE:
                raise self._too_long()
            text, self._at = self._text[self._at : end], end
            return _without_half_pairs(value, text)

    def skip(self, depth: int = 0) -> None:
        """Skip the next value; of nested ones down to a depth of 4, memory holds one part at a time."""
        if depth < 4 and self.peek() == "[":
            for _ in self.elements():
                self.skip(depth + 1)
        elif depth < 4 and self.peek() == "{":
            for _ in self.members():
                self.skip(depth + 1)
        else:
            self.value()

    def elements(self) -> Iterator[int]:
        """Enter an array: yield the number of each element, counted from 1. The caller must read or skip each."""
        self._take("[")
        number = 0
        while self.peek() != "]":
            if number:
                self._take(",")
            number += 1
            yield number
        self._take("]")

    def members(self) -> Iterator[str]:
        """Enter an object: yield each key. The caller must read or skip each value."""
        self._take("{")
        first = True
        while self.peek() != "}":
            if not first:
                self._take(",")
            first = False
            if self.peek() != '"':
                raise JsonError(f"line {self.line}: a key must be in double quotes")
            key = str(self.value())
            self._take(":")
            yield key
        self._take("}")

    def finish(self) -> None:
        """Check that the text ends here."""
        if self.peek():
            raise JsonError(f"line {self.line}: there is more text after the end of the first value")

    def _take(self, character: str) -> None:
        found = self.peek()
        if found != character:
            found = repr(found) if found else "the end of the file"
            raise JsonError(f"line {self.line}: {character!r} is missing before {found}")
        self._at += 1

    def _fill(self) -> bool:
        """Drop the text before the place and double the rest; return whether there was more."""
        rest = self._text[self._at :]
        if len(rest) > MAX_VALUE:
            raise self._too_long()
        parts: list[str] = []
        size = 0
        while size <= len(rest) and (block := next(self._blocks, "")):
            parts.append(block)
            size += len(block)
        self._line = self.line
        self._text, self._at = rest + "".join(parts), 0
        return bool(parts)

    def _too_long(self) -> JsonError:
        return JsonError(f"line {self.line}: a value is longer than {MAX_VALUE >> 20} MiB")
