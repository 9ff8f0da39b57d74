"""A decoding child that hangs, dies or misbehaves fails only one file, and ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from firstsight.errors import MediaError
from firstsight.media.child_processes.child_process import ChildProcess
from firstsight.media.decode.video_sampler import VideoSampler
from tests.media.decoding_failures import faulty_worker_command, refusal, wait_until_ended

if TYPE_CHECKING:
    from tests.media.conftest import MakeVideo


def test_the_child_starts_at_the_first_file_and_ends_with_the_sampler(make_video: MakeVideo) -> None:
    with VideoSampler() as own:
        assert own.child_pids == []
        own.sample(make_video("a.mp4"))
        (pid,) = own.child_pids
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(RuntimeError, match="closed"):
        own.sample("a.mp4")


@pytest.mark.slow
def test_the_child_is_replaced_after_its_share_of_files(make_video: MakeVideo) -> None:
    path = make_video("a.mp4")
    pids = []
    with VideoSampler(files_per_child=2) as own:
        for _ in range(4):
            own.sample(path, count=1)
            pids += own.child_pids
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_as_many_files_are_decoded_at_once_as_there_are_workers(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    # Each child reports its start and waits for the other one.
    meet = (
        f"open(os.path.join({str(here)!r}, str(os.getpid())), 'w').close()\n"
        f"    while len(os.listdir({str(here)!r})) < 2: time.sleep(0.01)"
    )
    with (
        VideoSampler(workers=2, command=faulty_worker_command(meet), timeout_s=30) as own,
        ThreadPoolExecutor(2) as pool,
    ):
        frames = list(pool.map(own.sample, ["bad-1.mp4", "bad-2.mp4"]))
        assert [len(found) for found in frames] == [1, 1]
        assert len(set(own.child_pids)) == 2


def test_closing_waits_for_the_file_in_hand(tmp_path: Path) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    wait = f"open({str(started)!r}, 'w').close()\n    while not os.path.exists({str(go)!r}): time.sleep(0.01)"
    with ThreadPoolExecutor(2) as pool:
        own = VideoSampler(command=faulty_worker_command(wait), timeout_s=30)
        found = pool.submit(own.sample, "bad.mp4")
        while not started.exists():
            threading.Event().wait(0.01)
        closed = pool.submit(own.close)
        assert not closed.done()
        go.touch()
        closed.result()
        assert len(found.result()) == 1
    assert own.child_pids == []


def test_at_least_one_worker_is_needed() -> None:
    with pytest.raises(ValueError, match="workers is 0"):
        VideoSampler(workers=0)


def test_a_child_killed_between_files_goes_unnoticed(make_video: MakeVideo) -> None:
    path = make_video("a.mp4")
    with VideoSampler() as own:
        own.sample(path)
        (pid,) = own.child_pids
        os.kill(pid, signal.SIGKILL)
        wait_until_ended(pid)
        assert len(own.sample(path)) == 8


@pytest.mark.parametrize(
    ("misdeed", "reason", "words"),
    [
        ("time.sleep(60)", "timeout", "within 0.5 seconds"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed", "no message"),
        (
            "print('decoder said: ' + 'x' * 99999 + ' last words', file=sys.stderr); os._exit(3)",
            "crashed",
            "xxx",
        ),
        ("raise MemoryError", "too_large", "memory"),
        ("sys.stderr.write('what(): std::bad_alloc'); sys.stderr.flush(); os.abort()", "too_large", "memory"),
        (
            "sys.stdout.write('printed by a library' * 9); sys.stdout.flush(); time.sleep(60)",
            "crashed",
            "decoder",
        ),
        ("child_messages.send(sys.stdout.buffer, {'frames': [[0.0, 10, 10]]}, [b'abc'])", "crashed", "broken frames"),
        ("child_messages.send(sys.stdout.buffer, {'frames': 7})", "crashed", "broken frames"),
        ("child_messages.send(sys.stdout.buffer, {'reason': 'nonsense', 'message': request['path']})", "crashed", ""),
    ],
)
def test_a_misbehaving_decoder_costs_that_file_and_the_next_one_works(
    misdeed: str, reason: str, words: str, tmp_path: Path
) -> None:
    with VideoSampler(command=faulty_worker_command(misdeed), timeout_s=0.5, files_per_child=1) as own:
        error = refusal(own, tmp_path / "bad.mp4")
        assert error.reason == reason
        assert words in str(error)
        assert own.sample("good.mp4")[0].time_s == 0.5


def test_a_child_killed_in_mid_file_costs_that_file_and_the_next_one_works(tmp_path: Path) -> None:
    with VideoSampler(command=faulty_worker_command("time.sleep(60)"), timeout_s=30, files_per_child=1) as own:
        own.sample("good.mp4")
        errors: list[MediaError] = []
        victim = threading.Thread(target=lambda: errors.append(refusal(own, tmp_path / "bad.mp4")))
        before = own.child_pids
        victim.start()
        while own.child_pids in ([], before):  # until the child for the bad file has started
            threading.Event().wait(0.01)
        (pid,) = own.child_pids
        os.kill(pid, signal.SIGKILL)
        victim.join()
        assert errors[0].reason == "crashed"
        assert len(own.sample("good.mp4")) == 1


def test_a_child_that_cannot_start_costs_each_file(tmp_path: Path) -> None:
    with VideoSampler(command=[sys.executable, "-c", "raise SystemExit('no decoder here')"]) as own:
        error = refusal(own, tmp_path / "a.mp4")
    assert error.reason == "crashed"
    assert "no decoder here" in str(error)


def test_the_child_never_imports_torch(make_video: MakeVideo) -> None:
    script = (
        "import sys; sys.argv = ['worker']\n"
        "from firstsight.media.decode import decoding_worker as w\n"
        f"request = dict(path={str(make_video('a.mp4'))!r}, rule='uniform:2', max_frames=2, prints=True)\n"
        "request |= dict(min_side=None, max_pixels=10**8)\n"
        "header, body = w._answer(request, b'', lambda: None)\n"
        "assert len(header['frames']) == 2, header\n"
        "print(sorted({'torch', 'lancedb', 'transformers', 'pyarrow', 'httpcore'} & set(sys.modules)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "[]\n", done.stderr


def test_the_child_ends_when_its_parent_does(make_video: MakeVideo) -> None:
    script = (
        "import os\n"
        "from firstsight.media.decode.video_sampler import VideoSampler\n"
        f"sampler = VideoSampler()\nsampler.sample({str(make_video('a.mp4'))!r})\n"
        "print(*sampler.child_pids, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # The child holds no pipe of this process, so there is no end to wait for.
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    pid = int(done.stdout)
    for _ in range(500):
        if not _running(pid):
            break
        threading.Event().wait(0.01)
    assert not _running(pid)


def _running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # a zombie has ended, but its new parent has not collected it yet


def test_ctrl_c_in_mid_answer_ends_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    from firstsight.media.child_processes import child_messages

    child = ChildProcess(faulty_worker_command("pass"))

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(child_messages, "receive", interrupt)
    with pytest.raises(KeyboardInterrupt):
        child.ask({"path": "good"}, timeout_s=5, max_body=100)
    assert not child.alive
