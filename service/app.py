"""The application: routers of every part, put together by `make_app`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import anyio.to_thread
from fastapi import FastAPI

import firstsight
from firstsight.errors import FirstsightError
from firstsight.service import service_errors
from firstsight.service.database_pool import MAX_WAITING_THREADS
from firstsight.service.gate import Gate
from firstsight.service.protocol.connection_table import ConnectionLimits, Connections
from firstsight.service.protocol.guarded_protocol import STATE_KEY
from firstsight.service.request_observer import RequestObserver
from firstsight.service.routes import health_routes, item_routes, safety_routes, search_routes
from firstsight.service.routes.openapi_document import make_openapi
from firstsight.service.service_settings import ServiceSettings
from firstsight.service.state import Service

_OPTIONAL_ROUTERS = ("firstsight.service.routes.embedding_routes", "firstsight.service.routes.gallery_routes")
"""Parts that are put in where they are there; each has a `router`."""


def make_app(settings: ServiceSettings) -> FastAPI:
    """An ASGI application over one database; `app.state.service` is what its routes share.

    The encoder is loaded in the background once the application starts: until then GET /ready answers 503, and what
    needs vectors waits.
    """
    service = Service.of(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        # routes run in threads: as many as may read, those that wait to write or for slates, and some to spare
        anyio.to_thread.current_default_thread_limiter().total_tokens = (
            settings.threads + 2 * (MAX_WAITING_THREADS + 1) + 16
        )
        warming = asyncio.create_task(asyncio.to_thread(_warm_up, service))
        try:
            yield {STATE_KEY: Connections(ConnectionLimits.of(settings), service.metrics)}
        finally:
            await warming
            await asyncio.to_thread(service.close)

    # the usual pages for trying the API out load scripts from elsewhere
    app = FastAPI(
        title="firstsight",
        version=firstsight.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    app.openapi = lambda: make_openapi(app)  # type: ignore[method-assign]
    service_errors.install_error_handlers(app)
    for router in (health_routes.router, item_routes.router, safety_routes.router, search_routes.router):
        app.include_router(router)
    for name in _OPTIONAL_ROUTERS:
        if find_spec(name) is not None:
            app.include_router(import_module(name).router)
    app.add_middleware(Gate, settings=settings, keyring=service.keyring)
    app.add_middleware(RequestObserver, metrics=service.metrics)
    return app


def _warm_up(service: Service) -> None:
    try:
        service.databases.warm_up()
    except FirstsightError as error:
        service_errors.LOG.error("the encoder cannot be loaded: %s", error)
