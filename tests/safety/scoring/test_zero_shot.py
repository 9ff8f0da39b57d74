"""Prompts of policies: one that the encoder fails on is named with its policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from firstsight.encoders.base import EncoderSpec, ImageInput, Vectors, unit
from firstsight.errors import SafetyError
from firstsight.heads.view_sample import ViewSample
from firstsight.safety.policy.policies import Policy, parse_policies
from firstsight.safety.policy.policy_heads import HeadStack
from firstsight.safety.scoring.zero_shot import prompt_directions, zero_shot_head

POLICIES = "policies: [{id: weapons, name: Weapons, severity: 4, prompts: [a gun, %s], neutral_prompts: [a toy]}]"


class LetterCountEncoder:
    """Letter counts as vectors; its tokeniser fails on texts with a null character."""

    spec = EncoderSpec("letters", 26, 32, "l")

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        raise NotImplementedError

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        if any("\0" in text for text in texts):
            raise UnicodeError("null character")
        return unit(np.array([[text.count(chr(97 + n)) for n in range(26)] for text in texts], np.float32))


def test_a_prompt_that_breaks_the_encoder_is_named_with_its_policy() -> None:
    whole = prompt_directions(parse_policies(POLICIES % "a knife", "p.yaml").all, LetterCountEncoder())
    assert whole["weapons"].shape == (26,)
    with pytest.raises(SafetyError, match=r"^policy 'weapons': the prompt 'a\\x00b' cannot be used: .*null character"):
        prompt_directions(parse_policies(POLICIES % '"a\\0b"', "p.yaml").all, LetterCountEncoder())


def test_a_title_alone_never_triggers_prompts_of_pictures() -> None:
    """A head of prompts looks at pictures and frames; one of labels, and one of a policy of titles, at titles too."""
    visual = parse_policies(POLICIES % "a rifle", "p.yaml").all[0]
    text = parse_policies((POLICIES % "a rifle").replace("severity", "parts: [title], severity"), "p.yaml").all[0]
    direction = unit(np.ones((1, 26), np.float32))[0]
    sample = ViewSample(np.tile(direction, (60, 1)), (np.arange(60) % 3).astype(np.int8), np.arange(60) // 3)
    titles = np.zeros(2, dtype=np.int8)
    cases: list[tuple[Policy, Literal["head", "zero_shot"], bool]] = [
        (visual, "zero_shot", False),
        (visual, "head", True),
        (text, "zero_shot", True),
    ]
    for policy, kind, looks in cases:
        head = zero_shot_head(policy, direction, sample, "l", budget=0.5)
        stack = HeadStack.of([replace(head, kind=kind)], {policy.id: policy})
        assert bool(np.isfinite(stack.logits(sample.vectors[:2], titles)).all()) == looks
        assert np.isfinite(stack.logits(sample.vectors[:2], titles + 1)).all() == (policy is visual)
