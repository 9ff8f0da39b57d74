"""The language of most items, for the stemmer of the full-text indexes."""

from __future__ import annotations

from collections import Counter
from typing import Final

from firstsight.storage.store import Store
from firstsight.understanding.language.language_facts import LANGUAGE_COLUMN

MIN_ITEMS: Final = 10
"""Minimum number of items with a known language."""

MIN_SHARE: Final = 0.8
"""Minimum share of one language among them. A stemmer cuts the words of other languages at wrong places."""

STEMMERS: Final = {
    "ar": "Arabic",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fi": "Finnish",
    "fr": "French",
    "hu": "Hungarian",
    "it": "Italian",
    "nb": "Norwegian",
    "nl": "Dutch",
    "nn": "Norwegian",
    "no": "Norwegian",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sv": "Swedish",
    "ta": "Tamil",
    "tr": "Turkish",
}
"""Language of the text indexes by ISO 639 code."""


def find_stemming_language(store: Store) -> str | None:
    """Find the language of most items, by the fact `language`.

    Returns:
        A name such as "German" for `index_texts`; None if too few items have a known language, no language has most of
        them, or the language has no stemmer.
    """
    if LANGUAGE_COLUMN not in store.items.schema.names:
        return None
    known: Counter[str] = Counter()
    search = store.items.search().where(f"{LANGUAGE_COLUMN} IS NOT NULL").select([LANGUAGE_COLUMN]).limit(None)
    for batch in search.to_batches(100_000):
        known.update(map(str, batch[LANGUAGE_COLUMN].to_pylist()))
    if known.total() < MIN_ITEMS:
        return None
    [(language, count)] = known.most_common(1)
    return STEMMERS.get(language) if count >= MIN_SHARE * known.total() else None
