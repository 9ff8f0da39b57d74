"""Named corruptions of pictures, repeatable by seed and picture.

A corruption has five strengths, or one if there is nothing to increase. Corruptions that somebody uses to hide a
picture from a check are evasions: mirror, border, text, crop, recompression and collage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from PIL import Image

from firstsight.errors import QueryError
from firstsight.media.corruptions import layout_effects, pixel_effects

STRENGTHS: Final = (1, 2, 3, 4, 5)
"""Strengths of a corruption, the weakest first."""

Effect: TypeAlias = Callable[[Image.Image, int, np.random.Generator], Image.Image]


@dataclass(frozen=True)
class Corruption:
    """One way to change a picture."""

    name: str
    strengths: tuple[int, ...]  # (1,) if there is only one
    is_evasion: bool  # used to hide a picture from a check
    is_common: bool  # happens without intention: part of the robustness of a search


_EFFECTS: Final[Mapping[str, Effect]] = {
    "gaussian-blur": pixel_effects.gaussian_blur,
    "motion-blur": pixel_effects.motion_blur,
    "gaussian-noise": pixel_effects.gaussian_noise,
    "shot-noise": pixel_effects.shot_noise,
    "jpeg": pixel_effects.jpeg,
    "crop": layout_effects.crop,
    "rotation": layout_effects.rotation,
    "brighter": pixel_effects.brighter,
    "darker": pixel_effects.darker,
    "contrast": pixel_effects.contrast,
    "text": layout_effects.text_overlay,
    "border": layout_effects.border,
    "watermark": layout_effects.watermark,
    "mirror": layout_effects.mirror,
}
_EVASIONS: Final = ("jpeg", "crop", "text", "border")
_SINGLE: Final = ("mirror", "collage")

CORRUPTIONS: Final[Mapping[str, Corruption]] = MappingProxyType(
    {
        name: Corruption(
            name,
            strengths=STRENGTHS[:1] if name in _SINGLE else STRENGTHS,
            is_evasion=name in (*_EVASIONS, *_SINGLE),
            is_common=name not in _SINGLE,
        )
        for name in (*_EFFECTS, "collage")
    }
)
"""All corruptions by name."""

COMMON: Final = tuple(name for name, corruption in CORRUPTIONS.items() if corruption.is_common)
"""Names of the corruptions that a robust search withstands."""

EVASIONS: Final = tuple(name for name, corruption in CORRUPTIONS.items() if corruption.is_evasion)
"""Names of the corruptions that hide pictures from a check."""


def corrupt(
    picture: Image.Image,
    name: str,
    strength: int = 3,
    *,
    seed: int = 0,
    key: str | None = None,
    others: Sequence[Image.Image] = (),
) -> Image.Image:
    """Corrupt a picture. The same picture, or key, and seed give the same result; random places stay at each strength.

    Args:
        picture: an RGB picture of any size; it is not changed.
        name: a name of `CORRUPTIONS`.
        strength: 1 to 5; 1 if the corruption has only one.
        seed: random seed.
        key: id that takes the place of the picture's own pixels, such as a view id.
        others: for a collage, pictures of its other quarters.

    Returns:
        An RGB picture of the same size.

    Raises:
        QueryError: there is no such corruption or strength.
    """
    corruption = require_corruption(name)
    if strength not in corruption.strengths:
        allowed = "1" if len(corruption.strengths) == 1 else f"1 to {corruption.strengths[-1]}"
        raise QueryError(f"corruption {name} has no strength {strength}; use {allowed}")
    rgb = picture if picture.mode == "RGB" else picture.convert("RGB")
    rng = _generator(rgb, name, seed, key)
    return layout_effects.collage(rgb, rng, others) if name == "collage" else _EFFECTS[name](rgb, strength, rng)


def require_corruption(name: str) -> Corruption:
    """Return a corruption by its name.

    Raises:
        QueryError: there is no such corruption.
    """
    found = CORRUPTIONS.get(name)
    if found is None:
        raise QueryError(f"there is no corruption {name!r}; the corruptions are {', '.join(CORRUPTIONS)}")
    return found


def choose_corruptions(names: Sequence[str] | None, strengths: Sequence[int] | None) -> list[tuple[str, int]]:
    """List corruptions with their strengths.

    Args:
        names: names of `CORRUPTIONS`; None for `COMMON`.
        strengths: 1 to 5; None for all. A corruption without strengths has 1, whatever is given.

    Raises:
        QueryError: a name or a strength does not exist, or one of the lists is empty.
    """
    chosen = COMMON if names is None else tuple(dict.fromkeys(names))
    levels = STRENGTHS if strengths is None else tuple(sorted(set(strengths)))
    if not chosen or not levels:
        raise QueryError("name at least one corruption and one strength")
    for level in levels:
        if level not in STRENGTHS:
            raise QueryError(f"there is no strength {level}; use 1 to {STRENGTHS[-1]}")
    found = [require_corruption(name) for name in chosen]
    return [
        (corruption.name, level)
        for corruption in found
        for level in (levels if len(corruption.strengths) > 1 else corruption.strengths)
    ]


def _generator(picture: Image.Image, name: str, seed: int, key: str | None) -> np.random.Generator:
    digest = hashlib.blake2b(f"{seed}\n{name}\n".encode(), digest_size=16)
    digest.update(picture.tobytes() if key is None else key.encode())
    return np.random.default_rng(int.from_bytes(digest.digest()))
