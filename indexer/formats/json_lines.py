"""JSON Lines files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from firstsight.indexer.formats.parsing.json_stream import parse_json
from firstsight.indexer.formats.parsing.text_lines import open_file, text_lines
from firstsight.indexer.formats.source import BadRow, Row


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
