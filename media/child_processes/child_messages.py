"""Messages between a process and its decoding child: a JSON header, followed by raw bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import IO, Any, Final, TypeAlias

from firstsight.errors import FAILURE_REASONS, MediaError

Header: TypeAlias = dict[str, Any]
"""A JSON object. The receiver checks its fields."""

_LENGTHS: Final = struct.Struct(">IQ")
_MAX_HEADER: Final = 1 << 20


def send(stream: IO[bytes], header: Header, body: Sequence[bytes] = ()) -> None:
    """Write one message. Its body is the concatenation of `body`."""
    encoded = json.dumps(header).encode("ascii")  # escapes keep lone surrogates of file names
    stream.write(_LENGTHS.pack(len(encoded), sum(map(len, body))))
    stream.write(encoded)
    for part in body:
        stream.write(part)
    stream.flush()


def receive(stream: IO[bytes], *, max_body: int = 0) -> tuple[Header, bytes]:
    """Read one message.

    Raises:
        EOFError: the stream ends before or within the message.
        ValueError: the bytes are not a message, or the message is longer than allowed.
    """
    header_length, body_length = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    if header_length > _MAX_HEADER or body_length > max_body:
        raise ValueError(f"a message of {header_length} + {body_length} bytes is longer than allowed")
    header = json.loads(_exactly(stream, header_length))
    if not isinstance(header, dict):
        raise ValueError("the header of a message is not a JSON object")
    return header, _exactly(stream, body_length)


def failure_header(error: MediaError | MemoryError, name: str, remedy: str) -> Header:
    """Describe a child's failure for its parent, which raises it again by `raise_failure`.

    Args:
        name: of the file or stream, for the message about a MemoryError.
        remedy: the advice of that message.
    """
    if isinstance(error, MediaError):
        return {"reason": error.reason, "message": str(error)}
    return {"reason": "too_large", "message": f"{name} needs more memory than a decoder may use; {remedy}"}


def raise_failure(header: Header) -> None:
    """Raise the failure that a header describes; return if it describes none.

    Raises:
        MediaError: the header describes a failure; "crashed" if its reason is unknown.
    """
    if "reason" in header:
        reason = header["reason"]
        raise MediaError(reason if reason in FAILURE_REASONS else "crashed", str(header.get("message")))


def encode_facts(found: Sequence[object]) -> bytes:
    """Facts of pictures as the end of an answer's body; its header has their length in bytes as `facts`."""
    return json.dumps(found).encode("ascii")


def decode_facts(header: Header, body: memoryview) -> list[Any]:
    """Facts of an answer, for each of its pictures.

    Raises:
        KeyError, TypeError, ValueError: the answer has none, or they are broken.
    """
    length = int(header["facts"])
    if not 0 < length <= len(body):
        raise ValueError(f"{length} bytes of facts in a body of {len(body)}")
    found = json.loads(bytes(body[len(body) - length :]), parse_constant=_refuse_constant)
    if not isinstance(found, list):
        raise ValueError("the facts of an answer are no list")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"a fact has the number {name}")


def _exactly(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError(f"the stream ended {length - len(data)} bytes early")
    return data
