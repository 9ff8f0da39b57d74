"""A start without labels: policy prompts against neutral prompts.

The prompts of each side are averaged into one vector (Radford et al., "Learning transferable visual models", 2021,
section 3.1.4), and a view's score is the softmax of its two cosines. Cosines between texts spread further than those
between a picture and a text, so that the temperature is set for each part from the spread in the catalogue itself.

These scores order well and mean nothing as probabilities: nothing is blocked for one, and of the catalogue only a
budgeted share goes to review.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np

from firstsight.encoders.base import Encoder, Vector, unit
from firstsight.encoders.isolation import try_texts
from firstsight.errors import MediaError, SafetyError
from firstsight.heads.calibration import HeadCalibration
from firstsight.heads.view_sample import ViewSample, budget_cut
from firstsight.safety.policy.policies import Policy
from firstsight.safety.policy.policy_heads import Head
from firstsight.storage.store import Store
from firstsight.storage.tables import PARTS

REVIEW_BUDGET = 0.01
"""Share of the items that a policy without labels may send to review."""

SPREAD = 2.0
"""Standard deviation that the logits of a part's views are given."""

DEFAULT_TEMPERATURE = 100.0
"""Factor of cosines where a part has too few views to tell their spread: that of the published CLIP models."""

_FEW_VIEWS = 20


def prompt_directions(policies: Sequence[Policy], encoder: Encoder) -> dict[str, Vector]:
    """For each policy that has prompts, (dim,) the mean vector of its prompts less that of its neutral prompts.

    Raises:
        SafetyError: the encoder fails on a prompt.
        EncoderError: the encoder fails on every text.
    """
    with_prompts = [policy for policy in policies if policy.prompts]
    texts = sorted({text for policy in with_prompts for text in (*policy.prompts, *policy.neutral_prompts)})
    if not texts:
        return {}
    outcomes = dict(zip(texts, try_texts(encoder, texts), strict=True))

    def mean(policy: Policy, prompts: Sequence[str]) -> Vector:
        vectors = []
        for text in prompts:
            if isinstance(outcome := outcomes[text], MediaError):
                raise SafetyError(f"policy {policy.id!r}: the prompt {text[:80]!r} cannot be used: {outcome}")
            vectors.append(outcome)
        return unit(np.mean(vectors, axis=0))

    return {policy.id: mean(policy, policy.prompts) - mean(policy, policy.neutral_prompts) for policy in with_prompts}


def prompt_digest(policy: Policy) -> str:
    """What tells whether a zero-shot head is still that of its policy."""
    plain = [sorted(policy.prompts), sorted(policy.neutral_prompts), sorted(policy.parts)]
    return hashlib.blake2b(json.dumps(plain).encode(), digest_size=8).hexdigest()


def load_prompt_directions(
    store: Store, policies: Sequence[Policy], encoder: Callable[[], Encoder] | None
) -> dict[str, Vector]:
    """`prompt_directions` of the policies that have prompts; none without an encoder, which is called only for them.

    Raises:
        EncoderMismatchError: the encoder is not the database's.
    """
    prompted = [policy for policy in policies if policy.prompts]
    if encoder is None or not prompted:
        return {}
    loaded = encoder()
    store.require_encoder(loaded.spec)
    return prompt_directions(prompted, loaded)


def zero_shot_head(
    policy: Policy, direction: Vector, background: ViewSample, fingerprint: str, *, budget: float = REVIEW_BUDGET
) -> Head:
    """A head from prompts alone; it is not calibrated and has no cut to block at.

    Args:
        direction: from `prompt_directions`.
        background: of the database it is for.
        fingerprint: of the encoder that the prompts were encoded with.
        budget: share of the items that may go to review, between 0 and 1.

    Raises:
        SafetyError: a budget out of range.
    """
    if not 0 < budget < 1:
        raise SafetyError(f"the review budget must be between 0 and 1, not {budget:g}")
    products = background.vectors @ direction
    scales = {}
    for place, part in enumerate(PARTS):
        of_part = products[background.parts == place]
        spread = float(of_part.std()) if len(of_part) >= _FEW_VIEWS else 0.0
        scales[part] = SPREAD / spread if spread > 0 else DEFAULT_TEMPERATURE
    head = Head(
        policy_id=policy.id,
        kind="zero_shot",
        fingerprint=fingerprint,
        coef=direction,
        scales=scales,
        intercepts=dict.fromkeys(PARTS, 0.0),
        trained_at=datetime.now(UTC),
        basis=prompt_digest(policy),
    )
    logits = head.logits(background.vectors, [PARTS[place] for place in background.parts])
    logits[[PARTS[place] not in policy.parts for place in background.parts]] = np.nan
    scores = HeadCalibration()(background.item_maxima(logits))
    review = max(0.5, budget_cut(scores, budget))  # below .5 a view is nearer to the neutral prompts
    return Head(**(vars(head) | {"review": review}))
