"""`firstsight models`: list, download, check, calibrate and export encoders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from firstsight.cli import options, panels
from firstsight.cli.commands import command, group
from firstsight.cli.exits import ERROR
from firstsight.cli.output import Cell, print_json_lines, print_message, print_table, wants_json

if TYPE_CHECKING:
    from firstsight.encoders.export.export_model import ExportReport
    from firstsight.encoders.models.model_check import ModelCheck
    from firstsight.encoders.models.model_list import ModelEntry

DEFAULT = "list"


class ListByDefault(TyperGroup):
    """A group whose command name `list` is optional: `models siglip` means `models list siglip`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert `list` if no command is named."""
        first = next((word for word in args if not word.startswith("-")), None)
        if first not in self.commands and not {"-h", "--help"} & set(args):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


app = group(
    "List, download, check, calibrate and export encoders. Without a command, list them.",
    examples=[
        "models",
        "models siglip --all",
        "models download open_clip:ViT-B-32/laion2b_s34b_b79k",
        "models check open_clip:ViT-B-32/laion2b_s34b_b79k --pictures photos/",
        "models calibrate open_clip:ViT-B-32/laion2b_s34b_b79k photos/",
        "models export starter --out starter-onnx",
    ],
    cls=ListByDefault,
    no_args_is_help=False,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Model name, as for --encoder.")]


@command(app, DEFAULT, examples=["models", "models list siglip --all"])
def list_(
    *,
    text: Annotated[str, typer.Argument(metavar="FILTER", help="List only names that contain this text.")] = "",
    everything: Annotated[
        bool, panels.filters("--all", help="Include every architecture and tag of open_clip.")
    ] = False,
    output: options.TableFlags,
) -> None:
    """List the built-in encoder, recommended ones, downloaded ones, and families from installed packages."""
    from firstsight.encoders.families.hub import cache_folder
    from firstsight.encoders.models.model_list import list_models

    entries = list_models(text, everything=everything)
    if output.as_json:
        print_json_lines(entry.to_dict() for entry in entries)
        return
    output.print_table(
        ["--encoder", "dim", "picture", "weights", "on disk", "note"],
        [(e.name, e.dim, e.image_size, _size(e.weights_bytes), _on_disk(e), e.note) for e in entries],
        right=["dim", "picture", "weights"],
    )
    print_message(f"downloaded models are in {cache_folder()}; download one with: firstsight models download NAME")


@command(app, examples=["models download open_clip:ViT-B-32/laion2b_s34b_b79k"])
def download(*, name: Name, json: options.Json = False, trust_remote_code: options.TrustRemoteCode = False) -> None:
    """Download the weights and tokeniser of a model to the Hugging Face cache."""
    from firstsight.encoders.models.model_download import download as fetch

    done = fetch(name, trust_remote_code=trust_remote_code)
    if done.note:
        print_message(done.note)
    if wants_json(json):
        print_json_lines([done.to_dict()])
    elif not done.note:
        print_table(
            ["model", done.name],
            [("files", done.files), ("bytes", f"{done.bytes:,}"), *(("folder", folder) for folder in done.folders)],
        )


@command(app, examples=["models check starter --pictures photos/"])
def check(
    *,
    name: Name,
    pictures: Annotated[
        Path | None,
        panels.media(
            "--pictures",
            metavar="FOLDER",
            help="Folder of pictures to encode, at most 64. By default 16 drawn pictures.",
        ),
    ] = None,
    json: options.Json = False,
    runtime: options.Runtime = "auto",
    device: options.Device = None,
    threads: options.Threads = None,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Load a model, encode a few pictures and texts, and compare the vectors with its own library in float32."""
    from firstsight.encoders.encoder_options import EncoderOptions
    from firstsight.encoders.models.model_check import check_model as run_check

    settings = EncoderOptions(runtime, device, threads, trust_remote_code)
    result = run_check(name, settings, folder=pictures, on_progress=print_message)
    if wants_json(json):
        print_json_lines([result.to_dict()])
    else:
        print_table(["model", result.name], _figures(result))
    if result.unreadable:
        print_message(f"{result.unreadable} pictures cannot be read and were left out")
    if result.problem:
        print_message(f"firstsight: {result.problem}")
        raise typer.Exit(ERROR)


@command(app, examples=["models calibrate open_clip:ViT-B-32/laion2b_s34b_b79k photos/"])
def calibrate(
    *,
    name: Name,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of pictures like those you will index.")],
    json: options.Json = False,
    threads: options.Threads = None,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Create an int8 image encoder for --runtime fast, and measure how much the vectors change."""
    from firstsight.encoders.encoder_options import EncoderOptions
    from firstsight.encoders.models.int8_calibration import calibrate as quantise
    from firstsight.encoders.models.model_check import pictures_under

    settings = EncoderOptions(threads=threads, trust_remote_code=trust_remote_code)
    result = quantise(name, pictures_under(folder), settings, print_message)
    if wants_json(json):
        print_json_lines([{"name": name} | result.to_dict()])
    else:
        print_table(
            ["model", name],
            [
                ("pictures compared", result.pictures),
                ("cosine to float32", f"mean {result.mean_cosine:.4f}, minimum {result.min_cosine:.4f}"),
                ("neighbours kept", f"{result.overlap:.1%}"),
                ("speed", f"{result.speedup:.2f} times"),
            ],
        )
    if result.refused:
        print_message(f"firstsight: int8 will not be used for {name}: {result.refused}")
        raise typer.Exit(ERROR)


@command(
    app,
    examples=[
        "models export starter --out starter-onnx",
        "models export open_clip:ViT-B-32/laion2b_s34b_b79k --format openvino --out vit-openvino",
    ],
)
def export(
    *,
    name: Name,
    out: Annotated[Path, panels.output("--out", metavar="FOLDER", help="New or empty folder for the exported files.")],
    format: Annotated[
        str,
        panels.output(
            "--format",
            metavar="NAME",
            help="Format of the graphs: onnx, openvino, or tensorrt (ONNX with scripts that build engines).",
        ),
    ] = "onnx",
    json: options.Json = False,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Write an encoder for other programs: graphs, tokeniser, preprocessing rules and an example, all compared."""
    import firstsight

    report = firstsight.export_model(
        name,
        out,
        format=format,  # type: ignore[arg-type]  # the function names the valid ones
        trust_remote_code=trust_remote_code,
        on_progress=print_message,
    )
    if wants_json(json):
        print_json_lines([report.to_dict()])
    else:
        print_table(["model", report.name], _export_figures(report))
    for note in report.notes:
        print_message(note)


def _export_figures(report: ExportReport) -> list[tuple[str, str]]:
    example = report.min_example_cosine
    return [
        ("folder", report.folder),
        ("format", report.format),
        ("bytes", f"{report.bytes:,}"),
        ("compared by", report.runtime),
        ("minimum cosine, pictures", f"{report.min_picture_cosine:.6f}"),
        ("minimum cosine, texts", f"{report.min_text_cosine:.6f}"),
        ("minimum cosine, example.py", "not compared" if example is None else f"{example:.6f}"),
    ]


def _on_disk(entry: ModelEntry) -> str:
    if entry.on_disk is None:
        return ""
    return "yes" if entry.on_disk else "no"


def _size(count: int | None) -> Cell:
    """Format bytes in decimal units, as the Hugging Face hub does."""
    if count is None:
        return Cell(None, "")
    if count < 10**6:
        return Cell(count, f"{count / 10**3:.0f} kB")
    return Cell(count, f"{count / 10**9:.2f} GB" if count >= 10**9 else f"{count / 10**6:.0f} MB")


def _figures(result: ModelCheck) -> list[tuple[str, str]]:
    cosines = "not compared: the family belongs to another package"
    if result.mean_cosine is not None and result.min_cosine is not None:
        cosines = f"mean {result.mean_cosine:.6f}, minimum {result.min_cosine:.6f}, to {result.reference}"
    trimmed = {True: "yes", False: "no", None: "unknown"}[result.texts_are_trimmed]
    return [
        ("dimensions", str(result.dim)),
        ("picture", f"{result.image_size} pixels"),
        ("fingerprint", result.fingerprint),
        ("runtime", result.runtime or "not given by the family"),
        *((f"not {runtime}", reason) for runtime, reason in result.refused.items()),
        ("loaded in", f"{result.load_seconds:.1f} s"),
        ("pictures", f"{result.pictures_per_second:,.1f} per second, {result.pictures}"),
        ("texts", f"{result.texts_per_second:,.1f} per second, {result.texts}"),
        ("one text", f"{result.one_text_ms:.1f} ms"),
        ("text padding trimmed", trimmed),
        ("cosine", cosines),
    ]
