"""Run the application with uvicorn, in one process or several, with a graceful stop."""

from __future__ import annotations

import base64
import os
import pickle
import shutil
import socket
import tempfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from firstsight.errors import FirstsightError
from firstsight.service.api_keys import KeyFile
from firstsight.service.protocol.connection_table import KEEP_ALIVE_S
from firstsight.service.protocol.descriptor_limit import raise_descriptor_limit, share_descriptors
from firstsight.service.protocol.guarded_protocol import GuardedProtocol
from firstsight.service.protocol.malloc_arenas import limit_arenas
from firstsight.service.service_settings import ServiceSettings

GRACE_S: Final = 30
"""Maximum seconds for open requests to end when the service stops."""

_SETTINGS: Final = "_FIRSTSIGHT_SERVICE"
"""Environment variable with the settings for workers: uvicorn starts workers by a name, not with an object."""

LOG_CONFIG: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "filters": {"floods": {"()": "firstsight.service.protocol.flood_filter.FloodFilter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["floods"]}},
    "loggers": {
        "firstsight.service": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "asyncio": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "uvicorn": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
    },
}


SERVER_OPTIONS: Final[dict[str, Any]] = {
    "http": GuardedProtocol,
    "ws": "none",  # no route has WebSockets, and an upgrade would leave the guarded protocol
    "lifespan": "on",
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,
    "timeout_keep_alive": KEEP_ALIVE_S,
    "timeout_graceful_shutdown": GRACE_S,
}
"""uvicorn options for every application of `make_app`."""


class ListenError(FirstsightError):
    """The service cannot listen on its address, or may not without an API key."""


def require_key_if_public(settings: ServiceSettings) -> None:
    """Refuse to listen for other machines while there is no API key.

    Raises:
        ListenError: other machines can reach the address, and there is no key; the message tells how to make one.
        KeyFileError: the file of keys cannot be read.
    """
    if settings.loopback or KeyFile(settings.keys_file).keys():
        return
    file = f" --keys {settings.keys}" if settings.keys else f" --db {settings.db}"
    raise ListenError(
        f"other machines can reach {settings.host}, and there is no API key; make one first: "
        f"firstsight keys add NAME{file}"
    )


def serve(
    settings: ServiceSettings,
    *,
    on_listening: Callable[[str], None] = lambda address: None,
    on_warning: Callable[[str], None] = lambda line: None,
) -> None:
    """Serve until SIGINT or SIGTERM, then finish the open requests.

    This raises the limit of open files of the process as far as `max_connections` needs, and limits the heaps of the C
    library. Both stay after the call.

    Args:
        settings: address, database and limits. Port 0 takes a free port; it needs a single worker.
        on_listening: called with the address of the service.
        on_warning: called with a message if the limit of open files allows fewer connections than `max_connections`.

    Raises:
        ListenError: other machines can reach the address and there is no key, or the address cannot be used.
        KeyFileError: the file of keys cannot be read.
    """
    require_key_if_public(settings)
    limit_arenas()
    requested = max(1, settings.max_connections // settings.workers)  # per process
    limit = raise_descriptor_limit(requested)
    connections, backlog = share_descriptors(limit, requested)
    if connections < requested:
        total = connections * settings.workers
        on_warning(
            f"a process may open only {limit:,} files, so the service takes {total:,} connections instead of "
            f"{settings.max_connections:,}; raise the limit (ulimit -n), or lower --max-connections"
        )
        settings = replace(settings, max_connections=total)
    options = SERVER_OPTIONS | {"factory": True, "log_config": LOG_CONFIG, "backlog": backlog}
    with listen(settings.host, settings.port) as listening:
        port = listening.getsockname()[1]
        address = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{port}"
        if settings.workers == 1:
            from firstsight.service.app import make_app

            on_listening(address)
            uvicorn.Server(uvicorn.Config(lambda: make_app(settings), **options)).run(sockets=[listening])
            return
    if settings.port == 0:
        raise ListenError("several workers need a fixed port; name it with --port")
    metrics_folder = tempfile.mkdtemp(prefix="firstsight-metrics-")
    environment = {_SETTINGS: base64.b64encode(pickle.dumps(settings)).decode()}
    environment["PROMETHEUS_MULTIPROC_DIR"] = metrics_folder  # prometheus_client reads it at import in a worker
    os.environ.update(environment)
    try:
        on_listening(address)
        uvicorn.run(
            "firstsight.service.serving:make_worker_app",
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            **options,
        )
    finally:
        for name in environment:
            os.environ.pop(name, None)
        shutil.rmtree(metrics_folder, ignore_errors=True)


def make_worker_app() -> FastAPI:
    """Make the application of one worker, with the settings of the process that started it."""
    from firstsight.service.app import make_app

    limit_arenas()
    settings = pickle.loads(base64.b64decode(os.environ[_SETTINGS]))  # noqa: S301  # written by our parent process
    assert isinstance(settings, ServiceSettings)
    return make_app(settings)


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket on an address.

    Raises:
        ListenError: the address is in use, or does not belong to this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ListenError(f"{host} is not an address of this machine ({error}); name another with --host") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(1024)
    except OSError as error:
        listening.close()
        raise ListenError(f"{host}:{port} cannot be used ({error.strerror}); name another port with --port") from None
    return listening
