"""Loading of open_clip's tokenisers."""

from __future__ import annotations

from typing import Any

import open_clip

from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.families.tokenizer_packages import naming_missing_packages
from firstsight.encoders.families.tokenizer_vocabulary import require_vocabulary
from firstsight.errors import EncoderError, first_line


def load_tokenizer(source: str, options: EncoderOptions) -> Any:
    """Load the tokeniser of an architecture, a repository (`hf-hub:`) or a folder (`local-dir:`).

    Args:
        source: open_clip's name for it, as `open_clip_names.parse` returns it.
        options: only `trust_remote_code` is used.

    Raises:
        EncoderError: if the tokeniser's files are missing or damaged, or it has its own code and
            `options.trust_remote_code` is false.
        OptionalDependencyError: if it needs a package of the extra `siglip` that is not installed.
    """
    try:
        config = open_clip.get_model_config(source) or {}
        settings = config.get("text_cfg", {}).get("tokenizer_kwargs", {})
        if settings.get("trust_remote_code") and not options.trust_remote_code:
            raise EncoderError(f"the tokeniser of {source} runs its own code; allow that with --trust-remote-code")
        with naming_missing_packages(source.partition(":")[2] or source):
            tokenize = open_clip.get_tokenizer(source)
        if hasattr(tokenize, "tokenizer"):  # a tokeniser of transformers; open_clip's own needs no files
            require_vocabulary(tokenize.tokenizer, source.removeprefix("local-dir:"))
        return tokenize
    except EncoderError:
        raise
    except Exception as error:  # transformers raises anything on bad files
        raise EncoderError(
            f"open_clip cannot load the tokeniser of {source}: {first_line(error)}; put its files into a folder with "
            "open_clip_config.json and the weights, then load open_clip:FOLDER"
        ) from error
