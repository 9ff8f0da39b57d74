"""Settings of a service."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from firstsight.encoders.base import Encoder
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.media.policy import MediaPolicy
from firstsight.service.batching.batching_encoder import BatchSettings


def is_loopback(host: str) -> bool:
    """Whether a host name or numeric address is a loopback address of this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@dataclass(frozen=True)
class ServiceSettings:
    """Address, database, and limits of a service."""

    db: str
    """Folder or object-store address of the database. If it does not exist, the first posted items create it."""

    encoder: str | Encoder | None = None
    """Encoder, or a name for `load_encoder`. Default: the encoder of the database, or `starter` for a new one."""

    encoder_options: EncoderOptions = field(default_factory=EncoderOptions)

    policy: MediaPolicy = field(default_factory=MediaPolicy)
    """Limits for media addresses in requests; `root` and `allow_anywhere` have no effect here."""

    policies: Path | None = None
    """YAML file of safety policies. Default: the policies of the package."""

    host: str = "127.0.0.1"
    port: int = 8000

    names: tuple[str, ...] = ()
    """Host names of the service without ports, in addition to its address."""

    keys: Path | None = None
    """File of API keys. Default: `.keys.json` in the folder of the database."""

    workers: int = 1
    """Number of processes; they divide the rate limit of each key."""

    threads: int = 8
    """Requests that read the database at the same time, per process."""

    batching: BatchSettings = field(default_factory=BatchSettings)
    """Sizes of batches and queues for the encoder."""

    decoders: int = 2
    """Child processes that decode pictures of requests, per process."""

    max_body_bytes: int = 32 * 2**20
    """Maximum bytes of a request's body."""

    max_pixels: int = 50_000_000
    """Maximum width x height of a picture in a request."""

    max_connections: int = 1_000
    """Maximum open connections of all workers together; fewer if the limit of open files is too low."""

    max_connections_per_address: int = 100
    """Maximum connections of one IPv4 address or IPv6 /64 network. Behind a proxy, all come from one address."""

    head_timeout_s: float = 10.0
    """Maximum seconds for the head of a request, from accept or from the first byte of a further request."""

    write_timeout_s: float = 30.0
    """Maximum seconds that a client leaves an answer unread before its connection is closed."""

    max_wait_s: float = 10.0
    """Maximum seconds that a request waits for its body, for a free thread, or for another process that writes."""

    def __post_init__(self) -> None:
        counts = ("workers", "threads", "decoders", "max_body_bytes", "max_pixels", "max_connections")
        for name in (*counts, "max_connections_per_address"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        for name in ("max_wait_s", "head_timeout_s", "write_timeout_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name):g}")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        return is_loopback(self.host)

    @property
    def remote(self) -> bool:
        """Whether the database is at an object-store address."""
        return "://" in self.db

    @property
    def keys_file(self) -> Path | None:
        """The file of API keys; None if `keys` is not set and the database is remote."""
        return self.keys or (None if self.remote else Path(self.db) / ".keys.json")
