"""Graphs of towers as files: ONNX, and OpenVINO's own format."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final, Literal

import torch
from torch import Tensor, nn

from firstsight.encoders.export.export_parts import TowerParts
from firstsight.encoders.export.plain_attention import with_plain_attention
from firstsight.errors import EncoderError, first_line
from firstsight.extras import requires

Format = Literal["onnx", "openvino", "tensorrt"]
FORMATS: Final = ("onnx", "openvino", "tensorrt")

OUTPUT: Final = "vectors"
OPSET: Final = 17
"""Version of the ONNX operators: read by ONNX Runtime since 1.12 and TensorRT since 8.5."""


def write_graph(tower: TowerParts, path: Path) -> None:
    """Write the graph of a tower; the suffix of the path, .onnx or .xml, selects the format.

    Args:
        tower: the tower.
        path: the file; large weights go into further files beside it.

    Raises:
        EncoderError: the tower cannot be exported, or OpenVINO has no PyTorch frontend.
        OptionalDependencyError: the packages of the extra `onnx` are not installed.
    """
    example = tuple(torch.from_numpy(array) for array in tower.example)
    name, other = ("OpenVINO", "onnx") if path.suffix == ".xml" else ("ONNX", "openvino")
    try:
        module = with_plain_attention(tower.module)
        if path.suffix == ".xml":
            _write_openvino(module, tower, example, path)
        else:
            _write_onnx(module, tower, example, path)
    except EncoderError:
        raise
    except Exception as error:  # both converters raise anything on a network that they cannot express
        raise EncoderError(
            f"the tower of {path.stem} cannot be exported to {name} ({first_line(error)}); use --format {other}"
        ) from error


def _write_openvino(module: nn.Module, tower: TowerParts, example: tuple[Tensor, ...], path: Path) -> None:
    # First: it keeps openvino from reporting its import over the network.
    from firstsight.encoders.runtimes.openvino_runtime import export

    import openvino as ov  # isort: skip

    shapes = tuple(tuple(-1 if isinstance(size, str) else size for size in entry.shape) for entry in tower.inputs)
    graph = export(module, example, shapes)
    for entry, port in zip(tower.inputs, graph.inputs, strict=True):
        port.get_tensor().set_names({entry.name})
    graph.outputs[0].get_tensor().set_names({OUTPUT})
    ov.save_model(graph, path, compress_to_fp16=False)  # float16 weights would change the vectors


def _write_onnx(module: nn.Module, tower: TowerParts, example: tuple[Tensor, ...], path: Path) -> None:
    with requires("onnx", "the export to ONNX"):
        import onnx
    names = [entry.name for entry in tower.inputs]
    variable = {
        entry.name: {axis: size for axis, size in enumerate(entry.shape) if isinstance(size, str)}
        for entry in tower.inputs
    }
    with warnings.catch_warnings(), torch.inference_mode():
        # torch deprecates tracing and warns if Python reads a shape; these towers read fixed shapes only. Tracing takes
        # a sixth of the time of torch.export, and its sizes vary without guards. OpenVINO's graphs are traced too.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            example,
            str(path),
            input_names=names,
            output_names=[OUTPUT],
            dynamic_axes=variable | {OUTPUT: {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
    # By path, not by value: a graph above 2 GB has its weights in further files.
    onnx.checker.check_model(str(path))
