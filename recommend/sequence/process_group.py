"""Training in several processes: each computes a share of every batch, and gradients are summed.

`torchrun` starts the processes and tells each its rank. The sum of gradients over all processes equals that of one
process with the whole batch, whatever the lengths of the histories. DistributedDataParallel takes a mean of means.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train together; one process without `torchrun`.

    Attributes:
        rank: of this process, 0 to `size` - 1.
        size: number of processes.
        device: of this process.
    """

    rank: int
    size: int
    device: str

    @property
    def is_first(self) -> bool:
        """Whether this process reports and stores."""
        return self.rank == 0

    def sum(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their sums over all processes, with one message."""
        if self.size == 1:
            return
        parts = list(tensors)
        flat = torch.cat([part.reshape(-1).to(torch.float32) for part in parts])
        distributed.all_reduce(flat)
        for part, total in zip(parts, flat.split([part.numel() for part in parts]), strict=True):
            part.copy_(total.view_as(part))

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            distributed.barrier()

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by those of the first process."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)


@contextmanager
def join_process_group() -> Iterator[ProcessGroup]:
    """Join the processes that `torchrun` started: by nccl with a GPU for each, else by gloo on the CPU."""
    local, size = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    on_gpu = torch.cuda.is_available() and torch.cuda.device_count() > local
    device = f"cuda:{local}" if on_gpu else "cpu"
    if size == 1:
        yield ProcessGroup(0, 1, device)
        return
    if distributed.is_initialized():
        on_cpu = distributed.get_backend() == "gloo"
        yield ProcessGroup(distributed.get_rank(), distributed.get_world_size(), "cpu" if on_cpu else device)
        return
    every_gpu = torch.cuda.is_available() and torch.cuda.device_count() >= int(
        os.environ.get("LOCAL_WORLD_SIZE", str(size))
    )
    if every_gpu:
        torch.cuda.set_device(local)
    distributed.init_process_group("nccl" if every_gpu else "gloo")
    try:
        yield ProcessGroup(distributed.get_rank(), size, device if every_gpu else "cpu")
    finally:
        distributed.destroy_process_group()
