"""The parts of one service that its routes share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from firstsight.service.api_keys import KeyFile
from firstsight.service.auth import Keyring
from firstsight.service.database_pool import DatabasePool
from firstsight.service.inputs.request_pictures import PictureReader
from firstsight.service.metrics import Metrics
from firstsight.service.search_queue import SearchQueue
from firstsight.service.service_settings import ServiceSettings


@dataclass
class Service:
    """The shared parts; stored as `app.state.service`."""

    settings: ServiceSettings
    databases: DatabasePool
    searches: SearchQueue
    pictures: PictureReader
    metrics: Metrics
    keyring: Keyring

    @classmethod
    def of(cls, settings: ServiceSettings) -> Service:
        """Make the parts from the settings; this loads and starts nothing."""
        metrics = Metrics()
        keyring = Keyring(KeyFile(settings.keys_file), required=not settings.loopback, share=1 / settings.workers)
        databases = DatabasePool(settings, metrics)
        searches = SearchQueue(databases, settings, metrics)
        return cls(settings, databases, searches, PictureReader(settings), metrics, keyring)

    def close(self) -> None:
        """Stop all threads and child processes."""
        self.searches.close()
        self.databases.close()
        self.pictures.close()


def get_service(request: Request) -> Service:
    """Return the service of a request."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


ServiceDep = Annotated[Service, Depends(get_service)]
"""Type of a route's parameter `service`."""
