"""Check that a tokeniser of transformers has its vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from firstsight.errors import EncoderError


def require_vocabulary(tokenizer: Any, place: Path | str) -> None:
    """Refuse a tokeniser that was made without its files: it would have only its special tokens.

    Args:
        tokenizer: a tokeniser of transformers.
        place: its folder or repository, for the message.

    Raises:
        EncoderError: if it has no other tokens; the message names the missing files.
    """
    if len(tokenizer) <= len(set(tokenizer.all_special_tokens)):
        files = dict(tokenizer.vocab_files_names)
        names = [files.pop("tokenizer_file", "tokenizer.json"), " and ".join(files.values())]
        raise EncoderError(
            f"{place} lacks the tokeniser's files: {' or '.join(filter(None, names))}; "
            "copy them from the trained model, or save them with tokenizer.save_pretrained"
        )
