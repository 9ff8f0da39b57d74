"""Towers that torch runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import nn

from firstsight.encoders.base import Arrays, Outputs
from firstsight.errors import EncoderError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def best_device() -> str:
    """Return the best available device: "cuda", else "mps", else "cpu"."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def check_device(name: str) -> None:
    """Check that torch can use a device.

    Raises:
        EncoderError: if torch does not have the device.
    """
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise EncoderError(f"torch cannot use the device {name!r} here; this machine has {best_device()!r}") from error


class TorchTower:
    """A tower that torch runs.

    Args:
        module: in evaluation mode; it is moved to the device and the precision in place.
        threads: CPU threads during a run.
        device: a device name of torch; by default the best available one.
        precision: "fp32", "bf16" or "fp16".
        compiled: use `torch.compile`; the first batch then takes up to a minute.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        threads: int,
        device: str | None = None,
        precision: str = "fp32",
        compiled: bool = False,
    ) -> None:
        self._device = torch.device(device or best_device())
        # Not autocast: on a CPU it converts the weights again at every layer and was slower than float32.
        moved = module.to(self._device) if precision == "fp32" else module.to(self._device, DTYPES[precision])
        self._module = torch.compile(moved, dynamic=True) if compiled else moved
        self._threads = threads
        # Small batches fit the CPU caches: the starter picture tower runs 47 pictures/s in batches of 4, 16 in 32.
        self.rows = 4 if self._device.type == "cpu" else 64

    def run(self, *inputs: np.ndarray) -> Outputs:
        """Compute the outputs for inputs of n >= 1 rows each: arrays of n rows each."""
        slices = (tuple(x[start : start + self.rows] for x in inputs) for start in range(0, len(inputs[0]), self.rows))
        return tuple(np.concatenate(column) for column in zip(*self.run_all(slices), strict=True))

    def run_all(self, batches: Iterable[Arrays]) -> Iterator[Outputs]:
        """Compute the outputs of each batch, in order."""
        for batch in batches:
            yield self._run(batch)

    @torch.inference_mode()
    def _run(self, batch: Arrays) -> Outputs:
        before = torch.get_num_threads()  # a process-wide setting: restored below
        torch.set_num_threads(self._threads)
        try:
            outputs = self._module(*(torch.from_numpy(np.ascontiguousarray(x)).to(self._device) for x in batch))
        finally:
            torch.set_num_threads(before)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(output.float().cpu().numpy() for output in outputs)
