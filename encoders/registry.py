"""Registry of encoder families. A family's file, and torch with it, is imported only on use."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeAlias

from firstsight.encoders.base import Encoder
from firstsight.encoders.encoder_options import AUTO, EncoderOptions, looks_like_a_path
from firstsight.errors import EncoderError, first_line

if TYPE_CHECKING:
    from firstsight.encoders.families.trainable_model import TrainableModel
    from firstsight.encoders.runtimes.dual_model import DualModel

ENTRY_POINTS = "firstsight.encoders"
"""The entry-point group for families of other packages."""

Family: TypeAlias = Callable[[str, EncoderOptions], Encoder]
"""Makes an encoder from a model name (the part after the family's colon) and options."""


def _starter(model: str, options: EncoderOptions) -> Encoder:
    from firstsight.encoders.starter.starter_encoder import StarterEncoder
    from firstsight.encoders.starter.starter_model import StarterModel

    return StarterEncoder(options.runtime, options.threads, StarterModel.of_name(model))


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
"""The built-in families by name."""


def families() -> dict[str, Family]:
    """Return the built-in families and the families of installed packages.

    Another package cannot replace a built-in family.
    """
    installed = {point.name: _from_package(point.name) for point in entry_points(group=ENTRY_POINTS)}
    return installed | FAMILIES


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


def load_trainable_model(name: str, options: EncoderOptions) -> TrainableModel:
    """Load an open_clip or transformers model with its network, which can be trained and saved.

    Args, raises: as for `load_dual_model`.
    """
    family, _, model = name.partition(":")
    if family == "open_clip":
        from firstsight.encoders.families.open_clip import load_trainable
    elif family == "transformers":
        from firstsight.encoders.families.transformers import load_trainable
    else:
        raise EncoderError(f"{name!r} is neither an open_clip nor a transformers model; it has no two torch towers")
    return load_trainable(model, options)


def load_dual_model(name: str, options: EncoderOptions) -> DualModel:
    """Load the parts of an open_clip or transformers model, with its library's own functions for comparison.

    Args:
        name: as for `load_encoder`.
        options: only `trust_remote_code` is used here.

    Raises:
        EncoderError: if the model cannot be loaded or belongs to another family.
    """
    family, _, model = name.partition(":")
    if family == "open_clip":
        from firstsight.encoders.families.open_clip import load_model
    elif family == "transformers":
        from firstsight.encoders.families.transformers import load_model
    else:
        raise EncoderError(f"{name!r} is neither an open_clip nor a transformers model; it has a single runtime")
    return load_model(model, options)


def names_a_file(name: str) -> bool:
    """Return whether a name contains a path: the user may move such a file, and its weights stay the same."""
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
        name: `starter`, `starter:multilingual`, `starter:visual`, `starter:FOLDER`, `open_clip:ARCH/TAG`,
            `open_clip:ARCH@FILE`, `open_clip:hf-hub:ORG/NAME`, `open_clip:FOLDER`, `transformers:ORG/NAME`,
            `transformers:FOLDER`, or a family of an installed package.
        runtime: "auto" for the fastest runtime that keeps the reference vectors, "fast" to allow int8 after a
            calibration, or ENGINE:PRECISION of torch, torch-compile (fp32, bf16, fp16) and openvino (fp32, bf16, int8).
        device: "cpu", "cuda", "cuda:1" or "mps"; by default the best available one.
        threads: CPU threads; by default all CPUs that this process may use.
        trust_remote_code: run Python code from the model's repository.

    Raises:
        EncoderError: if the family, model, tag, file or runtime does not exist; the message lists the valid ones.
        OptionalDependencyError: the encoder needs an extra that is not installed.
    """
    return load_with_options(name, EncoderOptions(runtime, device, threads, trust_remote_code))


def load_with_options(name: str, options: EncoderOptions) -> Encoder:
    """Load an encoder by its name, with its options in one object.

    Raises:
        EncoderError: as `load_encoder`.
    """
    family, _, model = name.partition(":")
    known = families()
    make = known.get(family)
    if make is None:
        near = difflib.get_close_matches(family, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise EncoderError(f"no encoder family is called {family!r}; there are {', '.join(known)}.{hint}")
    return make(model, options)
