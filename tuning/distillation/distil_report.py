"""The report of a distillation."""

from __future__ import annotations

from dataclasses import dataclass

from firstsight.records import Record


@dataclass(frozen=True)
class DistilFigure(Record):
    """One measure on held-out products.

    Attributes:
        measure: its name.
        teacher: of the teacher; 1 for overlap and cosine, which compare with it.
        untrained: of the student before the distillation.
        student: of the written student.
        low, high: ends of the 95 % interval of student minus teacher, by the paired bootstrap over products.
        gain_low, gain_high: the same of student minus untrained.
    """

    measure: str
    teacher: float
    untrained: float
    student: float
    low: float
    high: float
    gain_low: float
    gain_high: float


@dataclass(frozen=True)
class DistilReport(Record):
    """The figures of a distillation, and what it wrote.

    Attributes:
        encoder: name of the encoder that the student was made of.
        teacher: name of the encoder whose vectors were learned.
        model: name of the student for `load_encoder`; None if nothing was written.
        refused: why the student should not be used; empty if nothing speaks against it.
        forced: whether it was written all the same.
        image_size: side of the student's input picture in pixels.
        text_tower: number of heads and MLP width of each layer of a starter's text tower; empty for other models.
        parameters_before, parameters_after: of a starter's text tower with its embeddings, else of the whole model:
            those of `encoder` and of the student.
        picture_ms, teacher_picture_ms: CPU time of one picture, measured in turn in this run.
        text_ms, teacher_text_ms: CPU time of one title.
        items: items whose vectors were learned.
        held_out: items of the held-out products, on which everything is measured.
        required_overlap: the bound of overlap@10.
        reduced_overlap: overlap@10 of the teacher's own vectors with the same in the student's dimensions, on learned
            pictures; None if the student has as many dimensions or learns its own model's vectors.
        figures: the measures.
    """

    encoder: str
    teacher: str
    model: str | None
    refused: str
    forced: bool
    image_size: int
    text_tower: tuple[tuple[int, int], ...]
    parameters_before: int
    parameters_after: int
    picture_ms: float
    teacher_picture_ms: float
    text_ms: float
    teacher_text_ms: float
    items: int
    held_out: int
    required_overlap: float
    reduced_overlap: float | None
    figures: tuple[DistilFigure, ...]

    def figure(self, measure: str) -> DistilFigure | None:
        """The figure of a measure; None if it was not measured."""
        return next((figure for figure in self.figures if figure.measure == measure), None)


def student_card(report: DistilReport) -> str:
    """Describe a student in Markdown: origin, figures, and why it was refused if it was forced."""
    kind = "A smaller" if report.teacher == report.encoder else f"A student of {report.teacher}:"
    tower = f"the text tower has {len(report.text_tower)} layers and " if report.text_tower else "the model has "
    lines = [
        f"# {kind} {report.encoder}",
        "",
        f"Written by `firstsight tune --distil`. Its teacher is `{report.teacher}`; it learned the teacher's "
        f"vectors of {report.items:,} items, without labels. Pictures have {report.image_size} pixels; {tower}"
        f"{report.parameters_after:,} of {report.parameters_before:,} parameters.",
        "",
    ]
    if report.reduced_overlap is not None:
        lines += [
            f"The teacher has more dimensions. In the student's dimensions its own vectors keep "
            f"{report.reduced_overlap:.3f} of the ten nearest pictures.",
            "",
        ]
    if report.forced:
        lines += [f"**Written although it was refused:** {report.refused}.", ""]
    lines += [
        f"Measured on {report.held_out:,} items of products that it never saw:",
        "",
        "| measure | teacher | untrained | student | student - teacher, 95 % interval | student - untrained |",
        "|---|---|---|---|---|---|",
        *(
            f"| {f.measure} | {f.teacher:.3f} | {f.untrained:.3f} | {f.student:.3f} | {f.low:+.3f} to {f.high:+.3f} | "
            f"{f.gain_low:+.3f} to {f.gain_high:+.3f} |"
            for f in report.figures
        ),
        "",
        f"CPU time in one run: {report.teacher_picture_ms:.1f} -> {report.picture_ms:.1f} ms a picture, "
        f"{report.teacher_text_ms:.2f} -> {report.text_ms:.2f} ms a title.",
        "",
        "The student knows the kinds of items of this catalogue. Measure it before you use it on others.",
        "",
    ]
    return "\n".join(lines)
