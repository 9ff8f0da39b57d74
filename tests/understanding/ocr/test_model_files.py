"""Models of the user's own folder, and the column of an item."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, cast

import pytest

from firstsight.errors import EncoderError
from firstsight.media.picture_facts import PictureSource
from firstsight.understanding.facts.fact_kind import FactItem, FactView
from firstsight.understanding.ocr.model_files import (
    PACKAGED_DETECTOR,
    PACKAGED_RECOGNISER,
    find_models,
    packaged_folder,
    packaged_models,
)
from firstsight.understanding.ocr.ocr_facts import MAX_ITEM_CHARACTERS, OcrFacts
from firstsight.understanding.ocr.picture_text import load_reader, read_text
from tests.understanding.ocr.rendered import render


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (PACKAGED_DETECTOR, PACKAGED_RECOGNISER):
        shutil.copy(packaged_folder() / name, tmp_path / f"own_{name}")
    return tmp_path


def test_models_of_a_folder_read_text_and_change_the_version(folder: Path) -> None:
    fact = OcrFacts(folder).picture_fact
    assert fact.options["recogniser"] == str(folder.resolve() / f"own_{PACKAGED_RECOGNISER}")
    assert fact.version != OcrFacts().picture_fact.version
    picture = render([("Summer sale", (30, 40))])
    (line,) = cast("list[dict[str, Any]]", read_text(picture, PictureSource(600, 400, "image", fact.options)))
    assert line["text"] == "Summer sale"
    load_reader.cache_clear()  # the files are gone after the test


def test_without_a_detector_the_packaged_one_is_used(folder: Path) -> None:
    (folder / f"own_{PACKAGED_DETECTOR}").unlink()
    assert find_models(folder).detector == packaged_models().detector


def test_a_folder_without_usable_models_is_refused_with_a_remedy(folder: Path, tmp_path: Path) -> None:
    recogniser = folder / f"own_{PACKAGED_RECOGNISER}"
    with pytest.raises(EncoderError, match="missing is not a folder; --ocr-models names"):
        find_models(tmp_path / "missing")
    shutil.copy(packaged_folder() / PACKAGED_DETECTOR, folder / "b_det_b.onnx")
    with pytest.raises(EncoderError, match=r"has 2 files .* leave one of them there"):
        find_models(folder)
    (folder / "b_det_b.onnx").unlink()
    shutil.copy(packaged_folder() / PACKAGED_DETECTOR, recogniser)
    with pytest.raises(EncoderError, match="is no text recogniser: its output is"):
        find_models(folder)
    recogniser.write_bytes(b"no model")
    with pytest.raises(EncoderError, match="is not a model that OpenVINO reads"):
        find_models(folder)
    recogniser.unlink()
    with pytest.raises(EncoderError, match="has no recognition model"):
        find_models(folder)


def item(*views: list[str] | None) -> FactItem:
    facts = [None if lines is None else [{"text": text, "score": 1.0, "box": []} for text in lines] for lines in views]
    return FactItem(
        "a",
        None,
        None,
        {},
        [FactView(f"a#image-{n}", "image", facts={"ocr": cast(Any, f)}) for n, f in enumerate(facts)],
    )


def test_the_text_of_an_item_has_each_line_of_its_views_once() -> None:
    kind = OcrFacts()
    items = [item(["Sale", "New  shoes"], ["SALE", "Last day"]), item([], []), item(None), item()]
    assert [row["fact_ocr_text"] for row in kind.values(items)] == ["Sale\nNew shoes\nLast day", "", None, None]
    (long,) = kind.values([item([f"{n:05} {'x' * 290}" for n in range(100)])])
    assert 9_000 < len(long["fact_ocr_text"]) <= MAX_ITEM_CHARACTERS
