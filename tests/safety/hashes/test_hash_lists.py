"""Hash lists in ThreatExchange's forms, and the messages for unusable rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstsight.errors import SafetyError
from firstsight.safety.hashes.hash_lists import HashListFormat, KnownHash, check_tag, read_hash_list, write_hash_list

ONE, TWO, THREE = "f8f8f0cee0f4a84f" * 4, "0F" * 32, "a1" * 32


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_text_list_is_read_and_each_bad_row_named(tmp_path: Path) -> None:
    path = write(
        tmp_path / "list.txt",
        f"# a list\n{ONE}\n\npdq {TWO}\n{THREE},97,batch-7 knives\n{ONE[:-1]}\nmd5 {ONE}\n{ONE},12\n{'0' * 64}\n"
        f"nonsense\n{TWO},101\n",
    )
    read = read_hash_list(path, policy_id="weapons")
    assert [(one.hex, one.quality, one.tags) for one in read.hashes] == [
        (ONE, None, ()),
        (TWO.lower(), None, ()),
        (THREE, 97, ("batch-7", "knives")),
    ]
    assert {(one.set, one.policy_id, one.source) for one in read.hashes} == {("bad", "weapons", "list.txt")}
    assert [row.line for row in read.bad_rows] == [6, 7, 8, 9, 10, 11]
    says = ["this has 63", "'md5'", "quality is 12", "flat picture", "'nonsense'", "0 to 100"]
    assert all(part in row.reason for part, row in zip(says, read.bad_rows, strict=True))


def test_threatexchanges_csv_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "list.csv",
        "\ufeffcollab,signal_type,signal_str,category,tags\n"
        f"Shared List,pdq,{ONE},POSITIVE_CLASS,knives seen-twice\n"
        f"Shared List,pdq,{TWO},NEGATIVE_CLASS,\n"
        f"Shared List,pdq,{THREE},WORTH_INVESTIGATING,\n"
        f"Shared List,video_md5,{THREE},POSITIVE_CLASS,\n",
    )
    read = read_hash_list(path, policy_id="weapons")
    assert read.hashes == (
        KnownHash(bytes.fromhex(ONE), "bad", "weapons", "Shared List", ("knives", "seen-twice")),
        KnownHash(bytes.fromhex(TWO), "good", "", "Shared List"),
    )
    assert [row.line for row in read.bad_rows] == [4, 5]
    assert "'worth_investigating'" in read.bad_rows[0].reason


def test_bad_rows_without_a_policy_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "l.csv", f"hash,policy\n{ONE},weapons\n{TWO},\n")
    read = read_hash_list(path)
    assert [one.policy_id for one in read.hashes] == ["weapons"]
    assert [(row.line, "--policy" in row.reason) for row in read.bad_rows] == [(3, True)]


def test_hostile_bytes_are_a_bad_row_and_a_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes(ONE.encode() + b"\n\xff\xfe\x00\n" + b'"' + b"a" * 200_000)
    read = read_hash_list(tmp_path / "l.txt", policy_id="p")
    assert len(read.hashes) == 1
    assert len(read.bad_rows) == 2
    with pytest.raises(SafetyError, match=r"gone\.txt cannot be read"):
        read_hash_list(tmp_path / "gone.txt")


@pytest.mark.parametrize("tag", ["two words", "a,b", ""])
def test_a_tag_is_one_word(tag: str) -> None:
    with pytest.raises(SafetyError, match="is no tag"):
        check_tag(tag)


WORDS = st.text("abc-019_ü", min_size=1, max_size=6)
CODES = st.binary(min_size=32, max_size=32).filter(lambda code: code not in (bytes(32), b"\xff" * 32))


@settings(max_examples=30, deadline=None)
@given(
    form=st.sampled_from(["text", "csv"]),
    drawn=st.dictionaries(
        CODES, st.tuples(st.none() | st.integers(50, 100), st.lists(WORDS, max_size=3, unique=True)), max_size=5
    ),
)
def test_a_written_list_reads_back_equal(
    form: HashListFormat,
    drawn: dict[bytes, tuple[int | None, list[str]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("list") / "list"
    hashes = [
        KnownHash(code, "bad", "weapons", "list", tuple(tags), quality) for code, (quality, tags) in drawn.items()
    ]
    write_hash_list(path, hashes, form)
    read = read_hash_list(path, policy_id="weapons")
    assert read.bad_rows == ()
    assert list(read.hashes) == sorted(hashes, key=lambda one: one.key)
