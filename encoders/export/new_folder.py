"""A folder that appears only when everything in it is written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firstsight.errors import EncoderError


def require_free(target: Path) -> None:
    """Check that a folder is new or empty.

    Raises:
        EncoderError: it holds something, or is a file.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise EncoderError(f"{target} exists and is not an empty folder; give a new one with --out")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Give a draft beside a folder; at the end it takes the folder's place, and after an error nothing is left.

    Raises:
        EncoderError: the folder holds something, or cannot be written.
    """
    require_free(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.parent / f".{target.name}.{os.getpid()}.draft"
        draft.mkdir()
    except OSError as error:
        raise EncoderError(f"{target} cannot be written ({error}); give another folder with --out") from error
    try:
        yield draft
        if target.is_dir():
            target.rmdir()  # fails if a file has appeared in it meanwhile
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
