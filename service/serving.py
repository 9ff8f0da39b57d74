"""An application on a socket: uvicorn, in one process or several, stopped gracefully."""

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
"""Seconds that requests in flight are given to end, once the service is told to stop."""

_SETTINGS: Final = "_FIRSTSIGHT_SERVICE"
"""Environment variable by which workers learn the settings: uvicorn starts them by a name, not by an object."""

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
"""Of uvicorn, for every application of `make_app`."""


class ListenError(FirstsightError):
    """The service may not, or cannot, listen where it was told to."""


def require_key_if_public(settings: ServiceSettings) -> None:
    """Refuse to listen where other machines reach it before there is an API key.

    Raises:
        ListenError: naming the command that makes one.
        KeyFileError: the keys cannot be read.
    """
    if settings.loopback or KeyFile(settings.keys_file).keys():
        return
    file = f" --keys {settings.keys}" if settings.keys else f" --db {settings.db}"
    raise ListenError(
        f"{settings.host} is reached by other machines, and there is no API key; make one first: "
        f"firstsight keys add NAME{file}"
    )


def serve(
    settings: ServiceSettings,
    *,
    on_listening: Callable[[str], None] = lambda address: None,
    on_warning: Callable[[str], None] = lambda line: None,
) -> None:
    """Serve until SIGINT or SIGTERM; then what is in flight is finished.

    The limit of open files of the process is raised as far as `max_connections` needs, and stays so; so does a limit on
    the heaps of the C library.

    Args:
        on_warning: told when that limit holds fewer connections than the settings say.
        on_listening: told the address; port 0 takes a free one, in a single process.

    Raises:
        ListenError: it would listen for other machines without a key, or the address cannot be taken.
    """
    require_key_if_public(settings)
    limit_arenas()
    wanted = max(1, settings.max_connections // settings.workers)  # in each process
    limit = raise_descriptor_limit(wanted)
    connections, backlog = share_descriptors(limit, wanted)
    if connections < wanted:
        total = connections * settings.workers
        on_warning(
            f"a process may open {limit:,} files here, so the service takes {total:,} connections instead of "
            f"{settings.max_connections:,}; raise that limit (ulimit -n), or lower --max-connections"
        )
        settings = replace(settings, max_connections=total)
    how = SERVER_OPTIONS | {"factory": True, "log_config": LOG_CONFIG, "backlog": backlog}
    with listen(settings.host, settings.port) as listening:
        port = listening.getsockname()[1]
        address = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{port}"
        if settings.workers == 1:
            from firstsight.service.app import make_app

            on_listening(address)
            uvicorn.Server(uvicorn.Config(lambda: make_app(settings), **how)).run(sockets=[listening])
            return
    if settings.port == 0:
        raise ListenError("several workers share one port; name it with --port")
    figures = tempfile.mkdtemp(prefix="firstsight-metrics-")
    # the second is read by prometheus_client when a worker imports it
    told = {_SETTINGS: base64.b64encode(pickle.dumps(settings)).decode(), "PROMETHEUS_MULTIPROC_DIR": figures}
    os.environ.update(told)
    try:
        on_listening(address)
        uvicorn.run(
            "firstsight.service.serving:make_worker_app",
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            **how,
        )
    finally:
        for name in told:
            os.environ.pop(name, None)
        shutil.rmtree(figures, ignore_errors=True)


def make_worker_app() -> FastAPI:
    """The application of one of several workers, as the process that started it was told."""
    from firstsight.service.app import make_app

    limit_arenas()
    settings = pickle.loads(base64.b64decode(os.environ[_SETTINGS]))  # noqa: S301  # from our own parent
    assert isinstance(settings, ServiceSettings)
    return make_app(settings)


def listen(host: str, port: int) -> socket.socket:
    """Take an address.

    Raises:
        ListenError: it is in use, or not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        taken = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ListenError(f"{host} is no address of this machine ({error}); name another with --host") from None
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
        taken.listen(1024)
    except OSError as error:
        taken.close()
        raise ListenError(f"{host}:{port} cannot be taken ({error.strerror}); name another with --port") from None
    return taken
