"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from firstsight.config import DB_VARIABLE

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
        help="starter, open_clip:ARCH/TAG, open_clip:ARCH@FILE, transformers:ORG/NAME or transformers:FOLDER. "
        "By default the database's own, else starter.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON lines, as in a pipe.")]
AllowPrivate = Annotated[
    bool, typer.Option("--allow-private", help="Let media addresses reach private and loopback hosts.")
]
