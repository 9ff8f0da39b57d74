"""The application: `make_app` joins all routes and the middleware."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

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
from firstsight.service.routes import (
    embedding_routes,
    gallery_routes,
    health_routes,
    item_routes,
    media_routes,
    page_routes,
    safety_routes,
    search_routes,
    timed_product_routes,
)
from firstsight.service.routes.facts import fact_routes
from firstsight.service.routes.openapi_document import make_openapi
from firstsight.service.service_settings import ServiceSettings
from firstsight.service.state import Service

_ROUTES: Final = (
    health_routes,
    fact_routes,
    item_routes,
    safety_routes,
    timed_product_routes,
    search_routes,
    embedding_routes,
    page_routes,
    gallery_routes,
    media_routes,
)


def make_app(settings: ServiceSettings) -> FastAPI:
    """Make the ASGI application over one database; `app.state.service` holds the parts that its routes share.

    The encoder is loaded in the background after the start. Until it is loaded, GET /ready answers 503, and requests
    that need vectors wait.
    """
    service = Service.of(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        # routes run in threads: all that may read, all that may wait to write or for slates, and 16 spare ones
        anyio.to_thread.current_default_thread_limiter().total_tokens = (
            settings.threads + 2 * (MAX_WAITING_THREADS + 1) + 16
        )
        warming = asyncio.create_task(asyncio.to_thread(_warm_up, service))
        try:
            yield {STATE_KEY: Connections(ConnectionLimits.of(settings), service.metrics)}
        finally:
            await warming
            await asyncio.to_thread(service.close)

    # no docs pages: FastAPI's load scripts from other hosts
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
    for routes in _ROUTES:
        app.include_router(routes.router)
    app.add_middleware(Gate, settings=settings, keyring=service.keyring)
    app.add_middleware(RequestObserver, metrics=service.metrics)
    return app


def _warm_up(service: Service) -> None:
    try:
        service.databases.warm_up()
    except FirstsightError as error:
        service_errors.LOG.error("the encoder cannot be loaded: %s", error)
