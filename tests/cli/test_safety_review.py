"""The commands of `firstsight safety` by which people decide, as they meet them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from firstsight.safety.audit.audit_log import AuditLog
from tests.cli.calling import Run, call_in_process, parse_json_lines
from tests.safety.scored_items import POLICIES_TEXT, make_store


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command in this process."""
    return partial(call_in_process, monkeypatch, capsys)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A small scored database, with policies beside it."""
    (tmp_path / "policies.yaml").write_text(POLICIES_TEXT)
    scored = {"knife": ("review", {"weapons": 0.5}, 9.0), "mug": (None, {"weapons": 0.1}, 2.0)}
    make_store(tmp_path / "db", scored)
    return tmp_path / "db"


def test_an_item_goes_through_review_appeal_and_overturn(run: Run, db: Path, tmp_path: Path) -> None:
    at = ["--db", str(db)]
    policies = ["--policies", str(tmp_path / "policies.yaml")]
    (first,) = parse_json_lines(run("safety", "queue", "--reach", "views", *policies, *at)[1])
    assert (first["item_id"], first["policy"], first["severity"], first["reach"]) == ("knife", "weapons", 5, 9.0)
    because = ["--policy", "weapons", "--reason", "a real knife", "--by", "ana"]
    code, _, said = run("safety", "decide", "knife", "block", *because, *policies, *at)
    assert code == 0, said
    assert said.startswith("knife: block (entry 1-")
    assert run("safety", "queue", *policies, *at) == (0, "", "")
    assert run("safety", "appeal", "knife", "--reason", "a bread knife", *at)[0] == 0
    assert [row["why"] for row in parse_json_lines(run("safety", "queue", *policies, *at)[1])] == ["appeal"]
    assert run("safety", "overturn", "knife", "--reason", "so it is", "--by", "ben", *policies, *at)[0] == 0
    listed = parse_json_lines(run("safety", "audit", "--list", "--item", "knife", *at)[1])
    assert [entry["kind"] for entry in listed] == ["override", "appeal", "overturn"]
    assert run("safety", "labels", str(tmp_path / "l.csv"), *at)[2] == f"1 labels in {tmp_path / 'l.csv'}\n"
    assert (tmp_path / "l.csv").read_text() == "item_id,policy,label,annotator,weight\nknife,weapons,0,ben,1.0\n"
    (again,) = parse_json_lines(run("safety", "replay", listed[0]["entry_id"], *at)[1])
    assert (again["replayed"], again["same"]) == ("block", True)


def test_a_changed_log_is_told_with_its_line_and_exit_code_1(run: Run, db: Path, tmp_path: Path) -> None:
    at = ["--db", str(db)]
    because = ["--policy", "weapons", "--reason", "r", "--policies", str(tmp_path / "policies.yaml")]
    for item in ("knife", "mug"):
        assert run("safety", "decide", item, "block", *because, *at)[0] == 0
    code, out, _ = run("safety", "audit", *at)
    (told,) = parse_json_lines(out)
    assert (code, told["ok"], told["entries"]) == (0, True, 2)
    assert run("safety", "audit", "--expect", told["head"], *at)[0] == 0
    log = AuditLog.of(str(db))
    log.path.write_bytes(log.path.read_bytes().replace(b'"action":"block"', b'"action":"allow"', 1))
    code, out, _ = run("safety", "audit", *at)
    assert code == 1
    assert [(problem["line"], "was edited" in problem["what"]) for problem in parse_json_lines(out)[0]["problems"]] == [
        (1, True)
    ]
    assert run("safety", "audit", "--expect", "9-0123456789abcdef", *at)[0] == 1


def test_a_lost_log_is_refused_until_another_is_adopted(run: Run, db: Path, tmp_path: Path) -> None:
    at = ["--db", str(db)]
    because = ["--policy", "weapons", "--reason", "r", "--by", "ana", "--policies", str(tmp_path / "policies.yaml")]
    assert run("safety", "decide", "knife", "block", *because, *at)[0] == 0
    log = AuditLog.of(str(db))
    log.path.unlink()
    log.path.with_name("safety-log.head.json").unlink()
    code, _, said = run("safety", "decide", "mug", "block", *because, *at)
    assert (code, f"firstsight safety audit --adopt {log.path} --db {db}" in said) == (1, True)
    assert run("safety", "audit", *at)[0] == 1
    code, out, said = run("safety", "audit", "--adopt", str(log.path), "--by", "ben", *at)
    assert code == 0, said
    assert parse_json_lines(out)[0]["logged"]["override"] == 1
    assert f"began {log.path} (entry 2-" in said
    listed = parse_json_lines(run("safety", "audit", "--list", *at)[1])
    assert [(entry["kind"], entry["record"]["by"]) for entry in listed] == [("override", "ana"), ("adopt", "ben")]
    assert run("safety", "decide", "mug", "block", *because, *at)[0] == 0
    assert run("safety", "audit", *at)[0] == 0
    elsewhere = tmp_path / "elsewhere.jsonl"
    said = run("safety", "audit", "--adopt", str(elsewhere), *at)[2]
    assert f"export FIRSTSIGHT_SAFETY_LOG={elsewhere}" in said


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["decide", "nobody", "block", "--policy", "weapons", "--reason", "r"], 1, "no item 'nobody'"),
        (["decide", "mug", "burn", "--policy", "weapons", "--reason", "r"], 1, "'burn' is no decision"),
        (["decide", "mug", "block", "--policy", "weapons"], 2, "--reason"),
        (["appeal", "mug", "--reason", "r"], 1, "nothing to appeal"),
        (["overturn", "mug", "--reason", "r"], 1, "--policy"),
        (["queue", "--reach", "colour"], 1, "no number column 'colour'"),
        (["replay", "1-00"], 1, "no entry '1-00'"),
        (["queue", "--policies", "gone.yaml"], 1, "gone.yaml cannot be read"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run: Run, db: Path, arguments: list[str], code: int, says: str) -> None:
    answer = run("safety", *arguments, "--db", str(db))
    assert answer[0] == code
    assert says in answer[2]
    assert "Traceback" not in answer[2]


@pytest.mark.slow
def test_on_a_terminal_the_queue_is_a_table(run_on_terminal: Run, db: Path) -> None:
    code, shown, said = run_on_terminal("safety", "queue", "--db", str(db))
    assert code == 0, said
    assert "thing knife" in shown
