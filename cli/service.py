"""`firstsight serve` and `firstsight keys`: the HTTP service and its API keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.output import print_json_lines, print_message

if TYPE_CHECKING:
    from firstsight.service.api_keys import KeyFile

serve_app = group()
keys_app = group(
    "Add, list and revoke API keys of the service.",
    examples=["keys add shop --scope read --scope write", "keys list", "keys revoke shop"],
)

Keys = Annotated[
    Path | None,
    panels.server(
        "--keys",
        metavar="FILE",
        envvar="FIRSTSIGHT_KEYS",
        help="File of API keys. By default .keys.json in the database folder.",
    ),
]


@command(
    serve_app,
    examples=[
        "serve --db shop-db",
        "keys add shop --scope read --scope write && firstsight serve --host 0.0.0.0 --name search.example.com",
    ],
)
def serve(
    *,
    host: Annotated[
        str,
        panels.server(
            "--host",
            metavar="ADDRESS",
            help="Address to listen on. An address that other machines can reach needs an API key.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, panels.server("--port", metavar="PORT", min=0, max=65535, help="Port to listen on; 0 for any free port.")
    ] = 8000,
    name: Annotated[
        list[str] | None, panels.server("--name", metavar="HOST", help="Host name that clients use (repeatable).")
    ] = None,
    keys: Keys = None,
    workers: Annotated[
        int, panels.server("--workers", metavar="N", min=1, help="Processes; each loads the encoder.")
    ] = 1,
    threads: Annotated[
        int, panels.server("--threads", metavar="N", min=1, help="Parallel read requests in each process.")
    ] = 8,
    max_body_mb: Annotated[
        int, panels.limits("--max-body-mb", metavar="MIB", min=1, help="Maximum size of a request body, in MiB.")
    ] = 32,
    max_megapixels: Annotated[
        int, panels.limits("--max-megapixels", metavar="N", min=1, help="Maximum size of a picture, in megapixels.")
    ] = 50,
    max_connections: Annotated[
        int,
        panels.limits(
            "--max-connections", metavar="N", min=1, help="Maximum open connections, divided among the workers."
        ),
    ] = 1_000,
    max_connections_per_address: Annotated[
        int,
        panels.limits(
            "--max-connections-per-address",
            metavar="N",
            min=1,
            help="Maximum open connections of one IPv4 address or IPv6 /64 network. Raise it behind a reverse proxy.",
        ),
    ] = 100,
    head_timeout: Annotated[
        float,
        panels.limits(
            "--head-timeout",
            metavar="SECONDS",
            min=0.1,
            help="Seconds until a new connection has sent its whole request head.",
        ),
    ] = 10.0,
    write_timeout: Annotated[
        float,
        panels.limits(
            "--write-timeout", metavar="SECONDS", min=0.1, help="Seconds that a client may leave a response unread."
        ),
    ] = 30.0,
    policies: options.PoliciesFile = None,
    allow_private: options.AllowPrivate = False,
    encoder: options.EncoderFlags,
    db: options.DatabaseFlags,
) -> None:
    """Serve a database over HTTP, with a web page, until Ctrl-C. Running requests finish first."""
    import firstsight
    from firstsight.service.service_settings import ServiceSettings
    from firstsight.service.serving import serve as serve_until_stopped

    settings = ServiceSettings(
        db=db.address,
        encoder=encoder.encoder,
        encoder_options=encoder.options(),
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
        settings,
        on_listening=lambda address: print_message(f"listening at {address}; stop with Ctrl-C"),
        on_warning=print_message,
    )


@command(keys_app, examples=["keys add shop --scope read --scope write --per-minute 600"])
def add(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the user or client.")],
    scope: Annotated[
        list[str] | None,
        panels.limits(
            "--scope", metavar="SCOPE", help="Permission: read, write or moderate (repeatable). By default read."
        ),
    ] = None,
    per_minute: Annotated[
        int, panels.limits("--per-minute", metavar="N", min=0, help="Maximum requests per minute; 0 for no limit.")
    ] = 6_000,
    keys: Keys = None,
    db: options.DatabaseFlags,
) -> None:
    """Add a key and print its token once. The file stores only a digest."""
    _, token = _file(keys, db).add(name, scope or ["read"], per_minute=per_minute)
    typer.echo(token)
    print_message(f"this is the only time that the token of {name} is shown")


@command(keys_app, "list", examples=["keys list --db shop-db"])
def list_(*, output: options.TableFlags, keys: Keys = None, db: options.DatabaseFlags) -> None:
    """List all keys, without their tokens."""
    stored = _file(keys, db).keys()
    if output.as_json:
        print_json_lines({name: value for name, value in vars(key).items() if name != "sha256"} for key in stored)
    else:
        rows = [(key.key_id, key.name, " ".join(key.scopes), key.per_minute or "", key.created_at) for key in stored]
        headings = ["id", "name", "scopes", "per minute", "created"]
        output.print_table(headings, rows, right=["per minute"], empty="there are no keys")


@command(keys_app, examples=["keys revoke shop"])
def revoke(
    *,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Id or name of the key.")],
    keys: Keys = None,
    db: options.DatabaseFlags,
) -> None:
    """Revoke a key. A running service refuses it from the next request on."""
    revoked = _file(keys, db).revoke(key)
    print_message(f"revoked {revoked.key_id}, {revoked.name}")


def _file(keys: Path | None, db: options.DatabaseFlags) -> KeyFile:
    from firstsight.service.api_keys import KeyFile
    from firstsight.service.service_settings import ServiceSettings

    return KeyFile(ServiceSettings(db=db.address, keys=keys).keys_file)
