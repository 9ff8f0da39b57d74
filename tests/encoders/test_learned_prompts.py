"""Text towers with a learned context: the same vectors as the encoder at the start, and a context that learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import firstsight
from firstsight.encoders.base import Encoder
from firstsight.encoders.prompting.text_towers import load_text_tower
from firstsight.encoders.reduced.reduced_encoder import ReducedEncoder
from firstsight.encoders.reduced.reduction import truncation
from firstsight.encoders.starter.starter_encoder import StarterEncoder
from firstsight.encoders.starter.starter_model import StarterModel
from firstsight.errors import EncoderError
from firstsight.heads.methods.class_fit import ClassShots, fit_classes
from firstsight.heads.methods.learned_context import ContextSettings

NAMES = ["mug", "running shoe"]


def check(encoder: Encoder) -> None:
    tower = load_text_tower(encoder)
    context = tower.start_context("a photo of a").requires_grad_()
    vectors = tower.embed(context, NAMES)
    expected = encoder.encode_texts([f"a photo of a {name}" for name in NAMES])
    np.testing.assert_allclose(vectors.detach().numpy(), expected, atol=1e-4)
    each = tower.embed(context.detach().repeat(2, 1, 1), NAMES)
    np.testing.assert_allclose(each.numpy(), expected, atol=1e-4)
    vectors.sum().backward()
    assert context.grad is not None
    assert float(context.grad.abs().sum()) > 0


def test_starter_and_its_reduced_form_accept_a_context(starter: Encoder) -> None:
    check(starter)
    check(ReducedEncoder(starter, truncation(384, 64)))


def test_a_clip_of_transformers_accepts_a_context(clip: Path) -> None:
    check(firstsight.load_encoder(f"transformers:{clip}", runtime="torch:fp32", threads=1))


def test_encoders_without_such_a_tower_are_refused(starter: Encoder) -> None:
    with pytest.raises(EncoderError, match="second tower that is not in torch"):
        load_text_tower(StarterEncoder(model=StarterModel.of_name("multilingual")))
    with pytest.raises(EncoderError, match="has no token of this encoder"):
        load_text_tower(starter).start_context("")


def test_a_few_steps_of_coop_fit_the_classes_better_than_their_names(starter: Encoder) -> None:
    shown = ["a cup of hot coffee", "sneakers for a marathon", "a tea cup", "trainers with laces"]
    labels = np.array([1, 0, 1, 0])  # against the names: only the context can tell
    prompts = starter.encode_texts(NAMES)
    groups = np.array(list("abcd"), dtype=object)
    shots = ClassShots(starter.encode_texts(shown), labels, tuple(NAMES), np.ones(4), groups, prompts)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        settings = ContextSettings(steps=3, class_wise=True, keep=0.0)
        fits = [fit_classes(shots, "coop", text_tower=load_text_tower(starter), context=settings) for _ in range(2)]
    finally:
        torch.set_num_threads(threads)
    right = np.arange(4), labels
    names = shots.vectors @ prompts.T
    learned = fits[0].probabilities(shots.vectors)
    chosen = np.exp(names) / np.exp(names).sum(axis=1, keepdims=True)
    assert learned[right].mean() > chosen[right].mean()
    np.testing.assert_array_equal(learned, fits[1].probabilities(shots.vectors))
