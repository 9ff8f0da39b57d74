"""MLPs of the towers of open_clip and transformers models, which can be cut to fewer units.

The formats of both libraries have one MLP width for a tower. The width of attention is that of the tower in both, so
heads cannot be taken out of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from firstsight.errors import EncoderError
from firstsight.tuning.pruning.trained_weights import MIN_TRAINED_EDGE, edge_ratio

MIN_UNITS: Final = 8
"""Units that every layer keeps."""

SETTINGS: Final = {"open_clip": "mlp_ratio", "transformers": "intermediate_size"}
"""The entry of a tower's configuration that gives the width of its MLPs."""


@dataclass(frozen=True)
class Mlp:
    """One MLP: a linear layer to its units, an activation, and a linear layer back."""

    up: nn.Linear
    down: nn.Linear


@dataclass(frozen=True)
class TowerMlps:
    """The MLPs of one tower, all with the same number of units.

    Attributes:
        section: name of the tower's part of the model's configuration, such as "vision_config".
        width: of the tower.
        layers: one MLP a layer.
    """

    section: str
    width: int
    layers: tuple[Mlp, ...]

    @property
    def units(self) -> int:
        """Units of each MLP."""
        return self.layers[0].up.out_features


def find_mlps(network: Any, family: str) -> dict[str, TowerMlps]:
    """Find the MLPs of the towers "pictures" and "texts" of a network.

    Args:
        network: the library's model.
        family: "open_clip" or "transformers".

    Raises:
        EncoderError: a tower has no such MLPs, or its configuration cannot describe fewer units.
    """
    find = _open_clip_mlps if family == "open_clip" else _transformers_mlps
    towers = find(network)
    for name, tower in towers.items():
        if not tower.layers or any(mlp.up.out_features != tower.units for mlp in tower.layers):
            raise EncoderError(
                f"the tower of {name} of this {type(network).__name__} has no MLPs that its configuration describes "
                f"with {SETTINGS[family]}, so it cannot be pruned; choose another model"
            )
    return towers


def require_trained(network: nn.Module) -> None:
    """Check that a network has trained weights.

    Raises:
        EncoderError: the weights are random: no part of them is more important by training, and a loss measured on
            them says nothing.
    """
    edge = edge_ratio(network)
    if not edge >= MIN_TRAINED_EDGE:  # NaN is refused too
        raise EncoderError(
            "this model cannot be pruned: its matrices have the spectrum of random weights (edge ratio "
            f"{edge:.2f}, required: {MIN_TRAINED_EDGE}); prune a model with trained weights"
        )


def measure_units(
    layers: Sequence[Mlp], run: Callable[[int], Tensor], batches: int, *, probes: int, seed: int = 0
) -> list[NDArray[np.float64]]:
    """Measure the importance of the units of each MLP: see `importance.measure_importance`.

    Args:
        layers: the MLPs, called with the rows of a batch in their first dimension.
        run: computes the (n, dim) unit vectors of a batch by its number.
        batches: number of batches.
        probes: random directions of the vector, over which the square of the change is averaged.
        seed: of the directions.

    Returns:
        (units,) of each layer, 0 or more.
    """
    generator = torch.Generator().manual_seed(seed)
    totals = [torch.zeros(mlp.up.out_features, dtype=torch.float64) for mlp in layers]
    gates: dict[int, Tensor] = {}

    def gate(place: int) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor]]:
        def multiply(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
            hidden = inputs[0]
            shape = (len(hidden), *[1] * (hidden.ndim - 2), hidden.shape[-1])
            gates[place] = torch.ones(shape, device=hidden.device, requires_grad=True)
            return (hidden * gates[place],)

        return multiply

    handles = [mlp.down.register_forward_pre_hook(gate(place)) for place, mlp in enumerate(layers)]
    try:
        for batch in range(batches):
            vectors = run(batch)
            for probe in range(probes):
                directions = torch.randn(vectors.shape, generator=generator).to(vectors.device)
                gradients = torch.autograd.grad(
                    (vectors * directions).sum(),
                    [gates[place] for place in range(len(layers))],
                    retain_graph=probe + 1 < probes,
                )
                for total, gradient in zip(totals, gradients, strict=True):
                    total += gradient.double().square().flatten(0, -2).sum(dim=0).cpu()
    finally:
        for handle in handles:
            handle.remove()
    return [total.numpy() for total in totals]


@torch.no_grad()
def cut_units(tower: TowerMlps, importance: Sequence[NDArray[np.float64]], share: float) -> int:
    """Take the least important units out of each MLP of a tower, in place; every MLP keeps the same number.

    Args:
        tower: its MLPs.
        importance: (units,) of each layer.
        share: share of the units to take out, above 0 and below 1.

    Returns:
        The number of units that stay in each MLP.
    """
    kept = min(tower.units, max(MIN_UNITS, round((1 - share) * tower.units)))
    for mlp, values in zip(tower.layers, importance, strict=True):
        chosen = torch.from_numpy(np.sort(np.argsort(-values, kind="stable")[:kept])).to(mlp.up.weight.device)
        mlp.up.weight = nn.Parameter(mlp.up.weight[chosen], requires_grad=False)
        if mlp.up.bias is not None:
            mlp.up.bias = nn.Parameter(mlp.up.bias[chosen], requires_grad=False)
        mlp.down.weight = nn.Parameter(mlp.down.weight[:, chosen].contiguous(), requires_grad=False)
        mlp.up.out_features = mlp.down.in_features = kept
    return kept


def mlp_setting(family: str, tower: TowerMlps) -> float:
    """The value of the configuration's entry for the present number of units."""
    if family == "transformers":
        return tower.units
    return (tower.units + 0.5) / tower.width  # open_clip takes the whole part of width * mlp_ratio


def _open_clip_mlps(network: Any) -> dict[str, TowerMlps]:
    from open_clip.transformer import ResidualAttentionBlock, Transformer

    visual = getattr(network.visual, "transformer", None)
    text = getattr(network, "transformer", None) or getattr(getattr(network, "text", None), "transformer", None)
    towers = {}
    for name, section, stack in (("pictures", "vision_cfg", visual), ("texts", "text_cfg", text)):
        blocks = list(stack.resblocks) if isinstance(stack, Transformer) else []
        usable = all(type(block) is ResidualAttentionBlock for block in blocks) and getattr(stack, "batch_first", False)
        mlps = tuple(Mlp(block.mlp.c_fc, block.mlp.c_proj) for block in blocks) if usable else ()
        towers[name] = TowerMlps(section, getattr(stack, "width", 0), mlps)
    return towers


def _transformers_mlps(network: Any) -> dict[str, TowerMlps]:
    towers = {}
    for name, section, attribute in (
        ("pictures", "vision_config", "vision_model"),
        ("texts", "text_config", "text_model"),
    ):
        config, tower = getattr(network.config, section, None), getattr(network, attribute, None)
        units = getattr(config, "intermediate_size", None)
        parts = [] if tower is None else [part for part in tower.modules() if _is_mlp(part)]
        mlps = tuple(Mlp(part.fc1, part.fc2) for part in parts)
        described = all(mlp.up.out_features == units for mlp in mlps)
        towers[name] = TowerMlps(section, getattr(config, "hidden_size", 0), mlps if described else ())
    return towers


def _is_mlp(part: Any) -> bool:
    return isinstance(getattr(part, "fc1", None), nn.Linear) and isinstance(getattr(part, "fc2", None), nn.Linear)


def changed_settings(family: str, towers: Mapping[str, TowerMlps]) -> dict[str, dict[str, float]]:
    """The changed entries of the configuration, by the section of each tower."""
    return {tower.section: {SETTINGS[family]: mlp_setting(family, tower)} for tower in towers.values()}
