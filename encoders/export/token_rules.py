"""Tokenisers as a file of the package tokenizers and rules, checked against the model's own tokeniser."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from firstsight.encoders.base import Arrays
from firstsight.encoders.export.export_parts import Rules, refused_rules
from firstsight.encoders.export.standalone.example import tokenize
from firstsight.encoders.models.model_check import TEXTS

TOKENIZER_FILE: Final = "tokenizer.json"
LIBRARY_FOLDER: Final = "tokenizer"

# texts with capitals, entities, spaces, punctuation and further scripts
CHECKED_TEXTS: Final = (
    *TEXTS,
    "",
    "  Two   spaces\tand a tab\nand a line  ",
    "Rock &amp; Roll T-shirt, kid's size (6-8) — 50% off!",
    "IT'S_A snake_case title... isn't it? #1",
    "٤ كؤوس زجاجية",
    "Größe 42, Weiß/Grün",
)


class ExportedTokenizer:
    """A tokeniser for an export.

    Args:
        prepare_texts: the model's own tokeniser, as in `DualModel`.

    Attributes:
        rules: rules for `standalone/example.py`; of the kind "library" if no rules give the same ids.
        max_tokens: most tokens of one text.
    """

    def __init__(self, prepare_texts: Any) -> None:
        self._library = prepare_texts.tokenizer
        expected = [prepare_texts([text]).arrays for text in CHECKED_TEXTS]
        batch = prepare_texts(list(CHECKED_TEXTS)).arrays
        self.max_tokens = int(getattr(prepare_texts, "context", batch[0].shape[1]))
        hugging_face = getattr(self._library, "tokenizer", self._library)
        self._tokenizer = _converted(self._library, hugging_face)
        self.rules = refused_rules(
            f"use the tokeniser of the model's library with the files in {LIBRARY_FOLDER}/", max_tokens=self.max_tokens
        )
        if self._tokenizer is None:
            return
        padded = expected[0][0].shape[1] == self.max_tokens
        rules: Rules = {
            "kind": "tokenizer.json",
            "file": TOKENIZER_FILE,
            "max_tokens": self.max_tokens,
            "padding": "max_tokens" if padded else "longest",
            "pad_id": int(getattr(hugging_face, "pad_token_id", None) or 0),
            "replaced_ids": _replaced(self._library),
        }
        for clean in ("none", "whitespace", "lower", "canonicalize"):
            candidate = rules | {"clean": clean}
            if all(
                _agrees(self._tokenizer, candidate, [text], arrays)
                for text, arrays in zip(CHECKED_TEXTS, expected, strict=True)
            ):
                self.rules = candidate
                return

    def write(self, folder: Path) -> None:
        """Write the tokeniser's files into a folder."""
        if self.rules["kind"] == "tokenizer.json" and self._tokenizer is not None:
            self._tokenizer.no_truncation()  # set by the comparison; the rules state it
            self._tokenizer.save(str(folder / TOKENIZER_FILE))
            return
        hugging_face = getattr(self._library, "tokenizer", self._library)
        if hasattr(hugging_face, "save_pretrained"):
            hugging_face.save_pretrained(folder / LIBRARY_FOLDER)


def _replaced(library: Any) -> dict[str, int]:
    """Return ids that open_clip replaces after the tokeniser."""
    if getattr(library, "strip_sep_token", False):
        return {str(library.tokenizer.sep_token_id): 0}
    return {}


def _converted(library: Any, hugging_face: Any) -> Tokenizer | None:
    backend = getattr(hugging_face, "backend_tokenizer", None)
    if backend is not None:
        return Tokenizer.from_str(backend.to_str())
    if hasattr(library, "bpe_ranks"):
        return _clip_tokenizer(library)
    return None


def _clip_tokenizer(simple: Any) -> Tokenizer:
    """Convert open_clip's own byte-pair tokeniser."""
    tokenizer = Tokenizer(
        models.BPE(
            vocab=dict(simple.encoder),
            merges=[(first, second) for first, second in sorted(simple.bpe_ranks, key=simple.bpe_ranks.get)],
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
        )
    )
    tokenizer.normalizer = normalizers.Lowercase()
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    start, end = (
        next(t for t, i in simple.encoder.items() if i == n) for n in (simple.sot_token_id, simple.eot_token_id)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        special_tokens=[(start, simple.sot_token_id), (end, simple.eot_token_id)],
    )
    return tokenizer


def _agrees(tokenizer: Tokenizer, rules: Rules, texts: Sequence[str], expected: Arrays) -> bool:
    """Return whether the rules give the model's own ids and mask."""
    found = tokenize(tokenizer, list(texts), rules)
    return all(np.array_equal(ours, theirs) for ours, theirs in zip(found, expected, strict=False))
