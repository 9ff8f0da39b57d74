"""`firstsight evaluate robustness`: retrieval under corrupted pictures, typos and paraphrases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options, panels
from firstsight.cli.catalogue.index_flags import CatalogFlags
from firstsight.cli.commands import command
from firstsight.cli.evaluate.figures import figure, print_figures
from firstsight.cli.output import Cell, print_json_lines, print_message, shown, writing
from firstsight.cli.progress import RowProgress

if TYPE_CHECKING:
    from firstsight import RobustnessFigure, RobustnessReport

EXAMPLES = [
    "evaluate robustness --html page.html",
    "evaluate robustness --catalogue catalogue.csv --encoder starter --sample 200",
    "evaluate robustness --corruption jpeg --corruption crop --strengths 1,3,5 --by brand --json",
]
NOTE = (
    "Corruptions: gaussian-blur, motion-blur, gaussian-noise, shot-noise, jpeg, crop, rotation, brighter, darker, "
    "contrast, text, border, watermark; mirror and collage if they are named. Kept: the recall with a change, divided "
    "by the recall of the same queries without it. Each sampled picture is encoded for each corruption and strength."
)
SHOWN_UNREADABLE = 3


def register(app: typer.Typer) -> None:
    """Add this command to `firstsight evaluate`."""
    command(app, examples=EXAMPLES, note=NOTE)(robustness)


def robustness(
    *,
    catalogue: Annotated[
        str | None,
        panels.evaluation(
            "--catalogue",
            metavar="SOURCE",
            help="Catalogue to sample, a file or folder as for firstsight index. By default the items of the database.",
        ),
    ] = None,
    sample: Annotated[
        int, panels.evaluation("--sample", metavar="N", help="Maximum number of items to draw; each gives one picture.")
    ] = 100,
    corruption: Annotated[
        list[str] | None,
        panels.evaluation(
            "--corruption", metavar="NAME", help="Corruption to measure (repeatable). By default those below."
        ),
    ] = None,
    strengths: Annotated[
        str, panels.evaluation("--strengths", metavar="N,…", help="Strengths of corruptions and typos, 1 to 5.")
    ] = "1,2,3,4,5",
    judgements: Annotated[
        Path | None,
        panels.evaluation(
            "--judgements",
            metavar="FILE",
            help="File of judged text queries, as for evaluate search. By default the titles of the sampled items.",
        ),
    ] = None,
    paraphrases: Annotated[
        Path | None,
        panels.evaluation(
            "--paraphrases",
            metavar="FILE",
            help="File with the columns text and paraphrase. By default rules: word order, synonyms, stop words, "
            "British and American spelling, singular and plural.",
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        panels.evaluation(
            "--by",
            metavar="COLUMN",
            help="Column, fact or tag whose values are slices (repeatable), such as colour, besides language and "
            "category. Numbers become quarters.",
        ),
    ] = None,
    smallest_slice: Annotated[
        int, panels.evaluation("--smallest-slice", metavar="N", help="Minimum number of products in a slice.")
    ] = 10,
    candidates: Annotated[
        int,
        panels.evaluation(
            "--candidates", metavar="N", help="Maximum number of stored items that changed queries are searched among."
        ),
    ] = 20_000,
    seed: Annotated[
        int, panels.evaluation("--seed", metavar="N", help="Random seed of the sample, the changes and the intervals.")
    ] = 0,
    html: options.Html = None,
    reading: CatalogFlags,
    allow_private: options.AllowPrivate = False,
    allow_anywhere: Annotated[
        bool, panels.media("--allow-anywhere", help="Allow files outside the catalogue's folder.")
    ] = False,
    quiet: options.Quiet = False,
    output: options.TableFlags,
    encoder: options.EncoderFlags,
    db: options.DatabaseFlags,
) -> None:
    """Measure the recall that remains under corrupted pictures, typos and paraphrases, with intervals and slices.

    Nothing is written but the page of --html, so you can stop it at any time.
    """
    import firstsight

    settings = firstsight.RobustnessSettings(
        sample=sample,
        seed=seed,
        corruptions=tuple(corruption) if corruption else None,
        strengths=options.read_strengths(strengths),
        by=tuple(by or ()),
        smallest_slice=smallest_slice,
        candidates=candidates,
        judgements=judgements,
        paraphrases=paraphrases,
    )
    policy = firstsight.MediaPolicy(allow_private=allow_private, allow_anywhere=allow_anywhere)
    loaded = encoder.load() if catalogue is not None or encoder.encoder is not None else None
    database = firstsight.open(db.db, encoder_options=encoder.options(), policy=policy)
    with RowProgress("encoding pictures", quiet) as progress:
        report = database.evaluation.robustness(
            settings,
            catalogue=catalogue,
            options=reading.options(),
            encoder=loaded,
            on_progress=(lambda line: None) if quiet else print_message,
            on_encoded=progress.show,
        )
    if html is not None:
        with writing(html, "--html"):
            database.evaluation.write_robustness_page(html, report)
        print_message(f"wrote {html}")
    _print(report, output)


def _print(report: RobustnessReport, output: options.TableFlags) -> None:
    from firstsight.retrieval.evaluation.robustness.robustness_page import ABOUT, DRAWN

    _print_unreadable(report)
    if output.as_json:
        facts = {"encoder": report.encoder, "sampled": report.sampled, "unreadable": len(report.unreadable)}
        print_json_lines(one.to_dict() | facts for one in report)
        return
    tables = []
    for task in ABOUT:
        figures = [one for one in report if (one.task, one.k, one.column) == (task, DRAWN.get(task, 10), None)]
        if figures:
            tables.append(_table(task, figures))
    if output.csv:
        output.print_table(
            [*report[0].row_names()], [[getattr(one, name) for name in one.row_names()] for one in report]
        )
        return
    for table in tables:
        print_figures(table)
    _print_slices(report)
    for note in report.notes:
        print_message(note)


def _table(task: str, figures: list[RobustnessFigure]) -> options.NamedTable:
    strengths = sorted({one.strength for one in figures if one.strength is not None})
    headings = [str(strength) for strength in strengths] if len(strengths) > 1 else []
    rows = []
    for change in dict.fromkeys(one.change for one in figures):
        found = {one.strength: one for one in figures if one.change == change}
        mean = found.get(None) or next(iter(found.values()))
        cells = [figure(found[int(s)].kept) if int(s) in found else "" for s in headings]
        rows.append((change, figure(mean.clean), *cells, _kept(mean), mean.queries))
    k = figures[0].k
    return f"{task}, kept recall@{k}", [f"recall@{k}", *headings, "kept", "queries"], rows


def _print_slices(report: RobustnessReport) -> None:
    from firstsight.retrieval.evaluation.robustness.robustness_page import DRAWN

    for task in DRAWN:
        figures = [one for one in report if one.task == task and one.k == DRAWN[task] and one.column is not None]
        of_all = [one for one in figures if one.change in ("all", "typos")]
        chosen = of_all or figures
        for column in dict.fromkeys(one.column for one in chosen):
            rows = [(f.value, figure(f.clean), _kept(f), f.products) for f in chosen if f.column == column]
            heads = [f"recall@{DRAWN[task]}", "kept", "products"]
            print_figures((f"{task} by {column}", heads, rows))
    if report.smallest_slice is not None:
        print_message(f"the smallest slice has {report.smallest_slice} products; smaller ones are left out")


def _kept(one: RobustnessFigure) -> Cell:
    if one.kept != one.kept:
        return shown(None, ".3f")
    return Cell(one.kept, f"{one.kept:.3f} ({one.low:.3f} to {one.high:.3f})")


def _print_unreadable(report: RobustnessReport) -> None:
    if report.unreadable:
        print_message(f"{len(report.unreadable)} pictures could not be opened, such as:")
        for line in report.unreadable[:SHOWN_UNREADABLE]:
            print_message(f"  {line}")
