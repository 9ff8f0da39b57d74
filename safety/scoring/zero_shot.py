"""Zero-shot heads, for policies without labels: policy prompts against neutral prompts.

The prompts of each side are averaged into one vector (Radford et al., "Learning transferable visual models", 2021,
section 3.1.4), and a view's score is the softmax of its two cosines. Cosines between two texts spread more widely than
cosines between a picture and a text. So the temperature is set for each part, from the spread in the catalogue.

Prompts describe pictures, so they score pictures and frames. A title has a cosine to them by its words alone, such as
"Long stream two" to those of firearms. Titles have word lists, heads trained with labels, and the prompts of policies
that look at titles only.

These scores rank well but are no probabilities: they block nothing, and only a budgeted share of the catalogue goes to
review.
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
from firstsight.safety.policy.policies import REVIEW_BUDGET, Policy
from firstsight.safety.policy.policy_heads import Head
from firstsight.storage.store import Store
from firstsight.storage.tables import HEAD_PARTS

SPREAD = 2.0
"""Standard deviation of the logits of a part's views after scaling."""

DEFAULT_TEMPERATURE = 100.0
"""Factor of the cosines of a part with too few views to measure their spread; as in the published CLIP models."""

_FEW_VIEWS = 20


def prompt_directions(policies: Sequence[Policy], encoder: Encoder) -> dict[str, Vector]:
    """Encode the prompts of policies.

    Returns:
        Policy id -> (dim,) mean vector of the prompts minus mean vector of the neutral prompts, for each policy with
        prompts.

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
    """Digest of the prompts and parts of a policy; if it changes, the zero-shot head is made again."""
    plain = [sorted(policy.prompts), sorted(policy.neutral_prompts), sorted(policy.prompt_parts)]
    return hashlib.blake2b(json.dumps(plain).encode(), digest_size=8).hexdigest()


def load_prompt_directions(
    store: Store, policies: Sequence[Policy], encoder: Callable[[], Encoder] | None
) -> dict[str, Vector]:
    """Load the encoder and encode the prompts of policies; empty without prompts or without an encoder.

    Args:
        store: the database that the directions are for.
        policies: policies with and without prompts.
        encoder: loads the encoder; called only if a policy has prompts.

    Returns:
        As `prompt_directions`.

    Raises:
        EncoderMismatchError: the database holds vectors of another encoder.
        SafetyError: the encoder fails on a prompt.
        EncoderError: the encoder fails on every text.
    """
    prompted = [policy for policy in policies if policy.prompts]
    if encoder is None or not prompted:
        return {}
    loaded = encoder()
    store.require_encoder(loaded.spec)
    return prompt_directions(prompted, loaded)


def zero_shot_head(
    policy: Policy, direction: Vector, sample: ViewSample, fingerprint: str, *, budget: float = REVIEW_BUDGET
) -> Head:
    """Make a head from prompts alone; it is not calibrated and has no block cut.

    Args:
        policy: the policy of the prompts.
        direction: (dim,) from `prompt_directions`.
        sample: views of the database.
        fingerprint: fingerprint of the encoder that encoded the prompts.
        budget: maximum share of the items that may go to review, between 0 and 1.

    Raises:
        SafetyError: the budget is out of range.
    """
    if not 0 < budget < 1:
        raise SafetyError(f"the review budget must be between 0 and 1, not {budget:g}")
    products = sample.vectors @ direction
    scales = {}
    for place, part in enumerate(HEAD_PARTS):
        of_part = products[sample.parts == place]
        spread = float(of_part.std()) if len(of_part) >= _FEW_VIEWS else 0.0
        scales[part] = SPREAD / spread if spread > 0 else DEFAULT_TEMPERATURE
    head = Head(
        policy_id=policy.id,
        kind="zero_shot",
        fingerprint=fingerprint,
        coef=direction,
        scales=scales,
        intercepts=dict.fromkeys(HEAD_PARTS, 0.0),
        trained_at=datetime.now(UTC),
        basis=prompt_digest(policy),
    )
    logits = head.logits(sample.vectors, [HEAD_PARTS[place] for place in sample.parts])
    logits[[HEAD_PARTS[place] not in policy.prompt_parts for place in sample.parts]] = np.nan
    scores = HeadCalibration()(sample.item_maxima(logits))
    review = max(0.5, budget_cut(scores, budget))  # below 0.5 a view is nearer to the neutral prompts
    return Head(**(vars(head) | {"review": review}))
