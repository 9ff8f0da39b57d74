"""Language tags such as "de", "en-US" and "zh-Hant", in file names and metadata."""

from __future__ import annotations

import re
from typing import Final

_TAG: Final = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")


def language_tag(text: str) -> str | None:
    """The tag in its usual spelling (RFC 5646), such as "pt-BR" for "pt_br"; None if the text is no tag.

    "und" and "mul" say that the language is unknown, so they give None as well.
    """
    text = text.strip()
    if not _TAG.fullmatch(text):
        return None
    language, *others = re.split("[-_]", text.lower())
    if language in {"und", "mul", "zxx", "mis"}:
        return None
    return "-".join([language, *(_subtag(other) for other in others)])


def _subtag(text: str) -> str:
    if len(text) == 2 and text.isalpha():
        return text.upper()  # a region
    return text.capitalize() if len(text) == 4 and text.isalpha() else text  # a script, or another variant
