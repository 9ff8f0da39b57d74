"""Catalogue rows that come in a request, indexed at once; the pictures they bring are kept beside the database.

A picture in the row itself (a data URI) is stored in the folder `.uploads` of the database under the digest of its
bytes, so that the view it becomes has a file to be shown from. Everything is on the disk before the rows are indexed,
and the rows are committed before the request is answered.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

from firstsight.errors import CatalogError, MediaError
from firstsight.media.kinds import sniff
from firstsight.service.answers import without_folders
from firstsight.service.pictures import is_address
from firstsight.service.state import Service

FOLDER = ".uploads"


def index_rows(service: Service, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Index catalogue rows; those that are there already are brought up to date.

    Returns:
        run_id, seconds, counts as in `Counts`, and failures: the media that could not be used, of these rows.

    Raises:
        CatalogError: a row breaks the catalogue's rules; nothing was written.
        MediaError: a picture in a row cannot be used; nothing was written.
        DatabaseBusyError, StoreError, EncoderError: see their own words.
    """
    settings = service.settings
    with ExitStack() as stack:
        if settings.remote:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="firstsight-")))
        else:
            folder = Path(settings.db).absolute() / FOLDER
            # the file of a row that is refused by the catalogue stays: it is content-addressed, and found again
            folder.mkdir(parents=True, exist_ok=True)
        kept = [_with_files(service, row, folder) for row in rows]
        catalogue = folder / f"rows-{uuid4().hex}.jsonl"
        catalogue.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        failures: list[dict[str, Any]] = []
        try:
            with service.databases.writing() as db:
                report = db.index(catalogue, wait_s=settings.max_wait_s)
                if report.counts.failed_media:
                    named = {str(row["item_id"]) for row in kept}
                    failures = [row for row in db.failures() if row["item_id"] in named]
        except CatalogError as error:
            told = str(error).replace(str(catalogue), "items").replace(", or leave them out with --skip-bad-rows", "")
            raise CatalogError(" ".join(told.split())) from None
        finally:
            if not failures:  # else it is what `firstsight index --retry` reads
                catalogue.unlink(missing_ok=True)
    shown = [
        {"item_id": row["item_id"], "reason": row["reason"], "message": without_folders(row["message"])}
        | {"uri": row["uri"] if "://" in row["uri"] else None}
        for row in failures
    ]
    return {"run_id": report.run_id, "seconds": report.seconds, "counts": vars(report.counts), "failures": shown}


def _with_files(service: Service, row: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A row whose pictures are addresses or files of the folder."""
    kept = dict(row)
    for name in ("images", "videos"):
        given = row.get(name)
        media = [given] if isinstance(given, str) else given or []
        if given is not None:
            kept[name] = [_named(service, uri, name, str(row.get("item_id")), folder) for uri in media]
    return kept


def _named(service: Service, uri: str, name: str, item_id: str, folder: Path) -> str:
    if is_address(uri):
        return uri
    if name == "images" and uri[:5].lower() == "data:" and not service.settings.remote:
        return _store(service, uri, item_id, folder)
    remedy = "give http(s) addresses" + ("" if name == "videos" else " or data URIs in base64")
    raise CatalogError(f"item {item_id!r}: {uri[:80]!r} is not taken from a request; {remedy}")


def _store(service: Service, uri: str, item_id: str, folder: Path) -> str:
    """Keep a picture that can be decoded under the digest of its bytes, and give its name."""
    try:
        data = service.pictures.read(uri)
        service.pictures.open(data, min_side=64)
    except MediaError as error:
        raise MediaError(error.reason, f"item {item_id!r}: {error}") from None
    name = f"{hashlib.sha256(data).hexdigest()}.{(sniff(data) or 'picture').lower()}"
    if not (folder / name).exists():
        handle, made = tempfile.mkstemp(dir=folder, prefix=".new-")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, folder / name)
        _sync_folder(folder)
    return name


def _sync_folder(folder: Path) -> None:
    """Have the folder's new names on the disk, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
