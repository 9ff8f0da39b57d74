"""Check that a tokeniser of transformers was made from its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from firstsight.errors import EncoderError


def require_vocabulary(tokenizer: Any, place: Path | str) -> None:
    """Stop where a tokeniser was made without its files: it would know its special tokens alone.

    Args:
        tokenizer: of transformers.
        place: the folder or repository that it was read from, for the message.

    Raises:
        EncoderError: it knows no other tokens; the message names the files.
    """
    if len(tokenizer) <= len(set(tokenizer.all_special_tokens)):
        files = dict(tokenizer.vocab_files_names)
        names = [files.pop("tokenizer_file", "tokenizer.json"), " and ".join(files.values())]
        raise EncoderError(
            f"{place} lacks the tokeniser's files: {' or '.join(filter(None, names))}; "
            "copy them from the model that was trained, or save them with tokenizer.save_pretrained"
        )
