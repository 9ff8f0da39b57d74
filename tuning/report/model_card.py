"""The card of a tuned model: README.md in its folder."""

from __future__ import annotations

from firstsight.tuning.tune_report import TuneReport


def model_card(report: TuneReport) -> str:
    """Describe a tuned model in Markdown: origin, figures, limits, and why it was refused if it was forced."""
    read = report.read
    lines = [
        f"# {report.encoder}, tuned on a catalogue",
        "",
        f"Written by `firstsight tune`. Load it with `firstsight.load_encoder({report.model!r})`. If you move the "
        "folder, name its new place after the colon.",
        "",
    ]
    if report.forced:
        lines += [f"**Written with --force, although it was refused:** {report.refused}.", ""]
    lines += [
        f"- Learned from {read.items:,} items of {read.products:,} products with {read.pictures:,} pictures.",
        f"- {report.share:g} of the tuned weights and {1 - report.share:g} of the weights before (WiSE-FT).",
        f"- Figures: {report.folds} folds of products; no product is in the training and the test of a fold.",
        "",
    ]
    if report.figures:
        lines += ["| held-out measure | before | after | gain, 95 % interval |", "|---|---|---|---|"]
        lines += [
            f"| {figure.measure} | {figure.before:.3f} | {figure.after:.3f} | {figure.gain:+.3f} "
            f"({figure.low:+.3f} to {figure.high:+.3f}) |"
            for figure in report.figures
        ]
        lines.append("")
    if report.general_before is not None and report.general_after is not None:
        lines += [
            f"R@1 on general pictures ({report.general}, {report.general_pictures}): {report.general_before:.3f} "
            f"before, {report.general_after:.3f} after; a loss of up to {report.max_forgetting:g} is allowed.",
            "",
        ]
    lines += [
        "The model knows the kinds of items of this catalogue. Measure it before you use it on other items. "
        "`tuning.json` has all figures, `report.html` shows the queries that gained and lost most.",
        "",
    ]
    return "\n".join(lines)
