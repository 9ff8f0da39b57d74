"""The text reader: rapidocr's detector, angle classifier and recogniser on OpenVINO, in one thread and bounded memory.

OpenVINO keeps compiled kernels for each shape of input. With the shapes of rapidocr itself, pictures of 25 sizes
exceeded the 3 GB of address space of a decoding child. Here, lines are padded to a few widths and read one by one, and
pictures come in sizes that give a few shapes of the detector.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firstsight.extras import requires
from firstsight.understanding.ocr.model_files import PACKAGED_CLASSIFIER, OcrModels, packaged_folder

with requires("ocr", "text in pictures"):
    import cv2
    from rapidocr import EngineType, RapidOCR

DETECTION_SIDE: Final = 736
"""Longer side in pixels at which lines are detected. At 480, 10-px text is lost; without a limit, it costs twice."""

MAX_LINES: Final = 120
"""Lines to read in one picture, the largest ones. It bounds the time for a page full of text."""

LINE_HEIGHT: Final = 48
"""Height in pixels of a line as the recogniser sees it."""

MAX_LINE_WIDTH: Final = 1920
"""Longest line in pixels at that height, about 100 letters. Longer lines are squeezed; memory grows with the width."""

_WIDTH_STEP: Final = 160
_PADDING: Final = 127  # the recogniser's own padding is the middle of its range


@dataclass(frozen=True)
class ReadLine:
    """A line of text in a picture."""

    text: str
    score: float  # mean probability of its characters, 0 to 1
    box: NDArray[np.float64]  # (4, 2) corners in pixels, clockwise from the text's top left


class TextReader:
    """Reads lines of text in pictures; loading takes a second. For one thread.

    Args:
        models: the models to load. Nothing is downloaded.
    """

    def __init__(self, models: OcrModels) -> None:
        cv2.setNumThreads(1)
        self._engine = _BoundedEngine(params=_parameters(models))

    def read(self, pixels: NDArray[np.uint8]) -> list[ReadLine]:
        """Read the lines of a picture, in no special order.

        Args:
            pixels: (height, width, 3) in RGB; each side 32 pixels or more.
        """
        found: Any = self._engine(np.ascontiguousarray(pixels[:, :, ::-1]))
        if getattr(found, "boxes", None) is None or found.txts is None:
            return []
        return [
            ReadLine(str(text), float(score), np.asarray(box, dtype=np.float64))
            for text, score, box in zip(found.txts, found.scores, found.boxes, strict=True)
        ]


class _BoundedEngine(RapidOCR):
    """rapidocr with a limited number of lines, and lines of a few widths."""

    def crop_text_regions(self, img: NDArray[np.uint8], det_boxes: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
        crops: list[NDArray[np.uint8]] = super().crop_text_regions(img, det_boxes)
        return [crop if crop.size else np.zeros((LINE_HEIGHT, LINE_HEIGHT, 3), np.uint8) for crop in crops]

    def detect_and_crop(self, img: NDArray[np.uint8], op_record: dict[str, Any]) -> Any:
        found: Any
        crops, found = super().detect_and_crop(img, op_record)
        if len(crops) > MAX_LINES:
            largest = sorted(range(len(crops)), key=lambda n: -crops[n].shape[0] * crops[n].shape[1])[:MAX_LINES]
            kept = sorted(largest)
            crops = [crops[n] for n in kept]
            found.boxes, found.scores = found.boxes[kept], [found.scores[n] for n in kept]
        return crops, found

    def recognize_txt(self, img: list[NDArray[np.uint8]]) -> Any:
        return super().recognize_txt([_pad_line(line) for line in img])


def _pad_line(line: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize a line to the recogniser's height, and pad it to a multiple of the step."""
    height, width = line.shape[:2]
    reduced = min(MAX_LINE_WIDTH, max(1, math.ceil(width * LINE_HEIGHT / height)))
    resized = cv2.resize(line, (reduced, LINE_HEIGHT))
    padded = np.full((LINE_HEIGHT, -(-reduced // _WIDTH_STEP) * _WIDTH_STEP, 3), _PADDING, np.uint8)
    padded[:, :reduced] = resized
    return padded


def _parameters(models: OcrModels) -> dict[str, Any]:
    paths: dict[str, Path | None] = {
        "Det.model_path": models.detector,
        "Cls.model_path": packaged_folder() / PACKAGED_CLASSIFIER,
        "Rec.model_path": models.recogniser,
        "Rec.rec_keys_path": models.dictionary,
    }
    engines = {f"{part}.engine_type": EngineType.OPENVINO for part in ("Det", "Cls", "Rec")}
    return {
        **engines,
        **{name: str(path) for name, path in paths.items() if path is not None},
        "EngineConfig.openvino.inference_num_threads": 1,
        "EngineConfig.openvino.enable_cpu_pinning": False,  # else all children would share one core
        "Det.limit_type": "max",
        "Det.limit_side_len": DETECTION_SIDE,
        "Cls.cls_batch_num": 1,  # each number of lines would be another shape
        "Rec.rec_batch_num": 1,
        "Global.use_preprocess_img": False,
        "Global.use_vertical_padding": False,
        "Global.text_score": 0.0,
        "Global.log_level": "critical",
    }
