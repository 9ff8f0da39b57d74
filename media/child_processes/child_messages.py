"""Messages between a process and its decoding child: a JSON header, then raw bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import IO, Any, Final, TypeAlias

Header: TypeAlias = dict[str, Any]
"""A JSON object; who receives it checks what is inside."""

_LENGTHS: Final = struct.Struct(">IQ")
_MAX_HEADER: Final = 1 << 20


def send(stream: IO[bytes], header: Header, body: Sequence[bytes] = ()) -> None:
    """Write one message; the parts of the body are joined."""
    encoded = json.dumps(header).encode("ascii")  # lone surrogates of file names survive as escapes
    stream.write(_LENGTHS.pack(len(encoded), sum(map(len, body))))
    stream.write(encoded)
    for part in body:
        stream.write(part)
    stream.flush()


def receive(stream: IO[bytes], *, max_body: int = 0) -> tuple[Header, bytes]:
    """Read one message.

    Raises:
        EOFError: the stream ended before or within the message.
        ValueError: what came is not a message, or is longer than allowed.
    """
    header_length, body_length = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    if header_length > _MAX_HEADER or body_length > max_body:
        raise ValueError(f"a message of {header_length} + {body_length} bytes is longer than allowed")
    header = json.loads(_exactly(stream, header_length))
    if not isinstance(header, dict):
        raise ValueError("a message's header is not a JSON object")
    return header, _exactly(stream, body_length)


def _exactly(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError(f"the stream ended {length - len(data)} bytes early")
    return data
