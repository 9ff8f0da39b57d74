"""Contrastive losses against sums written out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from firstsight.encoders.training.losses import sigmoid_loss, softmax_loss

SCORES = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0]])
SAME = torch.tensor([[True, False, True], [False, True, False]])


def test_all_positives_of_a_row_share_the_numerator() -> None:
    e = math.exp
    rows = [
        -math.log((e(2) + e(0)) / (e(2) + e(1) + e(0))),
        -math.log(e(3) / (e(0) + e(3) + e(1))),
    ]
    columns = [-math.log(e(2) / (e(2) + e(0))), -math.log(e(3) / (e(1) + e(3))), -math.log(e(0) / (e(0) + e(1)))]
    expected = (sum(rows) / 2 + sum(columns) / 3) / 2
    assert softmax_loss(SCORES, SAME).item() == pytest.approx(expected, rel=1e-6)


def test_rows_without_a_positive_and_ignored_pairs_do_not_count() -> None:
    same = torch.tensor([[True, False, False], [False, False, False]])
    ignored = torch.tensor([[False, True, False], [False, True, False]])
    e = math.exp
    expected = (-math.log(e(2) / (e(2) + e(0))) - math.log(e(2) / (e(2) + e(0)))) / 2
    assert softmax_loss(SCORES, same, ignored).item() == pytest.approx(expected, rel=1e-6)


def test_the_sigmoid_loss_counts_every_pair_alone() -> None:
    def softplus(x: float) -> float:
        return math.log1p(math.exp(x))

    expected = (softplus(-2) + softplus(1) + softplus(0) + softplus(0) + softplus(-3) + softplus(1)) / 2
    assert sigmoid_loss(SCORES, SAME).item() == pytest.approx(expected, rel=1e-6)
