"""Where a video's frames are, from its packets alone: nothing is decoded."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PacketIndex:
    """The frames that are shown, in the order they are shown."""

    pts: NDArray[np.int64]  # (n,) presentation timestamps in units of the stream's time base, rising
    is_key: NDArray[np.bool_]  # (n,) decodes without other frames
    end: int  # timestamp at which the last frame ends


def index_packets(container: av.container.InputContainer, stream: av.VideoStream) -> PacketIndex:
    """Read a video stream from where the container stands to its end; times that are missing are those of decoding.

    Packets that an edit list cuts off, and those without any time, are left out.
    """
    found: dict[int, tuple[bool, int]] = {}
    for packet in container.demux(stream):
        pts = packet.dts if packet.pts is None else packet.pts
        if pts is None or packet.size == 0 or packet.is_discard:
            continue
        found.setdefault(pts, (packet.is_keyframe, packet.duration or 0))
    pts = np.array(sorted(found), np.int64)
    is_key = np.array([found[int(time)][0] for time in pts], np.bool_)
    if pts.size == 0:
        return PacketIndex(pts, is_key, 0)
    last = found[int(pts[-1])][1] or (int(np.median(np.diff(pts))) if pts.size > 1 else 0)
    return PacketIndex(pts, is_key, int(pts[-1]) + last)
