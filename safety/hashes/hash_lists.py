"""Files of known PDQ hashes, in the forms of ThreatExchange's tools.

Text, one hash a line: `HASH`, `pdq HASH` (ThreatExchange's file exchange) or `HASH,QUALITY,TAG TAG` (the form of
the hashing tools, which print the quality and a file's name). CSV with a header:
`collab,signal_type,signal_str,category,tags`, as printed by `threatexchange dataset --print-signals --csv`; firstsight
adds the columns `policy` and `quality`.

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
from typing import Any, Literal, TextIO, get_args

from firstsight.errors import SafetyError
from firstsight.media.fingerprints import FINGERPRINT_BYTES, MIN_QUALITY
from firstsight.records import Record

HashSet = Literal["bad", "good"]
"""Known-bad hashes flag matching views; a known-good hash removes the flags of views at least as near to it."""

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
class KnownHash(Record):
    """One entry of the hash bank."""

    fingerprint: bytes  # PDQ, 32 bytes
    set: HashSet
    policy_id: str  # policy of a known-bad hash; empty for a known-good one, which counts for every policy
    source: str  # list, file or item
    tags: tuple[str, ...] = ()
    quality: int | None = None  # PDQ quality, 0 to 100, if known
    added_at: datetime | None = None  # UTC

    @property
    def hex(self) -> str:
        """The hash as ThreatExchange writes it: 64 hexadecimal digits."""
        return self.fingerprint.hex()

    @property
    def key(self) -> str:
        """Key of the entry: set, policy and hash."""
        return f"{self.set}:{self.policy_id}:{self.hex}"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, with the hash in hexadecimal digits."""
        return {
            "hash": self.hex,
            "set": self.set,
            "policy": self.policy_id or None,
            "quality": self.quality,
            "tags": list(self.tags),
            "source": self.source,
            "added_at": None if self.added_at is None else self.added_at.isoformat(),
        }


@dataclass(frozen=True)
class BadHashRow(Record):
    """A row of a hash list that cannot be used."""

    line: int  # of the file, from 1
    reason: str


@dataclass(frozen=True)
class HashList:
    """Content of a hash list."""

    hashes: tuple[KnownHash, ...]
    bad_rows: tuple[BadHashRow, ...]


def read_hash_list(
    path: str | os.PathLike[str], *, default_set: HashSet = "bad", policy_id: str | None = None
) -> HashList:
    """Read a hash list; its first line shows whether it is text or CSV.

    Args:
        path: the file.
        default_set: set of the rows without a category.
        policy_id: policy of the known-bad rows without one.

    Returns:
        The hashes, and every unusable row with its line and the reason.

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
    """Parse a PDQ hash.

    Args:
        text: 64 hexadecimal digits.

    Returns:
        32 bytes.

    Raises:
        ValueError: the text is no PDQ hash, or the hash of a flat picture.
    """
    text = text.strip()
    if not _HEX.fullmatch(text):
        raise ValueError(
            f"{text[:80]!r} is no PDQ hash: a hash has {2 * FINGERPRINT_BYTES} hexadecimal digits, this has {len(text)}"
        )
    code = bytes.fromhex(text)
    if code in (bytes(FINGERPRINT_BYTES), b"\xff" * FINGERPRINT_BYTES):
        raise ValueError(f"{text[:8]}… is the hash of a flat picture, which would match every black frame")
    return code


def write_hash_list(path: str | os.PathLike[str], hashes: Sequence[KnownHash], form: HashListFormat) -> None:
    """Write hashes to a file, in order; an existing file is replaced at once.

    The text form holds no sets and policies: write one set and policy to a file, or use CSV.

    Args:
        path: the file.
        hashes: entries to write.
        form: "text" or "csv".

    Raises:
        SafetyError: the file cannot be written.
    """
    new = Path(f"{os.fspath(path)}.new")
    try:
        with new.open("w", encoding="utf-8", newline="") as file:
            (_write_csv if form == "csv" else _write_text)(file, sorted(hashes, key=lambda entry: entry.key))
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise SafetyError(f"{os.fspath(path)} cannot be written ({error.strerror}); choose another file") from None


def check_tag(tag: str) -> str:
    """Check a tag, and return it.

    Raises:
        SafetyError: the tag is empty, or holds a blank or a comma, which separate tags in files.
    """
    if not tag or re.search(r"[\s,]", tag):
        raise SafetyError(f"{tag!r} is no tag: a tag is a word without blanks and commas")
    return tag


HashRow = Mapping[str, str]


def _rows(file: TextIO) -> Iterator[tuple[int, HashRow]]:
    """Yield each row's line and its fields by the column names of the CSV form."""
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
        raise ValueError(f"its signal type is {kind[:40]!r}; only pdq can be matched")
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
        raise ValueError(f"its quality is {text[:40]!r}; a PDQ quality is 0 to 100")
    if int(text) < MIN_QUALITY:
        raise ValueError(f"its quality is {text}; a PDQ hash needs a quality of at least {MIN_QUALITY}")
    return int(text)


def _write_text(file: TextIO, hashes: Iterable[KnownHash]) -> None:
    for entry in hashes:
        quality = "" if entry.quality is None else str(entry.quality)
        file.write(",".join([entry.hex, quality, " ".join(entry.tags)]).rstrip(",") + "\n")


def _write_csv(file: TextIO, hashes: Iterable[KnownHash]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for entry in hashes:
        category = "POSITIVE_CLASS" if entry.set == "bad" else "NEGATIVE_CLASS"
        quality = "" if entry.quality is None else entry.quality
        writer.writerow([entry.source, "pdq", entry.hex, category, " ".join(entry.tags), entry.policy_id, quality])
