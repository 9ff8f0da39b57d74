"""Repositories of the Hugging Face hub: lookup in the cache on disk, and download."""

from __future__ import annotations

import fnmatch
import glob
import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from huggingface_hub import HfApi, constants, scan_cache_dir, snapshot_download
from huggingface_hub.errors import CacheNotFound, GatedRepoError, HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)

from firstsight.errors import EncoderError, first_line

CONNECT_SECONDS: Final = 5.0
"""Timeout in seconds for the hub's first answer; downloads of files have no such limit."""

SMALL_FILES: Final = (".json", ".txt", ".model")
"""Suffixes of configurations and tokeniser files, at the top level of a repository."""


@dataclass(frozen=True)
class HubRepository:
    """A repository of the hub that a model needs."""

    repo: str
    weights: tuple[str, ...] = ()  # patterns of weight files, best first; empty for a tokeniser's repository


@dataclass(frozen=True)
class NeededRepositories:
    """The repositories that a model name needs; none if its files are on disk."""

    repositories: tuple[HubRepository, ...] = ()  # the repository with the weights first
    place: str = ""  # the file or folder that the name contains, if any
    note: str = ""  # the reason for no download; empty if there are repositories


@dataclass(frozen=True)
class CachedRepository:
    """A repository in the Hugging Face cache, as its main branch was at the download."""

    folder: Path
    files: dict[str, int]  # path inside the folder -> bytes


@dataclass(frozen=True)
class FetchedRepository:
    """A repository's folder in the cache, and the files in it that a model needs."""

    folder: Path
    files: tuple[str, ...]  # paths inside the folder


FurtherRepositories: TypeAlias = Callable[[Path], Iterable[HubRepository]]
"""Lists the repositories that the fetched files in a folder name, such as a tokeniser's repository."""


def no_further_repositories(folder: Path) -> Iterable[HubRepository]:
    """Return no repositories."""
    return ()


def cache_folder() -> Path:
    """Return the Hugging Face cache: `$HF_HUB_CACHE`, else `hub` in `$HF_HOME`."""
    return Path(constants.HF_HUB_CACHE)


def fetch_all(
    family: str,
    repositories: Sequence[HubRepository],
    *,
    trust_remote_code: bool = False,
    further: FurtherRepositories = no_further_repositories,
) -> list[FetchedRepository]:
    """Fetch repositories into the Hugging Face cache, then the ones that their files name.

    Args:
        family: the family's name, for messages.
        repositories: one or more repositories, the one with the weights first.
        trust_remote_code: fetch the Python files too.
        further: lists more repositories from the folder of the first one.

    Raises:
        EncoderError: if a repository is neither reachable nor cached, does not exist, requires a login, or has no
            usable weights.
    """
    with _quiet_hub():
        fetched = [_fetch(repository, family, trust_remote_code) for repository in repositories]
        done = {repository.repo for repository in repositories}
        fetched += [
            _fetch(repository, family, trust_remote_code)
            for repository in further(fetched[0].folder)
            if repository.repo not in done
        ]
    return fetched


@contextmanager
def ensure_downloaded(
    family: str,
    repositories: Sequence[HubRepository],
    *,
    trust_remote_code: bool = False,
    further: FurtherRepositories = no_further_repositories,
) -> Iterator[None]:
    """Fetch missing repositories, then keep the libraries offline inside the context.

    Without this context the libraries contact the hub for every file at every start, even for files that a repository
    does not have. Without a network each of these requests fails only after half a minute.

    Args:
        family: as for `fetch_all`.
        repositories: the repositories that a model needs; none if all its files are on disk.
        trust_remote_code: as for `fetch_all`.
        further: as for `fetch_all`.

    Raises:
        EncoderError: as `fetch_all`.
    """
    cached = cached_repositories() if repositories else {}
    if not all(_on_disk(repository, cached) for repository in repositories):
        fetch_all(family, repositories, trust_remote_code=trust_remote_code, further=further)
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def cached_repositories() -> dict[str, CachedRepository]:
    """Return the models in the Hugging Face cache by repository name, at the revision of their main branch."""
    try:
        repositories = scan_cache_dir(cache_folder()).repos
    except CacheNotFound:
        return {}
    found = {}
    for repository in repositories:
        for revision in repository.revisions:
            if repository.repo_type == "model" and "main" in revision.refs:  # a name without a revision loads main
                folder = revision.snapshot_path
                files = {file.file_path.relative_to(folder).as_posix(): file.size_on_disk for file in revision.files}
                found[repository.repo_id] = CachedRepository(folder, files)
    return found


def snapshot_folder(repo: str) -> Path:
    """Return the folder of a cached repository's files.

    Raises:
        EncoderError: if the cache does not have the repository, or has it damaged.
    """
    cached = cached_repositories().get(repo)  # snapshot_download would fail: files that no model needs may be missing
    if cached is None:
        raise EncoderError(
            f"{repo} is damaged or missing in the Hugging Face cache {cache_folder()}; remove its folder there, then "
            "download it again: firstsight models download NAME"
        )
    return cached.folder


def weights_among(files: Iterable[str], repository: HubRepository) -> list[str]:
    """Select a repository's weight files, in its best available format; an empty list if it has none."""
    for pattern in repository.weights:
        if found := fnmatch.filter(files, pattern):
            return found
    return []


def _fetch(repository: HubRepository, family: str, code: bool) -> FetchedRepository:
    repo = repository.repo
    try:
        # This request comes first because it is not retried; each file is tried five times.
        info = HfApi().model_info(repo, timeout=CONNECT_SECONDS)
        files = _files_to_fetch([file.rfilename for file in info.siblings or ()], repository, code)
        exact = [glob.escape(file) for file in files]
        return FetchedRepository(Path(snapshot_download(repo, allow_patterns=exact, cache_dir=cache_folder())), files)
    except EncoderError:
        raise
    except HFValidationError:
        raise EncoderError(f"{repo!r} is not a name on the Hugging Face hub; names have the form ORG/NAME") from None
    except GatedRepoError as error:
        raise EncoderError(
            f"{repo} requires a login: accept its terms at {constants.ENDPOINT}/{repo} and set HF_TOKEN"
        ) from error
    except RepositoryNotFoundError as error:
        raise EncoderError(
            f"the Hugging Face hub has no {repo!r}, or hides it without the right HF_TOKEN; check the name at "
            f"{constants.ENDPOINT}"
        ) from error
    except Exception as error:  # the HTTP library, and so the error's type, depends on huggingface_hub's release
        if cached := _on_disk(repository, cached_repositories()):
            return FetchedRepository(cached.folder, _files_to_fetch(list(cached.files), repository, code))
        raise EncoderError(
            f"{repo} cannot be fetched from {constants.ENDPOINT} ({first_line(error)}). Without a network, run this on "
            f"another machine: hf download {repo} --local-dir FOLDER. Copy FOLDER here and load it as {family}:FOLDER"
        ) from error


def _on_disk(repository: HubRepository, cached: dict[str, CachedRepository]) -> CachedRepository | None:
    """Return the cached repository if its weights, or for a tokeniser any files, are on disk."""
    found = cached.get(repository.repo)
    complete = found is not None and bool(weights_among(found.files, repository) if repository.weights else found.files)
    return found if complete else None


def _files_to_fetch(files: Sequence[str], repository: HubRepository, code: bool) -> tuple[str, ...]:
    weights = weights_among(files, repository)
    if repository.weights and not weights:
        raise EncoderError(
            f"{repository.repo} holds none of the weights that can be loaded here: {', '.join(repository.weights)}"
        )
    small = [file for file in files if "/" not in file and file.endswith(SMALL_FILES)]
    return (*weights, *small, *(file for file in files if code and file.endswith(".py")))


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Silence the hub's log lines, and its progress bars if stderr is not a terminal."""
    log = logging.getLogger("huggingface_hub")
    level, hidden = log.level, are_progress_bars_disabled()
    log.setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not sys.stderr.isatty():
            disable_progress_bars()
        try:
            yield
        finally:
            log.setLevel(level)
            if not hidden:
                enable_progress_bars()
