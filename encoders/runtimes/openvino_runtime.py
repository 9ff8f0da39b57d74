"""Running a torch tower as an OpenVINO graph: exported once, kept in the cache folder, loaded without torch."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
import tempfile
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from firstsight.config import cache_dir
from firstsight.encoders.base import Arrays, Outputs
from firstsight.errors import EncoderError

# openvino_telemetry reports every import of openvino to its maker, from a forked process. Nobody asked for that,
# and a fork beside LanceDB's threads can hang; where the package is not to be had, openvino does without it.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor, nn

log = logging.getLogger(__name__)


class OpenVinoTower:
    """A compiled graph on the CPU.

    Args:
        graph: what to run.
        streams: requests in flight at once.
        threads: CPU threads shared by the streams.
        rows: at most, of one request.
        precision: "fp32", or "bf16" for matrix products in bfloat16; a graph quantised to int8 keeps its int8 parts
            under either. Never this runtime's own default, which is bf16 wherever the CPU has it: some models lose too
            much (see `runtimes.compare_with_reference`).
    """

    def __init__(self, graph: ov.Model, *, streams: int, threads: int, rows: int, precision: str = "fp32") -> None:
        settings = {
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": streams,
        }
        compiled = ov.Core().compile_model(graph, "CPU", settings)
        self.rows = rows
        self._requests = [compiled.create_infer_request() for _ in range(streams)]
        self._outputs = len(compiled.outputs)

    def run(self, *inputs: NDArray[Any]) -> Outputs:
        """The graph's outputs for inputs of n >= 1 rows each, n rows each."""
        slices = (tuple(x[start : start + self.rows] for x in inputs) for start in range(0, len(inputs[0]), self.rows))
        return tuple(np.concatenate(column) for column in zip(*self.run_all(slices), strict=True))

    def run_all(self, batches: Iterable[Arrays]) -> Iterator[Outputs]:
        """The outputs of each batch, in order; while the requests compute, the next batch is asked for."""
        # Requests take turns and are waited for here. AsyncInferQueue does the same through Python callbacks on the
        # runtime's own threads, and one of those that outlives the interpreter aborts the process.
        running: deque[ov.InferRequest] = deque()
        try:
            for turn, batch in enumerate(batches):
                if len(running) == len(self._requests):
                    yield self._finish(running.popleft())
                request = self._requests[turn % len(self._requests)]
                request.start_async(dict(enumerate(batch)))
                running.append(request)
            while running:
                yield self._finish(running.popleft())
        finally:  # where a batch could not be made, or nobody wants the rest: a busy request takes no new work
            for request in running:
                request.wait()

    def _finish(self, request: ov.InferRequest) -> Outputs:
        request.wait()
        # Copied, because the request's memory is written again by the rows of its next turn.
        return tuple(request.get_output_tensor(i).data.copy() for i in range(self._outputs))


def cpu_capabilities() -> str:
    """What this CPU computes in by itself, such as "BF16 FP16 FP32 INT8"."""
    return " ".join(sorted(ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")))


def computes_in_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices itself."""
    return "BF16" in cpu_capabilities().split()


def version() -> str:
    """OpenVINO's version, without the build."""
    return str(ov.__version__.split("-")[0])


def load_graph(key: str, build: Callable[[], ov.Model]) -> ov.Model:
    """The graph stored under `key` in the cache folder, built and stored first when it is not there.

    A folder that cannot be written costs the time to build the graph again in every process, nothing else.

    Args:
        key: a file name that changes whenever the graph does; this runtime's version is added to it.
        build: makes the graph; called when nothing usable is stored.
    """
    folder = graph_folder(key)
    stored = folder / "graph.xml"
    if stored.exists():
        try:
            return ov.Core().read_model(stored)
        except RuntimeError as error:  # a disk that filled up, a file cut short by hand
            log.warning("%s cannot be read and is made again: %s", stored, error)
            shutil.rmtree(folder, ignore_errors=True)
    graph = build()
    store_graph(graph, key)
    return graph


def graph_folder(key: str) -> Path:
    """Where the graph of a key is stored, or will be."""
    return cache_dir() / "graphs" / f"{key}-openvino{version()}"


def is_stored(key: str) -> bool:
    """Whether there is a graph under this key."""
    return (graph_folder(key) / "graph.xml").exists()


def store_graph(graph: ov.Model, key: str, *, replace: bool = False) -> None:
    """Write the graph beside its place and rename it there, so a reader sees all of it or none.

    Args:
        replace: take away what is stored under this key; else it stays.
    """
    folder = graph_folder(key)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    except OSError as error:
        log.info("the exported graph is not kept: %s", error)
        return
    try:
        # Not compressed to fp16: that would move the vectors away from those of torch.
        ov.save_model(graph, draft / "graph.xml", compress_to_fp16=False)
        if replace:
            shutil.rmtree(folder, ignore_errors=True)
        # Refused when another process was faster; its graph is the same one.
        with contextlib.suppress(FileExistsError, OSError):
            draft.rename(folder)
    except (OSError, RuntimeError) as error:
        log.info("the exported graph is not kept: %s", error)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def export(module: nn.Module, example: tuple[Tensor, ...], shapes: tuple[tuple[int, ...], ...]) -> ov.Model:
    """A torch module as an OpenVINO graph.

    Goes to the PyTorch frontend directly, because `openvino.convert_model` reports its use over the network
    unless the user has opted out.

    Args:
        module: in evaluation mode.
        example: inputs to trace it with.
        shapes: of the graph's inputs, -1 where a size may vary.
    """
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings(), torch.inference_mode():
        # Tracing is deprecated in torch and warns where Python reads a shape; the shapes read here are fixed.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(module, example, check_trace=False)
        frontend = FrontEndManager().load_by_framework("pytorch")
        if frontend is None:
            raise EncoderError("this OpenVINO has no PyTorch frontend: reinstall `openvino`, or use runtime='torch'")
        decoder = TorchScriptPythonDecoder(traced, example_input=example)  # must outlive the conversion: keep the name
        graph = frontend.convert(frontend.load(decoder))
    graph.reshape({index: ov.PartialShape(list(shape)) for index, shape in enumerate(shapes)})
    graph.validate_nodes_and_infer_types()
    return graph
