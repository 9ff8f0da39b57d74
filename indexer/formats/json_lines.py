"""JSON Lines files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from firstsight.indexer.formats.source import BadRow, Row
from firstsight.indexer.formats.text_lines import open_file, text_lines


@dataclass(frozen=True)
class JsonLinesSource:
    """JSON Lines: one JSON object per line."""

    name: str
    path: Path
    encoding: str
    root: Path
    place: str = "line"
    format: str = "JSON Lines"
    notes: Sequence[str] = ()

    def rows(self) -> Iterator[tuple[int, Row | BadRow]]:
        with open_file(self.path, self.name) as file:
            for number, line in enumerate(text_lines(file, self.encoding, self.name), 1):
                if not line.strip():
                    continue
                try:
                    row = parse_json(line)
                except (ValueError, RecursionError) as error:
                    yield number, BadRow(f"not JSON ({error})")
                    continue
                if isinstance(row, dict):
                    yield number, row
                else:
                    yield number, BadRow('not a JSON object; every line must look like {"item_id": …}')


def parse_json(line: str) -> object:
    """Parse a line of JSON; half a surrogate pair, as in a text cut within an emoji, becomes U+FFFD."""
    value: object = json.loads(line)
    if "\\ud" in line.lower():
        wide = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
        value = json.loads(wide.decode("utf-16", "replace"))
    return value
