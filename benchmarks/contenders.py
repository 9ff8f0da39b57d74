"""The contender processes of benchmarks/encoders.py: each one serves a single way of encoding.

python -m benchmarks.contenders NAME MODEL WORK_FOLDER     # started by benchmarks/encoders.py
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.encoding_ways import Way, way


class Server:
    """Runs one task per line of stdin and answers each on stdout."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._decoded: dict[tuple[str, ...], list[Image.Image]] = {}
        self._prepared: dict[tuple[str, ...], list[Any]] = {}

    def answer(self, task: str, **arguments: Any) -> float:
        """Run a task: returns its seconds, or the operations per second of matrix products."""
        if task == "products":
            return self._way.products(arguments["precision"])
        if task == "query":
            return median(self._seconds(self._way.texts, [text]) for text in arguments["texts"])
        if task == "texts":
            return self._seconds(self._way.texts, arguments["texts"], arguments.get("save"))
        paths = arguments["files"]
        if task == "files":
            return self._seconds(self._way.files, paths, arguments.get("save"))
        if task == "decode":
            return self._seconds(lambda paths: [self._way.open(path) for path in paths], paths)
        pictures = self._once(self._decoded, paths, lambda: [self._way.open(path) for path in paths])
        if task == "pictures":
            return self._seconds(self._way.pictures, pictures, arguments.get("save"))
        if task == "prepare":
            return self._seconds(self._way.prepare, pictures)
        return self._seconds(self._way.tower, self._once(self._prepared, paths, lambda: self._way.prepare(pictures)))

    @staticmethod
    def _once(cache: dict[tuple[str, ...], list[Any]], paths: list[str], make: Callable[[], list[Any]]) -> list[Any]:
        if tuple(paths) not in cache:
            cache[tuple(paths)] = make()
        return cache[tuple(paths)]

    @staticmethod
    def _seconds(call: Callable[[Any], Any], inputs: Any, save: str | None = None) -> float:
        began = time.perf_counter()
        result = call(inputs)
        seconds = time.perf_counter() - began
        if save:
            rows = np.asarray(result, dtype=np.float32)
            np.save(save, rows / np.linalg.norm(rows, axis=1, keepdims=True))
        return seconds


def serve(name: str, model: str, work: str) -> None:
    """Run a contender: load it, then answer until stdin ends. Output of libraries goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def send(**answer: object) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    try:
        contender = way(name, model, Path(work))
    except Exception as error:  # a library may not fit these versions: its row reports the error
        traceback.print_exc()
        send(error=f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:300])
        return
    send(runtime=contender.runtime)
    server = Server(contender)
    for line in sys.stdin:
        try:
            send(figure=server.answer(**json.loads(line)))
        except Exception as error:
            traceback.print_exc()
            send(error="none" if str(error) == "none" else f"{type(error).__name__}: {str(error).strip()}"[:300])


if __name__ == "__main__":
    serve(*sys.argv[1:])
