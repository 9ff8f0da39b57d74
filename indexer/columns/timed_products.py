"""Products that a video shows, in a cell of a catalogue.

Either JSON, a list of objects with `product`, `start` and optionally `end`, or a short text:

    [{"product": "p1", "start": 12.0, "end": 20.0}, {"product": "p2", "start": 65}]
    p1@0:12-0:20; p2@1:05

Times are seconds, m:ss or h:mm:ss, with decimals if needed. A product id with @ or ; needs the JSON form.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from firstsight.indexer.columns.media_values import parse_nested
from firstsight.indexer.columns.sample import is_empty
from firstsight.records import Record

MAX_ENTRIES: Final = 1_000
"""Maximum number of entries of one video."""

MAX_SECONDS: Final = 7 * 86_400.0
"""Latest second: a week, longer than any stream."""

_PRODUCT_KEYS: Final = ("product", "product_id", "item_id", "sku", "id")
_START_KEYS: Final = ("start", "start_s", "from", "time", "at")
_END_KEYS: Final = ("end", "end_s", "to")
_CLOCK: Final = re.compile(r"(?:(?:(\d{1,3}):)?(\d{1,3}):)?(\d{1,6}(?:\.\d+)?)")
_MAX_ID: Final = 512
_EXAMPLE: Final = 'write p1@0:12-0:20; p2@1:05, or [{"product": "p1", "start": 12, "end": 20}]'


@dataclass(frozen=True, slots=True)
class TimedProductCell(Record):
    """A product that a video shows, as a catalogue gives it."""

    product_id: str
    start_s: float
    end_s: float | None = None  # None if the catalogue gives no end


class NotTimedProductError(ValueError):
    """Why an entry cannot be read, as one sentence."""


def read_timed_products(value: object) -> tuple[list[TimedProductCell], list[str]]:
    """Read the entries of a cell.

    Returns:
        The entries without repetitions, and a sentence for each one that cannot be read.
    """
    if is_empty(value):
        return [], []
    entries: dict[tuple[str, float], TimedProductCell] = {}
    problems: list[str] = []
    for number, entry in enumerate(_entries(value)):
        if number == MAX_ENTRIES:
            problems.append(f"a video has at most {MAX_ENTRIES:,} timed products; the others are left out")
            break
        try:
            read = _read(entry)
        except NotTimedProductError as error:
            problems.append(str(error))
        else:
            entries.setdefault((read.product_id, read.start_s), read)
    return list(entries.values()), problems


def parse_seconds(value: object) -> float:
    """Read a time: seconds as a number or text, m:ss, or h:mm:ss.

    Raises:
        NotTimedProductError: it is none of these, negative, or above `MAX_SECONDS`.
    """
    seconds = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and (match := _CLOCK.fullmatch(value.strip().removesuffix("s").strip())):
        hours, minutes, rest = match.groups()
        seconds = int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(rest)
    if not 0 <= seconds <= MAX_SECONDS:
        raise NotTimedProductError(f"{_shown(value)} is not a time such as 12.5, 0:12 or 1:02:03")
    return round(seconds, 3)


def _entries(value: object) -> Iterator[object]:
    """The entries of a cell, not yet read."""
    if isinstance(value, str):
        text = value.strip()
        nested = parse_nested(text) if text[:1] in ("[", "{") else None
        if nested is None:
            yield from (part.strip() for part in re.split(r"[;\n]", text) if part.strip())
            return
        value = nested
    if isinstance(value, list | tuple):
        yield from value
    else:
        yield value


def _read(entry: object) -> TimedProductCell:
    if isinstance(entry, Mapping):
        by_key = {str(key).lower(): nested for key, nested in entry.items()}
        product, start, end = (
            next((by_key[key] for key in keys if not is_empty(by_key.get(key))), None)
            for keys in (_PRODUCT_KEYS, _START_KEYS, _END_KEYS)
        )
    elif isinstance(entry, str) and "@" in entry:
        product, _, times = entry.rpartition("@")
        start, dash, end = times.partition("-")
        end = end if dash else None
    else:
        raise NotTimedProductError(f"{_shown(entry)} is not a timed product; {_EXAMPLE}")
    product_id = _product_id(product, entry)
    if start is None:
        raise NotTimedProductError(f"{_shown(entry)} has no start; {_EXAMPLE}")
    start_s = parse_seconds(start)
    end_s = None if end is None else parse_seconds(end)
    if end_s is not None and end_s < start_s:
        raise NotTimedProductError(f"{_shown(entry)} ends before it starts; swap the two times")
    return TimedProductCell(product_id, start_s, end_s)


def _product_id(value: object, entry: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise NotTimedProductError(f"{_shown(entry)} names no product; {_EXAMPLE}")
    product_id = str(value).strip()
    if not 0 < len(product_id) <= _MAX_ID:
        raise NotTimedProductError(f"{_shown(entry)} names no product; {_EXAMPLE}")
    return product_id


def _shown(value: object) -> str:
    text = " ".join((value if isinstance(value, str) else str(value))[:200].split())
    return repr(text if len(text) <= 60 else text[:59] + "…")
