"""The audit log: written entries stay, and every later change is found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstsight.errors import AuditLogError, SafetyError
from firstsight.safety.audit import audit_log
from firstsight.safety.audit.audit_log import LOG_FILE, LOG_VARIABLE, AuditLog

APPEND_FOREVER = """
import sys
from firstsight.safety.audit.audit_log import AuditLog
log = AuditLog(sys.argv[1])
for n in range(int(sys.argv[3])):
    print(log.append_many([("decision", f"{sys.argv[2]}-{n}-{m}", {"n": n}) for m in range(3)])[-1], flush=True)
"""


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    """A log of eight entries."""
    log = AuditLog(tmp_path / LOG_FILE)
    for n in range(8):
        log.append("decision", f"item-{n % 3}", {"score": n / 7, "why": "Küche\n厨房", "evidence": [{"cut": 0.5}]})
    return log


def whats(log: AuditLog, expected: str | None = None) -> str:
    return "; ".join(problem.what for problem in log.verify(expected).problems)


def rewrite(log: AuditLog, lines: list[bytes]) -> None:
    log.path.write_bytes(b"".join(lines))


def test_entries_come_back_in_order_and_chain(log: AuditLog) -> None:
    entries = list(log.entries())
    assert [entry.sequence for entry in entries] == list(range(1, 9))
    assert entries[3].record == {"score": 3 / 7, "why": "Küche\n厨房", "evidence": [{"cut": 0.5}]}
    assert [entry.previous for entry in entries[1:]] == [entry.hash for entry in entries[:-1]]
    assert [entry.subject for entry in log.entries(subject="item-1")] == ["item-1"] * 3
    assert list(log.entries(kinds=["appeal"])) == []
    assert log.get(entries[4].entry_id) == entries[4]
    assert log.verify().ok
    assert log.verify().entries == 8


def test_an_empty_log_is_whole_and_an_unknown_entry_is_named(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / LOG_FILE)
    assert log.verify().ok
    assert log.head() is None
    with pytest.raises(SafetyError, match="no entry '7-00'"):
        log.get("7-00")


def test_every_flipped_byte_of_log_and_head_is_found(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / LOG_FILE)
    for n in range(3):
        log.append("decision", f"item-{n}", {"score": n / 7, "why": "Küche"})
    for path in (log.path, log.path.with_name("safety-log.head.json")):
        whole = path.read_bytes()
        for place in range(len(whole)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 7]) + whole[place + 1 :])
            assert not log.verify().ok, (path.name, place)
        path.write_bytes(whole)
    assert log.verify().ok


def test_an_edited_entry_is_named(log: AuditLog) -> None:
    lines = log.path.read_bytes().splitlines(keepends=True)
    rewrite(log, [line.replace(b'"cut":0.5', b'"cut":0.9') if n == 4 else line for n, line in enumerate(lines)])
    (problem,) = log.verify().problems[:1]
    assert problem.line == 5
    assert "entry 5 was edited" in problem.what


def test_an_edited_entry_with_a_new_hash_of_its_own_breaks_the_chain(log: AuditLog) -> None:
    entries = list(log.entries())
    forged = AuditLog(log.path.with_name("other.jsonl"))
    for entry in entries[:4]:
        forged.append(entry.kind, entry.subject, {"score": 0.0})
    lines = log.path.read_bytes().splitlines(keepends=True)
    rewrite(log, lines[:3] + forged.path.read_bytes().splitlines(keepends=True)[3:] + lines[4:])
    assert "entry 5 does not follow the entry before it" in whats(log)


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        ([0, 1, 3, 4, 5, 6, 7], "entry 4 is in the place of entry 3"),
        ([0, 1, 3, 2, 4, 5, 6, 7], "entry 4 is in the place of entry 3"),
        ([1, 2, 3, 4, 5, 6, 7], "entry 2 is in the place of entry 1"),
        ([0, 1, 2, 3, 4, 5, 6], "its end is missing"),
        ([0, 1, 2, 3, 3, 4, 5, 6, 7], "entry 4 is in the place of entry 5"),
        ([], "its end is missing"),
    ],
)
def test_a_removed_reordered_repeated_or_cut_off_entry_is_found(log: AuditLog, kept: list[int], says: str) -> None:
    lines = log.path.read_bytes().splitlines(keepends=True)
    rewrite(log, [lines[n] for n in kept])
    assert says in whats(log)
    if len(kept) < 8:
        with pytest.raises(SafetyError, match="lost its end"):
            log.append("decision", "item", {})


def test_a_log_cut_inside_an_entry_is_found(log: AuditLog) -> None:
    log.path.write_bytes(log.path.read_bytes()[:-1])
    assert not log.verify().ok


def test_a_missing_head_and_a_missing_log_are_found(log: AuditLog) -> None:
    head = log.path.with_name("safety-log.head.json")
    kept = head.read_bytes()
    head.unlink()
    assert "head safety-log.head.json is missing" in whats(log)
    with pytest.raises(SafetyError, match="its head"):
        log.append("decision", "item", {})
    head.write_bytes(kept)
    log.path.unlink()
    assert "its end is missing" in whats(log)


def test_a_head_kept_elsewhere_finds_a_log_that_was_made_again(log: AuditLog) -> None:
    head = log.head()
    assert head is not None
    assert log.verify(head.entry_id).ok
    records = [(entry.kind, entry.subject, entry.record) for entry in log.entries()]
    log.path.unlink()
    log.path.with_name("safety-log.head.json").unlink()
    log.append_many(records)
    assert log.verify().ok
    assert f"entry {head.entry_id} is missing from the log" in whats(log, head.entry_id)


def test_the_next_append_keeps_or_drops_the_rest_of_a_killed_one(log: AuditLog) -> None:
    head = log.path.with_name("safety-log.head.json")
    before = head.read_bytes()
    log.append("override", "item-9", {"by": "ana"})
    head.write_bytes(before)  # killed after the entry, before the head
    with log.path.open("ab") as file:
        file.write(b'{"hash":"12')  # and another in the middle of its entry
    found = log.verify()
    assert (found.ok, found.unsettled, found.torn_bytes) == (True, 1, 11)
    assert [entry.subject for entry in log.entries()][-1] == "item-9"
    log.append("appeal", "item-9", {})
    assert [entry.kind for entry in log.entries()][-2:] == ["override", "appeal"]
    assert log.verify().entries == 10
    assert log.verify().unsettled == 0


def test_nothing_is_added_after_a_foreign_entry(log: AuditLog) -> None:
    with log.path.open("ab") as file:
        file.write(b"{}\n")
    assert not log.verify().ok
    with pytest.raises(SafetyError, match="written to by something else"):
        log.append("decision", "item", {})


def test_several_processes_append_at_once(tmp_path: Path) -> None:
    path = tmp_path / LOG_FILE
    commands = [[sys.executable, "-c", APPEND_FOREVER, str(path), str(n), "20"] for n in range(3)]
    workers = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    log = AuditLog(path)
    assert log.verify().ok
    subjects = [entry.subject for entry in log.entries()]
    assert len(subjects) == len(set(subjects)) == 180


@pytest.mark.slow
def test_entries_that_were_acknowledged_outlast_kills(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / LOG_FILE)
    acknowledged: list[str] = []
    for turn in range(6):
        command = [sys.executable, "-c", APPEND_FOREVER, str(log.path), str(turn), "100000"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout is not None
            for _ in range(5 + 7 * turn):
                acknowledged.append(worker.stdout.readline().strip())
            worker.send_signal(signal.SIGKILL)
    log.append("decision", "after", {})
    assert log.verify().ok
    assert set(acknowledged) <= {entry.entry_id for entry in log.entries()}


def test_a_full_disk_leaves_the_log_as_it_was(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    before = log.path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(SafetyError, match="No space left on device"):
            log.append("decision", "item", {})
    assert log.path.read_bytes() == before
    log.append("decision", "item", {})
    assert log.verify().ok


@pytest.mark.parametrize("place", ["/dev/null", "/dev/zero", "/proc/self/safety-log.jsonl", "pipe", "folder"])
def test_a_path_of_no_regular_file_is_refused_at_once(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "WAIT_S", 0.0)  # nobody holds its lock
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    log = AuditLog(tmp_path / place)
    with pytest.raises(AuditLogError, match=r"cannot be written \("):
        log.append("decision", "sku-1", {})
    if "proc" not in place:
        with pytest.raises(AuditLogError, match=r"cannot be read .*regular file"):
            log.is_empty()


@pytest.mark.parametrize("record", [{"score": float("nan")}, {"a": object()}, {"a": "\ud800"}])
def test_a_record_that_is_not_json_is_refused_and_nothing_written(log: AuditLog, record: dict[str, object]) -> None:
    before = log.path.read_bytes()
    with pytest.raises(SafetyError, match="'item' cannot be recorded"):
        log.append_many([("decision", "fine", {}), ("decision", "item", record)])
    assert log.path.read_bytes() == before


def test_an_object_store_needs_a_named_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(LOG_VARIABLE, raising=False)
    with pytest.raises(SafetyError, match=LOG_VARIABLE):
        AuditLog.of("s3://bucket/db")
    monkeypatch.setenv(LOG_VARIABLE, str(tmp_path / "x.jsonl"))
    AuditLog.of("s3://bucket/db").append("decision", "item", {})
    assert (tmp_path / "x.jsonl").exists()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    records=st.lists(st.dictionaries(st.text(), JSON, max_size=4), min_size=1, max_size=4), subject=st.text(min_size=1)
)
def test_any_json_record_comes_back_as_it_was(
    records: list[dict[str, object]], subject: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = AuditLog(tmp_path_factory.mktemp("log") / LOG_FILE)
    log.append_many([("decision", subject, record) for record in records])
    assert log.verify().ok
    assert [dict(entry.record) for entry in log.entries(subject=subject)] == json.loads(json.dumps(records))
