"""Optional packages: the error for a missing one names the extra that installs it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Literal

from firstsight.errors import OptionalDependencyError

Extra = Literal[
    "az",
    "evaluate",
    "gs",
    "heic",
    "int8",
    "language",
    "multilingual",
    "ocr",
    "onnx",
    "pandas",
    "recommend",
    "rerank",
    "s3",
    "serve",
    "siglip",
    "tune",
    "umap",
    "xlsx",
]
"""An extra of firstsight; pyproject.toml lists its packages."""


def install_command(extra: Extra) -> str:
    """Return the command that installs an extra."""
    return f"pip install 'firstsight[{extra}]'"


def missing_extra(extra: Extra, feature: str, alternative: str = "") -> OptionalDependencyError:
    """Make the error for a feature whose packages are not installed.

    Args:
        extra: the extra that installs them.
        feature: subject of the sentence, with a verb in the singular: "the service".
        alternative: another remedy than installing, in the imperative.
    """
    remedy = f", or {alternative}" if alternative else ""
    return OptionalDependencyError(f"{feature} needs more packages: {install_command(extra)}{remedy}")


@contextmanager
def requires(extra: Extra, feature: str, alternative: str = "") -> Iterator[None]:
    """Import the packages of an extra inside this context.

    Args:
        extra, feature, alternative: as for `missing_extra`.

    Raises:
        OptionalDependencyError: an import inside the context fails.
    """
    try:
        yield
    except ImportError as error:
        raise missing_extra(extra, feature, alternative) from error


def is_installed(package: str) -> bool:
    """Whether a package can be imported, by its import name, without importing it."""
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # the package around it is missing, or the module is blocked
        return False


def require_packages(extra: Extra, feature: str, packages: Iterable[str]) -> None:
    """Check that packages are installed, without importing them.

    Args:
        extra, feature: as for `missing_extra`.
        packages: import names.

    Raises:
        OptionalDependencyError: one of them is missing.
    """
    if not all(map(is_installed, packages)):
        raise missing_extra(extra, feature)
