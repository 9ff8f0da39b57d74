"""Prompts of the values of a tag: texts that describe an item with the value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from firstsight.encoders.base import Encoder, Vectors, unit
from firstsight.encoders.isolation import try_texts
from firstsight.errors import MediaError, TagError
from firstsight.storage.store import Store
from firstsight.understanding.tags.labels.tag_tree import TagTree

TEMPLATES: Final = ("a photo of {}", "{}")
"""Default templates; {} is the value, or the last level of a path, and {path} the whole path."""

PATH_TEMPLATE: Final = "{path}"
"""Added to the default templates of a tree with several levels: "Clothing, Shirts"."""

_BATCH: Final = 512


def make_prompts(
    store: Store,
    tree: TagTree,
    templates: Sequence[str],
    encoder: Callable[[], Encoder],
    on_progress: Callable[[str], None],
) -> Vectors:
    """Encode the prompts of all values, and average those of each value.

    Args:
        store: the database that the prompts are compared with.
        tree: the values.
        templates: texts with {} or {path}; none for the defaults.
        encoder: loads the encoder.
        on_progress: called with a line if there are many values.

    Returns:
        (values, dim) float32, unit rows.

    Raises:
        TagError: a template has neither {} nor {path}, or the encoder fails on a prompt.
        EncoderError, EncoderMismatchError: the encoder cannot be loaded, or is not that of the database.
    """
    chosen = list(templates) or [*TEMPLATES, *([PATH_TEMPLATE] if tree.depths.any() else [])]
    for template in chosen:
        if "{}" not in template and "{path}" not in template:
            raise TagError(
                f"the template {template[:60]!r} has no {{}} for the value; write for example 'made of {{}}'"
            )
    loaded = encoder()
    store.require_encoder(loaded.spec)
    texts = [write_prompt(tree, place, template) for place in range(len(tree.names)) for template in chosen]
    if len(texts) > _BATCH:
        on_progress(f"encoding {len(texts):,} prompts of {len(tree.names):,} values")
    vectors = np.zeros((len(texts), store.spec.dim), dtype=np.float32)
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        for n, outcome in enumerate(try_texts(loaded, batch)):
            if isinstance(outcome, MediaError):
                raise TagError(f"the prompt {batch[n][:80]!r} cannot be used: {outcome}")
            vectors[start + n] = outcome
    averaged = vectors.reshape(len(tree.names), len(chosen), -1).mean(axis=1)
    return np.stack([unit(row) for row in averaged]).astype(np.float32)


def write_prompt(tree: TagTree, place: int, template: str) -> str:
    """Write a prompt of a value; braces in the value stay as they are."""
    path = ", ".join(tree.leaf_name(one) for one in tree.ancestors(place))
    return path.join(part.replace("{}", tree.leaf_name(place)) for part in template.split("{path}"))
