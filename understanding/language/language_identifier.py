"""Identify the language of a title or text with py3langid, among the languages of a shop."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from firstsight.errors import CatalogError
from firstsight.extras import is_installed, requires

MIN_PROBABILITY: Final = 0.5
"""Minimum probability of a language among all languages; below it, the language is unknown."""

MAX_LETTERS: Final = 1000
"""Characters of a text that are read, the first ones."""

_NO_LANGUAGE: Final = "zxx"


def has_language_package() -> bool:
    """Whether the packages of the extra `language` are installed."""
    return is_installed("py3langid")


def check_languages(languages: Sequence[str]) -> tuple[str, ...]:
    """Check the languages of a shop, and return them as the codes that the model knows, without duplicates.

    Args:
        languages: ISO 639 codes, such as "de" or "pt-BR", of which the region is ignored.

    Raises:
        CatalogError: the model does not know a language; the message has all codes.
        OptionalDependencyError: the extra `language` is not installed.
    """
    if not languages:
        return ()
    known = set(_load_model().labels) - {_NO_LANGUAGE}
    codes = {language: language.strip().lower().replace("_", "-").partition("-")[0] for language in languages}
    for language, code in codes.items():
        if code not in known:
            raise CatalogError(
                f"--languages has {language!r}, which is no known code; give some of {', '.join(sorted(known))}"
            )
    return tuple(dict.fromkeys(codes.values()))


def identify_languages(texts: Sequence[str], languages: Sequence[str] = ()) -> list[str | None]:
    """Identify the language of each text.

    With n languages to choose from, the probability must be at least 0.5 + 0.5 / n (two: 0.75, ten: 0.55), because
    names of brands and models, which have no language, reach more among few. Texts without letters have none either.

    Args:
        texts: of which the first 1,000 characters count.
        languages: codes of the languages that occur; empty: all that the model knows.

    Returns:
        An ISO 639 code for each text; None for "don't know".

    Raises:
        CatalogError, OptionalDependencyError: as for `check_languages`.
    """
    codes = check_languages(languages)
    identifier = _restrict(codes)
    least = minimum_probability(len(codes)) if codes else MIN_PROBABILITY
    found: list[str | None] = []
    for text in texts:
        start = text[:MAX_LETTERS]
        if not any(letter.isalpha() for letter in start):
            found.append(None)
            continue
        language, probability = identifier.classify(start)
        found.append(language if probability >= least and language != _NO_LANGUAGE else None)
    return found


def minimum_probability(languages: int) -> float:
    """Minimum probability of a language among a number of languages; 0 if there is only one."""
    return MIN_PROBABILITY + 0.5 / languages if languages > 1 else 0.0


@cache
def _load_model() -> Any:
    with requires("language", "finding the language of texts"):
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@cache
def _restrict(languages: tuple[str, ...]) -> Any:
    """The model among some languages; it shares the arrays of the whole model."""
    model = copy.copy(_load_model())
    model.set_languages(languages or None)
    return model
