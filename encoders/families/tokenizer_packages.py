"""Packages that only tokenisers with a SentencePiece vocabulary need, such as those of SigLIP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from firstsight.extras import is_installed, missing_extra

_PACKAGES: Final = {"sentencepiece": "sentencepiece", "protobuf": "google.protobuf"}
"""Name in messages of transformers -> import name."""


@contextmanager
def naming_missing_packages(source: str) -> Iterator[None]:
    """Make a tokeniser inside this context; an error for a missing package names the extra that installs it.

    The type of the error depends on the release of transformers and on the tokeniser.

    Args:
        source: the model, for the message.

    Raises:
        OptionalDependencyError: the tokeniser needs a package that is not installed.
    """
    try:
        yield
    except Exception as error:
        text = _messages(error).lower()
        if any(name in text and not is_installed(package) for name, package in _PACKAGES.items()):
            raise missing_extra("siglip", f"the tokeniser of {source}") from error
        raise


def _messages(error: BaseException | None) -> str:
    """The messages of an error and of those that led to it."""
    messages = []
    while error is not None:
        messages.append(str(error))
        error = error.__cause__ or error.__context__
    return "\n".join(messages)
