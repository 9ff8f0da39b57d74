"""`firstsight tune --distil`: a smaller student, or one of another architecture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from firstsight.cli import panels
from firstsight.cli.output import print_message, print_table

if TYPE_CHECKING:
    from firstsight import DistilReport


@dataclass(frozen=True)
class DistilFlags:
    """Which smaller student learns the encoder's vectors."""

    distil: Annotated[
        bool,
        panels.training(
            "--distil",
            help="Make a smaller encoder that learns the encoder's own vectors, without labels: by default a starter "
            "with pictures of 192 pixels; --image-size, --text-layers and --prune choose another one. With --teacher, "
            "the encoder learns the vectors of another one.",
        ),
    ] = False
    teacher: Annotated[
        str | None,
        panels.training(
            "--teacher",
            metavar="NAME",
            help="With --distil: encoder of any family whose vectors --encoder learns, e.g. open_clip:ViT-L-14/openai.",
        ),
    ] = None
    text_layers: Annotated[
        int | None,
        panels.training(
            "--text-layers", metavar="N", min=1, help="With --distil: layers of starter's text tower, e.g. 3."
        ),
    ] = None
    prune: Annotated[
        float | None,
        panels.training(
            "--prune",
            metavar="SHARE",
            min=0,
            max=1,
            help="With --distil: share of the heads and MLP units of starter's text tower to remove, above 0 and below "
            "1; of other models, share of the MLP units of both towers.",
        ),
    ] = None
    min_overlap: Annotated[
        float | None,
        panels.evaluation(
            "--min-overlap",
            metavar="SHARE",
            min=0,
            max=1,
            help="With --distil: minimum share of the ten nearest neighbours that held-out products keep. By default "
            ".6, with --prune .8.",
        ),
    ] = None

    def require_distil(self) -> None:
        """Check that no option of a student is given without --distil.

        Raises:
            BadParameter: one is.
        """
        for name in ("teacher", "text_layers", "prune", "min_overlap"):
            if getattr(self, name) is not None:
                option = f"--{name.replace('_', '-')}"
                raise typer.BadParameter("belongs to --distil; add --distil", param_hint=option)

    def refuse_others(self, given: list[str]) -> None:
        """Check that no option is given that only a tuning has.

        Args:
            given: names of such options.

        Raises:
            BadParameter: one is given.
        """
        if given:
            raise typer.BadParameter(
                "a distillation has no such option; leave it out, or leave out --distil", param_hint=", ".join(given)
            )


def print_distillation(report: DistilReport) -> None:
    """Print the figures of a student beside those of its teacher."""
    if not report.figures:
        return
    print_table(
        ["held-out measure", "teacher", "untrained", "student", "student - teacher", "student - untrained"],
        [
            (
                figure.measure,
                f"{figure.teacher:.3f}",
                f"{figure.untrained:.3f}",
                f"{figure.student:.3f}",
                f"{figure.low:+.3f} to {figure.high:+.3f}",
                f"{figure.gain_low:+.3f} to {figure.gain_high:+.3f}",
            )
            for figure in report.figures
        ],
        right=("teacher", "untrained", "student"),
    )
    if report.reduced_overlap is not None:
        print_message(
            f"the teacher has more dimensions; in the student's, its own vectors keep "
            f"{report.reduced_overlap:.3f} of the ten nearest pictures"
        )
    print_message(
        f"CPU time: {report.teacher_picture_ms:.1f} -> {report.picture_ms:.1f} ms a picture, "
        f"{report.teacher_text_ms:.2f} -> {report.text_ms:.2f} ms a title; "
        f"{report.items:,} items learned, {report.held_out:,} held out"
    )
