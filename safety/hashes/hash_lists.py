"""Lists of known PDQ hashes as files: read and written in the forms that ThreatExchange's tools use.

Text, one hash a line: `HASH`, `pdq HASH` (ThreatExchange's file exchange) or `HASH,QUALITY,TAG TAG` (the hashing tools
print quality and a file's name there). CSV with a header: `collab,signal_type,signal_str,category,tags`, as
`threatexchange dataset --print-signals --csv` prints it; `policy` and `quality` are columns of our own after them.

Source of the forms: github.com/facebook/ThreatExchange, python-threatexchange (dataset_cmd.py, file_api.py).
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, TextIO, get_args

from firstsight.errors import SafetyError
from firstsight.media.fingerprints import FINGERPRINT_BYTES, MIN_QUALITY

HashSet = Literal["bad", "good"]
"""Known-bad hashes flag what they match; known-good ones take away the flags of what is at least as near to them."""

HASH_SETS: tuple[HashSet, ...] = get_args(HashSet)

HashListFormat = Literal["text", "csv"]

_CSV_COLUMNS = ("collab", "signal_type", "signal_str", "category", "tags", "policy", "quality")
_HASH_COLUMNS = ("signal_str", "hash", "indicator")
_CATEGORIES: Mapping[str, HashSet] = {
    "positive_class": "bad",
    "negative_class": "good",
    "malicious": "bad",  # the Graph API's `status`
    "non_malicious": "good",
    "bad": "bad",
    "good": "good",
}
_HEX = re.compile(rf"[0-9a-fA-F]{{{2 * FINGERPRINT_BYTES}}}")


@dataclass(frozen=True)
class KnownHash:
    """One entry of the hash bank."""

    fingerprint: bytes  # PDQ, 32 bytes
    set: HashSet
    policy_id: str  # what it is known as; empty for a known-good one, which counts for every policy
    source: str  # the list, file or item that it comes from
    tags: tuple[str, ...] = ()
    quality: int | None = None  # PDQ's own, 0 to 100, where it was given
    added_at: datetime | None = None  # UTC

    @property
    def hex(self) -> str:
        """The hash as ThreatExchange writes it: 64 hexadecimal digits."""
        return self.fingerprint.hex()

    @property
    def key(self) -> str:
        """What makes it one entry: set, policy and hash."""
        return f"{self.set}:{self.policy_id}:{self.hex}"


@dataclass(frozen=True)
class BadHashRow:
    """A row of a hash list that was left out."""

    line: int  # of the file, from 1
    reason: str


@dataclass(frozen=True)
class HashList:
    """What a file held."""

    hashes: tuple[KnownHash, ...]
    bad_rows: tuple[BadHashRow, ...]


def read_hash_list(
    path: str | os.PathLike[str], *, default_set: HashSet = "bad", policy_id: str | None = None
) -> HashList:
    """Read a hash list, text or CSV; which of them it is, is seen from its first line.

    Args:
        default_set: of the rows that have no category of their own.
        policy_id: of the known-bad rows that name no policy.

    Returns:
        The hashes, and every row that could not be used, with its line and the reason.

    Raises:
        SafetyError: the file cannot be read.
    """
    source = Path(path).name
    try:
        with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
            rows = list(_rows(file))
    except OSError as error:
        raise SafetyError(f"the hash list {os.fspath(path)} cannot be read ({error.strerror}); give a file") from None
    hashes: list[KnownHash] = []
    bad: list[BadHashRow] = []
    for line, row in rows:
        try:
            hashes.append(_parse_row(row, source, default_set, policy_id))
        except ValueError as error:
            bad.append(BadHashRow(line, str(error)))
    return HashList(tuple(hashes), tuple(bad))


def parse_hash(text: str) -> bytes:
    """The 32 bytes of a PDQ hash in hexadecimal.

    Raises:
        ValueError: it is none, or that of a picture with nothing in it.
    """
    text = text.strip()
    if not _HEX.fullmatch(text):
        raise ValueError(
            f"{text[:80]!r} is no PDQ hash: it takes {2 * FINGERPRINT_BYTES} hexadecimal digits, this has {len(text)}"
        )
    code = bytes.fromhex(text)
    if code in (bytes(FINGERPRINT_BYTES), b"\xff" * FINGERPRINT_BYTES):
        raise ValueError(f"{text[:8]}… is the hash of a flat picture, which would match every black frame")
    return code


def write_hash_list(path: str | os.PathLike[str], hashes: Sequence[KnownHash], form: HashListFormat) -> None:
    """Write hashes to a file, ordered; what was there before is replaced at once.

    The text form has no room for sets and policies: write one of them at a time, or CSV.

    Raises:
        SafetyError: the file cannot be written.
    """
    new = Path(f"{os.fspath(path)}.new")
    try:
        with new.open("w", encoding="utf-8", newline="") as file:
            (_write_csv if form == "csv" else _write_text)(file, sorted(hashes, key=lambda one: one.key))
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise SafetyError(f"{os.fspath(path)} cannot be written ({error.strerror}); choose another file") from None


def check_tag(tag: str) -> str:
    """A tag, which the forms separate by blanks and commas.

    Raises:
        SafetyError: it holds one.
    """
    if not tag or re.search(r"[\s,]", tag):
        raise SafetyError(f"{tag!r} is no tag: tags are words without blanks and commas")
    return tag


HashRow = Mapping[str, str]


def _rows(file: TextIO) -> Iterator[tuple[int, HashRow]]:
    """Each row's line and fields, by the names of the CSV form."""
    header: list[str] | None = None
    reader = csv.reader(file)
    first = True
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, {"broken": f"it cannot be read as CSV ({error})"}
            continue
        if not any(field.strip() for field in fields) or fields[0].lstrip().startswith("#"):
            continue
        if first:
            first = False
            names = [field.strip().lower() for field in fields]
            if any(name in names for name in _HASH_COLUMNS):
                header = names
                continue
        yield reader.line_num, _text_row(fields) if header is None else dict(zip(header, fields, strict=False))


def _text_row(fields: Sequence[str]) -> HashRow:
    kind, _, value = fields[0].strip().rpartition(" ")
    quality, tags = "", list(fields[1:])
    if tags and re.fullmatch(r"\s*\d*\s*", tags[0]):  # a tag that is a number has an empty field before it
        quality = tags.pop(0)
    return {"signal_type": kind.strip(), "signal_str": value, "quality": quality, "tags": " ".join(tags)}


def _parse_row(row: HashRow, source: str, default_set: HashSet, policy_id: str | None) -> KnownHash:
    if "broken" in row:
        raise ValueError(row["broken"])
    kind = row.get("signal_type", row.get("type", "")).strip().lower()
    if kind not in ("", "pdq", "hash_pdq"):
        raise ValueError(f"its signal type is {kind[:40]!r}; only pdq is matched")
    code = parse_hash(next((row[name] for name in _HASH_COLUMNS if name in row), ""))
    category = row.get("category", row.get("status", "")).strip().lower()
    if category and category not in _CATEGORIES:
        raise ValueError(
            f"its category is {category[:40]!r}, which is neither bad (POSITIVE_CLASS) nor good (NEGATIVE_CLASS)"
        )
    in_set = _CATEGORIES[category] if category else default_set
    policy = row.get("policy", "").strip() or policy_id or ""
    if in_set == "bad" and not policy:
        raise ValueError("it names no policy; give one for all rows with --policy")
    return KnownHash(
        fingerprint=code,
        set=in_set,
        policy_id=policy if in_set == "bad" else "",
        source=row.get("collab", "").strip() or source,
        tags=tuple(dict.fromkeys(row.get("tags", "").replace(",", " ").split())),
        quality=_quality(row.get("quality", "").strip()),
    )


def _quality(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or int(text) > 100:
        raise ValueError(f"its quality is {text[:40]!r}; PDQ's goes from 0 to 100")
    if int(text) < MIN_QUALITY:
        raise ValueError(f"its quality is {text}; below {MIN_QUALITY} a PDQ hash says nothing")
    return int(text)


def _write_text(file: TextIO, hashes: Iterable[KnownHash]) -> None:
    for one in hashes:
        quality = "" if one.quality is None else str(one.quality)
        file.write(",".join([one.hex, quality, " ".join(one.tags)]).rstrip(",") + "\n")


def _write_csv(file: TextIO, hashes: Iterable[KnownHash]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for one in hashes:
        category = "POSITIVE_CLASS" if one.set == "bad" else "NEGATIVE_CLASS"
        quality = "" if one.quality is None else one.quality
        writer.writerow([one.source, "pdq", one.hex, category, " ".join(one.tags), one.policy_id, quality])
