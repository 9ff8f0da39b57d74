"""Kinds of columns and their Arrow types."""

from __future__ import annotations

import pytest

from firstsight.storage.columns import ColumnKind, arrow_type, kind_of_arrow


@pytest.mark.parametrize("kind", ["number", "flag", "time", "text"])
def test_a_kind_is_recognised_by_the_type_it_is_stored_as(kind: ColumnKind) -> None:
    assert kind_of_arrow(arrow_type(kind)) == kind
