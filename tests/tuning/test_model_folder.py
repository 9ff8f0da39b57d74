"""The folder of a tuned model: complete or untouched."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstsight.errors import EncoderError
from firstsight.tuning.model_folder import check_folder, is_tuned_model, replaced_folder, write_report


def write(folder: Path, text: str) -> None:
    with replaced_folder(folder) as draft:
        (draft / "weights").write_text(text)
        write_report(draft, {"figures": []})


def test_a_new_folder_and_an_earlier_model_are_written(tmp_path: Path) -> None:
    for text in ("first", "second"):
        check_folder(tmp_path / "model")
        write(tmp_path / "model", text)
        assert (tmp_path / "model" / "weights").read_text() == text
        assert is_tuned_model(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_whoever_may_read_the_folder_may_read_its_files(tmp_path: Path) -> None:
    with replaced_folder(tmp_path / "model") as draft:
        draft.chmod(0o750)
        (draft / "weights").touch(mode=0o600)
        write_report(draft, {"figures": []})
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()} == {0o640}


def test_a_folder_with_other_contents_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    for act in (check_folder, lambda folder: write(folder, "x")):
        with pytest.raises(EncoderError, match="is not empty and holds no model of firstsight tune"):
            act(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


@pytest.mark.parametrize("stored", ["{}", "[]", "no JSON", '{"format": 1}', '{"format": 2, "figures": []}'])
def test_a_file_called_tuning_json_makes_no_model(tmp_path: Path, stored: str) -> None:
    (tmp_path / "tuning.json").write_text(stored)
    with pytest.raises(EncoderError, match="is not empty"):
        check_folder(tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("x")
    with pytest.raises(EncoderError, match="is a file"):
        check_folder(tmp_path / "model")


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_leaves_the_earlier_model_and_no_draft(tmp_path: Path, error: type[BaseException]) -> None:
    write(tmp_path / "model", "first")

    def fail() -> None:
        with replaced_folder(tmp_path / "model") as draft:
            (draft / "weights").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert (tmp_path / "model" / "weights").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
