"""Limit of open files: raise it at start, and divide it between connections and everything else."""

from __future__ import annotations

import sys
from typing import Final

RESERVED: Final = 384
"""Descriptors for the database, child processes and files; at most half the limit."""

BACKLOG: Final = 2048
"""Connections that wait in the kernel. asyncio accepts this many in a burst before the first of them is counted."""


def raise_descriptor_limit(connections: int) -> int:
    """Raise the soft limit of open files for a number of connections, up to the hard limit.

    Returns:
        The limit after the call.
    """
    needed = RESERVED + BACKLOG + connections
    if sys.platform == "win32":
        return needed  # sockets have no such limit on Windows
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return needed
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    except (OSError, ValueError):  # the real limit of macOS is lower than its hard limit
        return soft
    return raised


def share_descriptors(limit: int, connections: int) -> tuple[int, int]:
    """Return the connections and the backlog that fit into a limit of open files, at most `connections` and `BACKLOG`.

    Connections are accepted in bursts of up to the backlog, so both need descriptors.
    """
    left = limit - min(RESERVED, limit // 2)
    backlog = min(BACKLOG, max(left // 4, left - connections))
    return min(connections, left - backlog), backlog
