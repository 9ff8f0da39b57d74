"""What one service is told when it starts: one frozen set, made by `firstsight serve` or by a test."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from firstsight.encoders.base import Encoder
from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.media.policy import MediaPolicy
from firstsight.service.batching.batching_encoder import BatchSettings


def is_loopback(host: str) -> bool:
    """Whether a name or numeric address is reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@dataclass(frozen=True)
class ServiceSettings:
    """Where the service listens, on what database, and what a request may cost."""

    db: str
    """Folder or object-store address of the database; a new one is made by the first items that are posted."""

    encoder: str | Encoder | None = None
    """A name for `load_encoder`, or an encoder; the database's own, else `starter` by default."""

    encoder_options: EncoderOptions = field(default_factory=EncoderOptions)

    policy: MediaPolicy = field(default_factory=MediaPolicy)
    """What media addresses in requests may reach; its `root` and `allow_anywhere` count for nothing here."""

    policies: Path | None = None
    """A YAML file of safety policies; those that ship with firstsight by default."""

    host: str = "127.0.0.1"
    port: int = 8000

    names: tuple[str, ...] = ()
    """Host names that the service is called by, beside its address, without ports."""

    keys: Path | None = None
    """File of API keys; `.keys.json` in the database's folder by default."""

    workers: int = 1
    """Processes that serve; a key's rate limit is shared out between them."""

    threads: int = 8
    """Requests that read the database at once, in each process."""

    batching: BatchSettings = field(default_factory=BatchSettings)
    """How requests share the encoder."""

    decoders: int = 2
    """Child processes that decode pictures of requests, for each process."""

    max_body_bytes: int = 32 * 2**20
    """Bytes of a request's body."""

    max_pixels: int = 50_000_000
    """Width x height of a picture in a request."""

    max_connections: int = 1_000
    """Open connections, shared out between workers; fewer where the limit of open files does not hold them."""

    max_connections_per_address: int = 100
    """Of these, connections of one IPv4 address or IPv6 /64 network; behind a proxy, all come from one address."""

    head_timeout_s: float = 10.0
    """Seconds from accept, or from the first byte of a further request, until its whole head must be there."""

    write_timeout_s: float = 30.0
    """Seconds that a client may leave an answer unread before its connection is closed."""

    max_wait_s: float = 10.0
    """Seconds that a request waits for its body, for a free thread, or for another process that is writing."""

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
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    @property
    def remote(self) -> bool:
        """Whether the database is at an object-store address."""
        return "://" in self.db

    @property
    def keys_file(self) -> Path | None:
        """Where API keys are kept; None where nobody said so and the database has no folder."""
        return self.keys or (None if self.remote else Path(self.db) / ".keys.json")
