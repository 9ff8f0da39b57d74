"""Encode pictures and texts with an exported model, without firstsight.

Needs numpy, pillow, tokenizers and onnxruntime (openvino instead of onnxruntime for graphs of OpenVINO):

    python example.py --text "red running shoes" --picture shoe.jpg

Or in a program:

    from example import ExportedModel

    model = ExportedModel(".")
    vectors = model.encode_texts(["red running shoes"])  # (1, dim) float32, unit rows
"""

from __future__ import annotations

import argparse
import html
import json
import math
import string
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

KERNELS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class ExportedModel:
    """A folder that `firstsight models export` wrote.

    Args:
        folder: the folder with firstsight_export.json.

    Raises:
        OSError: a file is missing.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.description: dict[str, Any] = json.loads((self.folder / "firstsight_export.json").read_text("utf-8"))
        self._graphs: dict[str, Any] = {}

    def encode_images(self, pictures: list[Any]) -> np.ndarray:
        """Encode pictures, given as paths or Pillow pictures: (n, dim) float32, unit rows."""
        rules = self.description["pictures"]["preprocessing"]
        if not pictures:
            return np.empty((0, self.description["dim"]), np.float32)
        return self.run("pictures", [np.stack([prepare_picture(picture, rules) for picture in pictures])])

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        """Encode texts: (n, dim) float32, unit rows."""
        if not texts:
            return np.empty((0, self.description["dim"]), np.float32)
        return self.run("texts", self.tokenize(texts))

    def tokenize(self, texts: list[str]) -> list[np.ndarray]:
        """Convert n texts to the inputs of the text graph: ids, and a 0/1 mask if the graph takes one."""
        rules = self.description["texts"]["preprocessing"]
        if rules["kind"] != "tokenizer.json":
            raise ValueError(f"the texts of this model need another tokeniser: {rules['reason']}")
        if "tokenizer" not in self._graphs:
            from tokenizers import Tokenizer

            self._graphs["tokenizer"] = Tokenizer.from_file(str(self.folder / rules["file"]))
        return tokenize(self._graphs["tokenizer"], texts, rules)[: len(self.description["texts"]["inputs"])]

    def run(self, tower: str, inputs: list[np.ndarray]) -> np.ndarray:
        """Run the graph "pictures" or "texts" on prepared inputs of n rows each: (n, dim) float32, unit rows."""
        part = self.description[tower]
        if tower not in self._graphs:
            self._graphs[tower] = _load_graph(self.folder / part["graph"])
        named = {entry["name"]: array for entry, array in zip(part["inputs"], inputs, strict=True)}
        vectors: np.ndarray = self._graphs[tower](named)
        return vectors


def _load_graph(path: Path) -> Any:
    """Load a graph as a function from named inputs to vectors."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=onnxruntime.get_available_providers())
        return lambda named: session.run(None, named)[0]
    import openvino

    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda named: next(iter(compiled(named).values())).copy()


def prepare_picture(source: Any, rules: dict[str, Any]) -> np.ndarray:
    """Read, resize and crop or pad one picture as the rules of firstsight_export.json say."""
    if rules["kind"] != "resize":
        raise ValueError(f"the pictures of this model need other preprocessing: {rules['reason']}")
    picture = read_picture(source, rules)
    height, width = rules["size"]
    kernel = KERNELS[rules["interpolation"]]
    if rules["resize"] == "squash":
        picture = picture.resize((rules["edge"][1], rules["edge"][0]), kernel)
    elif rules["resize"] == "shortest":  # the shorter side becomes `edge`; then the middle is cropped
        picture = middle_of_long_picture(picture, rules["max_aspect"])
        longer = int(rules["edge"] * max(picture.size) / min(picture.size))  # rounded down, as in torchvision
        wide = picture.width > picture.height
        size = (longer, rules["edge"]) if wide else (rules["edge"], longer)
        picture = picture.resize(size, kernel)
    else:  # "fit": the whole picture lies in the size; "cover": the size lies in the picture
        picture = middle_of_long_picture(picture, rules["max_aspect"])
        scales = height / picture.height, width / picture.width
        scale = min(scales) if rules["resize"] == "fit" else max(scales)
        resized = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(resized, kernel, reducing_gap=rules["reducing_gap"])
    start = round if rules["crop_start"] == "nearest" else math.floor
    left, top = start((picture.width - width) / 2), start((picture.height - height) / 2)
    if rules["padding"] is None:
        pixels = np.asarray(picture)[top : top + height, left : left + width]
    else:
        left, top = (width - picture.width) // 2, (height - picture.height) // 2
        pixels = np.empty((height, width, 3), np.uint8)
        pixels[:] = rules["padding"]
        pixels[top : top + picture.height, left : left + picture.width] = np.asarray(picture)
    if rules["normalised_in_graph"]:
        return pixels
    normalised = (pixels / 255 - np.array(rules["mean"])) / np.array(rules["std"])
    return np.ascontiguousarray(normalised.transpose(2, 0, 1), np.float32)


def read_picture(source: Any, rules: dict[str, Any]) -> Image.Image:
    """Open a picture upright, in RGB, on white, and shrink a large one early as firstsight does."""
    decoded = isinstance(source, Image.Image)
    picture = source if decoded else Image.open(source)
    least = None if decoded and not rules["shrinks_decoded"] else rules["min_side"]
    if least and picture.format == "JPEG":
        picture.draft(None, (least, least))
    picture = ImageOps.exif_transpose(picture)
    if picture.mode not in ("L", "RGB", "RGBA") or "transparency" in picture.info:
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    if least:
        area = math.ceil(math.sqrt(picture.width * picture.height / (16 * least**2)))
        factor = max(1, min(max(min(picture.size) // least, area), *picture.size))
        picture = picture.reduce(factor) if factor > 1 else picture
    if picture.mode == "RGBA":
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=picture.getchannel("A"))
        picture = white
    return picture.convert("RGB")


def middle_of_long_picture(picture: Image.Image, max_aspect: int | None) -> Image.Image:
    """Cut a very long picture to its middle: the crop would drop the rest, and the whole may need gigabytes."""
    if max_aspect is None:
        return picture
    longest = max_aspect * min(picture.size)
    left, top = max(0, picture.width - longest) // 2, max(0, picture.height - longest) // 2
    return picture.crop((left, top, picture.width - left, picture.height - top)) if left or top else picture


def tokenize(tokenizer: Any, texts: list[str], rules: dict[str, Any]) -> list[np.ndarray]:
    """Convert n texts to (n, width) int64 ids and their 0/1 mask."""
    tokenizer.no_padding()
    tokenizer.enable_truncation(rules["max_tokens"])
    rows = [encoding.ids for encoding in tokenizer.encode_batch([clean_text(text, rules["clean"]) for text in texts])]
    width = rules["max_tokens"] if rules["padding"] == "max_tokens" else max([1, *map(len, rows)])
    ids = np.full((len(rows), width), rules["pad_id"], np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = [rules["replaced_ids"].get(str(token), token) for token in tokens]
        mask[row, : len(tokens)] = 1
    return [ids, mask]


def clean_text(text: str, rule: str) -> str:
    """Clean a text before the tokeniser: "none", "whitespace", "lower" or "canonicalize" (rules of open_clip)."""
    if rule == "none":
        return text
    text = html.unescape(html.unescape(text)).strip()
    if rule == "canonicalize":
        text = text.replace("_", " ").translate(str.maketrans("", "", string.punctuation))
    text = " ".join(text.split())
    return text if rule == "whitespace" else text.lower()


def main() -> None:
    """Print the vectors of texts and pictures as JSON lines."""
    parser = argparse.ArgumentParser(description="Encode pictures and texts with the exported model.")
    parser.add_argument("--folder", default=str(Path(__file__).parent), help="Folder of the export.")
    parser.add_argument("--text", action="append", default=[], help="A text to encode (repeatable).")
    parser.add_argument("--picture", action="append", default=[], help="A picture file to encode (repeatable).")
    flags = parser.parse_args()
    model = ExportedModel(flags.folder)
    for kind, sources, vectors in (
        ("text", flags.text, model.encode_texts(flags.text)),
        ("picture", flags.picture, model.encode_images(flags.picture)),
    ):
        for source, vector in zip(sources, vectors, strict=True):
            print(json.dumps({kind: source, "vector": [round(float(value), 7) for value in vector]}))


if __name__ == "__main__":
    main()
