"""The fact `language`: the language of an item's title and text, in the column `fact_language`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from firstsight.indexer.facts.item_facts import FactItem
from firstsight.media.picture_facts import PictureFact
from firstsight.understanding.language.language_identifier import identify_languages

LANGUAGE_COLUMN = "fact_language"


class LanguageFacts:
    """Finds the language of items by their title and text. Needs the extra `language`.

    Args:
        languages: ISO 639 codes of the languages that the shop has; empty: all that the model knows. With the right
            few, more titles have a language, and short ones are rarely mistaken for a rare language.
    """

    name = "language"
    picture_fact: PictureFact | None = None
    fields: Sequence[pa.Field[Any]] = (pa.field(LANGUAGE_COLUMN, pa.string()),)

    def __init__(self, languages: Sequence[str] = ()) -> None:
        self._languages = tuple(languages)
        self.version = ",".join(["1", *sorted(self._languages)])
        """Changes with the languages, so that stored items are looked at again."""

    def values(self, items: Sequence[FactItem]) -> list[dict[str, Any]]:
        """Find the language of each item.

        Returns:
            `fact_language` of each item: an ISO 639 code, or None for an item without text or with an unknown language.

        Raises:
            CatalogError: the model does not know one of `languages`.
            OptionalDependencyError: the extra is not installed.
        """
        texts = ["\n".join(part for part in (item.title, item.text) if part) for item in items]
        return [{LANGUAGE_COLUMN: language} for language in identify_languages(texts, self._languages)]
