"""Tiny checkpoints of the real families in their real file formats, with random but fixed weights.

Each maker fills a folder. It returns the name for `load_encoder` and the arguments for the library itself.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import open_clip
import torch
import transformers
from safetensors.torch import save_file

from tests.encoders.checkpoint_tokenizers import (
    LETTERS,
    SENTENCE,
    bert_tokenizer,
    clip_tokenizer,
    gemma_tokenizer,
    xlm_roberta_tokenizer,
)

hf: Any = transformers  # its type hints are partial and too narrow

IMAGE: Final = 48
PATCH: Final = 16
VISION: Final = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96}
TEXT: Final = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


@dataclass(frozen=True)
class OpenClipCheckpoint:
    """A checkpoint of open_clip; `model` and `weights` are arguments of `open_clip.create_model_and_transforms`."""

    name: str
    model: str
    weights: str | None


@dataclass(frozen=True)
class TransformersCheckpoint:
    """A folder of transformers, and the processor's padding in the family's documentation.

    If `padding` is None, the processor's default applies.
    """

    name: str
    folder: Path
    padding: bool | str | None


Checkpoint = OpenClipCheckpoint | TransformersCheckpoint


def spread(model: torch.nn.Module, seed: int) -> None:
    """Draw weights that separate inputs: a fresh tower gives nearly one vector for all, which would hide mistakes."""
    noise = torch.Generator().manual_seed(seed)
    for name, value in sorted([*model.named_parameters(), *model.named_buffers()]):
        if not value.is_floating_point() or "logit" in name:
            continue
        drawn = torch.randn(value.shape, generator=noise)
        if value.ndim > 1:
            embedding = "embed" in name or "embeddings" in name
            drawn /= 1 if embedding and "patch" not in name else math.sqrt(value[0].numel())
        else:
            drawn = 0.1 * drawn + (1 if name.endswith("weight") else 0)
        value.data.copy_(drawn)


def settle(tower: torch.nn.Module, side: int) -> None:
    """Fit batch norms once: without statistics a deep convolutional tower gives one vector for all inputs."""
    norms = [module for module in tower.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # use the mean over all inputs
        norm.reset_running_stats()
    if not norms:
        return
    noise = torch.Generator().manual_seed(2)
    coarse = torch.nn.functional.interpolate(torch.randn(16, 3, 4, 4, generator=noise), (side, side), mode="bilinear")
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(3)
        tower.train()(coarse + 0.5 * torch.randn(coarse.shape))
    tower.eval()


# -- open_clip ---------------------------------------------------------------------------------------------------------

OPEN_CLIP_VISION: Final = {"image_size": IMAGE, "layers": 2, "width": 48, "head_width": 16, "patch_size": PATCH}
OPEN_CLIP_TEXT: Final = {"context_length": 77, "vocab_size": 49408, "width": 24, "heads": 2, "layers": 2}
OPEN_CLIP_ARCHS: Final[dict[str, dict[str, Any]]] = {
    "tiny-clip": {"embed_dim": 32, "vision_cfg": OPEN_CLIP_VISION, "text_cfg": OPEN_CLIP_TEXT},
    "tiny-quickgelu": {"embed_dim": 32, "quick_gelu": True, "vision_cfg": OPEN_CLIP_VISION, "text_cfg": OPEN_CLIP_TEXT},
    # MobileCLIP, SigLIP and others: two separate towers, full attention in the text tower
    "tiny-custom-text": {
        "embed_dim": 32,
        "custom_text": True,
        "vision_cfg": OPEN_CLIP_VISION | {"pool_type": "avg", "final_ln_after_pool": True},
        "text_cfg": OPEN_CLIP_TEXT | {"context_length": 24, "no_causal_mask": True, "pool_type": "last"},
    },
    # both towers also return tokens, and the class token adds one position to the context
    "tiny-coca": {
        "embed_dim": 32,
        "custom_text": True,
        "vision_cfg": OPEN_CLIP_VISION | {"attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True},
        "text_cfg": OPEN_CLIP_TEXT | {"context_length": 32, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": OPEN_CLIP_TEXT | {"context_length": 32, "attn_pooler_heads": 4},
    },
    "tiny-timm": {
        "embed_dim": 32,
        "vision_cfg": {
            "timm_model_name": "resnet10t",
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
            "image_size": 64,
        },
        "text_cfg": OPEN_CLIP_TEXT,
    },
    "tiny-resnet": {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16, "patch_size": None},
        "text_cfg": OPEN_CLIP_TEXT,
    },
}


def open_clip_file(folder: Path, arch: str, suffix: str = ".pt") -> OpenClipCheckpoint:
    """Write a state dict of one of `OPEN_CLIP_ARCHS`, and add its configuration to open_clip; the caller removes it."""
    config = folder / f"{arch}.json"
    config.write_text(json.dumps(OPEN_CLIP_ARCHS[arch]))
    open_clip.add_model_config(config)
    path = folder / f"{arch}{suffix}"
    _save_open_clip(OPEN_CLIP_ARCHS[arch], path)
    return OpenClipCheckpoint(f"open_clip:{arch}@{path}", arch, str(path))


def open_clip_folder(folder: Path, arch: str, preprocess: dict[str, Any]) -> OpenClipCheckpoint:
    """Write a folder in the format of open_clip's `push_to_hf_hub`, with pictures of 48 x 64 pixels."""
    shape = {"image_size": [IMAGE, IMAGE + PATCH]}
    model = OPEN_CLIP_ARCHS[arch] | {"vision_cfg": OPEN_CLIP_ARCHS[arch]["vision_cfg"] | shape}
    return _open_clip_local_dir(folder, model, preprocess)


def open_clip_siglip_folder(folder: Path) -> OpenClipCheckpoint:
    """Write SigLIP 2 in open_clip's format: a timm tower with attention pooling, texts padded and canonicalised."""
    tokenizer = gemma_tokenizer(16)
    tokenizer.save_pretrained(folder)
    text = {
        "context_length": 16,
        "vocab_size": len(tokenizer),
        "hf_tokenizer_name": "in-the-folder",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "width": 32,
        "heads": 2,
        "layers": 2,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6},
        "act_kwargs": {"approximate": "tanh"},
    }
    vision = {
        "image_size": 160,  # the architecture's own size: for another one timm resizes the positions at every call
        "timm_model_name": "test_vit",
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
    }
    model = {"embed_dim": 32, "init_logit_bias": -10, "custom_text": True, "vision_cfg": vision, "text_cfg": text}
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    return _open_clip_local_dir(folder, model, preprocess)


def open_clip_roberta_folder(folder: Path) -> OpenClipCheckpoint:
    """Write an open_clip model with a text tower of transformers, mean-pooled over its padding mask."""
    tokenizer = xlm_roberta_tokenizer(24)
    tokenizer.save_pretrained(folder)
    tower = folder / "text-tower"
    hf.XLMRobertaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=26, type_vocab_size=1, pad_token_id=1, **TEXT
    ).save_pretrained(tower)
    text = {
        "hf_model_name": str(tower),
        "hf_tokenizer_name": "in-the-folder",
        "hf_pooler_type": "mean_pooler",
        "context_length": 24,
    }
    model = {"embed_dim": 32, "custom_text": True, "vision_cfg": OPEN_CLIP_VISION, "text_cfg": text}
    return _open_clip_local_dir(folder, model, {})


def _open_clip_local_dir(folder: Path, model: dict[str, Any], preprocess: dict[str, Any]) -> OpenClipCheckpoint:
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": preprocess}))
    _save_open_clip(model, folder / "open_clip_model.safetensors")
    return OpenClipCheckpoint(f"open_clip:{folder}", f"local-dir:{folder}", None)


def _save_open_clip(config: dict[str, Any], path: Path) -> None:
    custom = config.get("custom_text", False)
    kinds = {(True, True): open_clip.CoCa, (True, False): open_clip.CustomTextCLIP, (False, False): open_clip.CLIP}
    plain = {key: value for key, value in json.loads(json.dumps(config)).items() if key != "custom_text"}
    if "hf_model_name" in plain["text_cfg"]:
        plain["text_cfg"]["hf_model_pretrained"] = False
    model = kinds[custom, "multimodal_cfg" in plain](**plain)
    spread(model, seed=1)
    settle(model.visual, plain["vision_cfg"]["image_size"])
    weights = {name: value.contiguous().clone() for name, value in model.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save({"state_dict": weights} if path.suffix == ".bin" else weights, path)


# -- transformers ------------------------------------------------------------------------------------------------------

IMAGE_48: Final = {"size": {"shortest_edge": IMAGE}, "crop_size": {"height": IMAGE, "width": IMAGE}}
VISION_48: Final = VISION | {"image_size": IMAGE, "patch_size": PATCH}


def clip(folder: Path, *, eos_token_id: int | None = None) -> TransformersCheckpoint:
    tokenizer = clip_tokenizer(16)
    text = TEXT | {"vocab_size": len(tokenizer), "max_position_embeddings": 16}
    text |= {"eos_token_id": eos_token_id or tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}
    config = hf.CLIPConfig(text_config=text, vision_config=VISION_48, projection_dim=32)
    processor = hf.CLIPProcessor(hf.CLIPImageProcessor(**IMAGE_48), tokenizer)
    return _save(folder, hf.CLIPModel(config), processor, padding=True)


def clip_2021(folder: Path) -> TransformersCheckpoint:
    """CLIP with OpenAI's published files: sizes are single numbers, and the end-of-text id is 2.

    With that id the model reads the vector at the largest id instead.
    """
    made = clip(folder, eos_token_id=2)
    (folder / "processor_config.json").unlink()
    pictures = {"crop_size": IMAGE, "size": IMAGE, "resample": 3, "feature_extractor_type": "CLIPFeatureExtractor"}
    pictures |= {"do_resize": True, "do_center_crop": True, "do_normalize": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures))
    return made


def metaclip_2(folder: Path) -> TransformersCheckpoint:
    tokenizer = xlm_roberta_tokenizer(16)
    text = TEXT | {"vocab_size": len(tokenizer), "max_position_embeddings": 16, "eos_token_id": tokenizer.eos_token_id}
    config = hf.MetaClip2Config(text_config=text, vision_config=VISION_48, projection_dim=32)
    processor = hf.CLIPProcessor(hf.CLIPImageProcessor(**IMAGE_48), tokenizer)
    return _save(folder, hf.MetaClip2Model(config), processor, padding=True)


def siglip(folder: Path) -> TransformersCheckpoint:
    """SigLIP 1 with a SentencePiece tokeniser; needs the package `sentencepiece`."""
    import sentencepiece

    (folder / "words.txt").write_text("\n".join([SENTENCE, LETTERS]))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "words.txt"),
        model_prefix=str(folder / "spiece"),
        vocab_size=150,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    tokenizer = hf.SiglipTokenizer(str(folder / "spiece.model"), model_max_length=16, model_input_names=["input_ids"])
    return _save_siglip(folder, tokenizer)


def siglip_2(folder: Path) -> TransformersCheckpoint:
    """SigLIP 2 of a fixed resolution: on the hub, a `siglip` model with a Gemma tokeniser without a mask."""
    return _save_siglip(folder, gemma_tokenizer(16))


def siglip_2_masked(folder: Path) -> TransformersCheckpoint:
    """SigLIP 2 with a mask from its tokeniser, which is the tokeniser's default."""
    return _save_siglip(folder, gemma_tokenizer(16, masked=True))


def siglip_2_naflex(folder: Path) -> TransformersCheckpoint:
    """SigLIP 2 that keeps the picture's aspect ratio: its inputs are a row of patches, a mask and the shape."""
    tokenizer = gemma_tokenizer(64, hf.Siglip2Tokenizer)
    text = TEXT | {"vocab_size": len(tokenizer), "projection_size": 48}
    config = hf.Siglip2Config(text_config=text, vision_config=VISION | {"patch_size": 16, "num_patches": 256})
    processor = hf.Siglip2Processor(hf.Siglip2ImageProcessor(max_num_patches=256), tokenizer)
    return _save(folder, hf.Siglip2Model(config), processor, padding="max_length")


def chinese_clip(folder: Path) -> TransformersCheckpoint:
    tokenizer = bert_tokenizer(32)
    text = TEXT | {"vocab_size": len(tokenizer), "max_position_embeddings": 32, "pad_token_id": 0}
    config = hf.ChineseCLIPConfig(text_config=text, vision_config=VISION_48, projection_dim=32)
    processor = hf.ChineseCLIPProcessor(hf.ChineseCLIPImageProcessor(**IMAGE_48), tokenizer)
    return _save(folder, hf.ChineseCLIPModel(config), processor, padding=True)


def align(folder: Path) -> TransformersCheckpoint:
    """ALIGN: an EfficientNet, and a BERT with more positions (512) than its processor uses (64)."""
    tokenizer = bert_tokenizer(64)
    text = TEXT | {"vocab_size": len(tokenizer), "max_position_embeddings": 128}
    vision: dict[str, Any] = {
        "image_size": 64,
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
        "kernel_sizes": [3, 3, 5],
        "in_channels": [32, 16, 24],
        "out_channels": [16, 24, 32],
        "strides": [1, 2, 2],
        "num_block_repeats": [1, 1, 2],
        "expand_ratios": [1, 2, 2],
        "hidden_dim": 32,
    }
    config = hf.AlignConfig(text_config=text, vision_config=vision, projection_dim=32)
    # as published: resized larger than the crop, integers kept, an offset instead of a mean
    pictures = hf.EfficientNetImageProcessor(
        size={"height": 72, "width": 72},
        crop_size={"height": 64, "width": 64},
        do_center_crop=True,
        rescale_offset=True,
        rescale_factor=1 / 127.5,
        do_normalize=False,
        include_top=False,
        resample=2,
    )
    processor = hf.AlignProcessor(pictures, tokenizer)
    return _save(folder, hf.AlignModel(config), processor, padding=None)


def altclip(folder: Path) -> TransformersCheckpoint:
    """AltCLIP: positions start after the padding id, so two configured positions stay unused."""
    tokenizer = xlm_roberta_tokenizer(24)
    text = TEXT | {"vocab_size": len(tokenizer), "max_position_embeddings": 26, "project_dim": 32, "pad_token_id": 1}
    config = hf.AltCLIPConfig(text_config=text, vision_config=VISION_48, projection_dim=32)
    processor = hf.AltCLIPProcessor(hf.CLIPImageProcessor(**IMAGE_48), tokenizer)
    return _save(folder, hf.AltCLIPModel(config), processor, padding=True)


def _save_siglip(folder: Path, tokenizer: Any) -> TransformersCheckpoint:
    # SigLIP 2's published files have no max_position_embeddings: the class's default of 64 applies
    text = TEXT | {"vocab_size": len(tokenizer), "max_position_embeddings": 16, "projection_size": 48}
    config = hf.SiglipConfig(text_config=text, vision_config=VISION_48)
    pictures = hf.SiglipImageProcessor(
        size={"height": IMAGE, "width": IMAGE}, image_mean=[0.5] * 3, image_std=[0.5] * 3, resample=2
    )
    processor = hf.SiglipProcessor(pictures, tokenizer)
    return _save(folder, hf.SiglipModel(config), processor, padding="max_length")


def _save(folder: Path, model: Any, processor: Any, *, padding: bool | str | None) -> TransformersCheckpoint:
    spread(model, seed=1)
    settle(model.vision_model, 64)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return TransformersCheckpoint(f"transformers:{folder}", folder, padding)


TRANSFORMERS_FAMILIES: Final = {
    "chinese_clip": chinese_clip,
    "siglip": siglip_2,
    "siglip2": siglip_2_naflex,
    "align": align,
    "altclip": altclip,  # its layers have other names in files than in the model
    "metaclip_2": metaclip_2,
}
"""Makers of checkpoints by model type."""
