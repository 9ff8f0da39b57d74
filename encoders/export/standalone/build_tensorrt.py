"""Build TensorRT engines from the exported ONNX graphs, without firstsight.

Uses the Python package tensorrt, else the program trtexec:

    python build_tensorrt.py [--fp16]

The smallest, usual and largest shape of each input are in firstsight_export.json, under "tensorrt". An engine runs only
on the kind of GPU that it was built on. Check the engines afterwards: python check_tensorrt.py
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

TOWERS = ("pictures", "texts")


def main() -> int:
    """Build both engines; the exit status is 0 if they were built, 3 if TensorRT is missing."""
    parser = argparse.ArgumentParser(description="Build TensorRT engines from the exported ONNX graphs.")
    parser.add_argument("--folder", default=str(Path(__file__).parent), help="Folder of the export.")
    parser.add_argument("--fp16", action="store_true", help="Compute in float16 where TensorRT finds it faster.")
    flags = parser.parse_args()
    folder = Path(flags.folder)
    shapes = json.loads((folder / "firstsight_export.json").read_text("utf-8"))["tensorrt"]
    try:
        import tensorrt
    except ImportError:
        tensorrt = None
    for tower in TOWERS:
        command = trtexec_command(folder, tower, shapes[tower], fp16=flags.fp16)
        if tensorrt is not None:
            build(tensorrt, folder, tower, shapes[tower], fp16=flags.fp16)
        elif shutil.which(command[0]):
            subprocess.run(command, check=True)
        else:
            print("neither the package tensorrt nor the program trtexec is here; with TensorRT, run:", file=sys.stderr)
            print(" ".join(command))
            return 3
        print(f"built {folder / f'{tower}.engine'}")
    return 0


def trtexec_command(folder: Path, tower: str, shapes: dict[str, Any], *, fp16: bool) -> list[str]:
    """Return the arguments of trtexec for one graph."""

    def listed(kind: str) -> str:
        return ",".join(f"{name}:{'x'.join(map(str, sizes[kind]))}" for name, sizes in shapes.items())

    command = ["trtexec", f"--onnx={folder / f'{tower}.onnx'}", f"--saveEngine={folder / f'{tower}.engine'}"]
    command += [f"--minShapes={listed('min')}", f"--optShapes={listed('opt')}", f"--maxShapes={listed('max')}"]
    return [*command, "--fp16"] if fp16 else command


def build(tensorrt: Any, folder: Path, tower: str, shapes: dict[str, Any], *, fp16: bool) -> None:
    """Build one engine with the Python package."""
    logger = tensorrt.Logger(tensorrt.Logger.WARNING)
    builder = tensorrt.Builder(logger)
    # Explicit batches are a flag until TensorRT 9 and the only mode since TensorRT 10.
    flag = getattr(tensorrt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    network = builder.create_network(0 if flag is None else 1 << int(flag))
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(folder / f"{tower}.onnx")):
        raise SystemExit(f"TensorRT cannot read {tower}.onnx: {parser.get_error(0)}")
    config = builder.create_builder_config()
    if fp16:
        config.set_flag(tensorrt.BuilderFlag.FP16)
    profile = builder.create_optimization_profile()
    for name, sizes in shapes.items():
        profile.set_shape(name, sizes["min"], sizes["opt"], sizes["max"])
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise SystemExit(f"TensorRT cannot build {tower}.onnx; its messages above give the reason")
    (folder / f"{tower}.engine").write_bytes(bytes(engine))


if __name__ == "__main__":
    sys.exit(main())
