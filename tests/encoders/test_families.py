"""Names of open_clip and transformers models: loading, and errors for wrong names."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

import firstsight
from firstsight.errors import EncoderError

ARCH = "firstsight-tiny"
TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module", autouse=True)
def tiny_arch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    config = tmp_path_factory.mktemp("config") / f"{ARCH}.json"
    config.write_text(json.dumps(TINY))
    open_clip.add_model_config(config)
    yield
    open_clip.factory._MODEL_CONFIGS.pop(ARCH, None)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    torch.save(open_clip.create_model(ARCH).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    words = ["<pad>", "<eos>", "<unk>", "a", "red", "blue", "shoe"]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", model_max_length=16
    )
    text = {"vocab_size": len(words), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text |= {"intermediate_size": 64, "max_position_embeddings": 16, "eos_token_id": 1, "pad_token_id": 0}
    vision = {"image_size": 64, "patch_size": 16, "hidden_size": 32, "num_hidden_layers": 2}
    vision |= {"num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
    transformers.CLIPModel(config).save_pretrained(folder)
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
    transformers.CLIPProcessor(images, fast).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_other_weights_have_another_fingerprint(checkpoint: Path, tmp_path: Path) -> None:
    weights = torch.load(checkpoint, weights_only=True)
    weights["logit_scale"] = weights["logit_scale"] + 1
    torch.save(weights, tmp_path / "other.pt")
    first = firstsight.load_encoder(f"open_clip:{ARCH}@{checkpoint}").spec.fingerprint
    again = firstsight.load_encoder(f"open_clip:{ARCH}@{checkpoint}").spec.fingerprint
    other = firstsight.load_encoder(f"open_clip:{ARCH}@{tmp_path / 'other.pt'}").spec.fingerprint
    assert first == again != other


@pytest.mark.slow
def test_a_catalogue_can_be_indexed_and_searched_with_another_encoder(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "catalogue.csv").write_text("item_id,title\na,A red shoe\nb,A blue teapot\n")
    options = firstsight.EncoderOptions("torch")
    db = firstsight.open(tmp_path / "db", encoder=f"open_clip:{ARCH}@{checkpoint}", encoder_options=options)
    db.index(tmp_path / "catalogue.csv")
    assert db.status().runs[0].settings["runtime"] == "torch:fp32"
    options = firstsight.EncoderOptions("openvino")  # another runtime of the same model, on the same vectors
    found = firstsight.open(tmp_path / "db", encoder_options=options).search("A red shoe", k=1)
    assert found[0].item_id == "a"
    assert found[0].score == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("starter:small", "small is not a starter model"),
        ("openclip:ViT-B-32/openai", "Did you mean 'open_clip'?"),
        ("open_clip:ViT-B-23/openai", "near it are ViT-B-32"),
        ("open_clip:ViT-B-32/opena", "there are openai"),
        ("open_clip:ViT-B-32@/nowhere/x.pt", "there is no checkpoint '/nowhere/x.pt'"),
        ("transformers:/nowhere/clip", "there is no folder '/nowhere/clip'"),
    ],
)
def test_a_wrong_name_gets_an_error_with_suggestions(name: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message.replace("?", r"\?")):
        firstsight.load_encoder(name)


def test_a_checkpoint_with_code_is_refused_and_its_code_never_runs(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "attacked",))  # type: ignore[return-value]

    torch.save({"weight": Attack()}, tmp_path / "evil.pt")
    with pytest.raises(EncoderError, match="cannot load"):
        firstsight.load_encoder(f"open_clip:{ARCH}@{tmp_path / 'evil.pt'}")
    assert not (tmp_path / "attacked").exists()


def test_a_checkpoint_of_another_architecture_gets_a_one_line_error(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(EncoderError, match="check that it was saved from this architecture"):
        firstsight.load_encoder(f"open_clip:{ARCH}@{tmp_path / 'other.pt'}")


def test_a_model_without_a_picture_tower_is_refused(tmp_path: Path, clip_folder: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((clip_folder / name).read_bytes())
    with pytest.raises(EncoderError, match="bert model without both"):
        firstsight.load_encoder(f"transformers:{tmp_path}")


@pytest.mark.slow
def test_a_load_drops_log_records_of_open_clip_alone(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Loading in a service's thread must keep the records of other threads and other loggers."""
    create = open_clip.create_model_and_transforms

    def create_beside_others(*args: Any, **kwargs: Any) -> Any:
        logging.error("of the root logger, as open_clip does")
        logging.getLogger("firstsight.indexer").warning("of another logger")
        other = threading.Thread(target=logging.error, args=["of another thread"])
        other.start()
        other.join()
        return create(*args, **kwargs)

    monkeypatch.setattr(open_clip, "create_model_and_transforms", create_beside_others)
    firstsight.load_encoder(f"open_clip:{ARCH}@{checkpoint}", runtime="torch:fp32")
    assert caplog.messages == ["of another logger", "of another thread"]
