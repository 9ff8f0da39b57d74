"""The contenders of benchmarks/encoders.py: each way of encoding, in a process of its own that does what it is told.

python -m benchmarks.contenders NAME MODEL WORK_FOLDER     # started by benchmarks/encoders.py
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks import random_models

Rows: TypeAlias = NDArray[np.float32]

PLAIN = "open_clip"


class ContenderError(Exception):
    """A contender cannot be had, or not for this."""


class Way:
    """A way of encoding. Those that a library has no way for say so by `ContenderError("none")`."""

    runtime = ""

    def open(self, path: str) -> Image.Image:
        """A decoded picture, as this way's user would open it."""
        with Image.open(path) as picture:
            return picture.convert("RGB")

    def prepare(self, pictures: list[Image.Image]) -> list[Any]:
        """Batches for `tower`."""
        raise ContenderError("none")

    def tower(self, batches: list[Any]) -> Rows:
        """Vectors of what `prepare` made."""
        raise ContenderError("none")

    def pictures(self, pictures: list[Image.Image]) -> Rows:
        """Vectors of decoded pictures."""
        return self.tower(self.prepare(pictures))

    def files(self, paths: list[str]) -> Rows:
        """Vectors of picture files."""
        return self.pictures([self.open(path) for path in paths])

    def texts(self, texts: list[str]) -> Rows:
        """Vectors of texts."""
        raise ContenderError("none")

    def products(self, precision: str) -> float:
        """Operations a second of the best matrix product."""
        raise ContenderError("none")


class Ours(Way):
    def __init__(self, runtime: str, name: str) -> None:
        import firstsight

        encoder: Any = firstsight.load_encoder(name, runtime=runtime)
        self._encoder = encoder
        self.runtime = self._encoder.runtime if runtime == "auto" else ""

    def open(self, path: str) -> Image.Image:
        from firstsight.media.pictures import open_picture

        return open_picture(path, min_side=self._encoder.spec.min_side)

    # The two halves of encode_images, which nobody else needs by themselves.

    def prepare(self, pictures: list[Image.Image]) -> list[Any]:
        rows = self._encoder._picture_tower.rows
        return [self._encoder._prepare_pictures(batch) for batch in _batches(pictures, rows)]

    def tower(self, batches: list[Any]) -> Rows:
        return np.concatenate([features for (features,) in self._encoder._picture_tower.run_all(batches)])

    def pictures(self, pictures: list[Image.Image]) -> Rows:
        return np.asarray(self._encoder.encode_images(pictures))

    def files(self, paths: list[str]) -> Rows:
        return np.asarray(self._encoder.encode_images(paths))

    def texts(self, texts: list[str]) -> Rows:
        return np.asarray(self._encoder.encode_texts(texts))


class OpenClip(Way):
    """As in open_clip's own README, on batches of 32."""

    def __init__(self, checkpoint: Path) -> None:
        import open_clip

        arch = random_models.ARCH
        self._model, _, self._transform = open_clip.create_model_and_transforms(arch, pretrained=str(checkpoint))
        self._model.eval()
        self._tokenizer = open_clip.get_tokenizer(arch)

    def prepare(self, pictures: list[Image.Image]) -> list[Any]:
        import torch

        return [torch.stack([self._transform(one) for one in batch]) for batch in _batches(pictures, 32)]

    def tower(self, batches: list[Any]) -> Rows:
        import torch

        with torch.inference_mode():
            return np.concatenate([self._model.encode_image(batch).numpy() for batch in batches])

    def pictures(self, pictures: list[Image.Image]) -> Rows:
        return np.concatenate([self.tower(self.prepare(batch)) for batch in _batches(pictures, 32)])

    def files(self, paths: list[str]) -> Rows:
        return np.concatenate([self.pictures([self.open(path) for path in batch]) for batch in _batches(paths, 32)])

    def texts(self, texts: list[str]) -> Rows:
        import torch

        with torch.inference_mode():
            batches = [self._model.encode_text(self._tokenizer(batch)) for batch in _batches(texts, 32)]
        return torch.cat(batches).numpy()


class OnnxRuntime(OpenClip):
    """open_clip's picture tower exported by torch.onnx, on batches of 16; titles are not exported."""

    def __init__(self, checkpoint: Path) -> None:
        super().__init__(checkpoint)
        import torch

        runtime = importlib.import_module("onnxruntime")
        exported = checkpoint.with_suffix(".onnx")
        if not exported.exists():
            example, batch = torch.zeros(2, 3, 224, 224), {0: torch.export.Dim.DYNAMIC}
            settings: dict[str, Any] = {"dynamo": True, "opset_version": 18, "external_data": False}
            torch.onnx.export(self._model.visual, (example,), exported, dynamic_shapes=(batch,), **settings)
        self._session = runtime.InferenceSession(exported, providers=["CPUExecutionProvider"])

    def tower(self, batches: list[Any]) -> Rows:
        (given,) = self._session.get_inputs()
        runs = [half for batch in batches for half in batch.split(16)]
        return np.concatenate([self._session.run(None, {given.name: batch.numpy()})[0] for batch in runs])

    def texts(self, texts: list[str]) -> Rows:
        raise ContenderError("none")


class Transformers(Way):
    """transformers' own model and processor, on batches of 32."""

    def __init__(self, folder: Path) -> None:
        import transformers

        self._model = transformers.AutoModel.from_pretrained(folder).eval()
        self._processor = transformers.AutoProcessor.from_pretrained(folder)
        siglip = self._model.config.model_type == "siglip"
        self._texts: dict[str, Any] = {"padding": "max_length" if siglip else True, "truncation": True}
        self._texts |= {"max_length": self._model.config.text_config.max_position_embeddings, "return_tensors": "pt"}

    def prepare(self, pictures: list[Image.Image]) -> list[Any]:
        batches = _batches(pictures, 32)
        return [self._processor.image_processor(images=batch, return_tensors="pt") for batch in batches]

    def tower(self, batches: list[Any]) -> Rows:
        import torch

        with torch.inference_mode():
            return torch.cat([self._model.get_image_features(**batch).pooler_output for batch in batches]).numpy()

    def texts(self, texts: list[str]) -> Rows:
        import torch

        with torch.inference_mode():
            batches = [self._processor.tokenizer(batch, **self._texts) for batch in _batches(texts, 32)]
            return torch.cat([self._model.get_text_features(**batch).pooler_output for batch in batches]).numpy()


class SentenceTransformers(Way):
    def __init__(self, folder: Path) -> None:
        library = importlib.import_module("sentence_transformers")
        modules = importlib.import_module("sentence_transformers.sentence_transformer.modules")
        self._model = library.SentenceTransformer(modules=[modules.CLIPModel(str(folder))], device="cpu")

    def pictures(self, pictures: list[Image.Image]) -> Rows:
        return np.asarray(self._model.encode(pictures, batch_size=32, show_progress_bar=False))

    def texts(self, texts: list[str]) -> Rows:
        return np.asarray(self._model.encode(texts, batch_size=32, show_progress_bar=False))


class LanceDb(Way):
    """LanceDB's embedding function "open-clip"; it has no call for many texts, so they go one by one."""

    def __init__(self, checkpoint: Path) -> None:
        from lancedb.embeddings import get_registry

        registry: Any = get_registry()
        self._function = registry.get("open-clip").create(name=random_models.ARCH, pretrained=str(checkpoint))

    def pictures(self, pictures: list[Image.Image]) -> Rows:
        return np.stack(self._function.compute_source_embeddings(pictures))

    def texts(self, texts: list[str]) -> Rows:
        return np.concatenate([self._function.compute_query_embeddings(text) for text in texts]).reshape(len(texts), -1)


class Infinity(Way):
    def __init__(self, folder: Path) -> None:
        library = importlib.import_module("infinity_emb")
        settings = library.EngineArgs(
            model_name_or_path=str(folder), engine="torch", device="cpu", batch_size=32, served_model_name="clip"
        )
        self._engines = library.SyncEngineArray.from_args([settings])

    def pictures(self, pictures: list[Image.Image]) -> Rows:
        return np.stack(self._engines.image_embed(model="clip", images=pictures).result()[0])

    def texts(self, texts: list[str]) -> Rows:
        return np.stack(self._engines.embed(model="clip", sentences=texts).result()[0])


class ClipRetrieval(Way):
    """clip-retrieval's mapper, on batches of 32 from its own model's preprocessing and tokeniser."""

    def __init__(self, checkpoint: Path) -> None:
        mapper = importlib.import_module("clip_retrieval.clip_inference.mapper")
        name = f"open_clip:{random_models.ARCH}/{checkpoint}"
        self._map = mapper.ClipMapper(True, True, False, False, name, False, "")
        _, self._transform, self._tokenizer = importlib.import_module("all_clip").load_clip(name, use_jit=False)

    def pictures(self, pictures: list[Image.Image]) -> Rows:
        return np.concatenate([self.tower(self.prepare(batch)) for batch in _batches(pictures, 32)])

    def prepare(self, pictures: list[Image.Image]) -> list[Any]:
        import torch

        return [torch.stack([self._transform(one) for one in batch]) for batch in _batches(pictures, 32)]

    def tower(self, batches: list[Any]) -> Rows:
        self._map.enable_image, self._map.enable_text = True, False
        items = [{"image_tensor": batch, "image_filename": [""] * len(batch)} for batch in batches]
        return np.concatenate([self._map(item)["image_embs"] for item in items])

    def texts(self, texts: list[str]) -> Rows:
        self._map.enable_image, self._map.enable_text = False, True
        items = [{"text_tokens": self._tokenizer(batch), "text": batch} for batch in _batches(texts, 32)]
        return np.concatenate([self._map(item)["text_embs"] for item in items])


SHAPES = [(1600, 768, 3072), (1600, 3072, 768), (1600, 768, 2304), (2048, 2048, 2048)]
"""Matrix products: rows of 32 pictures by the sizes of ViT-B-32's MLP and attention, and a large square."""


class TorchProducts(Way):
    def products(self, precision: str) -> float:
        import torch

        torch.manual_seed(0)
        kind = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}[precision]
        product = torch._int_mm if precision == "int8" else torch.mm
        rates = []
        with torch.inference_mode():
            for m, k, n in SHAPES:
                a, b = (torch.randint(-9, 9, shape).to(kind) for shape in ((m, k), (k, n)))
                rates.append(2 * m * k * n / _least_seconds(partial(product, a, b)))
        return max(rates)


class OpenVinoProducts(Way):
    """Chains of products, so that converting the input and the output to and from float32 hardly counts."""

    def __init__(self) -> None:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        self._compiled: dict[str, list[tuple[Any, list[Any], float]]] = {}

    def products(self, precision: str) -> float:
        if precision not in self._compiled:
            self._compiled[precision] = [
                self._compile(precision, m, sizes, streams)
                for m, sizes in ((1600, [768, 3072] * 2 + [768]), (2048, [2048] * 3))
                for streams in (1, len(os.sched_getaffinity(0)))
            ]
        rates = []
        for _, requests, operations in self._compiled[precision]:

            def run(requests: list[Any] = requests) -> None:
                for request in requests:
                    request.start_async()
                for request in requests:
                    request.wait()

            rates.append(len(requests) * operations / _least_seconds(run))
        return max(rates)

    def _compile(self, precision: str, rows: int, sizes: list[int], streams: int) -> tuple[Any, list[Any], float]:
        import openvino as ov
        from openvino import opset13 as ops

        rng = np.random.default_rng(0)
        given = ops.parameter([rows, sizes[0]], np.float32)
        node: Any = given
        for k, n in pairwise(sizes):
            weights = (rng.standard_normal((k, n)) / np.sqrt(k)).astype(np.float32)
            constant: Any = ops.constant(weights)
            if precision == "int8":
                node = ops.fake_quantize(node, *(np.float32(edge) for edge in (-4, 3.96875, -4, 3.96875)), 256)
                most = np.abs(weights).max()
                constant = ops.fake_quantize(constant, -most, most, -most, most, 255)
            node = ops.matmul(node, constant, False, False)
        settings: dict[str, Any] = {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": len(os.sched_getaffinity(0))}
        settings["INFERENCE_PRECISION_HINT"] = "bf16" if precision == "bf16" else "f32"
        compiled = ov.Core().compile_model(ov.Model([node], [given]), "CPU", settings)
        requests = [compiled.create_infer_request() for _ in range(streams)]
        for request in requests:
            request.get_input_tensor().data[:] = rng.standard_normal((rows, sizes[0]))
        return compiled, requests, float(sum(2 * rows * k * n for k, n in pairwise(sizes)))


def _least_seconds(call: Callable[[], object], turns: int = 4) -> float:
    call()
    seconds = []
    for _ in range(turns):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def _batches(things: list[Any], size: int) -> list[list[Any]]:
    return [things[start : start + size] for start in range(0, len(things), size)]


def way(name: str, model: str, work: Path) -> Way:
    """The way of encoding of that name, with its model loaded."""
    kind, _, rest = name.partition(" ")
    if kind == "matmul":
        return TorchProducts() if rest == "torch" else OpenVinoProducts()
    checkpoint, folder = random_models.open_clip_checkpoint(work), random_models.clip_folder(work)
    if model == "siglip":
        folder = random_models.siglip_folder(work)
    if kind == "ours":
        clip = f"open_clip:{random_models.ARCH}@{checkpoint}"
        return Ours(rest, clip if model == "clip" else f"transformers:{folder}")
    by_checkpoint = {PLAIN: OpenClip, "lancedb": LanceDb, "clip-retrieval": ClipRetrieval, "onnxruntime": OnnxRuntime}
    by_folder = {"transformers": Transformers, "sentence-transformers": SentenceTransformers, "infinity": Infinity}
    return by_checkpoint[kind](checkpoint) if kind in by_checkpoint else by_folder[kind](folder)


class Server:
    """Does what the lines on stdin say, one after the other, and answers each on stdout."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._decoded: dict[tuple[str, ...], list[Image.Image]] = {}
        self._prepared: dict[tuple[str, ...], list[Any]] = {}

    def answer(self, what: str, **given: Any) -> float:
        """The figure asked for: seconds, but for the operations a second of matrix products."""
        if what == "products":
            return self._way.products(given["precision"])
        if what == "query":
            return median(self._seconds(self._way.texts, [text]) for text in given["texts"])
        if what == "texts":
            return self._seconds(self._way.texts, given["texts"], given.get("save"))
        paths = given["files"]
        if what == "files":
            return self._seconds(self._way.files, paths, given.get("save"))
        if what == "decode":
            return self._seconds(lambda paths: [self._way.open(path) for path in paths], paths)
        pictures = self._once(self._decoded, paths, lambda: [self._way.open(path) for path in paths])
        if what == "pictures":
            return self._seconds(self._way.pictures, pictures, given.get("save"))
        if what == "prepare":
            return self._seconds(self._way.prepare, pictures)
        return self._seconds(self._way.tower, self._once(self._prepared, paths, lambda: self._way.prepare(pictures)))

    @staticmethod
    def _once(kept: dict[tuple[str, ...], list[Any]], paths: list[str], make: Callable[[], list[Any]]) -> list[Any]:
        if tuple(paths) not in kept:
            kept[tuple(paths)] = make()
        return kept[tuple(paths)]

    @staticmethod
    def _seconds(call: Callable[[Any], Any], given: Any, save: str | None = None) -> float:
        began = time.perf_counter()
        found = call(given)
        seconds = time.perf_counter() - began
        if save:
            rows = np.asarray(found, dtype=np.float32)
            np.save(save, rows / np.linalg.norm(rows, axis=1, keepdims=True))
        return seconds


def serve(name: str, model: str, work: str) -> None:
    """Be a contender: load, then answer until stdin ends. What libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**answer: object) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    try:
        found = way(name, model, Path(work))
    except Exception as error:  # whatever a library that does not fit these versions raises: its row says so
        traceback.print_exc()
        say(error=f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:300])
        return
    say(runtime=found.runtime)
    server = Server(found)
    for line in sys.stdin:
        try:
            say(figure=server.answer(**json.loads(line)))
        except Exception as error:
            traceback.print_exc()
            say(error="none" if str(error) == "none" else f"{type(error).__name__}: {str(error).strip()}"[:300])


if __name__ == "__main__":
    serve(*sys.argv[1:])
