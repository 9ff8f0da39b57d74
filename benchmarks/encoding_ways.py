"""Ways of encoding for benchmarks/encoders.py: firstsight, other libraries, and bare matrix products."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks import random_models
from firstsight.encoders.encoder_options import usable_cpus

Rows: TypeAlias = NDArray[np.float32]

PLAIN = "open_clip"


class ContenderError(Exception):
    """A contender is not available, or does not support a task."""


class Way:
    """A way of encoding; a method raises `ContenderError("none")` if the library does not support it."""

    runtime = ""

    def open(self, path: str) -> Image.Image:
        """Open a picture as a user of this library would."""
        with Image.open(path) as picture:
            return picture.convert("RGB")

    def prepare(self, pictures: list[Image.Image]) -> list[Any]:
        """Prepare batches for `tower`."""
        raise ContenderError("none")

    def tower(self, batches: list[Any]) -> Rows:
        """Encode prepared batches."""
        raise ContenderError("none")

    def pictures(self, pictures: list[Image.Image]) -> Rows:
        """Encode decoded pictures."""
        return self.tower(self.prepare(pictures))

    def files(self, paths: list[str]) -> Rows:
        """Encode picture files."""
        return self.pictures([self.open(path) for path in paths])

    def texts(self, texts: list[str]) -> Rows:
        """Encode texts."""
        raise ContenderError("none")

    def products(self, precision: str) -> float:
        """Return the operations per second of the fastest matrix product."""
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

    # The two halves of encode_images; only this benchmark needs them separately.

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
    """open_clip as in its own README, in batches of 32."""

    def __init__(self, checkpoint: Path) -> None:
        import open_clip

        arch = random_models.ARCH
        self._model, _, self._transform = open_clip.create_model_and_transforms(arch, pretrained=str(checkpoint))
        self._model.eval()
        self._tokenizer = open_clip.get_tokenizer(arch)

    def prepare(self, pictures: list[Image.Image]) -> list[Any]:
        import torch

        return [torch.stack([self._transform(picture) for picture in batch]) for batch in _batches(pictures, 32)]

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
    """open_clip's picture tower, exported by torch.onnx, in batches of 16; titles are not exported."""

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
    """The model and processor of transformers, in batches of 32."""

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
    """LanceDB's embedding function "open-clip"; it encodes only one text per call."""

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
    """clip-retrieval's mapper, in batches of 32 with its model's own preprocessing and tokeniser."""

    def __init__(self, checkpoint: Path) -> None:
        mapper = importlib.import_module("clip_retrieval.clip_inference.mapper")
        name = f"open_clip:{random_models.ARCH}/{checkpoint}"
        self._map = mapper.ClipMapper(True, True, False, False, name, False, "")
        _, self._transform, self._tokenizer = importlib.import_module("all_clip").load_clip(name, use_jit=False)

    def pictures(self, pictures: list[Image.Image]) -> Rows:
        return np.concatenate([self.tower(self.prepare(batch)) for batch in _batches(pictures, 32)])

    def prepare(self, pictures: list[Image.Image]) -> list[Any]:
        import torch

        return [torch.stack([self._transform(picture) for picture in batch]) for batch in _batches(pictures, 32)]

    def tower(self, batches: list[Any]) -> Rows:
        self._map.enable_image, self._map.enable_text = True, False
        items = [{"image_tensor": batch, "image_filename": [""] * len(batch)} for batch in batches]
        return np.concatenate([self._map(item)["image_embs"] for item in items])

    def texts(self, texts: list[str]) -> Rows:
        self._map.enable_image, self._map.enable_text = False, True
        items = [{"text_tokens": self._tokenizer(batch), "text": batch} for batch in _batches(texts, 32)]
        return np.concatenate([self._map(item)["text_embs"] for item in items])


SHAPES = [(1600, 768, 3072), (1600, 3072, 768), (1600, 768, 2304), (2048, 2048, 2048)]
"""Shapes of matrix products: rows of 32 pictures by the sizes of ViT-B-32's MLP and attention, and a large square."""


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
                rates.append(2 * m * k * n / _min_seconds(partial(product, a, b)))
        return max(rates)


class OpenVinoProducts(Way):
    """Chains of products, so that conversion of input and output to and from float32 takes a small share."""

    def __init__(self) -> None:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        self._compiled: dict[str, list[tuple[Any, list[Any], float]]] = {}

    def products(self, precision: str) -> float:
        if precision not in self._compiled:
            self._compiled[precision] = [
                self._compile(precision, m, sizes, streams)
                for m, sizes in ((1600, [768, 3072] * 2 + [768]), (2048, [2048] * 3))
                for streams in (1, usable_cpus())
            ]
        rates = []
        for _, requests, operations in self._compiled[precision]:

            def run(requests: list[Any] = requests) -> None:
                for request in requests:
                    request.start_async()
                for request in requests:
                    request.wait()

            rates.append(len(requests) * operations / _min_seconds(run))
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
                peak = np.abs(weights).max()
                constant = ops.fake_quantize(constant, -peak, peak, -peak, peak, 255)
            node = ops.matmul(node, constant, False, False)
        settings: dict[str, Any] = {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": usable_cpus()}
        settings["INFERENCE_PRECISION_HINT"] = "bf16" if precision == "bf16" else "f32"
        compiled = ov.Core().compile_model(ov.Model([node], [given]), "CPU", settings)
        requests = [compiled.create_infer_request() for _ in range(streams)]
        for request in requests:
            request.get_input_tensor().data[:] = rng.standard_normal((rows, sizes[0]))
        return compiled, requests, float(sum(2 * rows * k * n for k, n in pairwise(sizes)))


def _min_seconds(call: Callable[[], object], turns: int = 4) -> float:
    call()
    seconds = []
    for _ in range(turns):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def _batches(inputs: list[Any], size: int) -> list[list[Any]]:
    return [inputs[start : start + size] for start in range(0, len(inputs), size)]


def way(name: str, model: str, work: Path) -> Way:
    """Load a way of encoding by its name.

    Args:
        name: "ours RUNTIME", "matmul torch", "matmul openvino", or a library.
        model: "clip" or "siglip".
        work: folder of the models.
    """
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
