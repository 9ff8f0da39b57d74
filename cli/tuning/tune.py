"""`firstsight tune`: teach an encoder a catalogue."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from firstsight.cli import options, panels
from firstsight.cli.catalogue.index_flags import CatalogFlags, FetchFlags
from firstsight.cli.commands import command, group
from firstsight.cli.exits import ERROR
from firstsight.cli.output import print_json_lines, print_message, print_table, wants_json, writing
from firstsight.cli.tuning.distil import DistilFlags, print_distillation

if TYPE_CHECKING:
    from firstsight import TuneReport
    from firstsight.tuning.reading.catalogue_data import CatalogueData, ReadReport

EXAMPLES = [
    "tune catalogue.csv --out shop-encoder",
    "tune catalogue.csv --out shop-encoder --dry-run",
    "tune feed.parquet --out shop-encoder --map title=name --html report.html",
    "tune catalogue.csv --out shop-encoder --db shop-db",
    "tune catalogue.csv --out fast-encoder --image-size 192 --share 0.25",
    "tune catalogue.csv --out small-encoder --distil --text-layers 3",
    "tune catalogue.csv --out student --distil --teacher open_clip:ViT-L-14/openai --encoder starter",
    "index catalogue.csv --db new-db --encoder starter:shop-encoder",
]

SHOWN_PAIRS = 5

app = group()


@dataclass(frozen=True)
class TrainingFlags:
    """What is trained, and how long."""

    method: Annotated[
        str | None,
        panels.training(
            "--method",
            metavar="NAME",
            help="Weights to train: bridge or lora (starter), lora, lit or full (others). By default bridge for "
            "starter, else lora.",
        ),
    ] = None
    share: Annotated[
        float,
        panels.training(
            "--share", min=0, max=1, help="Share of the tuned weights in the result, 0 to 1; the rest are the old ones."
        ),
    ] = 0.5
    steps: Annotated[
        int | None, panels.training("--steps", min=1, help="Updates of the weights. By default chosen by the family.")
    ] = None
    batch_size: Annotated[
        int | None, panels.training("--batch-size", metavar="N", min=2, help="Pictures in one batch.")
    ] = None
    micro_batch: Annotated[
        int | None,
        panels.training(
            "--micro-batch",
            metavar="N",
            min=1,
            help="Pictures in memory at once, with their gradients; fewer need less memory. Not for starter.",
        ),
    ] = None
    learning_rate: Annotated[
        float | None, panels.training("--learning-rate", metavar="RATE", min=0, help="Learning rate, above 0.")
    ] = None
    lora_rank: Annotated[
        int, panels.training("--lora-rank", metavar="N", min=1, max=512, help="Rank of the adapters of lora.")
    ] = 8
    hard_negatives: Annotated[
        int,
        panels.training(
            "--hard-negatives",
            metavar="N",
            min=0,
            max=64,
            help="Similar pictures of other items that join each picture in its batch. Not for starter.",
        ),
    ] = 0
    image_size: Annotated[
        int | None,
        panels.training(
            "--image-size",
            metavar="PIXELS",
            min=64,
            max=512,
            help="Side of starter's input picture; 192 is 1.8x as fast.",
        ),
    ] = None
    seeds: Annotated[
        int | None, panels.training("--seeds", metavar="N", min=1, help="Trainings whose weights are averaged.")
    ] = None
    seed: Annotated[int, panels.training("--seed", help="Random seed of the folds and trainings.")] = 0
    max_items: Annotated[
        int,
        panels.training(
            "--max-items", metavar="N", min=2, help="Items to learn from; of a larger catalogue, products are drawn."
        ),
    ] = 5_000


@dataclass(frozen=True)
class CheckFlags:
    """How the result is checked."""

    folds: Annotated[
        int,
        panels.evaluation("--folds", metavar="N", min=2, max=20, help="Folds of products for the held-out figures."),
    ] = 4
    general: Annotated[
        str | None,
        panels.evaluation(
            "--general",
            metavar="SOURCE",
            help="Pictures that must not be forgotten: a catalogue with titles, or a folder of pictures named by their "
            "captions. By default 69 packaged pictures of everyday things.",
        ),
    ] = None
    max_forgetting: Annotated[
        float,
        panels.evaluation(
            "--max-forgetting", metavar="SHARE", min=0, max=1, help="Greatest loss of R@1 on general pictures, 0 to 1."
        ),
    ] = 0.05
    html: Annotated[
        Path | None,
        panels.output(
            "--html",
            metavar="FILE",
            help="File for the report as an HTML page, also of a refused model. A written model has report.html.",
        ),
    ] = None


@command(
    app,
    examples=EXAMPLES,
    note="The exit code is 1 if the tuned encoder was refused. Index a new database with the tuned encoder to use it.",
)
def tune(
    *,
    source: Annotated[
        str,
        typer.Argument(metavar="CATALOGUE", help="Catalogue with titles and pictures, as for firstsight index."),
    ],
    out: Annotated[
        Path | None,
        panels.output("--out", metavar="FOLDER", help="Folder for the tuned encoder. Only --dry-run works without it."),
    ] = None,
    catalog: CatalogFlags,
    training: TrainingFlags,
    student: DistilFlags,
    check: CheckFlags,
    dry_run: Annotated[
        bool, panels.run("--dry-run", help="Print which texts and pictures would be learned, and train nothing.")
    ] = False,
    force: Annotated[
        bool, panels.run("--force", help="Write the encoder although its figures refuse it; its card says so.")
    ] = False,
    media: FetchFlags,
    quiet: options.Quiet = False,
    json: options.Json = False,
    encoder: options.EncoderFlags,
    db: Annotated[
        str | None,
        panels.database(
            "--db", metavar="DIR", help="Database whose searches with clicked items are learned, too. By default none."
        ),
    ] = None,
) -> None:
    """Tune an encoder on a catalogue: its pictures come near to its titles, colours and categories.

    Four folds of products are held out in turn, so the figures are of products that the encoder never saw. It is
    written only if they gain and general pictures are not forgotten. By default it tunes starter.

    With --distil, a smaller encoder learns the encoder's own vectors instead, or those of --teacher. It is written only
    if held-out products keep their neighbours.
    """
    import firstsight

    if student.distil:
        student.refuse_others(_tuning_only(training, check, db))
    else:
        student.require_distil()
    if dry_run:
        _dry_run(source, catalog, training, media, db, quiet=quiet, as_json=wants_json(json))
        return
    if out is None:
        raise typer.BadParameter("name a folder for the tuned encoder, or use --dry-run", param_hint="--out")
    if student.distil:
        distilled = firstsight.distil(
            source,
            out,
            encoder=encoder.encoder or "starter",
            encoder_options=encoder.options(),
            options=catalog.options(),
            policy=media.policy(),
            max_items=training.max_items,
            force=force,
            on_progress=(lambda line: None) if quiet else print_message,
            image_size=training.image_size,
            text_layers=student.text_layers,
            prune=student.prune,
            teacher=student.teacher,
            learning_rate=training.learning_rate,
            min_overlap=student.min_overlap,
            seed=training.seed,
            steps=training.steps or firstsight.DistilSettings.steps,
            text_steps=training.steps or firstsight.DistilSettings.text_steps,
        )
        if wants_json(json):
            print_json_lines([distilled.to_dict()])
        else:
            print_distillation(distilled)
        _finish(distilled.model, distilled.refused, "smaller", quiet=quiet)
        return
    if check.html is not None:
        with writing(check.html, "--html"):
            check.html.touch()
    chosen = {
        name: getattr(flags, name)
        for flags, names in ((training, TrainingFlags.__annotations__), (check, ("folds", "max_forgetting")))
        for name in names
    }
    report = firstsight.tune(
        source,
        out,
        encoder=encoder.encoder or "starter",
        encoder_options=encoder.options(),
        options=catalog.options(),
        policy=media.policy(),
        db=db,
        general=check.general,
        force=force,
        html=check.html,
        on_progress=(lambda line: None) if quiet else print_message,
        **chosen,
    )
    if not _is_first_process():
        return
    if wants_json(json):
        print_json_lines([report.to_dict()])
    else:
        _print(report)
    _finish(report.model, report.refused, "tuned", quiet=quiet)


def _finish(model: str | None, refused: str, kind: str, *, quiet: bool) -> None:
    """Say why the encoder was refused, or how to use it; exit with 1 if none was written."""
    if refused:
        written = "; written all the same" if model else "; nothing was written"
        print_message(f"refused: {refused}{written}")
    if model and not quiet:
        print_message(f"the {kind} encoder is {model}; use it with: firstsight index CATALOGUE --encoder {model}")
    if model is None:
        raise typer.Exit(ERROR)


def _tuning_only(training: TrainingFlags, check: CheckFlags, db: str | None) -> list[str]:
    """Names of the given options that a distillation does not have."""
    shared = ("image_size", "steps", "learning_rate", "seed", "max_items")
    given = [
        name
        for flags in (training, check)
        for name, value in vars(flags).items()
        if name not in shared and value != getattr(type(flags), name)
    ]
    return [f"--{name.replace('_', '-')}" for name in [*given, *(["db"] if db is not None else [])]]


def _print(report: TuneReport) -> None:
    _print_read(report.read)
    if report.figures:
        print_table(
            ["held-out measure", "before", "after", "gain", "95 % interval", "queries", "drawn"],
            [
                (
                    figure.measure,
                    f"{figure.before:.3f}",
                    f"{figure.after:.3f}",
                    f"{figure.gain:+.3f}",
                    f"{figure.low:+.3f} to {figure.high:+.3f}",
                    f"{figure.queries:,}",
                    f"{figure.clusters:,} {'products' if figure.cluster == 'product' else 'categories'}",
                )
                for figure in report.figures
            ],
            right=("before", "after", "gain", "queries"),
        )
    if report.curve:
        names = [figure.measure for figure in report.figures]
        print_table(
            ["share", *names, "general R@1"],
            [
                (
                    f"{point.share:g}" + (" *" if point.share == report.share else ""),
                    *(f"{point.figures[name]:.3f}" if name in point.figures else "" for name in names),
                    "" if point.general is None else f"{point.general:.3f}",
                )
                for point in report.curve
            ],
            right=[*names, "general R@1"],
        )
    if report.general_before is not None and report.general_after is not None:
        print_message(
            f"R@1 on general pictures ({report.general}): {report.general_before:.3f} before, "
            f"{report.general_after:.3f} after; allowed loss {report.max_forgetting:g}"
        )


def _print_read(read: ReadReport) -> None:
    print_message(
        f"{read.items:,} items of {read.products:,} products with {read.pictures:,} pictures; left out: "
        f"{read.left_out_items:,} items without a picture or title, {read.unreadable:,} unreadable pictures"
        + (f", {read.placeholders:,} placeholder pictures" if read.placeholders else "")
        + (f", {read.not_drawn:,} items beyond --max-items" if read.not_drawn else "")
    )
    for problem in read.problems:
        print_message(f"  {problem}")


def _dry_run(
    source: str,
    catalog: CatalogFlags,
    training: TrainingFlags,
    media: FetchFlags,
    db: str | None,
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    from firstsight.api.encoders.tuning import preview_tuning

    data, catalogue = preview_tuning(
        source,
        options=catalog.options(),
        policy=media.policy(),
        db=db,
        max_items=training.max_items,
        on_progress=(lambda line: None) if quiet else print_message,
    )
    rows = _pair_rows(catalogue)
    if as_json:
        print_json_lines([{"read": catalogue.report.to_dict(), "phrases": rows, "clicked_queries": len(data.clicks)}])
        return
    _print_read(catalogue.report)
    print_table(
        ["phrases", "items", "different", "examples"],
        [(row["phrases"], row["items"], row["different"], ", ".join(row["examples"])) for row in rows],
        right=("items", "different"),
    )
    if data.clicks:
        print_message(f"{len(data.clicks):,} queries with clicked items")


class PairRow(TypedDict):
    """The phrases of one kind."""

    phrases: str
    items: int
    different: int
    examples: list[str]


def _pair_rows(catalogue: CatalogueData) -> list[PairRow]:
    """A row for each kind of phrases: the number of its items, of different phrases, and the most frequent ones."""
    by_kind: dict[str, Counter[str]] = {}
    for item in catalogue.data.items:
        for kind, phrase in item.phrases.items():
            by_kind.setdefault(kind, Counter())[phrase] += 1
    return [
        {
            "phrases": kind,
            "items": counts.total(),
            "different": len(counts),
            "examples": [phrase[:60] for phrase, _ in counts.most_common(SHOWN_PAIRS)],
        }
        for kind, counts in by_kind.items()
    ]


def _is_first_process() -> bool:
    from firstsight.tuning.model_folder import is_first_process

    return is_first_process()
