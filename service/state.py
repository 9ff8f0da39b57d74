"""What every route of one application works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import anyio
from fastapi import Depends, Request

from firstsight.service.auth import Keyring
from firstsight.service.databases import Databases
from firstsight.service.keys import KeyFile
from firstsight.service.metrics import Metrics
from firstsight.service.pictures import PictureReader
from firstsight.service.settings import ServiceSettings


@dataclass
class Service:
    """The parts that routes share; `app.state.service`."""

    settings: ServiceSettings
    databases: Databases
    pictures: PictureReader
    metrics: Metrics
    keyring: Keyring
    videos: anyio.CapacityLimiter
    """Searches by videos at once: each decodes for seconds with a database in hand, and leaves most to the others."""

    @classmethod
    def of(cls, settings: ServiceSettings) -> Service:
        """The parts as the settings say; nothing is loaded or started yet."""
        metrics = Metrics()
        keyring = Keyring(KeyFile(settings.keys_file), required=not settings.loopback, share=1 / settings.workers)
        videos = anyio.CapacityLimiter(max(1, settings.threads // 4))
        return cls(settings, Databases(settings, metrics), PictureReader(settings), metrics, keyring, videos)

    def close(self) -> None:
        """End what was started."""
        self.databases.close()
        self.pictures.close()


def get_service(request: Request) -> Service:
    """The service that a request came to."""
    found = request.app.state.service
    assert isinstance(found, Service)
    return found


ServiceDep = Annotated[Service, Depends(get_service)]
"""A route's parameter: `service: ServiceDep`."""
