"""Every exception firstsight raises on purpose, as one tree.

    FirstsightError
    ├── CatalogError              a catalogue that cannot be read, or a row that breaks its rules
    ├── MediaError                one picture or video that cannot be used; carries a `reason`
    ├── EncoderError              an encoder that cannot be loaded or run
    │   ├── OptionalDependencyError   an extra that is not installed; names the command that installs it
    │   ├── InputError            inputs that it fails on, while it encodes others; carries `errors`
    │   └── BrokenEncoderError    one that fails on every input
    ├── StoreError                a database that cannot be opened, read or written
    │   ├── MissingDatabaseError  there is none at that place
    │   ├── DatabaseBusyError     another process is writing to it
    │   └── EncoderMismatchError  its vectors come from another encoder
    ├── QueryError                a query that cannot be answered: empty, unknown item, wrong filter
    └── SafetyError               a policy, label, head or decision that cannot be read, made or kept
        └── AuditLogError         the audit log cannot be read or written, was changed, or is not the database's

Each message says what was wrong, with the value and the place, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

FailureReason = Literal[
    "missing",  # no such file or address
    "forbidden",  # the address guard or the file system said no
    "unreachable",  # network error, or the server did not answer with the file
    "timeout",  # fetching or decoding took longer than allowed
    "too_large",  # more bytes or more pixels than allowed
    "unsupported",  # a format that is recognised and not read
    "corrupt",  # empty, truncated, or not what it says it is
    "crashed",  # the decoder's process died on it, or the encoder failed on it
    "empty",  # an item with no title, no text and no media
]
"""Why a medium could not be used: the closed list of the `failures` table."""

FAILURE_REASONS: tuple[FailureReason, ...] = get_args(FailureReason)


class FirstsightError(Exception):
    """Base of every error firstsight raises on purpose."""


class CatalogError(FirstsightError):
    """A catalogue that cannot be read, or a row that breaks its rules."""


class MediaError(FirstsightError):
    """One picture or video that cannot be used; it costs itself, never its batch.

    Attributes:
        reason: one of `FAILURE_REASONS`.
    """

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason: FailureReason = reason


class EncoderError(FirstsightError):
    """An encoder that cannot be loaded or run."""


class OptionalDependencyError(EncoderError):
    """A package that only an extra installs is needed and not there."""


class InputError(EncoderError):
    """Inputs of one call that the encoder fails on, while it encodes others.

    Attributes:
        errors: (position, error) of each of them, by position; n >= 1.
    """

    def __init__(self, errors: Sequence[tuple[int, MediaError]]) -> None:
        place, first = errors[0]
        others = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"input {place}: {first}{others}")
        self.errors = list(errors)


class BrokenEncoderError(EncoderError):
    """An encoder that fails on every input."""


class StoreError(FirstsightError):
    """A database that cannot be opened, read or written."""


class MissingDatabaseError(StoreError):
    """There is no database at that place."""


class DatabaseBusyError(StoreError):
    """Another process is writing to this database."""


class EncoderMismatchError(StoreError):
    """The database holds vectors of another encoder."""


class QueryError(FirstsightError):
    """A query that cannot be answered: empty, unknown item, wrong filter."""


class SafetyError(FirstsightError):
    """A policy, label, head or decision that cannot be read, made or kept."""


class AuditLogError(SafetyError):
    """The audit log cannot be read or written, was changed, or is not the database's."""


def first_line(error: BaseException) -> str:
    """The first line of what another library says, at most 300 characters: the part worth repeating."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
