"""Standard input: JSON Lines, copied to a temporary file."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import BinaryIO

from firstsight.indexer.formats.json_lines import JsonLinesSource


def spool(stream: BinaryIO, encoding: str) -> JsonLinesSource:
    """Copy standard input to a temporary file, because a catalogue is read twice."""
    spooled = tempfile.NamedTemporaryFile(prefix="firstsight-stdin-", suffix=".jsonl")  # noqa: SIM115
    shutil.copyfileobj(stream, spooled)
    spooled.flush()
    source = JsonLinesSource("standard input", Path(spooled.name), encoding, Path.cwd())
    weakref.finalize(source, spooled.close)  # closing removes the file
    return source
