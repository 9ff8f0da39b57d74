"""A decoding child that fails on request, and the error that a refused file raises."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from firstsight.errors import MediaError
from firstsight.media.decode.video_sampler import VideoSampler

SPEAKING = """
import os, signal, sys, time
sys.path[:0] = {path!r}
from firstsight.media.child_processes import child_messages
child_messages.send(sys.stdout.buffer, {{"ready": 1}})
request, _ = child_messages.receive(sys.stdin.buffer)
if "bad" in request["path"]:
    {misdeed}
child_messages.send(sys.stdout.buffer, {{"frames": [[0.5, 1, 1]]}}, [b"abc"])
sys.stdin.buffer.read()
"""


def faulty_worker_command(misdeed: str) -> list[str]:
    """A child that answers every file with one pixel, except a file with a name that contains "bad"."""
    return [sys.executable, "-c", SPEAKING.format(path=sys.path, misdeed=misdeed)]


def refusal(sampler: VideoSampler, path: Path) -> MediaError:
    with pytest.raises(MediaError) as caught:
        sampler.sample(path)
    assert str(path) in str(caught.value)
    return caught.value


def wait_until_ended(pid: int) -> None:
    """Wait until a killed child has ended, and leave its exit status for its parent. macOS has no `os.waitid`."""
    child = psutil.Process(pid)
    while child.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
