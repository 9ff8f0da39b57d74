"""The commands `reindex` and `encoder`: what they print, and their exit codes; and the guide runs as written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import firstsight
from firstsight.indexer.reindex.low_priority import NICENESS
from tests.cli.calling import call_in_process
from tests.indexer.shop import picture
from tests.reindex.conftest import NEW, OLD

GUIDE = Path(__file__).parents[2] / "docs" / "reindex.md"


def test_the_commands_make_compare_switch_and_drop(
    db: firstsight.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIRSTSIGHT_DB", db.uri)
    # of the whole test process
    monkeypatch.setattr("firstsight.indexer.reindex.low_priority.lower_priority", lambda threads: None)

    def run(*words: str) -> tuple[int, str, str]:
        return call_in_process(monkeypatch, capsys, *words)

    code, out, err = run("reindex")
    assert (code, "--encoder" in err) == (2, True)
    code, out, err = run("reindex", "--encoder", NEW, "--max-rate", "0")
    assert (code, "above 0" in err) == (2, True)
    code, out, err = run("reindex", "--encoder", NEW, "--threads", "0")
    assert (code, "threads must be at least 1, not 0" in err) == (1, True)
    (tmp_path / "shop" / "3.png").unlink()
    code, out, err = run("reindex", "--encoder", NEW, "--json")
    assert (code, json.loads(out)["missing"]) == (3, 1)
    assert "1 items lack its vectors (1 views failed: 1 missing)" in err
    code, out, err = run("encoder", "switch")
    assert code == 2
    assert "1 of 12 items have no current vectors" in err
    (tmp_path / "shop" / "3.png").write_bytes(picture(3))
    code, out, err = run("reindex", "--encoder", NEW)
    assert (code, "put it in force with: firstsight encoder switch" in err) == (0, True)
    code, out, err = run("encoder", "list", "--csv")
    assert [line.split(",")[:4] for line in out.splitlines()[1:]] == [
        ["0", OLD, "16", "in force"],
        ["1", NEW, "24", "ready"],
    ]
    code, out, err = run(
        "encoder", "compare", "-k", "3", "--count", "4", "--html", str(tmp_path / "page.html"), "--csv"
    )
    assert code == 0
    assert out.splitlines()[0] == "encoder,p50 ms,p95 ms"
    assert "4 queries (titles of random items): " in err
    assert "<h1>Comparison of two encoders</h1>" in (tmp_path / "page.html").read_text()
    code, out, err = run("encoder", "switch", NEW, "--json")
    assert (code, json.loads(out)["after"]) == (0, NEW)
    code, out, err = run("encoder", "rollback")
    assert (code, f"{OLD} is in force instead of {NEW}" in err) == (0, True)
    code, out, err = run("encoder", "drop", NEW)
    assert (code, "--force" in err) == (2, True)
    assert run("encoder", "drop", NEW, "--force")[0] == 0
    assert [state.encoder for state in db.encoders.list()] == [OLD]


ALL_THREADS = """
import os, threading
from firstsight.indexer.reindex.low_priority import lower_priority

go_on = threading.Event()
started = [threading.Thread(target=go_on.wait) for _ in range(3)]
[thread.start() for thread in started[:2]]
lower_priority(1)
started[2].start()
threads = [int(name) for name in os.listdir("/proc/self/task")]
print(len(threads), {(os.getpriority(os.PRIO_PROCESS, n), os.sched_getscheduler(n)) for n in threads})
go_on.set()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="niceness belongs to the whole process elsewhere")
def test_threads_that_run_already_get_low_priority_too() -> None:
    niceness = min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
    shown = subprocess.run([sys.executable, "-c", ALL_THREADS], capture_output=True, text=True, check=True)
    count, _, states = shown.stdout.strip().partition(" ")
    assert int(count) >= 4
    assert states == str({(niceness, os.SCHED_BATCH)})


def test_the_python_block_of_the_guide_runs(
    db: firstsight.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop-db").symlink_to(db.uri)
    (block,) = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    exec(compile(block.replace("starter:tuned", NEW), "docs/reindex.md", "exec"), {})
    first, second, third, *states = capsys.readouterr().out.splitlines()
    assert first == "0 items lack the new vectors"
    assert re.fullmatch(r"\d+% of the results are the same", second)
    assert third == f"{NEW} is in force"
    assert states == [f"{OLD} previous 0", f"{NEW} in force 0"]
