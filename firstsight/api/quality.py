"""The quality of pictures, in the Python API."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from firstsight.api.connection import Connection
from firstsight.keywords import check_texts

if TYPE_CHECKING:
    from firstsight.storage.store import Store
    from firstsight.understanding.quality.quality_list import QualityReport, StoredPicture


class Quality:
    """Problems of pictures: blur, enlargement, darkness, bars, low resolution and others, with what to do about them.

    A database has them if it was indexed with quality: `firstsight index CATALOGUE --quality`.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(
        self,
        problems: Sequence[str] = (),
        *,
        where: str | None = None,
        include_blocked: bool = False,
        limit: int | None = None,
    ) -> QualityReport:
        """List the problems of all pictures, the most severe first.

        Args:
            problems: names of the problems to list, such as "blurred"; empty for all. docs/quality.md describes them.
            where: a condition over the columns of items, as in a search.
            include_blocked: include items that a safety decision blocks.
            limit: maximum number of problems, 1 or more. Counts are always complete.

        Raises:
            QueryError: a problem has an unknown name, the limit is below 1, or the filter is wrong.
            MissingDatabaseError: there is no database.
            StoreError: the tables cannot be read.
        """
        from firstsight.storage.facts.view_fact_table import all_view_facts
        from firstsight.understanding.quality.quality_list import list_problems
        from firstsight.understanding.quality.watermarks import OCR, WatermarkTexts, placed_texts

        check_texts("problems", problems)
        store = self._connection.open()
        repeated = WatermarkTexts()  # of the whole shop, whatever `where` selects
        for rows in all_view_facts(store):
            for _, item_id, facts in rows:
                if OCR in facts:
                    repeated.add(item_id, placed_texts(facts[OCR]["value"]))
        pictures = _pictures(store, where, include_blocked)
        return list_problems(pictures, repeated, only=problems, limit=limit)

    def write_page(self, path: str | os.PathLike[str], report: QualityReport, *, max_pictures: int = 500) -> None:
        """Write a report as one HTML page with pictures; it opens without a server.

        Args:
            path: of the page; an existing file is replaced.
            report: from `find`.
            max_pictures: maximum number of problems with a picture, about 15 KB each; the table has them all.

        Raises:
            OSError: the page cannot be written.
        """
        from firstsight.retrieval.pages.quality_page import write_quality_page

        write_quality_page(Path(path), report, max_pictures=max_pictures, policy=self._connection.policy)


def _pictures(store: Store, where: str | None, include_blocked: bool) -> Iterator[StoredPicture]:
    from firstsight.retrieval.export.row_stream import RowSelection, RowStream
    from firstsight.storage.facts.view_fact_table import read_view_facts
    from firstsight.understanding.quality.quality_list import StoredPicture

    columns = ["view_id", "item_id", "uri", "title"]
    selection = RowSelection("views", columns, where, False, ["image"], include_blocked)
    for batch in RowStream(store, selection).batches():
        rows = batch.to_pylist()
        facts = read_view_facts(store, list(dict.fromkeys(row["item_id"] for row in rows)))
        for row in rows:
            found = facts.get(row["view_id"], {})
            values = {name: fact["value"] for name, fact in found.items()}
            yield StoredPicture(row["view_id"], row["item_id"], row["title"], row["uri"], values)
