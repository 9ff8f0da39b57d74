"""The exceptions of firstsight, as one tree.

    FirstsightError
    ├── CatalogError              a catalogue cannot be read, or a row breaks its rules
    ├── MediaError                a picture or video cannot be used; has a `reason`
    ├── EncoderError              an encoder cannot be loaded or run
    │   ├── OptionalDependencyError   a package of an extra is missing; the message has the install command
    │   ├── InputError            an encoder fails on some inputs of a call; has `errors`
    │   └── BrokenEncoderError    an encoder fails on every input
    ├── StoreError                a database cannot be opened, read or written
    │   ├── MissingDatabaseError  there is no database at the address
    │   ├── DatabaseBusyError     another process is writing to the database
    │   └── EncoderMismatchError  the database holds another encoder's vectors
    ├── QueryError                a query cannot be answered: empty, unknown item, wrong filter
    ├── TagError                  a tag, its labels or a taxonomy cannot be read, made or stored
    └── SafetyError               a policy, label, head or decision cannot be read, made or stored
        └── AuditLogError         the audit log cannot be read or written, was changed, or is not the database's

Each message has the problem, the value, the place and the remedy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

FailureReason = Literal[
    "missing",  # there is no such file or address
    "forbidden",  # the address guard or the file system refused access
    "unreachable",  # network error, or the server did not return the file
    "timeout",  # fetching or decoding took longer than allowed
    "too_large",  # more bytes or more pixels than allowed
    "unsupported",  # a known format that firstsight cannot read
    "corrupt",  # empty, truncated, or of another format than its name
    "crashed",  # the decoder's process died, or the encoder failed
    "empty",  # an item with no title, no text and no media
]
"""Why a medium could not be used; the `failures` table has no other reasons."""

FAILURE_REASONS: tuple[FailureReason, ...] = get_args(FailureReason)


class FirstsightError(Exception):
    """Base of all firstsight errors."""


class CatalogError(FirstsightError):
    """A catalogue cannot be read, or a row breaks its rules."""


class MediaError(FirstsightError):
    """A picture or video cannot be used; the rest of its batch is not affected.

    Attributes:
        reason: one of `FAILURE_REASONS`.
    """

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason: FailureReason = reason


class EncoderError(FirstsightError):
    """An encoder cannot be loaded or run."""


class OptionalDependencyError(EncoderError):
    """A package is missing that only an extra installs."""


class InputError(EncoderError):
    """An encoder fails on some inputs of a call, but not on all.

    Attributes:
        errors: (position, error) of each failed input, sorted by position; at least one.
    """

    def __init__(self, errors: Sequence[tuple[int, MediaError]]) -> None:
        place, first = errors[0]
        others = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"input {place}: {first}{others}")
        self.errors = list(errors)


class BrokenEncoderError(EncoderError):
    """An encoder fails on every input."""


class StoreError(FirstsightError):
    """A database cannot be opened, read or written."""


class MissingDatabaseError(StoreError):
    """There is no database at the address."""


class DatabaseBusyError(StoreError):
    """Another process is writing to the database."""


class EncoderMismatchError(StoreError):
    """The database holds another encoder's vectors."""


class QueryError(FirstsightError):
    """A query cannot be answered: empty, unknown item, wrong filter."""


class TagError(FirstsightError):
    """A tag, its labels or a taxonomy cannot be read, made or stored."""


class SafetyError(FirstsightError):
    """A policy, label, head or decision cannot be read, made or stored."""


class AuditLogError(SafetyError):
    """The audit log cannot be read or written, was changed, or is not the database's."""


def first_line(error: BaseException) -> str:
    """First line of another library's message, at most 300 characters, for our own messages."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
