"""Convert a search request, JSON or a form with files, to a query of the library with its media loaded."""

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
"""Maximum files of a form."""


@dataclass(frozen=True)
class SearchRequestWithFiles:
    """A search request with the uploaded files of its form."""

    body: SearchRequest
    uploads: list[bytes]


async def read_search_request(request: Request) -> SearchRequestWithFiles:
    """Read a search request: JSON, or a form with that JSON in the field `query` and files in `images`."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return SearchRequestWithFiles(SearchRequest.model_validate_json(await request.body()), [])
    async with request.form(max_files=MAX_UPLOADS, max_fields=8) as form:
        unknown = form.keys() - {"query", "images"}
        if unknown:
            raise QueryError(f"the form field {sorted(unknown)[0][:40]!r} is not known; give query and images")
        query = form.get("query", "{}")
        body = SearchRequest.model_validate_json(query if isinstance(query, str) else await query.read())
        files = form.getlist("images")
        if any(not isinstance(file, UploadFile) for file in files):
            raise QueryError("the form field images must hold files; give addresses and base64 in the field query")
        return SearchRequestWithFiles(body, [await file.read() for file in files if isinstance(file, UploadFile)])


@asynccontextmanager
async def prepare_query(service: Service, received: SearchRequestWithFiles) -> AsyncIterator[Query]:
    """Make the library's query; pictures are decoded and videos fetched before the search takes a database.

    Raises:
        QueryError: the query is invalid.
        MediaError: a picture or video cannot be used.
        EncoderError: the encoder cannot be loaded.
    """
    body = received.body
    fields = body.model_dump(exclude={"images", "minus_images", "videos"})
    images: list[str | bytes] = [*received.uploads, *body.images]
    # check the query before fetching or decoding; "?" takes the place of each picture until then
    checked = Query(
        **fields, images=["?"] * len(images), minus_images=["?"] * len(body.minus_images), videos=body.videos
    )
    async with AsyncExitStack() as stack:
        videos = {str(await stack.enter_async_context(service.pictures.fetch_video(url))): url for url in body.videos}
        opened: list[Image.Image] = []
        if images or body.minus_images:
            encoder = await run_sync(lambda: service.databases.encoder)
            pictures = [*images, *body.minus_images]
            for outcome in await service.pictures.open_all(pictures, min_side=encoder.spec.min_side):
                if isinstance(outcome, FirstsightError):
                    raise outcome
                opened.append(outcome)
        try:
            yield replace(
                checked, images=opened[: len(images)], minus_images=opened[len(images) :], videos=list(videos)
            )
        except MediaError as error:  # name the address, not the path of its local copy
            message = str(error)
            for path, address in videos.items():
                message = message.replace(path, address)
            raise MediaError(error.reason, message) from None
