"""Towers that OpenVINO runs: exported from torch once, kept in the cache folder, loaded without torch."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
import tempfile
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from firstsight.config import cache_dir
from firstsight.encoders.base import Arrays, Outputs
from firstsight.errors import EncoderError

# openvino_telemetry reports every import of openvino to its vendor, from a forked process. Users did not agree to that,
# and a fork can hang because of LanceDB's threads. openvino works without this package.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor, nn

log = logging.getLogger(__name__)


# Weak: a compiled graph takes up to 200 MB and goes with the last tower that runs it.
_compiled_graphs: MutableMapping[tuple[Path, int, int], ov.CompiledModel] = WeakValueDictionary()


class OpenVinoTower:
    """A compiled graph on the CPU.

    Args:
        compiled: the graph to run, from `compile_graph`; towers may share it.
        streams: number of concurrent requests, as in `compile_graph`.
        rows: maximum rows of one request.
    """

    def __init__(self, compiled: ov.CompiledModel, *, streams: int, rows: int) -> None:
        self.rows = rows
        self._compiled = compiled  # keeps the entry of _compiled_graphs
        self._requests = [compiled.create_infer_request() for _ in range(streams)]
        self._outputs = len(compiled.outputs)

    @classmethod
    def load_shared(
        cls, key: str, build: Callable[[], ov.Model], *, streams: int, threads: int, rows: int
    ) -> OpenVinoTower:
        """Load the tower of a stored graph in float32; towers of one graph in a process share its compiled form.

        Args:
            key: as for `load_graph`.
            build: as for `load_graph`.
            streams: number of concurrent requests.
            threads: CPU threads, shared by the streams.
            rows: maximum rows of one request.
        """
        name = (graph_folder(key), streams, threads)
        compiled = _compiled_graphs.get(name)
        if compiled is None:
            compiled = compile_graph(load_graph(key, build), streams=streams, threads=threads)
            _compiled_graphs[name] = compiled
        return cls(compiled, streams=streams, rows=rows)

    def run(self, *inputs: NDArray[Any]) -> Outputs:
        """Compute the outputs for inputs of n >= 1 rows each: arrays of n rows each."""
        slices = (tuple(x[start : start + self.rows] for x in inputs) for start in range(0, len(inputs[0]), self.rows))
        return tuple(np.concatenate(column) for column in zip(*self.run_all(slices), strict=True))

    def run_all(self, batches: Iterable[Arrays]) -> Iterator[Outputs]:
        """Compute the outputs of each batch, in order; the next batch is read during the computation."""
        # Requests are used in rotation, and this thread waits for them. AsyncInferQueue runs Python callbacks on
        # OpenVINO's own threads instead; a callback after the interpreter's end aborts the process.
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
        finally:  # also after an error or an early stop: a busy request accepts no new work
            for request in running:
                request.wait()

    def _finish(self, request: ov.InferRequest) -> Outputs:
        request.wait()
        # Copied: the next use of the request overwrites its memory.
        return tuple(request.get_output_tensor(i).data.copy() for i in range(self._outputs))


def compile_graph(graph: ov.Model, *, streams: int, threads: int, precision: str = "fp32") -> ov.CompiledModel:
    """Compile a graph for this CPU.

    Args:
        graph: the graph.
        streams: number of concurrent requests.
        threads: CPU threads, shared by the streams.
        precision: "fp32", or "bf16" for matrix products in bfloat16; a graph quantised to int8 keeps its int8 parts
            under both. OpenVINO's own default is never used: it is bf16 on CPUs that support it, and some models then
            lose too much (see `runtime_choice.compare_with_reference`).
    """
    settings = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": streams,
    }
    return ov.Core().compile_model(graph, "CPU", settings)


def cpu_capabilities() -> str:
    """Return the precisions that this CPU supports natively, such as "BF16 FP16 FP32 INT8"."""
    return " ".join(sorted(ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")))


def computes_in_bf16() -> bool:
    """Return whether this CPU multiplies bfloat16 matrices natively."""
    return "BF16" in cpu_capabilities().split()


def version() -> str:
    """Return OpenVINO's version without its build number."""
    return str(ov.__version__.split("-")[0])


def load_graph(key: str, build: Callable[[], ov.Model]) -> ov.Model:
    """Load the graph of a key from the cache folder; build and store it first if it is missing.

    If the folder is not writable, every process builds the graph again.

    Args:
        key: a file name that changes with the graph; OpenVINO's version is appended.
        build: makes the graph; called if no readable graph is stored.
    """
    folder = graph_folder(key)
    stored = folder / "graph.xml"
    if stored.exists():
        try:
            return ov.Core().read_model(stored)
        except RuntimeError as error:  # after a full disk, or a truncated file
            log.warning("%s cannot be read and is built again: %s", stored, error)
            shutil.rmtree(folder, ignore_errors=True)
    graph = build()
    store_graph(graph, key)
    return graph


def graph_folder(key: str) -> Path:
    """Return the folder of a key's graph; it need not exist."""
    return cache_dir() / "graphs" / f"{key}-openvino{version()}"


def is_stored(key: str) -> bool:
    """Return whether the graph of a key is stored."""
    return (graph_folder(key) / "graph.xml").exists()


def store_graph(graph: ov.Model, key: str, *, replace: bool = False) -> None:
    """Store a graph under a key, in one step: written to a temporary folder, then renamed.

    Args:
        graph: the graph to store.
        key: as for `load_graph`.
        replace: replace a stored graph of this key; by default the stored one stays.
    """
    folder = graph_folder(key)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    except OSError as error:
        log.info("the exported graph was not stored: %s", error)
        return
    try:
        # No fp16 compression: it would change the vectors.
        ov.save_model(graph, draft / "graph.xml", compress_to_fp16=False)
        if replace:
            shutil.rmtree(folder, ignore_errors=True)
        # Fails if another process has stored the same graph first.
        with contextlib.suppress(FileExistsError, OSError):
            draft.rename(folder)
    except (OSError, RuntimeError) as error:
        log.info("the exported graph was not stored: %s", error)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def export(module: nn.Module, example: tuple[Tensor, ...], shapes: tuple[tuple[int, ...], ...]) -> ov.Model:
    """Convert a torch module to an OpenVINO graph.

    Calls the PyTorch frontend directly, because `openvino.convert_model` reports its use over the network
    unless the user has opted out.

    Args:
        module: the module, in evaluation mode.
        example: inputs for tracing.
        shapes: shapes of the graph's inputs; -1 for a variable size.

    Raises:
        EncoderError: if OpenVINO has no PyTorch frontend.
    """
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings(), torch.inference_mode():
        # torch deprecates tracing and warns if Python reads a shape; these towers read fixed shapes only.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(module, example, check_trace=False)
        frontend = FrontEndManager().load_by_framework("pytorch")
        if frontend is None:
            raise EncoderError("this OpenVINO has no PyTorch frontend: reinstall `openvino`, or use runtime='torch'")
        decoder = TorchScriptPythonDecoder(
            traced, example_input=example
        )  # this variable keeps it alive during the conversion
        graph = frontend.convert(frontend.load(decoder))
    graph.reshape({index: ov.PartialShape(list(shape)) for index, shape in enumerate(shapes)})
    graph.validate_nodes_and_infer_types()
    return graph
