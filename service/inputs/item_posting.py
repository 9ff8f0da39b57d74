"""Catalogue rows that come in a request, indexed at once; the pictures they bring are kept beside the database.

A picture in the row itself (a data URI) is stored in the folder `.uploads` of the database under the digest of its
bytes, so that the view it becomes has a file to be shown from. Everything is on the disk before the rows are indexed,
and the rows are committed before the request is answered.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

from firstsight.errors import CatalogError, MediaError
from firstsight.service.inputs.request_pictures import is_http_url
from firstsight.service.inputs.uploads import FOLDER, Uploads
from firstsight.service.json_responses import strip_local_folders
from firstsight.service.state import Service


def index_rows(service: Service, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Index catalogue rows; those that are there already are brought up to date.

    Returns:
        run_id, seconds, counts as in `Counts`, failures: the media that could not be used, of these rows; and warnings
        of keys that look like media and are not read.

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
        uploads, catalogue = Uploads(folder), folder / f"rows-{uuid4().hex}.jsonl"
        failures: list[dict[str, Any]] = []
        try:
            with service.databases.writing() as db:
                kept = [_replace_pictures_by_files(service, row, uploads) for row in rows]
                catalogue.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
                named = [str(row["item_id"]) for row in kept]
                before = uploads.names_of_items(db, named)
                report = db.index(catalogue, wait_s=settings.max_wait_s)
                uploads.drop_unused(db, before)
                if report.counts.failed_media or report.counts.failed_texts:
                    failures = [row for row in db.failures() if row["item_id"] in named]
        except CatalogError as error:
            told = str(error).replace(str(catalogue), "items").replace(", or leave them out with --skip-bad-rows", "")
            raise CatalogError(" ".join(told.split())) from None
        finally:
            if not failures:  # else it is what `firstsight index --retry` reads
                catalogue.unlink(missing_ok=True)
    shown = [
        {"item_id": row["item_id"], "reason": row["reason"], "message": strip_local_folders(row["message"])}
        | {"uri": row["uri"] if "://" in row["uri"] else None}
        for row in failures
    ]
    warnings = [
        f"{unused.column!r} looks like media and is not read as such: send them as {unused.field!r}"
        for unused in report.unused_media
    ]
    ran = {"run_id": report.run_id, "seconds": report.seconds, "counts": vars(report.counts)}
    return ran | {"failures": shown, "warnings": warnings}


def remove_item(service: Service, item_id: str) -> list[str]:
    """Remove an item, and the pictures that it alone had of those that came with posted rows.

    Returns:
        Its id, or nothing where there is no such item.

    Raises:
        DatabaseBusyError, StoreError: see their own words.
    """
    settings = service.settings
    with service.databases.writing() as db:
        uploads = None if settings.remote else Uploads(Path(settings.db).absolute() / FOLDER)
        before = uploads.names_of_items(db, [item_id]) if uploads else set()
        removed = db.remove([item_id], wait_s=settings.max_wait_s)
        if uploads and removed:
            uploads.drop_unused(db, before)
    return removed


def _replace_pictures_by_files(service: Service, row: Mapping[str, Any], uploads: Uploads) -> dict[str, Any]:
    """A row whose pictures are addresses or files of the folder."""
    kept = dict(row)
    for name in ("images", "videos"):
        given = row.get(name)
        media = [given] if isinstance(given, str) else given or []
        if given is not None:
            kept[name] = [_check_medium(service, uri, name, str(row.get("item_id")), uploads) for uri in media]
    return kept


def _check_medium(service: Service, uri: str, name: str, item_id: str, uploads: Uploads) -> str:
    if is_http_url(uri):
        return uri
    if name == "images" and uri[:5].lower() == "data:" and not service.settings.remote:
        return _save_picture(service, uri, item_id, uploads)
    remedy = "give http(s) addresses" + ("" if name == "videos" else " or data URIs in base64")
    raise CatalogError(f"item {item_id!r}: {uri[:80]!r} is not taken from a request; {remedy}")


def _save_picture(service: Service, uri: str, item_id: str, uploads: Uploads) -> str:
    """Keep a picture that can be decoded, and give its name."""
    try:
        data = service.pictures.read(uri)
        service.pictures.open(data, min_side=64)
    except MediaError as error:
        raise MediaError(error.reason, f"item {item_id!r}: {error}") from None
    return uploads.save(data)
