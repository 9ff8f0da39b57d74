"""How an encoder is run, apart from what it is: the engine, its precision, the device, the threads."""

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
"""The engines, and what each can compute in; the first is its default."""


@dataclass(frozen=True)
class Runtime:
    """What computes the vectors, and in which numbers; as a string, `openvino:bf16`."""

    engine: str
    precision: str = "fp32"

    @classmethod
    def parse(cls, text: str) -> Runtime:
        """From `ENGINE` or `ENGINE:PRECISION`.

        Raises:
            EncoderError: no such engine, or not in this precision.
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
    """How to run an encoder. None of it changes what an encoder's fingerprint says.

    Args:
        runtime: "auto" for the fastest that gives the reference's vectors (cosine of at least .999), "fast" to allow
            int8 where it was calibrated, or ENGINE:PRECISION.
        device: "cpu", "cuda", "cuda:1" or "mps" for torch; None for the best there is.
        threads: CPU threads; None for those this process may use.
        trust_remote_code: let a model bring Python code along and run it.
        on_progress: told in words of what takes long and is done once: exporting a model, comparing a runtime.

    Raises:
        EncoderError: a runtime that does not exist, or fewer than one thread.
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
        """The CPU threads to use."""
        return self.threads or usable_cpus()


def usable_cpus() -> int:
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def looks_like_a_path(model: str) -> bool:
    """Whether what stands behind a family's colon is a place on disk, and not a name on a hub."""
    return model.startswith(("/", "./", "../", "~")) or Path(model).is_dir()
