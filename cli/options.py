"""Options that several commands share: single ones as types, sets of them as dataclasses (see commands.py)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from firstsight.cli import panels
from firstsight.cli.output import print_message
from firstsight.config import DB_VARIABLE, default_db

if TYPE_CHECKING:
    from firstsight import Database, EncoderOptions
    from firstsight.storage.store import Store

TrustRemoteCode = Annotated[
    bool, panels.encoder("--trust-remote-code", help="Run Python code that comes with a model.")
]
Runtime = Annotated[
    str,
    panels.encoder(
        "--runtime",
        metavar="NAME",
        envvar="FIRSTSIGHT_RUNTIME",
        help="Runtime of the encoder: auto (the fastest that keeps the reference vectors), fast (also int8, if "
        "calibrated) or ENGINE:PRECISION, e.g. torch:fp32 or openvino:bf16.",
    ),
]
Device = Annotated[
    str | None,
    panels.encoder(
        "--device", metavar="NAME", help="Device: cpu, cuda, cuda:1 or mps. By default the fastest one available."
    ),
]
Threads = Annotated[int | None, panels.encoder("--threads", metavar="N", help="CPU threads. By default all available.")]
Json = Annotated[bool, panels.output("--json", help="Print JSON lines. This is the default in a pipe.")]
Quiet = Annotated[bool, panels.output("--quiet", "-q", help="Print no progress and no summary without problems.")]
AllowPrivate = Annotated[
    bool, panels.media("--allow-private", help="Allow media addresses on private and loopback hosts.")
]
Kinds = Annotated[
    list[str] | None,
    panels.filters("--kind", metavar="KIND", help="Only items of this kind: product, video or live (repeatable)."),
]

Collapse = Annotated[
    str | None,
    panels.filters(
        "--collapse",
        metavar="none",
        help="Give none to list every variant. If the catalogue has group ids, the default is one of each product, "
        "without the product of ITEM.",
    ),
]

PoliciesFile = Annotated[
    Path | None,
    panels.policies(
        "--policies",
        metavar="FILE",
        envvar="FIRSTSIGHT_POLICIES",
        help="YAML file of safety policies. By default the policies that come with firstsight.",
    ),
]


@dataclass(frozen=True)
class EncoderFlags:
    """Which encoder, and how to run it."""

    encoder: Annotated[
        str | None,
        panels.encoder(
            "--encoder",
            metavar="NAME",
            help="Encoder: starter, open_clip:ARCH/TAG, open_clip:ARCH@FILE, transformers:ORG/NAME, or a folder after "
            "the colon. firstsight models lists them. By default the database's own, else starter.",
        ),
    ] = None
    runtime: Runtime = "auto"
    device: Device = None
    trust_remote_code: TrustRemoteCode = False

    def options(self) -> EncoderOptions:
        """Settings for loading the encoder; slow steps are reported on stderr."""
        import firstsight

        return firstsight.EncoderOptions(
            self.runtime, self.device, trust_remote_code=self.trust_remote_code, on_progress=print_message
        )


@dataclass(frozen=True)
class DatabaseFlags:
    """Which database."""

    db: Annotated[
        str | None,
        panels.database(
            "--db",
            metavar="DIR",
            help=f"Database: a folder, or an s3://, gs:// or az:// address. "
            f"By default ${DB_VARIABLE}, else ./firstsight-db.",
        ),
    ] = None

    @property
    def address(self) -> str:
        """The database named, else the default one."""
        return self.db or default_db()

    def open(self, encoder: EncoderFlags | None = None, *, allow_private: bool = False) -> Database:
        """Open the database; a missing one is reported at the first use."""
        import firstsight

        policy = firstsight.MediaPolicy(allow_private=allow_private)
        if encoder is None:
            return firstsight.open(self.db, policy=policy)
        return firstsight.open(self.db, encoder=encoder.encoder, encoder_options=encoder.options(), policy=policy)

    def store(self) -> Store:
        """The tables of the database.

        Raises:
            MissingDatabaseError: there is no database.
        """
        from firstsight.storage.store import Store

        return Store.open(self.address)


@dataclass(frozen=True)
class WriterFlags(DatabaseFlags):
    """Which database to write to, and how long to wait for another writer."""

    wait: Annotated[
        float, panels.database("--wait", metavar="SECONDS", min=0, help="Seconds to wait while another process writes.")
    ] = 0.0
