"""The log of a tuning run: one JSON object per line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch

LOG: Final = "log.jsonl"


@dataclass(frozen=True)
class LogLine:
    """One update, or one check of held-out retrieval.

    Attributes:
        label: of the training, such as "fold 1".
        seed: number of the training among those that are averaged.
        step: finished updates.
        loss: of the last batch; None at a check before the first one.
        learning_rate: of the last update.
        held_out: mean reciprocal rank on held-out items; None without a check.
        pictures_per_s: trained pictures per second since the line before, on all processes.
        peak_memory_mb: of this process so far; with CUDA of the device. 0 where the system does not tell.
    """

    label: str
    seed: int
    step: int
    loss: float | None
    learning_rate: float
    held_out: float | None
    pictures_per_s: float | None
    peak_memory_mb: int


class RunLog:
    """The file `log.jsonl` of a folder; lines are only added."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOG

    def add(self, line: LogLine) -> None:
        """Add a line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(line)) + "\n")

    def forget_after(self, label: str, seed: int, step: int) -> None:
        """Remove the lines of updates that a resumed training makes again."""
        if not self._path.exists():
            return
        kept = [
            line for line in self._path.read_text(encoding="utf-8").splitlines() if _is_kept(line, label, seed, step)
        ]
        temporary = self._path.with_name(f".{LOG}.{os.getpid()}")
        temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        temporary.replace(self._path)


def _is_kept(text: str, label: str, seed: int, step: int) -> bool:
    try:
        line = json.loads(text)
        return (line["label"], line["seed"]) != (label, seed) or line["step"] <= step
    except (ValueError, KeyError, TypeError):  # cut short by a kill
        return False


def peak_memory_mb(devices: Iterable[str]) -> int:
    """Return the peak memory in MB: of the CUDA devices, else of this process."""
    on_gpu = [device for device in devices if device.startswith("cuda")]
    if on_gpu:
        return max(torch.cuda.max_memory_allocated(device) for device in on_gpu) // 2**20
    try:
        import resource
    except ImportError:  # missing on Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 2**20 if sys.platform == "darwin" else peak // 2**10  # bytes there, kilobytes elsewhere
