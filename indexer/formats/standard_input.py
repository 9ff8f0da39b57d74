"""Standard input, copied to a temporary file."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from firstsight.indexer.formats.source import Source


def spool(stream: BinaryIO, open_file: Callable[[Path], Source]) -> Source:
    """Copy standard input to a temporary file, because a catalogue is read twice.

    Args:
        stream: the standard input.
        open_file: chooses the reader of the copy; the copy is removed together with this reader.
    """
    spooled = tempfile.NamedTemporaryFile(prefix="firstsight-stdin-")  # noqa: SIM115
    try:
        shutil.copyfileobj(stream, spooled)
        spooled.flush()
        source = open_file(Path(spooled.name))
    except BaseException:
        spooled.close()
        raise
    weakref.finalize(source, spooled.close)  # closing removes the file
    return source
