"""Options for running an encoder: engine, precision, device and threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from firstsight.errors import EncoderError

AUTO: Final = "auto"
FAST: Final = "fast"

PRECISIONS: Final[dict[str, tuple[str, ...]]] = {
    "torch": ("fp32", "bf16", "fp16"),
    "torch-compile": ("fp32", "bf16", "fp16"),
    "openvino": ("fp32", "bf16", "int8"),
}
"""The precisions of each engine; the first one is the default."""


@dataclass(frozen=True)
class Runtime:
    """An engine and its precision; as a string, `openvino:bf16`."""

    engine: str
    precision: str = "fp32"

    @classmethod
    def parse(cls, text: str) -> Runtime:
        """Parse `ENGINE` or `ENGINE:PRECISION`.

        Raises:
            EncoderError: if the engine does not exist or does not support the precision.
        """
        engine, _, precision = text.partition(":")
        if engine not in PRECISIONS:
            raise EncoderError(f"no runtime {text!r}; choose {AUTO}, {FAST}, {', '.join(PRECISIONS)}")
        precision = precision or PRECISIONS[engine][0]
        if precision not in PRECISIONS[engine]:
            raise EncoderError(f"{engine} does not run in {precision!r}; choose {', '.join(PRECISIONS[engine])}")
        return cls(engine, precision)

    def __str__(self) -> str:
        return f"{self.engine}:{self.precision}"


@dataclass(frozen=True)
class EncoderOptions:
    """Options for running an encoder; none of them changes its fingerprint.

    Args:
        runtime: "auto" for the fastest runtime that keeps the reference vectors (cosine of .999 or more), "fast" to
            allow int8 after a calibration, or ENGINE:PRECISION.
        device: "cpu", "cuda", "cuda:1" or "mps" for torch; None for the best available one.
        threads: CPU threads; None for all CPUs that this process may use.
        trust_remote_code: run Python code from the model's repository.
        on_progress: receives one line for each slow step that happens once: exporting a model, comparing a runtime.

    Raises:
        EncoderError: if the runtime does not exist or `threads` is below one.
    """

    runtime: str = AUTO
    device: str | None = None
    threads: int | None = None
    trust_remote_code: bool = False
    on_progress: Callable[[str], None] = field(default=lambda step: None, compare=False)

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise EncoderError(f"threads must be at least 1, not {self.threads}")
        if self.runtime not in (AUTO, FAST):
            Runtime.parse(self.runtime)

    @property
    def cpu_threads(self) -> int:
        """The number of CPU threads to use."""
        return self.threads or usable_cpus()


def usable_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # missing on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def looks_like_a_path(model: str) -> bool:
    """Return whether a model name is a place on disk, not a name on a hub.

    Args:
        model: the part after the family's colon.
    """
    return model.startswith(("/", "./", "../", "~")) or Path(model).is_dir()
