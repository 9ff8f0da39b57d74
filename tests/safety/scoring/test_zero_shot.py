"""Prompts of policies: one that the encoder fails on is named with its policy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from firstsight.encoders.base import EncoderSpec, ImageInput, Vectors, unit
from firstsight.errors import SafetyError
from firstsight.safety.policy.policies import parse_policies
from firstsight.safety.scoring.zero_shot import prompt_directions

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
