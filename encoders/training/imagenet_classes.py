"""Text vectors of the 1,000 ImageNet classes of the picture tower."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from firstsight.encoders.base import unit
from firstsight.encoders.starter.starter_encoder import StarterEncoder


def class_vectors(encoder: StarterEncoder) -> NDArray[np.float32]:
    """Compute one vector per class: the mean of its WordNet names and of its WordNet definition, centred.

    Names alone ("crane", "drake") are ambiguous; adding the definition improves the untrained start by a tenth on
    held-out drawings. timm ships the names and definitions (Princeton WordNet 3.0).

    Returns:
        (1000, 384) float32.
    """
    folder = files("timm.data") / "_info"
    synsets = (folder / "imagenet_synsets.txt").read_text(encoding="utf-8").split()
    names = _table((folder / "imagenet_synset_to_lemma.txt").read_text(encoding="utf-8"))
    definitions = _table((folder / "imagenet_synset_to_definition.txt").read_text(encoding="utf-8"))
    named = unit(encoder.sentence_vectors([names[synset] for synset in synsets]))
    first_names = [names[synset].split(",")[0].strip() for synset in synsets]
    sentences = [f"{name}: {definitions[synset]}" for name, synset in zip(first_names, synsets, strict=True)]
    vectors = (named + unit(encoder.sentence_vectors(sentences))) / 2
    return np.asarray(vectors - vectors.mean(axis=0), dtype=np.float32)


def synset_texts() -> tuple[list[str], list[str]]:
    """Return names and definitions of the 21,844 synsets of ImageNet-21k, as timm ships them.

    Returns:
        The first name of each synset ("crane"), and its definition behind it ("crane: lifts and moves heavy objects").
    """
    folder = files("timm.data") / "_info"
    names = _table((folder / "imagenet_synset_to_lemma.txt").read_text(encoding="utf-8"))
    definitions = _table((folder / "imagenet_synset_to_definition.txt").read_text(encoding="utf-8"))
    firsts = {synset: names[synset].split(",")[0].strip() for synset in sorted(names)}
    return list(firsts.values()), [f"{name}: {definitions[synset]}" for synset, name in firsts.items()]


def _table(text: str) -> dict[str, str]:
    rows = (line.partition("\t") for line in text.splitlines() if line)
    return {key: value for key, _, value in rows}
