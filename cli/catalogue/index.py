"""`firstsight index`: bring a database up to date with a catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.catalogue.fact_flags import FactFlags
from firstsight.cli.catalogue.index_flags import CatalogFlags, MediaFlags
from firstsight.cli.catalogue.index_preview import catalogue_lines, print_preview
from firstsight.cli.catalogue.index_summary import print_reports
from firstsight.cli.commands import command, group
from firstsight.cli.exits import INTERRUPTED, TOO_MANY_FAILURES
from firstsight.cli.interrupt import Interrupt
from firstsight.cli.output import wants_json
from firstsight.cli.progress import Progress

if TYPE_CHECKING:
    from firstsight.encoders.reduced.reduction import ReductionMethod
    from firstsight.indexer.catalog_report import CatalogPreview
    from firstsight.indexer.index_report import Counts
    from firstsight.storage.vector_format import VectorFormat

EXAMPLES = [
    "index catalogue.csv",
    "index catalogue.csv --dry-run",
    "index pictures/ --db shop-db",
    "index feed.parquet --map title=name,images=image_url+extra_images --prune",
    "index feed.csv --types price=number,barcode=text",
    "index - < feed.jsonl",
    "index lectures/ --frames every:30 --max-frames 240",
    "index --retry",
    "index catalogue.csv --vectors float16 --dimensions 256",
    "index catalogue.csv --no-colours --languages de,en",
    "index feed.csv --refresh-media --media-cache ~/.cache/shop-media",
]

app = group()


@command(app, examples=EXAMPLES)
def index(
    *,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="Catalogue: CSV, TSV, JSON, JSON Lines, XLSX, Parquet or Arrow, an export of Shopify or WooCommerce, "
            "a Google Merchant feed, a folder of pictures and videos, or - for one of these on stdin. Recognised by "
            "its contents. Optional with --retry.",
        ),
    ] = None,
    catalog: CatalogFlags,
    language: Annotated[
        str | None,
        panels.catalogue(
            "--language",
            metavar="NAME",
            help="Language of titles and texts, for word search: English, German, French, …, or other. By default the "
            "database's own; of a new one, that of most items, else English.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        panels.run(
            "--dry-run", help="Print what each column is used for and the first three items, and write nothing."
        ),
    ] = False,
    retry: Annotated[bool, panels.run("--retry", help="Retry only items with failed media.")] = False,
    prune: Annotated[bool, panels.run("--prune", help="Remove items that SOURCE no longer contains.")] = False,
    warn_duplicates: Annotated[
        bool, panels.run("--warn-duplicates", help="List encoded items that are near-duplicates of stored items.")
    ] = False,
    max_failures: Annotated[
        float,
        panels.run(
            "--max-failures",
            metavar="SHARE",
            min=0,
            max=1,
            help="Maximum share of media, or of titles, that may fail, 0 to 1; above it, the exit code is 3.",
        ),
    ] = 0.05,
    media: MediaFlags,
    facts: FactFlags,
    quiet: options.Quiet = False,
    json: options.Json = False,
    encoder: options.EncoderFlags,
    vectors: Annotated[
        str | None,
        panels.database(
            "--vectors",
            metavar="FORMAT",
            help="Format of stored vectors, for a new database: float32, or float16 with half of the bytes. By default "
            "the database's own, else float32.",
        ),
    ] = None,
    dimensions: Annotated[
        int | None,
        panels.database(
            "--dimensions",
            metavar="N",
            min=8,
            help="Numbers of a vector of a new database, fewer than the encoder's: by a matrix that is fitted on drawn "
            "items and stored. Refused if it keeps a recall@10 below .9. By default the encoder's own.",
        ),
    ] = None,
    reduce: Annotated[
        str,
        panels.database(
            "--reduce",
            metavar="METHOD",
            help="How to get --dimensions: pca, or matryoshka (the first ones, for models trained for it).",
        ),
    ] = "pca",
    db: options.WriterFlags,
) -> None:
    """Index a catalogue: encode new and changed items, and skip unchanged ones.

    Columns are recognised by their names and values, and a table says what each is used for. You can stop it at any
    time and run it again. Media that cannot be used are skipped: see firstsight failures. If a column looks like
    media but is not used, you get a warning. If no media column is used at all, the exit code is 3.
    """
    import firstsight

    if source is None and not retry:
        raise typer.BadParameter("name a catalogue, or use --retry", param_hint="SOURCE")
    if retry and warn_duplicates:
        raise typer.BadParameter(
            "--retry cannot list duplicates; use firstsight duplicates", param_hint="--warn-duplicates"
        )
    if dry_run and (retry or source is None):
        raise typer.BadParameter("name a catalogue, without --retry", param_hint="--dry-run")
    if retry and prune:
        raise typer.BadParameter("--retry reads failed items only; use --prune without it", param_hint="--prune")
    numbers = _parse_vectors(vectors)
    method = _parse_method(reduce)
    if retry and (numbers or dimensions):
        option = "--vectors" if numbers else "--dimensions"
        raise typer.BadParameter("a database keeps its vectors, so --retry takes none", param_hint=option)
    catalog_options = catalog.options()
    settings = media.settings()
    database = firstsight.open(db.db, encoder=encoder.encoder, encoder_options=encoder.options(), policy=media.policy())
    if dry_run:
        assert source is not None
        preview = database.indexing.preview(source, options=catalog_options)
        print_preview(preview, quiet=quiet, as_json=wants_json(json))
        raise typer.Exit(TOO_MANY_FAILURES if preview.no_media_used else 0)
    interrupt = Interrupt("the current batch is finished first")
    with Progress(quiet) as progress, interrupt.watching():

        def show(counts: Counts) -> None:
            interrupt.begin()
            progress.show(counts)

        def describe(catalogue: CatalogPreview) -> None:
            for line in catalogue_lines(catalogue):
                progress.say(line)

        if retry:
            reports = database.indexing.retry(
                source,
                options=catalog_options if source else None,  # None: as each item was read when it failed
                settings=settings if source else None,
                wait_s=db.wait,
                on_progress=show,
                on_warning=progress.warn,
                should_stop=interrupt.should_stop,
            )
        else:
            assert source is not None
            report = database.index(
                source,
                options=catalog_options,
                settings=settings,
                prune=prune,
                language=language,
                vectors=numbers,
                dimensions=dimensions,
                reduce=method,
                warn_duplicates=warn_duplicates,
                wait_s=db.wait,
                on_catalog=describe,
                on_progress=show,
                on_warning=progress.warn,
                should_stop=interrupt.should_stop,
                **facts.options(),
            )
            reports = [report]
    print_reports(reports, database.uri, quiet=quiet, as_json=wants_json(json))
    if any(report.outcome == "stopped" for report in reports):
        raise typer.Exit(INTERRUPTED)
    if any(report.counts.failure_rate > max_failures or report.no_media_used for report in reports):
        raise typer.Exit(TOO_MANY_FAILURES)


def _parse_vectors(name: str | None) -> VectorFormat | None:
    from firstsight.errors import QueryError
    from firstsight.storage.vector_format import check_vector_format

    try:
        return None if name is None else check_vector_format(name)
    except QueryError as error:
        raise typer.BadParameter(str(error), param_hint="--vectors") from None


def _parse_method(name: str) -> ReductionMethod:
    from firstsight.encoders.reduced.reduction import METHODS

    for method in METHODS:
        if name == method:
            return method
    raise typer.BadParameter(f"{name!r} is not one of {', '.join(METHODS)}", param_hint="--reduce")
