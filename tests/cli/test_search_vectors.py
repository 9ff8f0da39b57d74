"""Search on the command line by the vector in a file."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy
from numpy.typing import NDArray

import firstsight
from firstsight.vectors import Vector
from tests.cli.calling import Run, parse_json_lines


@pytest.fixture
def guitar(sample_db: Path) -> Vector:
    """The vector of an item."""
    vector = firstsight.open(sample_db).get("guitar-acoustic").vector
    assert vector is not None
    return vector


def save(path: Path, array: NDArray[np.generic]) -> str:
    np.save(path, array)
    return str(path)


def test_a_npy_file_or_a_json_list_is_searched(run: Run, tmp_path: Path, guitar: Vector) -> None:
    found = []
    plain = tmp_path / "vector"
    plain.write_text(json.dumps((3 * guitar).tolist()))
    for file in (save(tmp_path / "a.npy", guitar), save(tmp_path / "b.npy", guitar.astype(">f8")), str(plain)):
        code, out, err = run("search", "--vector", file, "--kind", "product", "-k", "3")
        assert (code, err) == (0, "")
        found.append([result["item_id"] for result in parse_json_lines(out)])
        assert parse_json_lines(out)[0]["score"] == 1
    assert found[0][0] == "guitar-acoustic"
    assert found[0] == found[1] == found[2]


def test_vectors_mix_with_other_parts_and_have_weights(run: Run, tmp_path: Path, guitar: Vector) -> None:
    file = save(tmp_path / "a.npy", guitar)
    _, out, _ = run("search", "red shoes", "--vector", file, "--vector-weight", "0", "--mode", "vector", "--json")
    _, without, _ = run("search", "red shoes", "--mode", "vector", "--json")
    assert [r["item_id"] for r in parse_json_lines(out)] == [r["item_id"] for r in parse_json_lines(without)]
    page = tmp_path / "page.html"
    assert run("search", "red", "--vector", file, "--html", str(page))[0] == 0
    assert "red + a vector" in page.read_text()


def test_a_line_of_a_queries_file_may_have_vectors(run: Run, tmp_path: Path, guitar: Vector) -> None:
    lines = [{"vectors": [guitar.tolist()], "k": 1}, {"vectors": guitar.tolist()}, {"vectors": [[0.5]]}]
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"vectors": [[NaN]]}\n')
    answers = parse_json_lines(run("search", "--queries", str(path))[1])
    assert answers[0]["results"][0]["item_id"] == "guitar-acoustic"
    assert "vectors must be a list of vectors" in answers[1]["error"]
    assert "has dimension 1, but those of the database have 384 (encoder starter)" in answers[2]["error"]
    assert "the vector has nan at place 0" in answers[3]["error"]


def claim(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    """A .npy file whose header claims a shape and type, with 8 bytes of data."""
    buffer = io.BytesIO()
    npy.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + struct.pack("<2f", 1, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "is neither a .npy file nor a JSON list of numbers; write it with numpy.save"),
        (b"\x80\x04]\x94.", "is neither a .npy file nor a JSON list of numbers"),  # a pickle
        (b'{"a": 1}', "is neither a .npy file nor a JSON list of numbers"),
        (b"[" * 100_000, "is neither a .npy file nor a JSON list of numbers"),
        (b"[1, 2", "is neither a .npy file nor a JSON list of numbers"),
        (b" " * (2**20 + 1), "has more than 1 MiB; give a file with one vector"),
        (claim((2,), "|O"), "Object arrays cannot be loaded when allow_pickle=False"),
        (claim((10**15,)), "cannot be read as .npy"),
        (claim((10**30,)), "cannot be read as .npy"),
        (claim((3,)), "cannot be read as .npy"),
        (b"\x93NUMPY\x01\x00\x05\x00{'a':", "cannot be read as .npy"),
        (b"\x93NUMPY\x01\x00\x06\x00{'a':\\", "cannot be read as .npy"),
        (b"\x93NUMPY\x09\x00", "cannot be read as .npy"),
        (claim((1, 2)), "the vector must have one dimension, not 1 x 2"),
        (claim((1,), "<M8[s]"), "the vector must hold numbers"),
        (claim((2,)), "a vector of the query has dimension 2, but those of the database have 384 (encoder starter)"),
        (b"[[1, 2], [3, 4]]", "the vector must have one dimension, not 2 x 2"),
        (b"[1, 1e999]", "the vector has inf at place 1"),
        (b"[0, 0]", "the vector consists of zeros"),
        (b'["a"]', "the vector must hold numbers, not 'a'"),
    ],
)
def test_a_file_that_is_no_vector_is_refused_in_one_sentence(
    run: Run, tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "vector"
    if content is not None:
        path.write_bytes(content)
    code, out, err = run("search", "--vector", str(path))
    assert (code in {1, 2}, out) == (True, "")
    assert message in " ".join(err.replace("│", " ").split()), err
    assert "Traceback" not in err
