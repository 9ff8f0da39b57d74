"""Descriptor limit of the process: raised at start, and shared out between connections and everything else."""

from __future__ import annotations

import sys
from typing import Final

RESERVED: Final = 384
"""Descriptors for the database, decoding children and files; half the limit where that is less."""

BACKLOG: Final = 2048
"""Connections that wait in the kernel, and that asyncio accepts at once before the first of them is counted."""


def raise_descriptor_limit(connections: int) -> int:
    """Raise the soft limit of open files as far as so many connections need, within the hard limit.

    Returns:
        The limit that holds from now on.
    """
    wanted = RESERVED + BACKLOG + connections
    if sys.platform == "win32":
        return wanted  # sockets have no such limit there
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    except (OSError, ValueError):  # macOS has a lower limit than it tells
        return soft
    return raised


def share_descriptors(limit: int, connections: int) -> tuple[int, int]:
    """Connections and backlog that fit into a limit of open files, `connections` and `BACKLOG` where it is large.

    Connections are accepted in bursts as large as the backlog, so both count.
    """
    left = limit - min(RESERVED, limit // 2)
    backlog = min(BACKLOG, max(left // 4, left - connections))
    return min(connections, left - backlog), backlog
