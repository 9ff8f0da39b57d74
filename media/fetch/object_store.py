"""Download from object stores through fsspec, with the credentials of the user who runs the process."""

from __future__ import annotations

import time
from typing import IO, Final

from firstsight.errors import MediaError
from firstsight.extras import Extra, install_command
from firstsight.media.policy import MediaPolicy, too_large_error

_CHUNK: Final = 1 << 16


def fetch_object(uri: str, extra: Extra, into: IO[bytes], policy: MediaPolicy, limit: int) -> str:
    """Write an object to an empty file.

    The time limit is checked between chunks. The store's client controls each single wait and its retries.

    Args:
        extra: name of the extra of firstsight that installs the client.
        limit: largest size in bytes.

    Returns:
        The object's version; always "" for now.

    Raises:
        MediaError: "missing" if there is no such object; "forbidden" if the credentials do not allow access;
            "unreachable" if the client fails; "timeout" after `policy.timeout_s` seconds; "too_large" above `limit`;
            "unsupported" if the client is not installed.
    """
    until = time.monotonic() + policy.timeout_s
    try:
        import fsspec

        # The client takes only the path from the address: a catalogue must not choose an endpoint, account or option.
        store = fsspec.filesystem(uri.partition(":")[0].lower())
        size = 0
        with store.open(store._strip_protocol(uri), "rb") as file:
            if (getattr(file, "size", None) or 0) > limit:
                raise too_large_error(uri, limit)
            while chunk := file.read(_CHUNK):
                if time.monotonic() > until:
                    raise MediaError("timeout", f"{uri} exceeded the time limit; raise it (--timeout) or try again")
                size += len(chunk)
                if size > limit:
                    raise too_large_error(uri, limit)
                into.write(chunk)
    except MediaError:
        raise
    except ImportError as error:
        raise MediaError(
            "unsupported",
            f"{uri} needs a client that is not installed; run: {install_command(extra)}",
        ) from error
    except FileNotFoundError as error:
        raise MediaError("missing", f"{uri} does not exist; correct the address") from error
    except PermissionError as error:
        raise MediaError("forbidden", f"{uri} cannot be read with the current credentials; check them") from error
    except Exception as error:  # each client has its own exceptions; their common part is the message
        detail = " ".join(str(error).split())[:200] or type(error).__name__
        raise MediaError("unreachable", f"{uri} could not be fetched ({detail}); try again") from error
    return ""
