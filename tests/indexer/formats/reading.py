"""Read catalogues that tests write."""

from __future__ import annotations

from pathlib import Path

from firstsight.indexer.formats.opening import open_source
from firstsight.indexer.formats.source import BadRow


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(path: Path, encoding: str = "utf-8") -> list[dict[str, object]]:
    """All rows; a row that cannot be read fails the test."""
    found = [row for _, row in open_source(str(path), encoding=encoding).rows()]
    assert [str(row) for row in found if isinstance(row, BadRow)] == []
    return [dict(row) for row in found if not isinstance(row, BadRow)]


def numbers(path: Path) -> list[int]:
    return [number for number, _ in open_source(str(path)).rows()]


def bad_rows(path: Path) -> dict[int, str]:
    return {number: str(row) for number, row in open_source(str(path)).rows() if isinstance(row, BadRow)}


def notes(path: Path) -> list[str]:
    source = open_source(str(path))
    for _ in source.rows():
        pass
    return list(source.notes)
