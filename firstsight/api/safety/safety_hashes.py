"""Lists of known pictures and videos, in the Python API: they are matched before any model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from firstsight.api.connection import Connection
from firstsight.api.safety.safety_audit import open_with_log
from firstsight.errors import QueryError, SafetyError
from firstsight.media.fingerprints import MAX_DISTANCE
from firstsight.records import Record

if TYPE_CHECKING:
    from firstsight.safety.hashes.hash_lists import HashSet, KnownHash
    from firstsight.safety.hashes.hash_matching import HashMatch
    from firstsight.safety.hashes.known_videos import KnownVideo, PrintedVideo, VideoMatch


@dataclass(frozen=True)
class HashReport(Record):
    """Hashes and videos that a call added to the known ones."""

    hashes: int  # hashes of the files, items or rows
    new: int  # hashes and videos that were not known before
    problems: tuple[str, ...]  # a message for each file or row that was left out
    videos: int = 0  # videos of the files or items


class HashLists:
    """The known pictures and videos of one database. A known-bad one blocks its copies at the next `Safety.score`.

    A known-good hash cancels a known-bad one that is not nearer to a picture. Each change is logged with its author.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self,
        files: Sequence[str | os.PathLike[str]] = (),
        *,
        items: Sequence[str] = (),
        policy: str | None = None,
        of_set: HashSet = "bad",
        tags: Sequence[str] = (),
        exact: bool = False,
        frames: bool = False,
        by: str,
        wait_s: float = 0.0,
    ) -> HashReport:
        """Add the hashes of pictures, the fingerprints of videos, and both of indexed items.

        Args:
            files: local pictures and videos.
            items: ids of indexed items.
            policy: id of the policy that known-bad pictures belong to.
            of_set: "bad" for forbidden pictures, "good" for harmless ones, which need no policy.
            tags: words to store with the hashes.
            exact: add no hashes of mirrored, lightly cropped and bordered variants of pictures.
            frames: also add the hashes of frames of videos. A picture or a frame that matches one of them is then
                flagged, even if nothing else of the video matches.
            by: name of the person who adds them.
            wait_s: maximum wait for another writer, in seconds.

        Returns:
            The number of hashes and videos, and a message for each file that cannot be read or is flat, such as a black
            picture.

        Raises:
            SafetyError: there is neither a file nor an item, bad pictures have no policy, a tag has a blank or a comma,
                or an item does not exist or has no hash.
            AuditLogError: the audit log cannot be written, or belongs to another database; nothing has changed.
            DatabaseBusyError: another process is still writing after `wait_s`.
            MissingDatabaseError, StoreError: there is no database, or it cannot be written.
        """
        from firstsight.safety.hashes.hash_lists import check_tag
        from firstsight.safety.hashes.hash_sources import hashes_of_files, hashes_of_items

        if not files and not items:
            raise SafetyError("there is nothing to add: name a picture, a video or an item")
        if of_set == "bad" and not policy:
            raise SafetyError("known-bad pictures need a policy; name it, or add the pictures as good ones")
        store = self._connection.open()
        words = [check_tag(tag) for tag in tags]
        of_files, errors = hashes_of_files(
            files, of_set=of_set, policy_id=policy or "", tags=words, exact=exact, frames=frames
        )
        of_items = hashes_of_items(store, items, of_set=of_set, policy_id=policy or "", tags=words)
        return self._add(
            [*of_files.hashes, *of_items.hashes],
            [str(error) for error in errors],
            by,
            wait_s,
            videos=[*of_files.videos, *of_items.videos],
        )

    def import_file(
        self,
        path: str | os.PathLike[str],
        *,
        policy: str | None = None,
        default_set: HashSet = "bad",
        by: str,
        wait_s: float = 0.0,
    ) -> HashReport:
        """Add a list of hashes: text with one hash a line, or a CSV of ThreatExchange.

        Args:
            path: the file.
            policy: id of the policy of known-bad rows without one.
            default_set: set of rows without a category.
            by, wait_s: as for `add`.

        Returns:
            The number of hashes and videos, and a message with the line for each row that was left out.

        Raises:
            SafetyError: the file cannot be read.
            AuditLogError, DatabaseBusyError, MissingDatabaseError, StoreError: as for `add`.
        """
        from firstsight.safety.hashes.hash_lists import read_hash_list

        read = read_hash_list(path, default_set=default_set, policy_id=policy)
        problems = [f"{os.fspath(path)}:{row.line}: {row.reason}" for row in read.bad_rows]
        return self._add(read.hashes, problems, by, wait_s)

    def export_file(
        self, path: str | os.PathLike[str], *, policy: str | None = None, of_set: HashSet | None = None
    ) -> int:
        """Write hashes of pictures to a file that ThreatExchange tools can read; an existing file is replaced.

        Args:
            path: a CSV file if the name ends in .csv, else a text file with one hash a line.
            policy: only hashes of this policy.
            of_set: only hashes of this set; by default both in a CSV file, and the bad ones in a text file.

        Returns:
            Number of hashes.

        Raises:
            SafetyError: the file cannot be written.
            MissingDatabaseError: there is no database.
        """
        from firstsight.safety.hashes.hash_lists import write_hash_list

        is_csv = Path(path).suffix.lower() == ".csv"
        entries = self.entries(policy=policy, of_set=of_set or (None if is_csv else "bad"))
        write_hash_list(path, entries, "csv" if is_csv else "text")
        return len(entries)

    def entries(self, *, policy: str | None = None, of_set: HashSet | None = None) -> tuple[KnownHash, ...]:
        """Return the known hashes, ordered by set, policy and hash.

        Args:
            policy: only hashes of this policy.
            of_set: only "bad" or only "good" hashes.

        Raises:
            MissingDatabaseError: there is no database.
        """
        from firstsight.safety.hashes.hash_bank import HashBank

        return tuple(HashBank(self._connection.open()).hashes(of_set=of_set, policy_id=policy))

    def videos(self, *, policy: str | None = None, of_set: HashSet | None = None) -> tuple[KnownVideo, ...]:
        """Return the known videos, ordered by set, policy and digest; arguments and errors as for `entries`."""
        from firstsight.safety.hashes.hash_bank import HashBank

        bank = HashBank(self._connection.open())
        return tuple(video.known for video in bank.videos(of_set=of_set, policy_id=policy))

    def match_videos(self, *, items: Sequence[str] | None = None) -> tuple[VideoMatch, ...]:
        """Find indexed videos that share a part with a known video, by their fingerprints.

        Args:
            items: only videos of these items; None for all.

        Returns:
            For each video and policy the best match: the shares of both videos, and the second at which it starts.

        Raises:
            MissingDatabaseError: there is no database.
        """
        from firstsight.safety.hashes.hash_bank import HashBank
        from firstsight.safety.hashes.known_videos import match_videos

        store = self._connection.open()
        return tuple(match_videos(store, HashBank(store).videos(), item_ids=items))

    def match(self, *, items: Sequence[str] | None = None, max_distance: int = MAX_DISTANCE) -> Iterator[HashMatch]:
        """Find indexed pictures and frames that match a known hash; memory does not grow with the catalogue.

        Args:
            items: only views of these items; None for all.
            max_distance: maximum difference of two hashes, 0 to 31 bits.

        Raises:
            SafetyError: `max_distance` is out of range.
            MissingDatabaseError: there is no database.
        """
        from firstsight.safety.hashes.hash_bank import HashBank
        from firstsight.safety.hashes.hash_matching import match_views

        store = self._connection.open()
        return match_views(store, HashBank(store).known(), max_distance=max_distance, item_ids=items)

    def remove(self, hashes: Sequence[str] = (), *, sources: Sequence[str] = (), by: str, wait_s: float = 0.0) -> int:
        """Remove hashes and videos, good and bad, of all policies.

        Args:
            hashes: hashes of pictures and digests of videos, of 64 hexadecimal digits.
            sources: files, lists and items whose hashes to remove, by the names that `entries` shows.
            by, wait_s: as for `add`.

        Returns:
            Number of removed entries.

        Raises:
            QueryError: there is neither a hash nor a source, or a text is no hash.
            AuditLogError, DatabaseBusyError, MissingDatabaseError, StoreError: as for `add`.
        """
        from firstsight.safety.hashes.hash_bank import HashBank
        from firstsight.safety.hashes.hash_lists import parse_hash

        if not hashes and not sources:
            raise QueryError("there is nothing to remove: name a hash or a source")
        try:
            codes = [parse_hash(text) for text in hashes]
        except ValueError as error:
            raise QueryError(str(error)) from None
        store, log = open_with_log(self._connection)
        return HashBank(store).remove(codes, log, by=by, sources=sources, wait_s=wait_s)

    def _add(
        self,
        hashes: Sequence[KnownHash],
        problems: Sequence[str],
        by: str,
        wait_s: float,
        *,
        videos: Sequence[PrintedVideo] = (),
    ) -> HashReport:
        from firstsight.safety.hashes.hash_bank import HashBank

        store, log = open_with_log(self._connection)
        new = HashBank(store).add(hashes, log, by=by, videos=videos, wait_s=wait_s)
        return HashReport(len(hashes), new, tuple(problems), len(videos))
