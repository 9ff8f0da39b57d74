"""`firstsight serve` and `firstsight keys`: the library on HTTP, and who may use it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options
from firstsight.cli.output import print_json_lines, print_table, tell, wants_json

if TYPE_CHECKING:
    from firstsight.service.keys import KeyFile

EPILOG = """
[bold]Examples[/bold]

firstsight serve --db shop-db

firstsight keys add shop --scope read --scope write && firstsight serve --host 0.0.0.0 --name search.example.com
"""

keys_app = typer.Typer(help="API keys of the service: make, list and revoke them.", no_args_is_help=True)

Keys = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        metavar="FILE",
        envvar="FIRSTSIGHT_KEYS",
        help="File of API keys. By default .keys.json in the database's folder.",
        show_default=False,
    ),
]


def serve(
    db: options.Db = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; one that other machines reach needs an API key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 for a free one.")] = 8000,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="HOST", help="A name it is called by; may be given again.", show_default=False),
    ] = None,
    keys: Keys = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes; each loads the encoder.")] = 1,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Requests that read at once, in each process.")] = 8,
    max_body_mb: Annotated[int, typer.Option("--max-body-mb", min=1, help="Megabytes of a request.")] = 32,
    max_megapixels: Annotated[int, typer.Option("--max-megapixels", min=1, help="Of a picture in a request.")] = 50,
    max_connections: Annotated[
        int, typer.Option("--max-connections", min=1, help="Open connections, shared out between workers.")
    ] = 1_000,
    max_connections_per_address: Annotated[
        int,
        typer.Option(
            "--max-connections-per-address",
            min=1,
            help="Open connections of one IPv4 address or IPv6 /64; raise it behind a reverse proxy.",
        ),
    ] = 100,
    head_timeout: Annotated[
        float,
        typer.Option("--head-timeout", min=0.1, help="Seconds from accept until the whole head of a request is there."),
    ] = 10.0,
    write_timeout: Annotated[
        float, typer.Option("--write-timeout", min=0.1, help="Seconds that a client may leave an answer unread.")
    ] = 30.0,
    allow_private: options.AllowPrivate = False,
    policies: Annotated[
        Path | None,
        typer.Option(
            "--policies", metavar="FILE", envvar="FIRSTSIGHT_POLICIES", help="Safety policies.", show_default=False
        ),
    ] = None,
    encoder: options.Encoder = None,
    runtime: options.Runtime = "auto",
    device: options.Device = None,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Serve the database over HTTP, for programs and for people, until Ctrl-C; what is in flight is then finished."""
    import firstsight
    from firstsight.config import default_db
    from firstsight.service.serving import serve as serve_until_stopped
    from firstsight.service.settings import ServiceSettings

    settings = ServiceSettings(
        db=db or default_db(),
        encoder=encoder,
        encoder_options=options.encoder_options(runtime, device, trust_remote_code),
        policy=firstsight.MediaPolicy(allow_private=allow_private),
        policies=policies,
        host=host,
        port=port,
        names=tuple(name or ()),
        keys=keys,
        workers=workers,
        threads=threads,
        max_body_bytes=max_body_mb * 2**20,
        max_pixels=max_megapixels * 1_000_000,
        max_connections=max_connections,
        max_connections_per_address=max_connections_per_address,
        head_timeout_s=head_timeout,
        write_timeout_s=write_timeout,
    )
    settings = replace(settings, policy=replace(settings.policy, max_pixels=settings.max_pixels))
    serve_until_stopped(
        settings, on_listening=lambda address: tell(f"listening at {address}; stop with Ctrl-C"), on_warning=tell
    )


@keys_app.command("add", epilog="Example: firstsight keys add shop --scope read --scope write --per-minute 600")
def add(
    name: Annotated[str, typer.Argument(help="Whose it is.")],
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="read, write or moderate; may be given again. By default read."),
    ] = None,
    per_minute: Annotated[int, typer.Option("--per-minute", min=0, help="Requests; 0 for no limit.")] = 6_000,
    keys: Keys = None,
    db: options.Db = None,
) -> None:
    """Make a key and print its token, which is kept nowhere; the file has only its digest."""
    _, token = _file(keys, db).add(name, scope or ["read"], per_minute=per_minute)
    typer.echo(token)
    tell(f"this is the only time that the token of {name} is shown")


@keys_app.command("list", epilog="Example: firstsight keys list --db shop-db")
def list_(keys: Keys = None, db: options.Db = None, json: options.Json = False) -> None:
    """List the keys, without their tokens."""
    made = _file(keys, db).keys()
    if wants_json(json):
        told = ({n: v for n, v in vars(key).items() if n != "sha256"} for key in made)
        print_json_lines(told)
    elif made:
        rows = [(key.key_id, key.name, " ".join(key.scopes), key.per_minute or "", key.created_at) for key in made]
        print_table(["id", "name", "scopes", "per minute", "made"], rows, right=["per minute"])
    else:
        tell("there are no keys")


@keys_app.command("revoke", epilog="Example: firstsight keys revoke shop")
def revoke(
    which: Annotated[str, typer.Argument(metavar="KEY", help="Its id or name.")],
    keys: Keys = None,
    db: options.Db = None,
) -> None:
    """Take a key away; a running service refuses it from the next request on."""
    gone = _file(keys, db).revoke(which)
    tell(f"revoked {gone.key_id}, {gone.name}")


def _file(keys: Path | None, db: str | None) -> KeyFile:
    from firstsight.config import default_db
    from firstsight.service.keys import KeyFile
    from firstsight.service.settings import ServiceSettings

    return KeyFile(ServiceSettings(db=db or default_db(), keys=keys).keys_file)
