"""What every route of one application works with."""

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
    """The parts that routes share; `app.state.service`."""

    settings: ServiceSettings
    databases: DatabasePool
    searches: SearchQueue
    pictures: PictureReader
    metrics: Metrics
    keyring: Keyring

    @classmethod
    def of(cls, settings: ServiceSettings) -> Service:
        """The parts as the settings say; nothing is loaded or started yet."""
        metrics = Metrics()
        keyring = Keyring(KeyFile(settings.keys_file), required=not settings.loopback, share=1 / settings.workers)
        databases = DatabasePool(settings, metrics)
        searches = SearchQueue(databases, settings, metrics)
        return cls(settings, databases, searches, PictureReader(settings), metrics, keyring)

    def close(self) -> None:
        """End what was started."""
        self.searches.close()
        self.databases.close()
        self.pictures.close()


def get_service(request: Request) -> Service:
    """The service that a request came to."""
    found = request.app.state.service
    assert isinstance(found, Service)
    return found


ServiceDep = Annotated[Service, Depends(get_service)]
"""A route's parameter: `service: ServiceDep`."""
