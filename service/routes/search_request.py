"""What a search request asks for: from JSON or a form, to the library's query with its media at hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from anyio.to_thread import run_sync
from fastapi import Request
from PIL import Image
from starlette.datastructures import UploadFile

from firstsight.errors import FirstsightError, MediaError, QueryError
from firstsight.retrieval.query import Query
from firstsight.service.routes.search_schemas import SearchRequest
from firstsight.service.state import Service

MAX_UPLOADS: Final = 16
"""Files of a form."""


@dataclass(frozen=True)
class SearchRequestWithFiles:
    """A search request, from JSON or from a form with files."""

    body: SearchRequest
    uploads: list[bytes]


async def read_search_request(request: Request) -> SearchRequestWithFiles:
    """Read the query: the body as JSON, or of a form the field `query` (the same JSON) with files `images`."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return SearchRequestWithFiles(SearchRequest.model_validate_json(await request.body()), [])
    async with request.form(max_files=MAX_UPLOADS, max_fields=8) as form:
        unknown = form.keys() - {"query", "images"}
        if unknown:
            raise QueryError(f"the form has no field {sorted(unknown)[0][:40]!r}; give query and images")
        query = form.get("query", "{}")
        body = SearchRequest.model_validate_json(query if isinstance(query, str) else await query.read())
        files = form.getlist("images")
        if any(not isinstance(file, UploadFile) for file in files):
            raise QueryError("images of a form are files; give addresses and base64 in the field query")
        return SearchRequestWithFiles(body, [await file.read() for file in files if isinstance(file, UploadFile)])


@asynccontextmanager
async def prepare_query(service: Service, received: SearchRequestWithFiles) -> AsyncIterator[Query]:
    """The library's query, its pictures decoded and its videos fetched before it takes a database from others.

    Raises:
        QueryError, MediaError: it cannot be answered.
    """
    body = received.body
    fields = body.model_dump(exclude={"images", "minus_images", "videos"})
    images: list[str | bytes] = [*received.uploads, *body.images]
    # the query checks itself before anything is fetched or decoded; names stand for it meanwhile
    checked = Query(
        **fields, images=["?"] * len(images), minus_images=["?"] * len(body.minus_images), videos=body.videos
    )
    async with AsyncExitStack() as stack:
        videos = {str(await stack.enter_async_context(service.pictures.fetch_video(one))): one for one in body.videos}
        opened: list[Image.Image] = []
        if images or body.minus_images:
            encoder = await run_sync(lambda: service.databases.encoder)
            for one in await service.pictures.open_all([*images, *body.minus_images], min_side=encoder.spec.min_side):
                if isinstance(one, FirstsightError):
                    raise one
                opened.append(one)
        try:
            yield replace(
                checked, images=opened[: len(images)], minus_images=opened[len(images) :], videos=list(videos)
            )
        except MediaError as error:  # told of the address, not of its copy
            message = str(error)
            for path, address in videos.items():
                message = message.replace(path, address)
            raise MediaError(error.reason, message) from None
