"""Compare built TensorRT engines with the stored reference vectors, without firstsight.

Needs tensorrt, numpy, and torch with CUDA for the memory of the GPU:

    python check_tensorrt.py

The exit status is 1 if a cosine is below .999.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

MIN_COSINE = 0.999


def main() -> int:
    """Print the smallest cosine of each tower to the reference."""
    parser = argparse.ArgumentParser(description="Compare TensorRT engines with the reference vectors.")
    parser.add_argument("--folder", default=str(Path(__file__).parent), help="Folder of the export.")
    folder = Path(parser.parse_args().folder)
    description = json.loads((folder / "firstsight_export.json").read_text("utf-8"))
    worst = 1.0
    with np.load(folder / "probe.npz", allow_pickle=False) as probe:
        for tower in ("pictures", "texts"):
            inputs = {entry["name"]: probe[f"{tower}.{entry['name']}"] for entry in description[tower]["inputs"]}
            vectors = run(folder / f"{tower}.engine", inputs, description["dim"])
            smallest = float((vectors * probe[f"{tower}.vectors"]).sum(axis=1).min())
            print(f"{tower}: minimum cosine {smallest:.6f} over {len(vectors)} rows")
            worst = min(worst, smallest)
    return 0 if worst >= MIN_COSINE else 1


def run(engine_file: Path, inputs: dict[str, Any], dim: int) -> Any:
    """Run an engine on inputs of n rows each: (n, dim) float32."""
    import tensorrt
    import torch

    with tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.WARNING)) as runtime:
        engine = runtime.deserialize_cuda_engine(engine_file.read_bytes())
        context = engine.create_execution_context()
        held = {name: torch.from_numpy(np.ascontiguousarray(array)).cuda() for name, array in inputs.items()}
        for name, tensor in held.items():
            context.set_input_shape(name, tuple(tensor.shape))
            context.set_tensor_address(name, tensor.data_ptr())
        rows = len(next(iter(held.values())))
        vectors = torch.empty((rows, dim), dtype=torch.float32, device="cuda")
        context.set_tensor_address("vectors", vectors.data_ptr())
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())  # the copies above
        context.execute_async_v3(stream.cuda_stream)
        stream.synchronize()
        return vectors.cpu().numpy()


if __name__ == "__main__":
    sys.exit(main())
