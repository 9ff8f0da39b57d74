"""Options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli.output import tell
from firstsight.config import DB_VARIABLE

if TYPE_CHECKING:
    from firstsight import EncoderOptions

Db = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="DIR",
        help=f"The database: a folder, or an s3://, gs:// or az:// address. "
        f"By default ${DB_VARIABLE}, else ./firstsight-db.",
        show_default=False,
    ),
]
Encoder = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="NAME",
        help="starter, open_clip:ARCH/TAG, open_clip:ARCH@FILE, transformers:ORG/NAME, a folder after either colon; "
        "see firstsight models. By default the database's own, else starter.",
        show_default=False,
    ),
]
Runtime = Annotated[
    str,
    typer.Option(
        "--runtime",
        metavar="NAME",
        envvar="FIRSTSIGHT_RUNTIME",
        help="What runs the encoder: auto, the fastest that gives the reference's vectors; fast, which allows int8 "
        "where it was calibrated; or ENGINE:PRECISION, such as torch:fp32, openvino:bf16.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="cpu, cuda, cuda:1 or mps. By default the best there is.",
        show_default=False,
    ),
]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Let a model bring Python code along and run it.")
]
Wait = Annotated[
    float, typer.Option("--wait", metavar="SECONDS", min=0, help="Wait so long for a process that is writing.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON lines, as in a pipe.")]
AllowPrivate = Annotated[
    bool, typer.Option("--allow-private", help="Let media addresses reach private and loopback hosts.")
]


def encoder_options(runtime: str, device: str | None, trust_remote_code: bool) -> EncoderOptions:
    """How to run the encoder, as the options above say; what takes long is told on stderr."""
    import firstsight

    return firstsight.EncoderOptions(runtime, device, trust_remote_code=trust_remote_code, on_progress=tell)
