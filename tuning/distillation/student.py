"""The seam between a distillation and the kinds of students."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from firstsight.encoders.base import Encoder, ImageInput, Vectors


@dataclass(frozen=True)
class Lesson:
    """What a student learns: inputs with the vectors that it should give.

    Attributes:
        pictures: p pictures, each readable by `Encoder.encode_images`.
        texts: t different texts.
        picture_targets: (p, dim) unit rows in the student's space.
        text_targets: (t, dim) unit rows in the student's space.
    """

    pictures: Sequence[ImageInput]
    texts: Sequence[str]
    picture_targets: Vectors
    text_targets: Vectors


class Student(Protocol):
    """A smaller or other encoder that learns its teacher's vectors."""

    @property
    def start(self) -> Encoder:
        """The encoder that the student was made of; without another one it is the teacher."""
        ...

    @property
    def image_size(self) -> int:
        """Side of the student's input picture in pixels."""
        ...

    @property
    def text_tower(self) -> tuple[tuple[int, int], ...]:
        """Heads and MLP width of each layer of a starter's text tower; empty for other families."""
        ...

    def parameters(self) -> tuple[int, int]:
        """Numbers of parameters of the start and of the student: of the text tower of a starter, else of all."""
        ...

    def shrink(self, pictures: Sequence[ImageInput], texts: Sequence[str]) -> None:
        """Take parts out, by their importance for these inputs where it decides.

        Raises:
            EncoderError: the student is not possible.
        """
        ...

    def own_targets(self, pictures: Sequence[ImageInput], texts: Sequence[str]) -> tuple[Vectors, Vectors]:
        """The start's vectors of pictures and texts, as targets of its own student."""
        ...

    def train(self, lesson: Lesson, on_progress: Callable[[str], None]) -> None:
        """Learn the lesson."""
        ...

    def save(self, folder: Path) -> Encoder:
        """Write the student as an ordinary model into a new folder, and load it."""
        ...
