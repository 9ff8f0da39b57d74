"""POST /v1/embeddings and /v2/embed: embeddings for unchanged clients of OpenAI, Jina, Infinity and Cohere."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Body, Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic_core import to_json
from starlette.responses import Response

from firstsight.encoders.base import EncoderSpec, Vectors
from firstsight.errors import FirstsightError
from firstsight.service.auth import require_scope
from firstsight.service.inputs.embedder import BadInputsError, Embedder, average_parts
from firstsight.service.json_responses import public_encoder_name
from firstsight.service.routes.embedding_formats import format_vectors
from firstsight.service.routes.embedding_schemas import (
    MAX_INPUTS,
    MAX_PICTURES,
    CohereAnswer,
    CohereInput,
    CohereRequest,
    EmbeddingAnswer,
    EmbeddingRequest,
    JinaImageInput,
    Model,
    ModelList,
)
from firstsight.service.service_errors import (
    LOG,
    NotFoundError,
    ServiceError,
    describe_error,
    one_line,
    problem,
    record_error_code,
)
from firstsight.service.state import ServiceDep

_THREADED_ROWS = 32
"""Answers with more vectors are written in a thread: writing 100,000 numbers would delay all other requests."""


class BadEmbeddingRequestError(ServiceError):
    """A valid request that this encoder cannot answer."""

    status, code = 400, "invalid_request"


class EmbeddingRoute(APIRoute):
    """Route whose errors the clients of all these services understand: a problem with the fields of each service.

    `error` is OpenAI's field, `message` Cohere's and `detail` Jina's; `errors` gives the index of each bad input.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"][1:])
                message = first["msg"].removeprefix("Value error, ")
                return _refusal(request, 400, "invalid_request", f"{where}: {message}" if where else message, where)
            except BadInputsError as error:
                param = f"{error.name}[{error.errors[0][0]}]"
                return _refusal(request, 400, error.code, str(error), param, errors=error.errors_as_json())
            except FirstsightError as error:
                status, code, message, headers = describe_error(error)
                if status >= 500:
                    LOG.warning("%s: %s", code, one_line(error))
                return _refusal(request, status, code, message, None, headers=headers)

        return answer


def _refusal(request: Request, status: int, code: str, message: str, param: str | None, **more: Any) -> Response:
    record_error_code(request, code)
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": message, "type": kind, "param": param or None, "code": code}
    return problem(status, code, message, more.pop("headers", None), error=error, message=message, **more)


router = APIRouter(tags=["embeddings"], route_class=EmbeddingRoute)


async def get_embedder(request: Request, service: ServiceDep) -> Embedder:
    """The shared embedder, made in the event loop at the first request."""
    require_scope(request, "read")
    if not hasattr(request.app.state, "embedder"):
        request.app.state.embedder = Embedder(service.databases, service.pictures)
    embedder = request.app.state.embedder
    assert isinstance(embedder, Embedder)
    return embedder


EmbedderDep = Annotated[Embedder, Depends(get_embedder)]

_EXAMPLES: dict[str, Any] = {
    "texts": {"value": {"model": "starter", "input": ["a red running shoe", "a teapot"]}},
    "pictures": {"value": {"input": [{"image": "https://shop.example/shoe.jpg"}, {"text": "a red running shoe"}]}},
    "modality": {"value": {"input": ["https://shop.example/shoe.jpg"], "modality": "image"}},
}
_COHERE_EXAMPLES: dict[str, Any] = {
    "texts": {
        "value": {"model": "starter", "input_type": "search_query", "texts": ["a teapot"], "embedding_types": ["int8"]}
    },
    "mixed": {
        "value": {
            "inputs": [
                {
                    "content": [
                        {"type": "text", "text": "in blue"},
                        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,..."}},
                    ]
                }
            ]
        }
    },
}


@router.post("/v1/embeddings", response_model=EmbeddingAnswer, summary="Vectors of texts and pictures (OpenAI, Jina)")
async def embeddings(
    request: Request, embedder: EmbedderDep, body: Annotated[EmbeddingRequest, Body(openapi_examples=_EXAMPLES)]
) -> Response:
    """One unit vector for each input, in order; texts and pictures share one space."""
    spec = (await embedder.encoder()).spec
    _check_dimensions(body.dimensions, spec, "dimensions")
    pictures = {index: entry.image for index, entry in enumerate(body.input) if isinstance(entry, JinaImageInput)}
    texts = {index: entry.text for index, entry in enumerate(body.input) if not isinstance(entry, JinaImageInput)}
    if len(pictures) > MAX_PICTURES:
        raise BadEmbeddingRequestError(f"input has {len(pictures)} pictures; send at most {MAX_PICTURES} at once")
    places = [*texts, *pictures]
    try:
        vectors = await embedder.embed(request, list(texts.values()), list(pictures.values()), "input")
    except BadInputsError as error:
        raise BadInputsError("input", sorted((places[row], reason) for row, reason in error.errors)) from error
    order = {index: row for row, index in enumerate(places)}
    form = body.embedding_type or body.encoding_format or "float"

    def answer() -> Response:
        rows = format_vectors(vectors, form)
        data = [{"object": "embedding", "index": i, "embedding": rows[order[i]]} for i in range(len(rows))]
        usage = {"prompt_tokens": 0, "total_tokens": 0}
        return _json({"object": "list", "model": public_encoder_name(spec.name), "data": data, "usage": usage})

    return await _write_in_thread(answer, len(vectors))


@router.post("/v2/embed", response_model=CohereAnswer, summary="Vectors of texts, pictures or both together (Cohere)")
async def embed(
    request: Request, embedder: EmbedderDep, body: Annotated[CohereRequest, Body(openapi_examples=_COHERE_EXAMPLES)]
) -> Response:
    """One unit vector for each text, picture or mixed input, in each requested format."""
    spec = (await embedder.encoder()).spec
    _check_dimensions(body.output_dimension, spec, "output_dimension")
    if body.inputs is None:
        vectors = await embedder.embed(
            request, body.texts or [], body.images or [], "texts" if body.texts else "images"
        )
    else:
        vectors = await _embed_mixed(request, embedder, body.inputs)

    def answer() -> Response:
        content = {
            "id": str(uuid.uuid4()),
            "response_type": "embeddings_by_type",
            "embeddings": {form: format_vectors(vectors, form) for form in dict.fromkeys(body.embedding_types)},
            "meta": {"api_version": {"version": "2"}},
        }
        return _json(content if body.texts is None else {**content, "texts": body.texts})

    return await _write_in_thread(answer, len(vectors) * len(body.embedding_types))


async def _embed_mixed(request: Request, embedder: Embedder, inputs: Sequence[CohereInput]) -> Vectors:
    texts = [
        (index, part.text) for index, entry in enumerate(inputs) for part in entry.content if part.text is not None
    ]
    pictures = [
        (index, part.image_url.url)
        for index, entry in enumerate(inputs)
        for part in entry.content
        if part.image_url is not None
    ]
    for what, parts, limit in (("texts", texts, MAX_INPUTS), ("pictures", pictures, MAX_PICTURES)):
        if len(parts) > limit:
            raise BadEmbeddingRequestError(f"inputs have {len(parts)} {what}; send at most {limit} at once")
    owners = [index for index, _ in [*texts, *pictures]]
    try:
        vectors = await embedder.embed(request, [text for _, text in texts], [url for _, url in pictures], "inputs")
    except BadInputsError as error:
        raise BadInputsError("inputs", [(owners[row], reason) for row, reason in error.errors]) from error
    groups = [[row for row, owner in enumerate(owners) if owner == index] for index in range(len(inputs))]
    return average_parts(vectors, groups, "inputs")


@router.get("/v1/models", response_model=ModelList, summary="The encoder")
async def models(embedder: EmbedderDep) -> ModelList:
    """A list with the encoder of this service."""
    return ModelList(data=[_model((await embedder.encoder()).spec)])


@router.get("/v1/models/{model:path}", response_model=Model, summary="The encoder by its name")
async def model(model: str, embedder: EmbedderDep) -> Model:
    """The encoder of this service, if it has this name; else 404."""
    spec = (await embedder.encoder()).spec
    if model != public_encoder_name(spec.name):
        raise NotFoundError(f"there is no model {model[:80]!r}; this service has {public_encoder_name(spec.name)}")
    return _model(spec)


def _model(spec: EncoderSpec) -> Model:
    return Model(
        id=public_encoder_name(spec.name), dimensions=spec.dim, image_size=spec.image_size, fingerprint=spec.fingerprint
    )


def _check_dimensions(requested: int | None, spec: EncoderSpec, name: str) -> None:
    if requested is not None and requested != spec.dim:
        raise BadEmbeddingRequestError(
            f"{name} is {requested}, but vectors of {public_encoder_name(spec.name)} always have {spec.dim}; "
            f"leave {name} out or set it to {spec.dim}"
        )


async def _write_in_thread(write: Callable[[], Response], rows: int) -> Response:
    return await run_sync(write) if rows > _THREADED_ROWS else write()


def _json(content: Any) -> Response:
    return Response(to_json(content), media_type="application/json")
