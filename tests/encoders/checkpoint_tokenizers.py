"""Small tokenisers of the real families, with a vocabulary of a few words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import transformers
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

hf: Any = transformers  # its type hints are partial and too narrow

SENTENCE: Final = (
    "a the of on in with and red blue green black white small large leather wooden cotton ceramic running shoe shoes "
    "teapot table chair lamp dress shirt jacket bag guitar laces summer winter women men vintage handmade photo cup"
)
WORDS: Final = SENTENCE.split()
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789.,!?-'&é"
HAN: Final = "红色鞋子茶壶的一个"


def clip_tokenizer(context: int) -> Any:
    """Byte-level BPE with `</w>`; the two special ids are the largest, as in OpenAI's vocabulary."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.Whitespace()
    bpe.train_from_iterator([SENTENCE] * 3, trainers.BpeTrainer(vocab_size=200, end_of_word_suffix="</w>"))
    merges = [tuple(merge) for merge in json.loads(bpe.to_str())["model"]["merges"]]
    pieces = [*letters, *(letter + "</w>" for letter in letters), *("".join(merge) for merge in merges)]
    pieces = [*dict.fromkeys(pieces), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    return hf.CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=context)


def gemma_tokenizer(context: int, kind: Callable[..., Any] = hf.GemmaTokenizer, *, masked: bool = False) -> Any:
    """SentencePiece-like BPE with byte fallback; it appends `<eos>` to each text and pads on the right."""
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *LETTERS]
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.Replace(Regex(" "), "▁")
    bpe.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    bpe.train_from_iterator([SENTENCE] * 3, trainers.BpeTrainer(vocab_size=150))
    merges = [tuple(merge) for merge in json.loads(bpe.to_str())["model"]["merges"]]
    pieces = [*dict.fromkeys([*pieces, *("".join(merge) for merge in merges)])]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    return kind(
        vocab=vocabulary,
        merges=merges,
        add_bos_token=False,
        add_eos_token=True,
        padding_side="right",
        model_max_length=context,
        model_input_names=["input_ids", "attention_mask"] if masked else ["input_ids"],
    )


def bert_tokenizer(context: int) -> Any:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *HAN, *LETTERS]
    pieces += [f"##{letter}" for letter in LETTERS]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    return hf.BertTokenizer(vocab=vocabulary, model_max_length=context)


def xlm_roberta_tokenizer(context: int) -> Any:
    pieces = ["<s>", "<pad>", "</s>", "<unk>"]
    scored = [(f"▁{word}", -3.0) for word in WORDS if len(word) > 1]
    scored += [("▁", -4.0), *((letter, -5.0) for letter in LETTERS)]
    vocabulary = [*((piece, 0.0) for piece in pieces), *scored, ("<mask>", 0.0)]
    return hf.XLMRobertaTokenizer(vocab=vocabulary, model_max_length=context)
