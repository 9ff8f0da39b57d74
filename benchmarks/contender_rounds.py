"""Rounds of measurements over contender processes, for benchmarks/encoders.py."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import random_models
from benchmarks.encoding_ways import ContenderError

ROOT = Path(__file__).parent.parent
WARM = 8  # pictures or titles of the warm-up


@dataclass(frozen=True)
class Plan:
    """Settings and inputs of a run."""

    work: Path  # folder for models, generated pictures and vectors
    rounds: int
    count: int  # pictures per round
    pictures: Path | None
    titles: Path | None
    pythons: dict[str, str]  # contender -> interpreter

    def jpegs(self, count: int, size: tuple[int, int]) -> list[Path]:
        return random_models.make_jpegs(self.work, count, size, random_models.pictures_in(self.pictures))

    def vectors(self, name: str) -> Path:
        folder = self.work / "vectors"
        folder.mkdir(exist_ok=True)
        return folder / f"{name.replace(' ', '-').replace(':', '-')}.npy"


class Contender:
    """A process with one way of encoding; it runs tasks while this process waits."""

    def __init__(self, name: str, model: str, plan: Plan) -> None:
        self.name, self.reason, self.runtime = name, "", ""
        self.warming = False  # whether tasks run on a few inputs only
        command = [plan.pythons.get(name.split()[0], sys.executable), "-m", "benchmarks.contenders", name, model]
        log = (plan.work / f"{name.replace(' ', '-').replace(':', '-')}.log").open("w")
        self._process = subprocess.Popen(
            [*command, str(plan.work)], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )
        log.close()
        try:
            self.runtime = self._answer()["runtime"]
        except ContenderError as error:
            self.reason = str(error)

    def run(self, task: str, **arguments: object) -> float:
        """Run a task: returns its seconds, or the operations per second of matrix products."""
        assert self._process.stdin is not None
        if self.warming:
            short = {key: value[:WARM] for key, value in arguments.items() if isinstance(value, list)}
            arguments |= short
        self._process.stdin.write(json.dumps({"task": task, **arguments}) + "\n")
        self._process.stdin.flush()
        return float(self._answer()["figure"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ContenderError(f"ended with status {self._process.wait()}; see its log in the work folder")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ContenderError(answer["error"])
        return answer

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Field:
    """The contenders for one model; a contender that cannot load is reported and skipped."""

    def __init__(self, names: Iterable[str], model: str, plan: Plan) -> None:
        self.skipped: list[str] = []
        self.running: list[Contender] = []
        for name in names:
            contender = Contender(name, model, plan)
            if contender.reason:
                self.skipped.append(f"{name}: {contender.reason}")
                contender.stop()
            else:
                self.running.append(contender)

    def __enter__(self) -> Field:
        return self

    def __exit__(self, *_: object) -> None:
        for contender in self.running:
            contender.stop()
        for line in self.skipped:
            print(f"skipped: {line}")

    def in_turn(self, rounds: int, measure: Callable[[Contender], float], only: str = "") -> dict[str, list[float]]:
        """Measure each contender in each round, after a short warm-up round that does not count.

        Args:
            rounds: number of counted rounds.
            measure: measures one contender.
            only: suffix of the names to measure; "matmul" contenders are always measured.

        Returns:
            The figures of each contender by name, one per round.
        """
        figures: dict[str, list[float]] = {
            contender.name: []
            for contender in self.running
            if contender.name.endswith(only) or contender.name.startswith("matmul")
        }
        for round_ in range(rounds + 1):
            for contender in [running for running in self.running if running.name in figures]:
                contender.warming = not round_
                try:
                    figure = measure(contender)
                except ContenderError as error:
                    if str(error) != "none":
                        self.skipped.append(f"{contender.name}: {error}")
                    del figures[contender.name]
                    continue
                if round_:
                    figures[contender.name].append(figure)
                    print(f"round {round_}: {contender.name} {figure:.4g}", file=sys.stderr)
        return figures
