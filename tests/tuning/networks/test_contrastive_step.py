"""Gradients of a batch in parts equal those of the whole batch."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from firstsight.recommend.sequence.process_group import ProcessGroup
from firstsight.tuning.networks.contrastive_step import (
    CLIP_SCALE,
    SIGLIP_BIAS,
    SIGLIP_SCALE,
    Objective,
    Side,
    add_gradients,
)

ALONE = ProcessGroup(0, 1, "cpu")


class _TwoTowers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.pictures = nn.Sequential(nn.Linear(9, 16), nn.Tanh(), nn.Linear(16, 5))
        self.texts = nn.Sequential(nn.Linear(7, 16), nn.Tanh(), nn.Linear(16, 5))


@pytest.mark.parametrize("objective", [Objective(20.0, None), Objective(10.0, -10.0)], ids=["softmax", "sigmoid"])
@pytest.mark.parametrize("micro_batch", [1, 3, 11, 64])
def test_micro_batches_give_the_gradients_of_the_whole_batch(objective: Objective, micro_batch: int) -> None:
    towers = _TwoTowers()
    pictures, texts = torch.randn(11, 9), torch.randn(6, 7)
    same = torch.rand(11, 6) < 0.3
    same[torch.arange(6), torch.arange(6)] = True

    def encode(tower: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        return functional.normalize(tower(inputs), dim=-1)

    loss = objective.loss(encode(towers.pictures, pictures), encode(towers.texts, texts), same)
    parameters = list(towers.parameters())
    expected = torch.autograd.grad(loss, parameters)
    value = add_gradients(
        Side(11, lambda part: encode(towers.pictures, pictures[part.start : part.stop])),
        Side(6, lambda part: encode(towers.texts, texts[part.start : part.stop])),
        same,
        objective,
        parameters,
        ALONE,
        micro_batch,
    )
    assert value == pytest.approx(float(loss.detach()), rel=1e-6)
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-5, rtol=1e-5)


def test_a_frozen_side_gets_no_gradient() -> None:
    towers = _TwoTowers()
    fixed = functional.normalize(torch.randn(4, 5), dim=-1)
    texts = torch.randn(4, 7)
    encode = lambda part: functional.normalize(towers.texts(texts[part.start : part.stop]), dim=-1)  # noqa: E731
    add_gradients(
        Side(4, lambda part: fixed[part.start : part.stop], is_trained=False),
        Side(4, encode),
        torch.eye(4, dtype=torch.bool),
        Objective(10.0, None),
        list(towers.texts.parameters()),
        ALONE,
        2,
    )
    assert all(parameter.grad is None for parameter in towers.pictures.parameters())
    assert all(
        bool(parameter.grad.abs().sum() > 0) for parameter in towers.texts.parameters() if parameter.grad is not None
    )


def _network(**numbers: float | list[float]) -> nn.Module:
    network = nn.Module()
    for name, value in numbers.items():
        network.register_parameter(name, nn.Parameter(torch.tensor(value)))
    return network


@pytest.mark.parametrize(
    ("network", "scale", "bias"),
    [
        (_network(logit_scale=[math.log(50.0)]), 50.0, None),
        (_network(logit_scale=math.log(50.0), logit_bias=[-12.5]), 50.0, -12.5),
        (_network(temperature=0.05), 20.0, None),  # ALIGN's inverse
        (_network(), CLIP_SCALE, None),
        (_network(logit_scale=0.0), CLIP_SCALE, None),  # never trained
        (_network(logit_scale=0.0, logit_bias=0.0), SIGLIP_SCALE, SIGLIP_BIAS),
    ],
)
def test_scale_and_bias_are_the_models_own(network: nn.Module, scale: float, bias: float | None) -> None:
    objective = Objective.of(network)
    assert objective.scale == pytest.approx(scale, rel=1e-5)
    assert objective.bias == bias
