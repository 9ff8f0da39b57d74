"""Which version of a tag is in use, and the removal of a tag."""

from __future__ import annotations

from firstsight.errors import TagError
from firstsight.storage.facts.fact_columns import TAG_PREFIX
from firstsight.storage.store import Store
from firstsight.understanding.tags.labels.label_table import delete_given_tags, read_given_tags
from firstsight.understanding.tags.labels.tag_names import tag_fields
from firstsight.understanding.tags.models.tag_model import TagModel, TagShelf
from firstsight.understanding.tags.tag_scoring import score_tags
from firstsight.understanding.tags.tag_values import TagState, require_tag


def use_version(store: Store, version: int, *, score: bool = True) -> TagModel:
    """Put a version into use instead of the present one of its tag; the caller holds the writer lock.

    Args:
        store: the database.
        version: its number.
        score: tag all items now; else the next scoring does.

    Raises:
        TagError: there is no such version, or it was fitted to vectors of another encoder.
        StoreError: the database cannot be written.
    """
    shelf = TagShelf(store)
    model = shelf.get(version)
    if model.fingerprint != store.spec.fingerprint:
        raise TagError(
            f"version {version} of the tag {model.tag} was fitted to vectors of another encoder "
            f"({model.fingerprint[:12]}); train it again: firstsight tags train --tag {model.tag}"
        )
    used = shelf.use(version)
    if score:
        score_tags(store, tags=[model.tag], everything=True)
    return used


def remove_tag(store: Store, tag: str) -> None:
    """Take a tag's version out of use, and delete its labels, corrections and values; the caller holds the writer lock.

    Raises:
        TagError: there is no such tag.
        StoreError: the database cannot be written.
    """
    require_tag(TagState.read(store), tag)
    TagShelf(store).drop(tag)
    delete_given_tags(store, tag, [item_id for _, item_id in read_given_tags(store, tag)])
    name = f"{TAG_PREFIX}{tag}"
    if name not in store.items.schema.names:
        return
    names = [one.name for one in tag_fields(tag)]
    store.maintain(store.items, lambda table: table.drop_columns(names))
    store.note_all_changed()
