"""Names to encoders. A family's file, and with it torch, is imported only when the family is asked for."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

from firstsight.encoders.base import Encoder
from firstsight.errors import EncoderError


def _starter(rest: str) -> Encoder:
    from firstsight.encoders.starter import StarterEncoder

    if rest:
        raise EncoderError(f"starter takes no model name; use --encoder starter, not starter:{rest}")
    return StarterEncoder()


def _open_clip(rest: str) -> Encoder:
    from firstsight.encoders.open_clip import OpenClipEncoder

    return OpenClipEncoder(rest)


def _transformers(rest: str) -> Encoder:
    from firstsight.encoders.transformers import TransformersEncoder

    return TransformersEncoder(rest)


FAMILIES: dict[str, Callable[[str], Encoder]] = {
    "starter": _starter,
    "open_clip": _open_clip,
    "transformers": _transformers,
}
"""What stands before the colon of a name, and what makes the encoder from what stands behind it."""


def names_a_file(name: str) -> bool:
    """Whether a name leads to a file or folder of the user's, which may move while its weights stay the same."""
    family, _, rest = name.partition(":")
    return "@" in rest or (family == "transformers" and Path(rest).expanduser().is_dir())


def load_encoder(name: str = "starter") -> Encoder:
    """Load an encoder by its name.

    Args:
        name: `starter`, `open_clip:ARCH/TAG`, `open_clip:ARCH@FILE`, `transformers:ORG/NAME` or
            `transformers:FOLDER`.

    Raises:
        EncoderError: no such family, model, tag or file; the message says what there is.
    """
    family, _, rest = name.partition(":")
    make = FAMILIES.get(family)
    if make is None:
        near = difflib.get_close_matches(family, FAMILIES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise EncoderError(f"no encoder family is called {family!r}; there are {', '.join(FAMILIES)}.{hint}")
    return make(rest)
