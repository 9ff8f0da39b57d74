"""JSON answers: times in ISO 8601, NaN and infinity as null, no paths of this machine."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
from starlette.responses import JSONResponse

from firstsight.media.stored_media import is_stored_file


def to_json_value(value: object) -> Any:
    """Convert a value of the library to a JSON value."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): to_json_value(entry) for key, entry in value.items()}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, np.generic | np.ndarray):
        return to_json_value(value.tolist())
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes):
        return [to_json_value(entry) for entry in value]
    return value


class LibraryJSONResponse(JSONResponse):
    """JSON response of values that the library returns."""

    def render(self, content: Any) -> bytes:
        return json.dumps(to_json_value(content), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def public_encoder_name(name: str) -> str:
    """Remove local folders from an encoder's name: "open_clip:ViT-B-32@/models/ours.pt" ends in "@ours.pt"."""
    return re.sub(r"(?<=[@:])(?:[A-Za-z]:)?[\\/~.](?:.*[\\/])?", "", name)


def strip_local_folders(text: str) -> str:
    """Shorten absolute local paths in a text to their last part; addresses and relative paths stay."""
    return re.sub(r"(?<![\w:/.])(?:[A-Za-z]:\\|/)(?:[^\s/\\'\"]+[/\\])+(?=[^\s/\\'\"])", "…/", text)


def hide_local_uri(view: dict[str, Any] | None) -> dict[str, Any] | None:
    """Remove `uri` from a view if it is a path of this machine, or a file that the database stores."""
    if view is None or view.get("uri") is None or ("://" in view["uri"] and not is_stored_file(view["uri"])):
        return view
    return {name: value for name, value in view.items() if name != "uri"}
