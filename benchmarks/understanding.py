"""Measure what is found in pictures and texts, and what it costs.

    python -m benchmarks.understanding [PART ...] [--data FOLDER]

Each part is a module of `benchmarks.understanding_parts` with a function `run(data)`, which prints its table. Without
names, all parts run.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from pathlib import Path
from typing import Any

from benchmarks import understanding_parts


def parts() -> list[str]:
    """Names of the parts: the modules of the folder that have a `run`."""
    found = sorted(module.name for module in pkgutil.iter_modules(understanding_parts.__path__))
    return [name for name in found if hasattr(_module(name), "run")]


def main() -> None:
    """Run the parts that the command line names."""
    known = parts()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", help=f"one of {', '.join(known)}; all by default")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the data sets")
    given = parser.parse_args()
    unknown = sorted(set(given.part) - set(known))
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; the parts are {', '.join(known)}")
    for name in given.part or known:
        print(f"## {name}\n", flush=True)
        _module(name).run(given.data)
        print(flush=True)


def _module(name: str) -> Any:
    return importlib.import_module(f"benchmarks.understanding_parts.{name}")


if __name__ == "__main__":
    main()
