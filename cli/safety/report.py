"""`firstsight safety report`: the figures of the heads as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import options
from firstsight.cli.output import print_json_lines, print_table, tell, wants_json, writing
from firstsight.cli.safety_options import PoliciesFile, Prevalence, SkipBadLabels, lazy_encoder, open_store

if TYPE_CHECKING:
    from firstsight.safety.report import PolicyReport


def register(app: typer.Typer) -> None:
    """Add this command to `firstsight safety`."""
    app.command(
        "report",
        epilog="Examples: firstsight safety report labels.csv --html report.html · "
        "firstsight safety report labels.csv --html report.html --prevalence 0.01 --slice seller --slice brand",
    )(report)


def report(
    labels: Annotated[Path, typer.Argument(metavar="LABELS.csv", help="The labels that the heads were trained from.")],
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the page.", show_default=False)
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--slice",
            metavar="COLUMN",
            help="A column of the catalogue to compare slices of; may be given again. By default language, kind and "
            "seller, where they are there.",
            show_default=False,
        ),
    ] = None,
    prevalence: Prevalence = None,
    policies: PoliciesFile = None,
    skip_bad_labels: SkipBadLabels = False,
    db: options.Db = None,
    encoder: options.Encoder = None,
    runtime: options.Runtime = "auto",
    device: options.Device = None,
    trust_remote_code: options.TrustRemoteCode = False,
    json: options.Json = False,
) -> None:
    """Measure heads on labels they did not see: curves, calibration, thresholds, slices, label suspects, drift."""
    from firstsight.safety.policies import load_policies
    from firstsight.safety.report import measure, write_report
    from firstsight.safety.report_sources import policies_from_file

    store = open_store(db)
    found, problems = policies_from_file(
        store,
        labels,
        load_policies(policies),
        encoder=lazy_encoder(db, encoder, runtime, device, trust_remote_code),
        prevalence=prevalence,
        columns=column,
        skip_bad_labels=skip_bad_labels,
        on_progress=tell,
    )
    for problem in problems:
        tell(f"left out: {problem}")
    if html is None:
        made = [measure(policy) for policy in found]
    else:
        with writing(html, "--html"):
            made = write_report(html, found, store.uri)
        tell(f"wrote {html}")
    if wants_json(json):
        print_json_lines(one.as_dict() for one in made)
    else:
        _print(made)


def _print(made: list[PolicyReport]) -> None:
    numbers = ["positives", "rows", "prevalence", "AP", "calibration error", "Brier", "odd slices", "label suspects"]
    print_table(
        ["policy", *numbers, "drift"],
        [
            (
                *(one.policy_id, one.positives, one.rows, f"{one.curve.prevalence:.3g}"),
                *(f"{one.curve.average_precision:.3f}", f"{one.reliability.calibration_error:.4f}"),
                *(f"{one.reliability.brier:.4f}", sum(rate.differs for rate in one.slices), len(one.suspects)),
                "" if one.drift is None else one.drift.verdict,
            )
            for one in made
        ],
        right=numbers,
    )
