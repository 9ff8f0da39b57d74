"""State that the gallery's routes share in one application."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio
from fastapi import Request

from firstsight.database import open_tables
from firstsight.service.gallery.gallery_data import AnswerCache
from firstsight.service.gallery.view_media import ViewMedia
from firstsight.service.state import Service, ServiceDep
from firstsight.storage.store import Store

MEDIA_AT_ONCE: Final = 8
"""Concurrent requests for pictures and videos. The others wait without a thread, so that slow hosts never hold the
threads that searches need."""

MAPS_AT_ONCE: Final = 1
"""Maps computed at the same time: each takes a core for seconds or minutes, and searches need the other cores."""


@dataclass
class Gallery:
    """Media, cached answers and limits of the gallery's routes. Counts of facets are those of the present items."""

    media: ViewMedia
    answers: AnswerCache = field(default_factory=AnswerCache)
    facets: AnswerCache = field(default_factory=lambda: AnswerCache(fresh_s=0.0, max_answers=64))
    limiter: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(MEDIA_AT_ONCE))
    map_limiter: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(MAPS_AT_ONCE))


_gallery_lock = threading.Lock()


def get_gallery(request: Request, service: ServiceDep) -> Gallery:
    """The application's gallery, made at the first request."""
    with _gallery_lock:
        state = request.app.state
        if not hasattr(state, "gallery"):
            settings = service.settings
            state.gallery = Gallery(ViewMedia(settings.policy, workers=settings.decoders))
        gallery: Gallery = state.gallery
        return gallery


@contextmanager
def open_store(service: Service, *, separate: bool = False) -> Iterator[Store]:
    """Give a store for reading.

    Args:
        separate: use the database for maps, which searches never wait for; for work that takes minutes.

    Raises:
        OverloadedError: no database came free in time.
    """
    with service.databases.maps() if separate else service.databases.reading() as db:
        yield open_tables(db)
