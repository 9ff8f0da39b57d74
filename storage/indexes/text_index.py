"""The full-text indexes over title and text: LanceDB's own, in the language of the database.

Both are made with the database's first run, before its rows, and take rows in at the end of each run. In
between, LanceDB compares the rows that are not in them yet one by one with the same tokeniser, so that words
find them, too; only misspelt words do not. The language is kept in the indexes themselves.
"""

from __future__ import annotations

from lancedb.index import FTS
from lancedb.table import Table

from firstsight.errors import CatalogError, StoreError, first_line
from firstsight.storage.store import Store

COLUMNS = ("title", "text")

STEMMED_LANGUAGES = (
    "Arabic",
    "Danish",
    "Dutch",
    "English",
    "Finnish",
    "French",
    "German",
    "Greek",
    "Hungarian",
    "Italian",
    "Norwegian",
    "Portuguese",
    "Romanian",
    "Russian",
    "Spanish",
    "Swedish",
    "Tamil",
    "Turkish",
)
"""Languages whose words are brought to their stems, so that `shoe` finds `shoes`."""

OTHER_LANGUAGE = "other"
"""Any other language, or several: words are cut by Unicode's rules (Chinese and Japanese by a dictionary), and kept."""

DEFAULT_LANGUAGE = "English"

MAX_UNINDEXED_SHARE = 0.05
"""The indexes of a large table are made again once this share of its rows is not in them."""

SMALL_TABLE_ROWS = 100_000
"""Rows up to which they are made again after every run that wrote some: less than a second."""


def check_language(language: str) -> str:
    """A language as it is written here, whatever its capitals.

    Raises:
        CatalogError: there is no such language.
    """
    for known in (*STEMMED_LANGUAGES, OTHER_LANGUAGE):
        if language.lower() == known.lower():
            return known
    raise CatalogError(
        f"{language!r} is no language whose word stems are known; "
        f"choose one of {', '.join(STEMMED_LANGUAGES)}, or {OTHER_LANGUAGE}"
    )


def stored_language(store: Store) -> str | None:
    """The language of the text indexes; None where there are none yet."""
    details = [index.index_details for index in store.items.list_indices() if index.columns == ["title"]]
    if not details or not details[0]:
        return None
    return str(details[0]["language"]) if details[0].get("stem") else OTHER_LANGUAGE


def index_texts(store: Store, language: str | None = None) -> None:
    """Make the text indexes where they are missing, of another language, or behind; the caller holds the writer lock.

    Args:
        language: one of `STEMMED_LANGUAGES` or `OTHER_LANGUAGE`; None for the database's own, English for a new one.

    Raises:
        CatalogError: an unknown language.
        StoreError: the database cannot be written.
    """
    stored = stored_language(store)
    wanted = check_language(language) if language else stored or DEFAULT_LANGUAGE
    for column in COLUMNS:
        if wanted != stored or _is_behind(store.items, column):
            try:
                store.items.create_index(column, config=_config(wanted), replace=True)
            except (RuntimeError, OSError) as error:
                raise StoreError(
                    f"{store.uri}: the words of {column} could not be indexed ({first_line(error)}); "
                    "see that there is room and access, then run again"
                ) from error


def index_columns(items: Table, language: str = DEFAULT_LANGUAGE) -> None:
    """Make both indexes on a table that has the columns of `items`."""
    for column in COLUMNS:
        items.create_index(column, config=_config(language), replace=True)


def _is_behind(items: Table, column: str) -> bool:
    name = next((index.name for index in items.list_indices() if index.columns == [column]), None)
    stats = None if name is None else items.index_stats(name)
    if stats is None:
        return True
    rows = stats.num_indexed_rows + stats.num_unindexed_rows
    return stats.num_unindexed_rows > (0 if rows <= SMALL_TABLE_ROWS else MAX_UNINDEXED_SHARE * rows)


def _config(language: str) -> FTS:
    if language == OTHER_LANGUAGE:
        return FTS(base_tokenizer="icu", stem=False, remove_stop_words=False, ascii_folding=True)
    return FTS(language=language, stem=True, remove_stop_words=True, ascii_folding=True)
