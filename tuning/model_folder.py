"""The folder of a tuned model: written beside its place, and moved there once it is complete."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from firstsight.errors import EncoderError, first_line

REPORT_FILE: Final = "tuning.json"
CARD_FILE: Final = "README.md"
PAGE_FILE: Final = "report.html"

FORMAT: Final = 1


def is_first_process() -> bool:
    """Whether this process writes: of the processes of torchrun, the first one does."""
    return os.environ.get("RANK", "0") == "0"


def check_folder(folder: Path) -> None:
    """Check that a model can be written to a folder, before the work begins.

    Raises:
        EncoderError: it is a file, holds anything but a model that tune wrote, or its parent cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise EncoderError(f"{folder} is a file; name a folder for the tuned model")
    if folder.is_dir() and any(folder.iterdir()) and not is_tuned_model(folder):
        raise EncoderError(
            f"{folder} is not empty and holds no model of firstsight tune, so it is not replaced; name another folder"
        )
    parent = folder.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EncoderError(f"{parent} cannot be made ({error.strerror}); name another folder") from error
    if not os.access(parent, os.W_OK):
        raise EncoderError(f"{parent} cannot be written; name another folder")


def is_tuned_model(folder: Path) -> bool:
    """Whether a folder holds a model that `firstsight tune` wrote."""
    try:
        described = json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(described, dict) and described.get("format") == FORMAT and "figures" in described


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Give a draft folder beside `folder`; at the end it takes its place, and after an error it is removed.

    Raises:
        EncoderError: the draft cannot be written or moved.
    """
    folder = folder.absolute()
    run = os.environ.get("TORCHELASTIC_RUN_ID") or str(os.getpid())
    draft = folder.with_name(f".{folder.name}.{run}.draft")
    replaced = folder.with_name(f".{folder.name}.{run}.replaced")
    try:
        if is_first_process():
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
        yield draft
        if is_first_process():
            _share_files(draft)
            check_folder(folder)  # something else may be there by now
            if folder.exists():
                folder.rename(replaced)
            draft.rename(folder)
    except OSError as error:
        if replaced.exists() and not folder.exists():
            replaced.rename(folder)
        raise EncoderError(f"{folder} cannot be written ({first_line(error)}); name another folder") from error
    finally:
        if is_first_process():
            shutil.rmtree(draft, ignore_errors=True)
            if folder.exists():
                shutil.rmtree(replaced, ignore_errors=True)


def _share_files(folder: Path) -> None:
    """Give files the rights of their folder: safetensors makes files that only their owner can read."""
    rights = folder.stat().st_mode & 0o666
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(rights)


def write_report(folder: Path, report: dict[str, Any]) -> None:
    """Write all figures of a run as JSON."""
    text = json.dumps({"format": FORMAT, **report}, ensure_ascii=False, indent=1, default=str)
    (folder / REPORT_FILE).write_text(text + "\n", encoding="utf-8")
