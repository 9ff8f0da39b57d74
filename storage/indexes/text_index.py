"""The full-text indexes over title, text, timed texts and text in pictures: LanceDB's, in the database's language.

The first index run creates those of titles and texts before it writes rows; the end of each run adds the new rows.
Until then, LanceDB compares new rows one by one with the same tokeniser, so searches by words find them too, except for
misspelt words. The indexes store the language. The indexes of timed texts, in `views`, and of text in pictures are made
at the end of the first run that has some.
"""

from __future__ import annotations

from lancedb.index import FTS
from lancedb.table import Table

from firstsight.errors import CatalogError, StoreError, first_line
from firstsight.storage.facts.fact_columns import OCR_TEXT
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
"""Languages with stemming, so that `shoe` finds `shoes`."""

OTHER_LANGUAGE = "other"
"""Any other language, or several: words are split by Unicode's rules (Chinese, Japanese: by a dictionary) and kept."""

DEFAULT_LANGUAGE = "English"

MAX_UNINDEXED_SHARE = 0.05
"""Share of rows missing in the indexes of a large table above which they are built again."""

SMALL_TABLE_ROWS = 100_000
"""Maximum rows of a table with a new build after each run that wrote rows: it takes less than a second."""


def check_language(language: str) -> str:
    """Get the name of a language in its standard spelling, such as "English" for "english".

    Raises:
        CatalogError: no text index supports the language.
    """
    for known in (*STEMMED_LANGUAGES, OTHER_LANGUAGE):
        if language.lower() == known.lower():
            return known
    raise CatalogError(
        f"{language!r} is not a supported language; choose one of {', '.join(STEMMED_LANGUAGES)}, or {OTHER_LANGUAGE}"
    )


def stored_language(store: Store) -> str | None:
    """Read the language of the text indexes; None if there are none yet."""
    details = [index.index_details for index in store.items.list_indices() if index.columns == ["title"]]
    if not details or not details[0]:
        return None
    return str(details[0]["language"]) if details[0].get("stem") else OTHER_LANGUAGE


def index_texts(store: Store, language: str | None = None) -> None:
    """Build the text indexes that are missing, lack rows or have another language; the caller holds the writer lock.

    Args:
        language: one of `STEMMED_LANGUAGES` or `OTHER_LANGUAGE`; None for the language of the database, English for a
            new one.

    Raises:
        CatalogError: no text index supports the language.
        StoreError: the database cannot be written.
    """
    stored = stored_language(store)
    chosen = check_language(language) if language else stored or DEFAULT_LANGUAGE
    columns = [(store.items, column) for column in COLUMNS]
    if has_picture_texts(store.items):
        columns.append((store.items, OCR_TEXT))
    if "text" in store.views.schema.names and store.views.count_rows("text IS NOT NULL"):
        columns.append((store.views, "text"))
    for table, column in columns:
        if chosen != stored or _is_behind(table, column):
            try:
                table.create_index(column, config=_config(chosen), replace=True)
            except (RuntimeError, OSError) as error:
                raise StoreError(
                    f"{store.uri}: the text index of {column!r} could not be built ({first_line(error)}); "
                    "check space and access, then run again"
                ) from error


def has_picture_texts(items: Table) -> bool:
    """Whether an item has text in its pictures; the column is missing in databases that have never read any."""
    return OCR_TEXT in items.schema.names and items.count_rows(f"{OCR_TEXT} != ''") > 0


def has_picture_text_index(items: Table) -> bool:
    """Whether text in pictures can be searched by words: the run that found the first text has ended."""
    return OCR_TEXT in items.schema.names and any(index.columns == [OCR_TEXT] for index in items.list_indices())


def index_columns(items: Table, language: str = DEFAULT_LANGUAGE) -> None:
    """Build the text indexes of a table with the columns of `items`."""
    for column in (*COLUMNS, OCR_TEXT) if has_picture_texts(items) else COLUMNS:
        items.create_index(column, config=_config(language), replace=True)


def _is_behind(table: Table, column: str) -> bool:
    name = next((index.name for index in table.list_indices() if index.columns == [column]), None)
    stats = None if name is None else table.index_stats(name)
    if stats is None:
        return True
    rows = stats.num_indexed_rows + stats.num_unindexed_rows
    return stats.num_unindexed_rows > (0 if rows <= SMALL_TABLE_ROWS else MAX_UNINDEXED_SHARE * rows)


def _config(language: str) -> FTS:
    if language == OTHER_LANGUAGE:
        return FTS(base_tokenizer="icu", stem=False, remove_stop_words=False, ascii_folding=True)
    return FTS(language=language, stem=True, remove_stop_words=True, ascii_folding=True)
