"""Full-size models with random weights in their real formats, and pictures and titles as their inputs.

Speed does not depend on the weights, and nothing is downloaded. The agreement of two runtimes does depend on them:
trained networks have outlier channels, random ones do not, so low precisions look better here.
"""

from __future__ import annotations

import csv
import gzip
import html
import json
import os
import random
import re
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.catalogues import BROKEN, SAMPLE_PICTURES

ARCH = "ViT-B-32"
SEED = 0


def open_clip_checkpoint(work: Path) -> Path:
    """Make a ViT-B-32 state dict of open_clip, or return the existing one."""
    return _once(work / "vit-b-32.pt", _write_open_clip)


def clip_folder(work: Path) -> Path:
    """Make a CLIP folder of transformers with the same weights, so that all libraries run one model."""
    checkpoint = open_clip_checkpoint(work)
    return _once(work / "clip-vit-b-32", lambda folder: _write_clip(folder, checkpoint))


def siglip_folder(work: Path) -> Path:
    """Make a SigLIP-B/16 folder of transformers, for 224 pixels, with its own byte-pair tokeniser."""
    return _once(work / "siglip-b-16-224", _write_siglip)


def _once(path: Path, write: Callable[[Path], None]) -> Path:
    """Write a missing file or folder, in one step: written under a temporary name, then renamed."""
    if not path.exists():
        draft = path.with_name(f"draft-{os.getpid()}-{path.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        write(draft)
        draft.rename(path)
    return path


def _write_open_clip(path: Path) -> None:
    import open_clip
    import torch

    torch.manual_seed(SEED)
    torch.save(open_clip.create_model(ARCH).state_dict(), path)


def _write_clip(folder: Path, checkpoint: Path) -> None:
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    shared = {"hidden_act": "gelu", "layer_norm_eps": 1e-5}
    config = CLIPConfig(text_config=dict(shared), vision_config={**shared, "patch_size": 32}, projection_dim=512)
    model = CLIPModel(config)
    expected = model.state_dict()
    converted = _in_transformers_names(torch.load(checkpoint, weights_only=True))
    model.load_state_dict(expected | converted)
    missing = [name for name in expected if name not in converted and not name.endswith("position_ids")]
    assert not missing, missing
    assert set(converted) <= set(expected), set(converted) - set(expected)
    model.save_pretrained(folder)
    CLIPProcessor(CLIPImageProcessor(), _clip_tokenizer(folder)).save_pretrained(folder)


def _in_transformers_names(state: dict[str, Any]) -> dict[str, Any]:
    """Convert open_clip's tensors to the names and the layout of transformers' CLIPModel."""
    towers = {"visual.transformer.resblocks.": "vision_model.", "transformer.resblocks.": "text_model."}
    parts = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj"}
    parts |= {"mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    named = {
        "logit_scale": state["logit_scale"],
        "visual_projection.weight": state["visual.proj"].T.contiguous(),
        "text_projection.weight": state["text_projection"].T.contiguous(),
        "vision_model.embeddings.class_embedding": state["visual.class_embedding"],
        "vision_model.embeddings.position_embedding.weight": state["visual.positional_embedding"],
        "vision_model.embeddings.patch_embedding.weight": state["visual.conv1.weight"],
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
    }
    norms = {"visual.ln_pre": "vision_model.pre_layrnorm", "visual.ln_post": "vision_model.post_layernorm"}
    for ours, theirs in (norms | {"ln_final": "text_model.final_layer_norm"}).items():
        named |= {f"{theirs}.{kind}": state[f"{ours}.{kind}"] for kind in ("weight", "bias")}
    for name, tensor in state.items():
        tower = next((tower for tower in towers if name.startswith(tower)), None)
        if tower is None:
            continue
        layer, _, rest = name.removeprefix(tower).partition(".")
        place = f"{towers[tower]}encoder.layers.{layer}."
        part, _, kind = rest.rpartition(".")
        if rest.startswith("attn.in_proj_"):
            for which, third in zip("qkv", tensor.chunk(3), strict=True):
                named[f"{place}self_attn.{which}_proj.{rest.removeprefix('attn.in_proj_')}"] = third.contiguous()
        else:
            named[f"{place}{parts[part]}.{kind}"] = tensor
    return named


def _clip_tokenizer(folder: Path) -> Any:
    """Make CLIP's own tokeniser from the list of merges in open_clip's package."""
    from transformers import AutoTokenizer

    spec = find_spec("open_clip")
    assert spec is not None
    assert spec.origin is not None
    packed = Path(spec.origin).parent / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(packed.read_bytes()).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    letters = [chr(number) for number in _byte_letters()]
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(line.split()) for line in lines)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *lines]) + "\n")
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": "<|endoftext|>"}
    settings |= {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return AutoTokenizer.from_pretrained(folder)


def _byte_letters() -> list[int]:
    """Return the printable character of every byte, in the order of CLIP's vocabulary: printable bytes first."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [*printable, *range(256, 256 + 256 - len(printable))]


def _write_siglip(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import (
        PreTrainedTokenizerFast,
        SiglipConfig,
        SiglipImageProcessor,
        SiglipModel,
        SiglipProcessor,
    )

    torch.manual_seed(SEED)
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=32_000, special_tokens=["<pad>", "</s>", "<unk>"], show_progress=False)
    tokenizer.train_from_iterator(made_titles(2_000), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    # PreTrainedTokenizerFast needs only its file; AutoProcessor's default class for siglip needs sentencepiece
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="</s>", eos_token="</s>", unk_token="<unk>", model_max_length=64
    )
    side = {"height": 224, "width": 224}
    images = SiglipImageProcessor(size=side, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    text = {"vocab_size": 32_000, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 1}
    SiglipModel(SiglipConfig(text_config=text, vision_config={"image_size": 224})).save_pretrained(folder)
    SiglipProcessor(images, fast).save_pretrained(folder)


def pictures_in(folder: Path | None) -> list[Path]:
    """List the picture files of a folder and its subfolders; by default those of sample_media."""
    kinds = {".jpg", ".jpeg", ".png", ".webp"}
    found = sorted((folder or SAMPLE_PICTURES).rglob("*"))
    return [path for path in found if path.suffix.lower() in kinds and path.name != BROKEN]


def make_jpegs(work: Path, count: int, size: tuple[int, int], sources: list[Path]) -> list[Path]:
    """Make JPEGs of `size` (width, height) from the sources: cropped, mirrored, enlarged, with camera-like grain."""
    label_text = f"{count} {size} {[path.name for path in sources]}"
    folder = work / f"pictures-{size[0]}x{size[1]}"
    label = folder / "made-from.txt"
    if not label.exists() or label.read_text() != label_text:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        rng = np.random.default_rng(SEED)
        for number in range(count):
            with Image.open(sources[number % len(sources)]) as source:
                picture = source.convert("RGB")
            left, top = rng.uniform(0, 0.2, 2) * picture.size
            box = (left, top, left + 0.8 * picture.width, top + 0.8 * picture.height)
            resized = picture.resize(size, Image.Resampling.BICUBIC, box=box)
            if number % 2:
                resized = resized.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            grain = rng.normal(0, 4, (size[1], size[0], 1))
            grainy = np.clip(np.asarray(resized, dtype=np.float32) + grain, 0, 255).astype(np.uint8)
            Image.fromarray(grainy).save(folder / f"{number:04}.jpg", quality=88)
        label.write_text(label_text)
    return sorted(folder.glob("*.jpg"))


def titles_from(catalogue: Path | None, count: int) -> list[str]:
    """Return titles of a CSV catalogue in a fixed random order, repeated if it has too few; without one, made titles.

    HTML entities are decoded, because open_clip decodes them and the tokeniser of transformers does not.
    """
    if catalogue is None:
        return made_titles(count)
    with catalogue.open(newline="", encoding="utf-8") as file:
        titles = [title for row in csv.DictReader(file) if (title := html.unescape(row["title"]).strip())]
    random.Random(SEED).shuffle(titles)
    return [titles[number % len(titles)] for number in range(count)]


def made_titles(count: int) -> list[str]:
    """Make random titles of 2 to 38 words, 12 on average; each word is one token, and CLIP adds two."""
    rng = random.Random(SEED)
    titles = []
    for _ in range(count):
        words = min(2 + int(rng.gammavariate(2.0, 5.3)), 38)
        titles.append(" ".join(rng.choice(WORDS) for _ in range(words)))
    return titles


WORDS = re.findall(
    r"\S+",
    """
    red blue green black white grey pink orange yellow purple brown silver gold small large long short soft warm light
    heavy thin thick round square flat deep wide cotton wool leather linen silk steel glass wood oak paper stone
    rubber plastic shoe boot jacket coat shirt dress hat cap scarf glove sock belt bag wallet watch ring lamp chair
    table desk sofa bed shelf mirror clock vase cup mug plate bowl knife fork spoon pan pot kettle oven camera phone
    tablet cable charger speaker guitar drum piano violin ball bike tent rope torch map book pen pencil toy puzzle
    doll train car garden flower seed tool hammer saw drill screw paint brush for with and men women kids home kitchen
    office travel summer winter sport running hiking fishing cooking 2 3 4 5 6 set pair pack new classic modern
    vintage pro
    """,
)
