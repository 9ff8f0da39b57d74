"""Low-rank adapters (Hu et al., "LoRA", 2022) in the attention and linear layers that two towers use."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from firstsight.errors import EncoderError
from firstsight.extras import requires
from firstsight.tuning.networks.weight_changes import LowRankFactors

with requires("tune", "tuning with LoRA", "choose --method lit or full"):
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel
    from peft.tuners.lora.layer import MultiheadAttention as MergingAttention

_NAME: Final = "default"
_MIN_LAYERS: Final = 2  # fewer in a tower: it consists of convolutions


class _AdaptedAttention(MergingAttention):
    """An adapter of `nn.MultiheadAttention` that leaves the layer's own weights alone.

    peft's own class adds the adapter to the weights before each call and subtracts it afterwards. Rounding then
    changes the weights a little at every call, and no resumed run could equal an uninterrupted one.
    """

    def forward(self, query: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Compute attention with the weights plus their low-rank changes."""
        layer: Any = self.get_base_layer()
        output = layer.out_proj
        weights = {
            "in_proj_weight": layer.in_proj_weight + self.get_delta_weight(_NAME),
            "out_proj.base_layer.weight": output.base_layer.weight + output.get_delta_weight(_NAME),
        }
        return torch.func.functional_call(layer, weights, (query, *args), kwargs)


class Adapters:
    """Adapters inside a network, from their creation until `remove`.

    Args:
        network: the library's model.
        layers: names of its layers to adapt, as `find_layers` returns them.
        rank: of the changes.
        seed: of the initial values. An adapter begins as no change.
    """

    def __init__(self, network: nn.Module, layers: Sequence[str], rank: int, seed: int) -> None:
        config = LoraConfig(
            r=rank, lora_alpha=2 * rank, lora_dropout=0.0, bias="none", target_modules="|".join(map(re.escape, layers))
        )
        # peft calls it experimental; without it, its own class changes the weights (see _AdaptedAttention)
        config._register_custom_module({nn.MultiheadAttention: _AdaptedAttention})
        self._network, self._layers = network, list(layers)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._tuner: Any = LoraModel(network, config, _NAME)
        network.eval()

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the trainable weights by name."""
        return {name: value for name, value in self._network.named_parameters() if ".lora_" in name}

    def factors(self) -> dict[str, LowRankFactors]:
        """Return the changes by the name of the weight in the network without adapters."""
        found: dict[str, LowRankFactors] = {}
        for name in self._layers:
            layer = self._network.get_submodule(name)
            if isinstance(layer, _AdaptedAttention):
                found[f"{name}.in_proj_weight"] = _factors_of(layer)
                found[f"{name}.out_proj.weight"] = _factors_of(layer.base_layer.out_proj)
            else:
                found[f"{name}.weight"] = _factors_of(layer)
        return found

    def remove(self) -> None:
        """Take the adapters out of the network."""
        self._tuner.unload()
        if hasattr(self._network, "peft_config"):
            del self._network.peft_config
        self._network.requires_grad_(False)


def _factors_of(layer: Any) -> LowRankFactors:
    up, down = layer.lora_B[_NAME].weight, layer.lora_A[_NAME].weight
    return LowRankFactors(
        up.detach().flatten(1).cpu().clone(), down.detach().flatten(1).cpu().clone(), layer.scaling[_NAME]
    )


def find_layers(network: nn.Module, probes: Mapping[nn.Module, Callable[[], object]]) -> list[str]:
    """Find the layers to adapt: attention and linear layers that a tower calls.

    The type of a layer and its use decide, not its name, so that this holds for every architecture. A tower of
    convolutions has hardly any such layer; there, the convolutions without groups are adapted.

    Args:
        network: the library's model.
        probes: for each tower a call that runs it once.

    Returns:
        Names in the network, sorted.

    Raises:
        EncoderError: a tower has no layer that can be adapted.
    """
    names = {id(module): name for name, module in network.named_modules()}
    found: set[str] = set()
    for tower, run in probes.items():
        called = _called_layers(tower, run)
        # The children of a wrapper outside the network: peft could replace them in the network only.
        out_of_reach = {
            id(child) for module in tower.modules() if id(module) not in names for child in module.children()
        }
        usable = [layer for layer in called if id(layer) in names and id(layer) not in out_of_reach]
        chosen = [layer for layer in usable if not isinstance(layer, nn.Conv2d)]
        if len(chosen) < _MIN_LAYERS:
            chosen = usable
        if not chosen:
            raise EncoderError(
                f"{type(network).__name__} has a tower without attention, linear and plain convolutional layers, so "
                "LoRA has nothing to adapt; choose --method lit or full"
            )
        found.update(names[id(layer)] for layer in chosen)
    return sorted(found)


def _called_layers(tower: nn.Module, run: Callable[[], object]) -> list[nn.Module]:
    called: dict[int, nn.Module] = {}

    def note(module: nn.Module, inputs: Any) -> None:
        called[id(module)] = module

    # hooks also show which weights a layer above reads past the module's own call, where an adapter has no effect
    handles = [module.register_forward_pre_hook(note) for module in tower.modules() if _is_adaptable(module)]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return list(called.values())


def _is_adaptable(module: nn.Module) -> bool:
    if isinstance(module, nn.MultiheadAttention):
        return module._qkv_same_embed_dim and module.in_proj_weight is not None
    return isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)
