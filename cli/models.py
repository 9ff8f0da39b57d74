"""`firstsight models`: what can be loaded, downloading it, and trying it out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from firstsight.cli import options
from firstsight.cli.exits import ERROR
from firstsight.cli.output import print_json_lines, print_table, tell, wants_json

if TYPE_CHECKING:
    from firstsight.encoders.models.model_check import ModelCheck
    from firstsight.encoders.models.model_list import ModelEntry

EPILOG = """
[bold]Examples[/bold]

firstsight models

firstsight models siglip --all

firstsight models download open_clip:ViT-B-32/laion2b_s34b_b79k

firstsight models check open_clip:ViT-B-32/laion2b_s34b_b79k --pictures photos/

firstsight models calibrate open_clip:ViT-B-32/laion2b_s34b_b79k photos/
"""

DEFAULT = "list"


class _ListByDefault(TyperGroup):
    """A group whose `list` may be left out: `firstsight models siglip` is `firstsight models list siglip`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = next((word for word in args if not word.startswith("-")), None)
        if first not in self.commands and not {"-h", "--help"} & set(args):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_ListByDefault, epilog=EPILOG, rich_markup_mode="rich")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The model, as --encoder takes it.")]


@app.callback()
def models() -> None:
    """The models that can be loaded: list, download, check and calibrate them. Alone, it lists them."""


@app.command(DEFAULT, epilog="Examples: firstsight models · firstsight models list siglip --all")
def list_(
    text: Annotated[
        str, typer.Argument(metavar="[FILTER]", help="Only names that hold this.", show_default=False)
    ] = "",
    everything: Annotated[bool, typer.Option("--all", help="Every architecture and tag of open_clip, too.")] = False,
    json: options.Json = False,
) -> None:
    """List the built-in model, recommended ones, those on disk, and families of installed packages."""
    from firstsight.encoders.families.hub import cache_folder
    from firstsight.encoders.models.model_list import list_models

    entries = list_models(text, everything=everything)
    if wants_json(json):
        print_json_lines(asdict(entry) for entry in entries)
        return
    print_table(
        ["--encoder", "dim", "picture", "weights", "on disk", "note"],
        [(e.name, e.dim, e.image_size, _size(e.weights_bytes), _where(e), e.note) for e in entries],
        right=["dim", "picture", "weights"],
    )
    tell(f"downloaded models lie in {cache_folder()}; fetch one with: firstsight models download NAME")


@app.command(epilog="Example: firstsight models download open_clip:ViT-B-32/laion2b_s34b_b79k")
def download(name: Name, trust_remote_code: options.TrustRemoteCode = False, json: options.Json = False) -> None:
    """Fetch a model's weights and tokeniser into the Hugging Face cache."""
    from firstsight.encoders.models.model_download import download as fetch

    done = fetch(name, trust_remote_code=trust_remote_code)
    if done.note:
        tell(done.note)
    if wants_json(json):
        print_json_lines([asdict(done)])
    elif not done.note:
        print_table(
            ["model", done.name],
            [("files", done.files), ("bytes", f"{done.bytes:,}"), *(("folder", folder) for folder in done.folders)],
        )


@app.command(epilog="Example: firstsight models check starter --pictures photos/")
def check(
    name: Name,
    runtime: options.Runtime = "auto",
    device: options.Device = None,
    threads: Annotated[
        int | None, typer.Option("--threads", help="CPU threads; by default those there are.", show_default=False)
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option("--pictures", metavar="FOLDER", help="At most 64 of its pictures; by default 16 drawn ones."),
    ] = None,
    trust_remote_code: options.TrustRemoteCode = False,
    json: options.Json = False,
) -> None:
    """Load a model, encode a few pictures and texts, and compare with its library's own vectors in float32."""
    from firstsight.encoders.encoder_options import EncoderOptions
    from firstsight.encoders.models.model_check import check_model as try_out

    chosen = EncoderOptions(runtime, device, threads, trust_remote_code)
    found = try_out(name, chosen, folder=pictures, on_progress=tell)
    if wants_json(json):
        print_json_lines([asdict(found)])
    else:
        print_table(["model", found.name], _figures(found))
    if found.unreadable:
        tell(f"{found.unreadable} pictures cannot be read and were left out")
    if found.problem:
        tell(f"firstsight: {found.problem}")
        raise typer.Exit(ERROR)


@app.command(epilog="Example: firstsight models calibrate open_clip:ViT-B-32/laion2b_s34b_b79k photos/")
def calibrate(
    name: Name,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Pictures like those that will be indexed.")],
    threads: Annotated[
        int | None, typer.Option("--threads", help="CPU threads; by default those there are.", show_default=False)
    ] = None,
    trust_remote_code: options.TrustRemoteCode = False,
    json: options.Json = False,
) -> None:
    """Make an int8 picture tower for --runtime fast, and measure what it costs the vectors."""
    from firstsight.encoders.encoder_options import EncoderOptions
    from firstsight.encoders.models.int8_calibration import calibrate as quantise
    from firstsight.encoders.models.model_check import pictures_under

    chosen = EncoderOptions(threads=threads, trust_remote_code=trust_remote_code)
    made = quantise(name, pictures_under(folder), chosen, tell)
    if wants_json(json):
        print_json_lines([{"name": name} | asdict(made)])
    else:
        print_table(
            ["model", name],
            [
                ("pictures compared", made.pictures),
                ("cosine to float32", f"{made.mean_cosine:.4f} on average, {made.min_cosine:.4f} at worst"),
                ("neighbours kept", f"{made.overlap:.1%}"),
                ("speed", f"{made.speedup:.2f} times"),
            ],
        )
    if made.refused:
        tell(f"firstsight: int8 will not be used for {name}: {made.refused}")
        raise typer.Exit(ERROR)


def _where(entry: ModelEntry) -> str:
    if entry.on_disk is None:
        return ""
    return "yes" if entry.on_disk else "no"


def _size(count: int | None) -> str:
    """Bytes in decimal units, as the hub shows them."""
    if count is None:
        return ""
    if count < 10**6:
        return f"{count / 10**3:.0f} kB"
    return f"{count / 10**9:.2f} GB" if count >= 10**9 else f"{count / 10**6:.0f} MB"


def _figures(found: ModelCheck) -> list[tuple[str, str]]:
    cosines = "nothing to compare with: its family belongs to another package"
    if found.mean_cosine is not None and found.min_cosine is not None:
        cosines = f"{found.mean_cosine:.6f} on average, {found.min_cosine:.6f} at worst, to {found.reference}"
    trimmed = {True: "yes", False: "no", None: "not known"}[found.texts_are_trimmed]
    return [
        ("dimensions", str(found.dim)),
        ("picture", f"{found.image_size} pixels"),
        ("fingerprint", found.fingerprint),
        ("runtime", found.runtime or "its family does not say"),
        *((f"not {runtime}", reason) for runtime, reason in found.refused.items()),
        ("loaded in", f"{found.load_seconds:.1f} s"),
        ("pictures", f"{found.pictures_per_second:,.1f} a second, of {found.pictures}"),
        ("texts", f"{found.texts_per_second:,.1f} a second, of {found.texts}"),
        ("one text", f"{found.one_text_ms:.1f} ms"),
        ("padding of texts cut", trimmed),
        ("cosine", cosines),
    ]
