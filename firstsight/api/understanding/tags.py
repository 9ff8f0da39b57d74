"""Tags of items, in the Python API: train them, correct them, explain and measure them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from firstsight.api.connection import FIT_WAIT_S, Connection

# the modules of tags use scipy, which takes a second to import: methods import them
if TYPE_CHECKING:
    from firstsight.understanding.tags.labels.label_reading import LabelSource
    from firstsight.understanding.tags.labels.label_table import GivenTag
    from firstsight.understanding.tags.models.tag_model import TagModel
    from firstsight.understanding.tags.tag_explanation import TagExplanation
    from firstsight.understanding.tags.tag_scoring import TagScoreReport
    from firstsight.understanding.tags.training.tag_report import TagReport
    from firstsight.understanding.tags.training.tag_runs import TagTrainReport


class Tags:
    """Categories and attributes of items, learned from a shop's own labels: `category`, `material`, `pattern`, …

    The best known value of a tag is in the columns `fact_tag_NAME`, `fact_tag_NAME_p` (its probability) and
    `fact_tag_NAME_by` (its source); filters write `tags.NAME`, `tags.NAME_p` and `tags.NAME_by`. A person's value comes
    before the catalogue's own, and that before a prediction.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def train(
        self,
        labels: LabelSource | None = None,
        *,
        column: str | None = None,
        tag: str | None = None,
        separator: str | None = None,
        path_separator: str | None = None,
        taxonomy: str | os.PathLike[str] | None = None,
        branches: Sequence[str] = (),
        multi: bool | None = None,
        method: str = "auto",
        precision: float = 0.98,
        templates: Sequence[str] = (),
        prompts: bool = True,
        skip_bad_labels: bool = False,
        use: bool | None = None,
        score: bool = True,
        wait_s: float = FIT_WAIT_S,
        on_progress: Callable[[str], None] = lambda line: None,
    ) -> TagTrainReport:
        """Train a tag, or several, from labels; tag all items if the new version is not worse than what it replaces.

        Args:
            labels: a CSV file or rows with item_id, label and optionally tag. Several labels of an item make the tag
                multi-label.
            column: column of the catalogue to learn from, instead of labels. Without labels and column, the tag is
                trained from where its newest version was, and from people's corrections.
            tag: name of the tag; by default that of the column or of the rows, else "category".
            separator: of several values in a cell of the column, such as "|".
            path_separator: of levels in a value of the column, such as "/"; " > " always separates levels.
            taxonomy: file of Google's or Shopify's product taxonomy, or lines such as "Clothing > Shirts"; labels must
                name its categories. Without labels, its prompts alone give the values.
            branches: categories of the taxonomy to use, with all below; all by default.
            multi: whether an item may have several values; by default as the labels show.
            method: "auto" (chosen by cross-validation), "linear", "prompt-offset", "tip-adapter" or "coop".
            precision: share of the answers that should be right, above 0.5 and below 1; the rest are "don't know".
            templates: prompts of a value, with {} for the value; by default "a photo of {}" and "{}".
            prompts: whether prompts of the values start the methods.
            skip_bad_labels: leave out unusable labels, instead of refusing all.
            use: put new versions into use (True) or not (False), whatever held-out labels say.
            score: tag all items if a new version is in use.
            wait_s: maximum wait for another writer, in seconds.
            on_progress: called with the name of each step.

        Raises:
            TagError: labels, column or taxonomy cannot be read, some labels cannot be used, or there are none.
            EncoderError, EncoderMismatchError: the encoder cannot be loaded.
            DatabaseBusyError: another process is still writing after `wait_s`.
            MissingDatabaseError, StoreError: there is no database, or it cannot be written.
        """
        from firstsight.understanding.tags.training.tag_runs import TagInput, train_tags
        from firstsight.understanding.tags.training.tag_training import TagTrainSettings

        return train_tags(
            self._connection.open(),
            TagInput(
                labels=labels,
                column=column,
                tag=tag,
                separator=separator,
                path_separator=path_separator,
                taxonomy=taxonomy,
                branches=tuple(branches),
                multi=multi,
            ),
            TagTrainSettings(method=method, precision=precision, templates=tuple(templates)),
            encoder=lambda: self._connection.encoder,
            prompts=prompts,
            skip_bad_labels=skip_bad_labels,
            use=use,
            score=score,
            wait_s=wait_s,
            on_progress=on_progress,
        )

    def score(
        self,
        tags: Sequence[str] | None = None,
        *,
        everything: bool = False,
        wait_s: float = 0.0,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> TagScoreReport:
        """Write the columns of tags.

        Args:
            tags: names of tags; None for all.
            everything: look at all items, not only at those that no version in use has seen yet.
            wait_s: maximum wait for another writer, in seconds.
            on_progress: called with the number of items done, and the number to do.

        Raises:
            TagError: there is no such tag, or no tag at all.
            DatabaseBusyError: another process is still writing after `wait_s`.
            MissingDatabaseError, StoreError: there is no database, or it cannot be written.
        """
        from firstsight.understanding.tags.tag_scoring import score_tags

        store = self._connection.open()
        with store.writing(wait_s):
            return score_tags(store, tags=tags, everything=everything, on_progress=on_progress)

    def explain(self, item_id: str, tags: Sequence[str] | None = None) -> list[TagExplanation]:
        """Explain the tags of an item: probabilities, what pictures and title say alone, and near labelled items.

        Args:
            item_id: id of the item.
            tags: names of tags; None for all.

        Raises:
            QueryError: there is no such item.
            TagError: there is no such tag.
            MissingDatabaseError: there is no database.
        """
        from firstsight.understanding.tags.tag_explanation import explain_tags

        return explain_tags(self._connection.open(), item_id, tags)

    def correct(
        self, item_id: str, values: Mapping[str, str | Sequence[str]], *, by: str = "", wait_s: float = 0.0
    ) -> list[GivenTag]:
        """Give an item its right values; they stay when it is indexed again, and are labels of the next training.

        Args:
            item_id: id of the item.
            values: value by tag, such as {"category": "Tops"}; several values for a multi-label tag; none ("" or [])
                if the item has no value of the tag.
            by: who corrects.
            wait_s: maximum wait for another writer, in seconds.

        Raises:
            QueryError: there is no such item.
            TagError: a tag or value cannot be used, or there are several values for a single-label tag.
            DatabaseBusyError: another process is still writing after `wait_s`.
            MissingDatabaseError, StoreError: there is no database, or it cannot be written.
        """
        from firstsight.understanding.tags.tag_corrections import correct_item

        store = self._connection.open()
        with store.writing(wait_s):
            return correct_item(store, item_id, values, by=by)

    def withdraw(self, item_id: str, tags: Sequence[str], *, wait_s: float = 0.0) -> list[GivenTag]:
        """Remove people's values of an item, so that it has the catalogue's or predicted ones again.

        Args:
            item_id: id of the item.
            tags: names of tags.
            wait_s: maximum wait for another writer, in seconds.

        Returns:
            The removed values.

        Raises:
            TagError: a person gave no value of this tag to the item.
            DatabaseBusyError: another process is still writing after `wait_s`.
            MissingDatabaseError, StoreError: there is no database, or it cannot be written.
        """
        from firstsight.understanding.tags.tag_corrections import withdraw_corrections

        store = self._connection.open()
        with store.writing(wait_s):
            return withdraw_corrections(store, item_id, tags)

    def report(
        self,
        tag: str,
        *,
        version: int | None = None,
        columns: Sequence[str] | None = None,
        html: str | os.PathLike[str] | None = None,
    ) -> TagReport:
        """Measure a version on its labels, by fits that did not see the item.

        Args:
            tag: name of the tag.
            version: number of a version; None for the one in use, else the newest.
            columns: columns of the catalogue whose values to compare; None for kind, language, seller and brand.
            html: page to write.

        Raises:
            TagError: there is no such tag, version or column, or the version has no labels.
            MissingDatabaseError: there is no database.
            OSError: the page cannot be written.
        """
        from firstsight.understanding.tags.training.tag_report import report_tag

        store = self._connection.open()
        measured = report_tag(store, tag, version=version, columns=columns)
        if html is not None:
            from firstsight.api.understanding.tag_page import write_tag_page

            write_tag_page(html, measured, store.uri)
        return measured

    def versions(self, tag: str | None = None) -> list[TagModel]:
        """List all versions with their figures, oldest first.

        Args:
            tag: only of this tag.

        Raises:
            MissingDatabaseError: there is no database.
        """
        from firstsight.understanding.tags.models.tag_model import TagShelf

        return TagShelf(self._connection.open()).versions(tag)

    def use(self, version: int, *, score: bool = True, wait_s: float = 0.0) -> TagModel:
        """Put a version into use instead of the present one of its tag, and tag all items with it.

        Args:
            version: its number.
            score: tag all items now; else the next scoring does.
            wait_s: maximum wait for another writer, in seconds.

        Raises:
            TagError: there is no such version, or it was fitted to vectors of another encoder.
            DatabaseBusyError: another process is still writing after `wait_s`.
            MissingDatabaseError, StoreError: there is no database, or it cannot be written.
        """
        from firstsight.understanding.tags.tag_versions import use_version

        store = self._connection.open()
        with store.writing(wait_s):
            return use_version(store, version, score=score)

    def remove(self, tag: str, *, wait_s: float = 0.0) -> None:
        """Remove a tag: its version is out of use, and its values, labels and corrections are deleted.

        Its versions stay stored, and can be put into use again.

        Args:
            tag: name of the tag.
            wait_s: maximum wait for another writer, in seconds.

        Raises:
            TagError: there is no such tag.
            DatabaseBusyError: another process is still writing after `wait_s`.
            MissingDatabaseError, StoreError: there is no database, or it cannot be written.
        """
        from firstsight.understanding.tags.tag_versions import remove_tag

        store = self._connection.open()
        with store.writing(wait_s):
            remove_tag(store, tag)
