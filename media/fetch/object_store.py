"""Files of object stores through fsspec, with the credentials of whoever runs the process."""

from __future__ import annotations

import time
from typing import IO, Final

from firstsight.errors import MediaError
from firstsight.media.policy import MediaPolicy, too_large_error

_CHUNK: Final = 1 << 16


def fetch_object(uri: str, extra: str, into: IO[bytes], policy: MediaPolicy, limit: int) -> str:
    """Write an object into an empty file. The time limit holds between chunks: each wait is the client's, and so
    are tries.

    Args:
        extra: of ours, that installs the client.
        limit: bytes; more are refused.

    Returns:
        What tells this version of the object by, or "".

    Raises:
        MediaError: "missing", "forbidden", "unreachable", "timeout", "too_large" or "unsupported".
    """
    import fsspec

    until = time.monotonic() + policy.timeout_s
    try:
        # The client is made without anything from the address but its path: no endpoint, account or option of
        # a catalogue's choosing.
        store = fsspec.filesystem(uri.partition(":")[0].lower())
        size = 0
        with store.open(store._strip_protocol(uri), "rb") as file:
            if (getattr(file, "size", None) or 0) > limit:
                raise too_large_error(uri, limit)
            while chunk := file.read(_CHUNK):
                if time.monotonic() > until:
                    raise MediaError(
                        "timeout", f"{uri} took longer than allowed; raise the time limit (--timeout) or try again"
                    )
                size += len(chunk)
                if size > limit:
                    raise too_large_error(uri, limit)
                into.write(chunk)
    except MediaError:
        raise
    except ImportError as error:
        raise MediaError(
            "unsupported",
            f"{uri} needs a client that is not installed; run: pip install 'firstsight[{extra}]'",
        ) from error
    except FileNotFoundError as error:
        raise MediaError("missing", f"{uri} does not exist; correct the address") from error
    except PermissionError as error:
        raise MediaError("forbidden", f"{uri} may not be read with the credentials in use; check them") from error
    except Exception as error:  # each client has its own tree of errors, and the message is what can be passed on
        detail = " ".join(str(error).split())[:200] or type(error).__name__
        raise MediaError("unreachable", f"{uri} could not be fetched ({detail}); try again") from error
    return ""
