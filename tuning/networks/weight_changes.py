"""Changes of weights that a training made, and mixtures of base weights and changes (WiSE-FT)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LowRankFactors:
    """Change of one weight: `scale` * `up` @ `down`, in the shape of the weight."""

    up: Tensor  # (out, rank)
    down: Tensor  # (rank, in), in: all further dimensions of the weight
    scale: float

    def change(self, shape: torch.Size) -> Tensor:
        """Return the change in full."""
        return (self.up @ self.down).reshape(shape) * self.scale


class WeightChange(Protocol):
    """The result of a training for some weights of a network."""

    def names(self) -> list[str]:
        """Return the names of the changed weights."""
        ...

    def mixed(self, name: str, base: Tensor, share: float) -> Tensor:
        """Return a mixture: `base` at share 0, the tuned weight at share 1."""
        ...


class LowRankChange:
    """The mean of the low-rank changes of several seeds."""

    def __init__(self, seeds: Sequence[Mapping[str, LowRankFactors]]) -> None:
        self._factors = {
            name: LowRankFactors(
                torch.cat([seed[name].up for seed in seeds], dim=1),
                torch.cat([seed[name].down for seed in seeds], dim=0),
                factors.scale / len(seeds),
            )
            for name, factors in seeds[0].items()
        }

    def names(self) -> list[str]:
        return list(self._factors)

    def mixed(self, name: str, base: Tensor, share: float) -> Tensor:
        return base + self._factors[name].change(base.shape).to(base) * share


class DenseChange:
    """The mean of the tuned weights of several seeds."""

    def __init__(self, seeds: Sequence[Mapping[str, Tensor]]) -> None:
        self._tuned = {
            name: torch.stack([seed[name].detach().cpu() for seed in seeds]).mean(dim=0) for name in seeds[0]
        }

    def names(self) -> list[str]:
        return list(self._tuned)

    def mixed(self, name: str, base: Tensor, share: float) -> Tensor:
        return torch.lerp(base, self._tuned[name].to(base), share)


class MixableNetwork:
    """A network whose weights are those of its file, or a mixture with a change.

    One network serves all trainings of a run; each change keeps only what it needs.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._base: dict[str, Tensor] = {}
        self._in_use: tuple[WeightChange, float] | None = None

    @torch.no_grad()
    def use(self, change: WeightChange | None, share: float = 0.0) -> None:
        """Set the weights to the mixture; None: to those of the file."""
        wanted = None if change is None or share == 0 else (change, share)
        if wanted == self._in_use:
            return
        self.restore()
        self._in_use = wanted
        if wanted is None:
            return
        self.keep(wanted[0].names())
        for name in wanted[0].names():
            self._network.get_parameter(name).copy_(wanted[0].mixed(name, self._base[name], share))

    @torch.no_grad()
    def restore(self) -> None:
        """Set the weights to those of the file, whatever happened to them."""
        for name, value in self._base.items():
            self._network.get_parameter(name).copy_(value)
        self._in_use = None

    def keep(self, names: Sequence[str]) -> None:
        """Keep the weights of the file, because they will change; call it while they are in use."""
        for name in names:
            if name not in self._base:
                self._base[name] = self._network.get_parameter(name).detach().clone()
