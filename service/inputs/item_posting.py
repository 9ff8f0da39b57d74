"""Index catalogue rows of a request, and keep the pictures that come inside the rows.

A picture inside a row (a data URI) is stored in the folder `.uploads` of the database, named by the digest of its
bytes, so that its view has a file to show. All files are on the disk before the rows are indexed, and the rows are
committed before the request is answered.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from firstsight.api.items import Failure
from firstsight.errors import CatalogError, MediaError
from firstsight.indexer.columns.catalog_options import CatalogOptions
from firstsight.service.database_pool import DatabasePool
from firstsight.service.inputs.request_pictures import PictureReader, is_http_url
from firstsight.service.inputs.uploads import FOLDER, Uploads
from firstsight.service.json_responses import strip_local_folders
from firstsight.service.service_settings import ServiceSettings

# Only the media that `_store_pictures` has checked are read. Single items are no reason to change a column ("38" today,
# "XL" tomorrow), and each of them stays an item.
_OPTIONS = CatalogOptions(recognise=False, infer_types=False, variants="variant")


def index_rows(
    databases: DatabasePool, pictures: PictureReader, settings: ServiceSettings, rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Index catalogue rows; items that exist already are updated.

    Returns:
        run_id, seconds, counts (see `Counts`), failures (media of these rows that could not be used), and warnings
        (keys that look like media but are not read).

    Raises:
        CatalogError: a row breaks the catalogue's rules. Nothing was written.
        MediaError: a picture in a row cannot be used. Nothing was written.
        OverloadedError: other requests write, and none of them finished in time.
        DatabaseBusyError: another process writes, and did not finish within `settings.max_wait_s`.
        StoreError: the database cannot be read or written.
        EncoderError: the encoder cannot be loaded, or is not the one of the database.
    """
    failures: list[Failure] = []
    with _upload_folder(settings) as folder:
        uploads, catalogue = Uploads(folder), folder / f"rows-{uuid4().hex}.jsonl"
        try:
            with databases.writing() as db:
                stored = [_store_pictures(row, pictures, None if settings.remote else uploads) for row in rows]
                catalogue.write_text("".join(json.dumps(row) + "\n" for row in stored), encoding="utf-8")
                item_ids = [str(row["item_id"]) for row in stored]
                before = uploads.names_of_items(db, item_ids)
                report = db.index(catalogue, options=_OPTIONS, wait_s=settings.max_wait_s)
                uploads.drop_unused(db, before)
                if report.counts.failed_media or report.counts.failed_texts:
                    failures = [row for row in db.indexing.failures() if row.item_id in item_ids]
        except CatalogError as error:
            message = str(error).replace(str(catalogue), "items")
            message = message.replace(", or leave them out with --skip-bad-rows", "")
            raise CatalogError(" ".join(message.split())) from None
        finally:
            if not failures:  # with failures, `firstsight index --retry` reads the file again
                catalogue.unlink(missing_ok=True)
    warnings = [
        f"column {unused.column!r} looks like media but is not read; send the media as {unused.field!r}"
        for unused in report.unused_media
    ]
    warnings += map(strip_local_folders, report.notes)
    return {
        "run_id": report.run_id,
        "seconds": report.seconds,
        "counts": report.counts.to_dict(),
        "failures": [_failure_as_json(row) for row in failures],
        "warnings": warnings,
    }


def remove_item(databases: DatabasePool, settings: ServiceSettings, item_id: str) -> list[str]:
    """Remove an item, and its posted pictures that no other item uses.

    Returns:
        The id of the item; an empty list if there is no such item.

    Raises:
        OverloadedError: other requests write, and none of them finished in time.
        DatabaseBusyError: another process writes, and did not finish within `settings.max_wait_s`.
        StoreError: the database cannot be read or written.
    """
    with databases.writing() as db:
        uploads = None if settings.remote else Uploads(Path(settings.db).absolute() / FOLDER)
        before = uploads.names_of_items(db, [item_id]) if uploads else set()
        removed = db.remove([item_id], wait_s=settings.max_wait_s)
        if uploads and removed:
            uploads.drop_unused(db, before)
    return removed


@contextmanager
def _upload_folder(settings: ServiceSettings) -> Iterator[Path]:
    """The folder `.uploads` of the database; a temporary folder if the database is remote."""
    if settings.remote:
        with tempfile.TemporaryDirectory(prefix="firstsight-") as temporary:
            yield Path(temporary)
        return
    folder = Path(settings.db).absolute() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    yield folder


def _store_pictures(row: Mapping[str, Any], pictures: PictureReader, uploads: Uploads | None) -> dict[str, Any]:
    """A copy of a row in which every medium is an address or a file of `uploads`.

    A file stays if the catalogue refuses its row later: it is named by its content, so the next attempt reuses it.
    """
    stored = dict(row)
    for name in ("images", "videos"):
        given = row.get(name)
        media = [given] if isinstance(given, str) else given or []
        if given is not None:
            stored[name] = [_store_medium(uri, name, str(row.get("item_id")), pictures, uploads) for uri in media]
    return stored


def _store_medium(uri: str, name: str, item_id: str, pictures: PictureReader, uploads: Uploads | None) -> str:
    if is_http_url(uri):
        return uri
    if uploads is not None and name == "images" and uri[:5].lower() == "data:":
        return _save_picture(uri, item_id, pictures, uploads)
    remedy = "give http(s) addresses" + ("" if name == "videos" else " or data URIs in base64")
    raise CatalogError(f"item {item_id!r}: {uri[:80]!r} is not accepted in a request; {remedy}")


def _save_picture(uri: str, item_id: str, pictures: PictureReader, uploads: Uploads) -> str:
    """Save a picture if it can be decoded; return the name of its file."""
    try:
        data = pictures.read(uri)
        pictures.open(data, min_side=64)
    except MediaError as error:
        raise MediaError(error.reason, f"item {item_id!r}: {error}") from None
    return uploads.save(data)


def _failure_as_json(failure: Failure) -> dict[str, Any]:
    return {
        "item_id": failure.item_id,
        "reason": failure.reason,
        "message": strip_local_folders(failure.message),
        "uri": failure.uri if "://" in failure.uri else None,
    }
