"""Decoding uses the same threads and address space on every machine, for any number of CPUs."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import AvifImagePlugin, Image

from firstsight.media.child_processes.child_limits import limit_threads
from firstsight.media.decode import pillow_decoder
from firstsight.media.decode.frame_pictures import to_picture
from firstsight.media.decode.picture_decoder import PictureDecoder
from firstsight.media.decode.video_sampler import VideoSampler
from firstsight.media.live.live_sampler import LiveFrame, LiveSampler
from tests.media.streams import write_clip

MOST_THREADS = 2  # one of decord and the child's own
MOST_BYTES = 900 * 2**20
SIZE = (640, 480)

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in Linux's /proc")


def threads() -> set[str]:
    return set(os.listdir("/proc/self/task"))


@pytest.mark.parametrize(("layout", "transfer"), [("yuv420p", 1), ("yuva420p", 1), ("yuv420p10le", 16)])
def test_converting_frames_starts_no_threads(layout: str, transfer: int) -> None:
    """By default swscale starts one thread per CPU for each kept frame. With one CPU this test cannot fail."""
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)
    frames = [av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=layout, threads=1) for _ in range(3)]
    before = threads()
    for frame in frames:
        frame.color_trc = transfer
        assert to_picture(frame, None).size == SIZE
    assert threads() == before


def test_an_animation_is_decoded_in_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = animated_avif(tmp_path / "a.avif")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)))
    monkeypatch.setattr(AvifImagePlugin, "DEFAULT_MAX_THREADS", 0)
    limit_threads()
    before = threads()
    with closing(pillow_decoder.open_video(path, max_pixels=10**6)) as reader:
        assert len(list(reader.read([0, 1]))) == 2
        assert threads() == before


CPUS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>
#define CPUS 64
static int all(size_t size, cpu_set_t *set) {
    memset(set, 0, size);
    for (int cpu = 0; cpu < CPUS; cpu++) CPU_SET_S(cpu, size, set);
    return 0;
}
int sched_getaffinity(pid_t process, size_t size, cpu_set_t *set) { return all(size, set); }
int pthread_getaffinity_np(pthread_t thread, size_t size, cpu_set_t *set) { return all(size, set); }
int get_nprocs(void) { return CPUS; }
int get_nprocs_conf(void) { return CPUS; }
long sysconf(int name) {
    long (*real)(int) = dlsym(RTLD_NEXT, "sysconf");
    return name == _SC_NPROCESSORS_ONLN || name == _SC_NPROCESSORS_CONF ? CPUS : real(name);
}
"""
"""Functions that libraries call for the number of CPUs."""


@pytest.fixture(scope="module")
def cpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A preloaded library that reports 64 CPUs."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("a C compiler is needed to tell a child of 64 CPUs")
    folder = tmp_path_factory.mktemp("cpus")
    (folder / "cpus.c").write_text(CPUS)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "cpus.so", folder / "cpus.c", "-ldl"], check=True)
    return str(folder / "cpus.so")


def most_bytes(pid: int) -> int:
    """The peak address space of a child. Check its number of threads too."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert int(status["Threads"]) <= MOST_THREADS
    return int(status["VmPeak"].removesuffix("kB")) * 1024


def colours(count: int) -> list[Image.Image]:
    return [Image.new("RGB", SIZE, (5 * n % 256, 90, 160)) for n in range(count)]


def animated_avif(path: Path) -> Path:
    first, *rest = colours(4)
    first.save(path, save_all=True, append_images=rest, duration=100)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video for PyAV with more frames than may wait in a sampler."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.ts", colours(50))


@pytest.mark.slow
def test_videos_take_no_more_with_64_cpus(
    clip: Path, cpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = {clip: 50, write_clip(tmp_path / "a.mp4", colours(50), container="mp4"): 50}
    videos[animated_avif(tmp_path / "a.avif")] = 4
    monkeypatch.setenv("LD_PRELOAD", cpus)
    with VideoSampler(workers=1) as sampler:
        for path, frames in videos.items():
            assert len(sampler.sample(path, rule="all")) == frames
            (pid,) = sampler.child_pids
            assert most_bytes(pid) <= MOST_BYTES


def test_a_stream_takes_no_more_with_64_cpus(clip: Path, cpus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", cpus)
    with LiveSampler(clip, every_s=0.1) as sampler:
        taken: list[LiveFrame] = []
        while len(taken) < 16:
            taken += sampler.take(1, 30.0)
        assert sampler.child_pid is not None
        assert most_bytes(sampler.child_pid) <= MOST_BYTES  # the child waits: frames of a file are never dropped


def test_a_picture_takes_no_more_with_64_cpus(cpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.avif"
    colours(1)[0].resize((1920, 1280)).save(path, speed=10)
    found = []
    for preloaded in ("", cpus):
        monkeypatch.setenv("LD_PRELOAD", preloaded)
        with PictureDecoder(workers=1) as decoder:
            assert decoder.open(path).size == (1920, 1280)
            (pid,) = decoder.child_pids
            found.append(most_bytes(pid))
    assert found[1] <= found[0] + 16 * 2**20
