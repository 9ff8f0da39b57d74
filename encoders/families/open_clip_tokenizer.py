"""Tokenisers of open_clip, with all their files."""

from __future__ import annotations

from typing import Any

import open_clip

from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.families.tokenizer_vocabulary import require_vocabulary
from firstsight.errors import EncoderError, first_line


def load_tokenizer(source: str, options: EncoderOptions) -> Any:
    """The tokeniser of an architecture, of a repository (`hf-hub:`) or of a folder (`local-dir:`).

    Raises:
        EncoderError: its files are missing or broken, or it wants to run its own code.
    """
    try:
        config = open_clip.get_model_config(source) or {}
        brings = config.get("text_cfg", {}).get("tokenizer_kwargs", {})
        if brings.get("trust_remote_code") and not options.trust_remote_code:
            raise EncoderError(
                f"the tokeniser of {source} wants to run its own code; allow it with --trust-remote-code"
            )
        tokenize = open_clip.get_tokenizer(source)
        if hasattr(tokenize, "tokenizer"):  # of transformers; open_clip's own needs no files
            require_vocabulary(tokenize.tokenizer, source.removeprefix("local-dir:"))
        return tokenize
    except EncoderError:
        raise
    except Exception as error:  # whatever its files make transformers raise
        raise EncoderError(
            f"open_clip cannot load the tokeniser of {source}: {first_line(error)}; put its files into a folder with "
            "open_clip_config.json and the weights, and load open_clip:FOLDER"
        ) from error
