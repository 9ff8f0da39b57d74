"""Answers as JSON: times in ISO 8601, numbers that JSON lacks as null, and no path of this machine."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
from starlette.responses import JSONResponse


def to_json_value(value: object) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): to_json_value(one) for key, one in value.items()}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, np.generic | np.ndarray):
        return to_json_value(value.tolist())
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes):
        return [to_json_value(one) for one in value]
    return value


class LibraryJSONResponse(JSONResponse):
    """JSON of whatever the library gives."""

    def render(self, content: Any) -> bytes:
        return json.dumps(to_json_value(content), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def public_encoder_name(name: str) -> str:
    """An encoder's name without folders of this machine: "open_clip:ViT-B-32@/models/ours.pt" ends in "@ours.pt"."""
    return re.sub(r"(?<=[@:])(?:[A-Za-z]:)?[\\/~.](?:.*[\\/])?", "", name)


def strip_local_folders(text: str) -> str:
    """A text with absolute local paths cut to their last part; addresses and relative paths stay."""
    return re.sub(r"(?<![\w:/.])(?:[A-Za-z]:\\|/)(?:[^\s/\\'\"]+[/\\])+(?=[^\s/\\'\"])", "…/", text)


def hide_local_uri(view: dict[str, Any] | None) -> dict[str, Any] | None:
    """A view as clients may see it: the address of what is on this machine left out."""
    if view is None or view.get("uri") is None or "://" in view["uri"]:
        return view
    return {name: value for name, value in view.items() if name != "uri"}
