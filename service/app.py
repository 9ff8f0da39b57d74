"""The application: routers of every part, put together by `make_app`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec

from fastapi import FastAPI

import firstsight
from firstsight.service import errors, routes_health, routes_search
from firstsight.service.settings import ServiceSettings
from firstsight.service.state import Service

_OTHERS = ("firstsight.service.embeddings", "firstsight.service.gallery")
"""Parts that are put in where they are there; each has a `router`."""


def make_app(settings: ServiceSettings) -> FastAPI:
    """An ASGI application over one database.

    Nothing is loaded until it starts; `app.state.service` is what routes share (`firstsight.service.state`).
    """
    service = Service.of(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            service.close()

    # the pages for trying the API out load scripts from elsewhere
    app = FastAPI(title="firstsight", version=firstsight.__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    errors.install(app)
    for router in (routes_health.router, routes_search.router):
        app.include_router(router)
    for name in _OTHERS:
        if find_spec(name) is not None:
            app.include_router(import_module(name).router)
    return app
