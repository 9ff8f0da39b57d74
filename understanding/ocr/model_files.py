"""Model files of the text reader: those in the rapidocr package, or those in a folder that the user names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any, Final

from firstsight.errors import EncoderError, first_line
from firstsight.extras import require_packages

PACKAGED_DETECTOR: Final = "PP-OCRv6_det_small.onnx"
PACKAGED_RECOGNISER: Final = "PP-OCRv6_rec_small.onnx"
PACKAGED_CLASSIFIER: Final = "ch_ppocr_mobile_v2.0_cls_mobile.onnx"


@dataclass(frozen=True)
class OcrModels:
    """Paths of the models, all of them absolute."""

    detector: Path  # finds lines of text
    recogniser: Path  # reads a line
    dictionary: Path | None = None  # characters of the recogniser, one per line; None if its file has them
    digest: str = ""  # of the files from the user's folder; empty for the packaged models

    def to_options(self) -> dict[str, str]:
        """Return the paths as options of a `PictureFact`."""
        options = {"detector": str(self.detector), "recogniser": str(self.recogniser)}
        return options | ({} if self.dictionary is None else {"dictionary": str(self.dictionary)})

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> OcrModels:
        """Read the paths from the options of a `PictureFact`."""
        dictionary = options.get("dictionary")
        paths = Path(str(options["detector"])), Path(str(options["recogniser"]))
        return cls(*paths, None if dictionary is None else Path(str(dictionary)))


def packaged_folder() -> Path:
    """Folder of the models in the rapidocr package. It does not import the package, which takes a second.

    Raises:
        OptionalDependencyError: the extra `ocr` is not installed.
    """
    require_packages("ocr", "text in pictures", ["rapidocr"])
    spec = find_spec("rapidocr")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).resolve().parent / "models"


def packaged_models() -> OcrModels:
    """Models for Latin script, Chinese and Japanese, from the rapidocr package.

    Raises:
        OptionalDependencyError: the extra `ocr` is not installed.
        EncoderError: the package lacks a model.
    """
    folder = packaged_folder()
    models = OcrModels(folder / PACKAGED_DETECTOR, folder / PACKAGED_RECOGNISER)
    for path in (models.detector, models.recogniser, folder / PACKAGED_CLASSIFIER):
        if not path.is_file():
            raise EncoderError(f"the rapidocr package has no file {path}; install it again: pip install rapidocr")
    return models


def find_models(folder: str | PathLike[str] | None) -> OcrModels:
    """Find the models in a folder, by the names that rapidocr gives them; None for the packaged models.

    The folder has one `*_rec_*.onnx` file. It may have one `*_det_*.onnx` file; else the packaged detector is used. If
    the recogniser's file does not contain its characters, the folder also has them: one `*dict*.txt` or `*keys*.txt`
    file with one character per line.

    Raises:
        OptionalDependencyError: the extra `ocr` is not installed.
        EncoderError: the folder or one of its files is missing or cannot be used.
    """
    packaged = packaged_models()
    if folder is None:
        return packaged
    root = Path(folder).expanduser().resolve()
    if not root.is_dir():
        raise EncoderError(f"{root} is not a folder; --ocr-models names a folder with a *_rec_*.onnx file")
    recogniser = _only_file(root, "*_rec_*.onnx")
    if recogniser is None:
        raise EncoderError(f"{root} has no recognition model (*_rec_*.onnx); put the model's file there")
    own_detector = _only_file(root, "*_det_*.onnx")
    dictionary = _only_file(root, "*dict*.txt", "*keys*.txt")
    if own_detector is not None:
        _check_detector(own_detector)
    _check_recogniser(recogniser, dictionary)
    digest = hashlib.blake2b(digest_size=8)
    for path in (own_detector, recogniser, dictionary):
        digest.update(b"" if path is None else hashlib.blake2b(path.read_bytes()).digest())
    return OcrModels(own_detector or packaged.detector, recogniser, dictionary, digest.hexdigest())


def _only_file(root: Path, *patterns: str) -> Path | None:
    found = sorted({path for pattern in patterns for path in root.glob(pattern) if path.is_file()})
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise EncoderError(f"{root} has {len(found)} files {patterns[0]} ({names}); leave one of them there")
    return found[0] if found else None


def _check_detector(path: Path) -> None:
    shape = _read_model(path).output(0).get_partial_shape()
    if shape.rank.is_static and shape.rank.get_length() != 4:
        raise EncoderError(f"{path} is no text detector: its output is {shape}; use a *_det_*.onnx file of rapidocr")


def _check_recogniser(path: Path, dictionary: Path | None) -> None:
    model = _read_model(path)
    shape = model.output(0).get_partial_shape()
    if shape.rank.is_static and shape.rank.get_length() != 3:
        raise EncoderError(f"{path} is no text recogniser: its output is {shape}; use a *_rec_*.onnx file of rapidocr")
    characters = _characters(model, dictionary)
    if characters is None:
        raise EncoderError(
            f"{path} does not contain its characters, and {path.parent} has no *dict*.txt file; put one there"
        )
    classes = shape[2].get_length() if shape.rank.is_static and shape[2].is_static else None
    if classes is not None and classes != len(characters) + 2:  # a blank of CTC, and a space
        source = path if dictionary is None else dictionary
        raise EncoderError(
            f"{source} has {len(characters)} characters, and {path.name} knows {classes - 2}; "
            "use the dictionary that belongs to the model"
        )


def _read_model(path: Path) -> Any:
    from openvino import Core

    try:
        return Core().read_model(path)
    except RuntimeError as error:
        raise EncoderError(
            f"{path} is not a model that OpenVINO reads ({first_line(error)}); put the .onnx file of rapidocr there"
        ) from error


def _characters(model: Any, dictionary: Path | None) -> list[str] | None:
    """Characters in the model's file, which count before those of the dictionary; None without any."""
    info = model.get_rt_info()
    if "framework" in info and "character" in info["framework"]:
        return str(info["framework"]["character"].value).splitlines()
    if dictionary is None:
        return None
    try:
        return dictionary.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EncoderError(f"{dictionary} is not a UTF-8 text ({first_line(error)}); replace it") from error
