"""Names to encoders. A family's file, and with it torch, is imported only when the family is asked for."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeAlias

from firstsight.encoders.base import Encoder
from firstsight.encoders.encoder_options import AUTO, EncoderOptions, looks_like_a_path
from firstsight.errors import EncoderError, first_line

if TYPE_CHECKING:
    from firstsight.encoders.runtimes.dual_encoder import DualModel

ENTRY_POINTS = "firstsight.encoders"
"""The entry-point group in which another package names its families."""

Family: TypeAlias = Callable[[str, EncoderOptions], Encoder]
"""Makes an encoder from what stands behind the colon of its name, and from how it is to be run."""


def _starter(model: str, options: EncoderOptions) -> Encoder:
    from firstsight.encoders.starter.starter_encoder import StarterEncoder

    if model:
        raise EncoderError(f"starter takes no model name; use --encoder starter, not starter:{model}")
    return StarterEncoder(options.runtime, options.threads)


def _open_clip(model: str, options: EncoderOptions) -> Encoder:
    from firstsight.encoders.families.open_clip import load

    return load(model, options)


def _transformers(model: str, options: EncoderOptions) -> Encoder:
    from firstsight.encoders.families.transformers import load

    return load(model, options)


FAMILIES: dict[str, Family] = {
    "starter": _starter,
    "open_clip": _open_clip,
    "transformers": _transformers,
}
"""The built-in families: what stands before the colon of a name, and what makes the encoder."""


def families() -> dict[str, Family]:
    """The built-in families and those of installed packages, which cannot take a built-in one's name."""
    found = {point.name: _from_package(point.name) for point in entry_points(group=ENTRY_POINTS)}
    return found | FAMILIES


def _from_package(name: str) -> Family:
    def make(model: str, options: EncoderOptions) -> Encoder:
        (point, *_) = entry_points(group=ENTRY_POINTS, name=name)
        try:
            family = point.load()
        except Exception as error:  # another package's import may raise anything
            package = point.dist.name if point.dist else "a package"
            raise EncoderError(f"the family {name!r} of {package} cannot be loaded: {first_line(error)}") from error
        encoder = family(model, options)
        if not isinstance(encoder, Encoder):
            raise EncoderError(f"the family {name!r} made a {type(encoder).__name__}, which is not an Encoder")
        return encoder

    return make


def load_dual_model(name: str, options: EncoderOptions) -> DualModel:
    """A model of open_clip or transformers taken apart, with its library's own way of running it to compare with.

    Raises:
        EncoderError: it cannot be loaded, or is of another family.
    """
    family, _, model = name.partition(":")
    if family == "open_clip":
        from firstsight.encoders.families.open_clip import load_model
    elif family == "transformers":
        from firstsight.encoders.families.transformers import load_model
    else:
        raise EncoderError(f"{name!r} is neither an open_clip nor a transformers model; it runs in one way only")
    return load_model(model, options)


def names_a_file(name: str) -> bool:
    """Whether a name leads to a file or folder of the user's, which may move while its weights stay the same."""
    _, _, model = name.partition(":")
    return "@" in model or looks_like_a_path(model)


def load_encoder(
    name: str = "starter",
    *,
    runtime: str = AUTO,
    device: str | None = None,
    threads: int | None = None,
    trust_remote_code: bool = False,
) -> Encoder:
    """Load an encoder by its name.

    Args:
        name: `starter`, `open_clip:ARCH/TAG`, `open_clip:ARCH@FILE`, `open_clip:hf-hub:ORG/NAME`, `open_clip:FOLDER`,
            `transformers:ORG/NAME`, `transformers:FOLDER`, or a family of an installed package.
        runtime: "auto" for the fastest that gives the reference's vectors, "fast" to allow int8 where it was
            calibrated, or ENGINE:PRECISION of torch, torch-compile (fp32, bf16, fp16) and openvino (fp32, bf16, int8).
        device: "cpu", "cuda", "cuda:1" or "mps"; the best there is by default.
        threads: CPU threads; those this process may use by default.
        trust_remote_code: let a model bring Python code along and run it.

    Raises:
        EncoderError: no such family, model, tag, file or runtime; the message says what there is.
    """
    return load_with_options(name, EncoderOptions(runtime, device, threads, trust_remote_code))


def load_with_options(name: str, options: EncoderOptions) -> Encoder:
    """`load_encoder` with its options in one object."""
    family, _, model = name.partition(":")
    known = families()
    make = known.get(family)
    if make is None:
        near = difflib.get_close_matches(family, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise EncoderError(f"no encoder family is called {family!r}; there are {', '.join(known)}.{hint}")
    return make(model, options)
