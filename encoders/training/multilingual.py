"""Fit the map and the gate of `starter:multilingual`.

    npm install --prefix data cldr-annotations-full@48
    python -m firstsight.encoders.training.multilingual --cldr data/node_modules/cldr-annotations-full

The map is a ridge regression from the vectors of the multilingual tower to the text vectors of `starter`. Its texts:

* English: names and definitions of the 21,844 WordNet synsets of ImageNet-21k, as timm ships them, and names with a
  colour before them ("blue umbrella");
* parallel: the names of emoji in 12 languages; the target is the vector of the English name.

The gate is a logistic regression that tells English texts from others by the cosine of both towers' vectors. It is
fitted on a fifth of the texts, with a map that was fitted without them.

Takes five minutes on one core. `--validate` prints the figures of the held-out fifth and writes no file.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression

from firstsight.encoders.base import Vectors
from firstsight.encoders.starter.multilingual import LanguageMap, LanguageTower
from firstsight.encoders.starter.starter_encoder import StarterEncoder
from firstsight.encoders.starter.starter_model import LANGUAGE_MAP_PATH
from firstsight.encoders.training.augmentation import COLOURS
from firstsight.encoders.training.imagenet_classes import synset_texts

LANGUAGES: Final = ("en", "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "zh", "ja", "ar")
"""Languages of the emoji names that are trained on, all of them among the 16 of the tower."""

COLOURED_NAMES: Final = 8_000
DEFINED: Final = 3  # every third synset gives its definition too
PENALTY: Final = 1.0  # .3 and 3 find as many held-out emoji
EMOJI_WEIGHT: Final = 0.3  # of 0, .3 and 1, the one that finds most held-out emoji by their translations
HELD_OUT: Final = 5  # every fifth text
SEED: Final = 1


@dataclass(frozen=True)
class ParallelTexts:
    """Texts with their target: n texts whose English wording has the vector."""

    language: str
    groups: tuple[str, ...]  # texts of one meaning share a group, in every language
    vectors: NDArray[np.float32]  # (n, 512) of the multilingual tower
    own: Vectors  # (n, 384) of the English tower for the text itself
    targets: Vectors  # (n, 384) of the English tower for the English wording
    weight: float


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cldr", type=Path, required=True, help="folder of the npm package cldr-annotations-full")
    parser.add_argument("--out", type=Path, default=LANGUAGE_MAP_PATH, help="the weights file to write")
    parser.add_argument("--validate", action="store_true", help="print the held-out figures, write no file")
    options = parser.parse_args(arguments)
    names = emoji_names(options.cldr)
    encoder, tower = StarterEncoder(), LanguageTower()
    _report("encoding the English texts")
    parts = [_encoded("en", captions := english_texts(), captions, encoder, tower, 1.0)]
    for language in LANGUAGES:
        _report(f"encoding the emoji names of {language}")
        shared = sorted(set(names["en"]) & set(names[language]))
        english = [names["en"][emoji] for emoji in shared]
        texts = [names[language][emoji] for emoji in shared]
        parts.append(_encoded(language, texts, english, encoder, tower, EMOJI_WEIGHT))
    without = ridge([_select(part, held_out=False) for part in parts])
    rest = [_select(part, held_out=True) for part in parts]
    gate = fit_gate(without, rest)
    if options.validate:
        _print_figures(LanguageMap({"map": without, "gate": gate}), rest)
        return 0
    arrays = {"map": ridge(parts).astype(np.float16), "gate": gate.astype(np.float32)}
    save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, options.out)
    _report(f"wrote {options.out} ({options.out.stat().st_size / 1e3:.0f} kB)")
    return 0


def english_texts() -> list[str]:
    """Make the English texts: names, definitions, and names with a colour."""
    names, definitions = synset_texts()
    generator = random.Random(SEED)  # noqa: S311  # no secret
    coloured = [f"{generator.choice(list(COLOURS))} {generator.choice(names)}" for _ in range(COLOURED_NAMES)]
    return sorted({*names, *definitions[::DEFINED], *coloured})


def emoji_names(folder: Path) -> dict[str, dict[str, str]]:
    """Read the short names of emoji: language -> emoji -> name."""
    names = {}
    for language in LANGUAGES:
        path = folder / "annotations" / language / "annotations.json"
        entries = json.loads(path.read_text(encoding="utf-8"))["annotations"]["annotations"]
        names[language] = {emoji: entry["tts"][0] for emoji, entry in entries.items() if entry.get("tts")}
    return names


def ridge(parts: Sequence[ParallelTexts]) -> NDArray[np.float32]:
    """Fit the map: (513, 384), whose last row is added."""
    size = parts[0].vectors.shape[1] + 1
    gram, cross = PENALTY * np.eye(size), np.zeros((size, parts[0].targets.shape[1]))
    for part in parts:
        inputs = np.concatenate([part.vectors, np.ones((len(part.vectors), 1))], axis=1, dtype=np.float64)
        gram += part.weight * inputs.T @ inputs
        cross += part.weight * inputs.T @ part.targets
    return np.linalg.solve(gram, cross).astype(np.float32)


def fit_gate(weights: NDArray[np.float32], parts: Sequence[ParallelTexts]) -> NDArray[np.float32]:
    """Fit slope and offset of the gate, (2,), on texts that the map has not seen."""
    agreement, english = _agreement(LanguageMap({"map": weights, "gate": np.zeros(2)}), parts)
    model = LogisticRegression(class_weight="balanced", C=100.0).fit(agreement[:, None], english)
    return np.array([model.coef_[0, 0], model.intercept_[0]], dtype=np.float32)


def _agreement(map_: LanguageMap, parts: Sequence[ParallelTexts]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the cosine of both towers' vectors for each text, and whether it is English."""
    cosines = [np.sum(part.own * map_.mapped(part.vectors), axis=1) for part in parts]
    english = [np.full(len(part.own), part.language == "en") for part in parts]
    return np.concatenate(cosines), np.concatenate(english)


def _encoded(
    language: str,
    texts: Sequence[str],
    english: Sequence[str],
    encoder: StarterEncoder,
    tower: LanguageTower,
    weight: float,
) -> ParallelTexts:
    own = encoder.bridge.texts(encoder.sentence_vectors(texts))
    targets = own if language == "en" else encoder.bridge.texts(encoder.sentence_vectors(english))
    return ParallelTexts(language, tuple(english), tower.vectors(texts), own, targets, weight)


def _select(part: ParallelTexts, *, held_out: bool) -> ParallelTexts:
    """Return the held-out texts or the others; a meaning is held out in every language or in none."""
    keep = np.array([(zlib.crc32(group.encode()) % HELD_OUT == 0) == held_out for group in part.groups])
    groups = tuple(group for group, kept in zip(part.groups, keep, strict=True) if kept)
    return ParallelTexts(part.language, groups, part.vectors[keep], part.own[keep], part.targets[keep], part.weight)


def _print_figures(map_: LanguageMap, parts: Sequence[ParallelTexts]) -> None:
    """Print how often a held-out emoji is found by its name, among the English names, and the gate's mean weight."""
    agreement, english = _agreement(map_, parts)
    right_side = (map_.english_weights(agreement) > 0.5) == english
    sys.stdout.write(
        f"right side of the gate: English {right_side[english].mean():.3f}, others {right_side[~english].mean():.3f}\n"
    )
    wanted = parts[1].targets  # the emoji names in English
    for part in parts[1:]:
        rows = {group: row for row, group in enumerate(parts[1].groups)}
        right = np.array([rows[group] for group in part.groups])
        found = {
            "English tower": part.own,
            "mapped": map_.mapped(part.vectors),
            "combined": map_.combined(part.own, part.vectors),
        }
        shares = "  ".join(f"{name} {np.mean((v @ wanted.T).argmax(axis=1) == right):.3f}" for name, v in found.items())
        share = map_.english_weights(_agreement(map_, [part])[0]).mean()
        sys.stdout.write(f"{part.language}: {shares}  weight of the English tower {share:.2f}\n")


def _report(progress: str) -> None:
    sys.stderr.write(f"{progress}\n")


if __name__ == "__main__":
    sys.exit(main())
