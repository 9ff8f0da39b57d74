"""The Hugging Face hub and its cache on disk: what a name needs of them, and fetching it."""

from __future__ import annotations

import fnmatch
import glob
import json
import logging
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from huggingface_hub import HfApi, constants, scan_cache_dir, snapshot_download
from huggingface_hub.errors import CacheNotFound, GatedRepoError, HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)

from firstsight.encoders.encoder_options import EncoderOptions, looks_like_a_path
from firstsight.encoders.registry import families, load_with_options
from firstsight.errors import EncoderError, first_line

CONNECT_SECONDS: Final = 5.0
"""How long the hub may take to answer at all; how long its files take is another matter."""

SMALL_FILES: Final = (".json", ".txt", ".model")
"""Configurations and tokenisers, as they lie at the top of a repository."""

TRANSFORMERS_WEIGHTS: Final = ("model.safetensors", "model-*.safetensors", "pytorch_model.bin", "pytorch_model-*.bin")
OPEN_CLIP_CONFIG: Final = "open_clip_config.json"


@dataclass(frozen=True)
class DownloadReport:
    """What a name needed."""

    name: str
    folders: tuple[str, ...]  # where its files lie; the weights' folder first
    files: int
    bytes: int  # of those files
    note: str  # why nothing was fetched; empty where something could have been


@dataclass(frozen=True)
class HubRepository:
    """One repository of the hub that a model needs."""

    repo: str
    weights: tuple[str, ...] = ()  # patterns, the best first; empty for a tokeniser's repository


@dataclass(frozen=True)
class CachedRepository:
    """A repository in the Hugging Face cache, as its main branch was when it was fetched."""

    folder: Path
    files: dict[str, int]  # path inside the folder -> bytes


def cache_folder() -> Path:
    """The Hugging Face cache: `$HF_HUB_CACHE`, else `hub` in `$HF_HOME`."""
    return Path(constants.HF_HUB_CACHE)


def download(name: str, *, trust_remote_code: bool = False) -> DownloadReport:
    """Fetch what a name needs into the Hugging Face cache: weights, configuration and tokeniser.

    Weights are safetensors where the repository has them; a pickle otherwise, which is read with `weights_only`.

    Args:
        name: as `load_encoder` takes it.
        trust_remote_code: fetch the Python files that a model brings along, too.

    Raises:
        EncoderError: a name that loading refuses as well, no network, a repository that is not there, is closed or
            holds no weights.
    """
    family, _, _ = name.partition(":")
    parts, place, note = _needed_repositories(name)
    if not parts:
        return DownloadReport(name, (place,) if place else (), 0, 0, note)
    fetched = []
    with _quiet_hub():
        for part in parts:
            fetched.append(_fetch(part, family, trust_remote_code))
        folder, _ = fetched[0]
        if family == "open_clip" and (folder / OPEN_CLIP_CONFIG).is_file():
            more = _text_repositories(open_clip_config(folder))
            done = {part.repo for part in parts}
            fetched += [_fetch(HubRepository(repo), family, trust_remote_code) for repo in more if repo not in done]
    sizes = [(folder / file).stat().st_size for folder, files in fetched for file in files]
    return DownloadReport(name, tuple(str(folder) for folder, _ in fetched), len(sizes), sum(sizes), "")


@contextmanager
def ensure_downloaded(name: str, options: EncoderOptions) -> Iterator[None]:
    """Everything a name needs is on disk, fetched first where it was not; inside, nobody asks the hub.

    Left to themselves, the libraries ask it for every file at every start, those that a repository does not have too,
    and without a network each of these questions takes half a minute to fail.

    Raises:
        EncoderError: as `download`.
    """
    parts, _, _ = _needed_repositories(name)
    cached = cached_repositories() if parts else {}
    if not all(_on_disk(part, cached) for part in parts):
        download(name, trust_remote_code=options.trust_remote_code)
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def cached_repositories() -> dict[str, CachedRepository]:
    """The models in the Hugging Face cache, by their names on the hub, at the revision that a bare name loads."""
    try:
        repositories = scan_cache_dir(cache_folder()).repos
    except CacheNotFound:
        return {}
    found = {}
    for repository in repositories:
        for revision in repository.revisions:
            if repository.repo_type == "model" and "main" in revision.refs:  # what a name without a revision loads
                folder = revision.snapshot_path
                files = {file.file_path.relative_to(folder).as_posix(): file.size_on_disk for file in revision.files}
                found[repository.repo_id] = CachedRepository(folder, files)
    return found


def snapshot_folder(repo: str) -> Path:
    """The folder in the cache with the files of a repository that is at hand.

    Raises:
        EncoderError: the cache does not have it, or it is damaged there.
    """
    cached = cached_repositories().get(repo)  # not snapshot_download: files that no model needs may be missing
    if cached is None:
        raise EncoderError(
            f"{repo} is damaged or missing in the Hugging Face cache {cache_folder()}; remove its folder there, then "
            "download it again: firstsight models download NAME"
        )
    return cached.folder


def arch_config(arch: str) -> dict[str, Any]:
    """The configuration of an architecture of open_clip; empty where it has none of that name."""
    import open_clip

    return open_clip.get_model_config(arch) or {}


def open_clip_config(folder: Path) -> dict[str, Any]:
    """The same, of a folder with `open_clip_config.json`; empty where that cannot be read."""
    try:
        config = json.loads((folder / OPEN_CLIP_CONFIG).read_text(encoding="utf-8"))
        return dict(config.get("model_cfg", config))
    except (OSError, ValueError, AttributeError):  # half fetched, or something else of that name
        return {}


def _needed_repositories(name: str) -> tuple[list[HubRepository], str, str]:
    """The repositories a name needs; where there are none, the place it names, if any, and a sentence."""
    family, _, model = name.partition(":")
    if family not in families() or (family == "starter" and model):
        load_with_options(name, EncoderOptions())  # says what is wrong with it
    if family == "starter":
        return [], "", "starter is installed with firstsight; there is nothing to download"
    if family == "open_clip":
        return _open_clip_repositories(model)
    if family != "transformers":
        return [], "", f"{name} belongs to another package, which brings its own weights; nothing was downloaded"
    if not model:
        raise EncoderError("transformers: names no model; give transformers:ORG/NAME or transformers:FOLDER")
    place = Path(model).expanduser()
    if place.is_dir():
        return [], str(place.resolve()), f"{model} is a folder; there is nothing to download"
    if looks_like_a_path(model) or model.count("/") > 1:
        raise EncoderError(f"there is no folder {model!r}; give one that holds config.json, tokeniser and weights")
    return [HubRepository(model, TRANSFORMERS_WEIGHTS)], "", ""


def _open_clip_repositories(model: str) -> tuple[list[HubRepository], str, str]:
    from firstsight.encoders.families.open_clip import HUB, parse

    source, weights, kept = parse(model)
    if source.startswith(HUB):
        return [HubRepository(source.removeprefix(HUB), open_clip_weights(""))], "", ""
    if weights is None:
        return [], kept, f"{kept} is a folder; there is nothing to download"
    texts = [HubRepository(repo) for repo in _text_repositories(arch_config(source))]
    if "@" in kept:  # a tokeniser of the hub beside weights of one's own
        return texts, weights, "" if texts else f"{weights} is a file; there is nothing to download"
    part = repository_of_tag(source, weights)
    return [part, *(text for text in texts if text.repo != part.repo)], "", ""


def repository_of_tag(arch: str, tag: str) -> HubRepository:
    """The repository with the weights that open_clip calls by this tag, which must exist."""
    import open_clip

    repo, _, file = open_clip.get_pretrained_cfg(arch, tag)["hf_hub"].rpartition("/")
    return HubRepository(repo, open_clip_weights(file))


def open_clip_weights(file: str) -> tuple[str, ...]:
    """The files that open_clip looks for, the best first.

    Args:
        file: the one that its list of weights names; empty for the usual one.
    """
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    return (f"{file[:-4]}.safetensors", file) if file else (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)


def _text_repositories(config: dict[str, Any]) -> list[str]:
    """Repositories from which open_clip takes a tokeniser, and the shape of a text tower."""
    text = config.get("text_cfg", {})
    named = (text.get("hf_tokenizer_name"), text.get("hf_model_name"))
    return list(dict.fromkeys(repo for repo in named if repo))


def weights_among(files: Iterable[str], part: HubRepository) -> list[str]:
    """The files with a part's weights, in the best format that is there; none where there are none."""
    for pattern in part.weights:
        if found := fnmatch.filter(files, pattern):
            return found
    return []


def _fetch(part: HubRepository, family: str, code: bool) -> tuple[Path, list[str]]:
    """A repository's folder in the cache, and the files in it that were wanted."""
    repo = part.repo
    try:
        # asked first, because it is not tried five times over, as each file is
        info = HfApi().model_info(repo, timeout=CONNECT_SECONDS)
        files = _files_to_fetch([file.rfilename for file in info.siblings or ()], part, code)
        exact = [glob.escape(file) for file in files]
        return Path(snapshot_download(repo, allow_patterns=exact, cache_dir=cache_folder())), files
    except EncoderError:
        raise
    except HFValidationError:
        raise EncoderError(f"{repo!r} is no name on the Hugging Face hub; those have the form ORG/NAME") from None
    except GatedRepoError as error:
        raise EncoderError(
            f"{repo} asks for a login: accept its terms at {constants.ENDPOINT}/{repo} and set HF_TOKEN"
        ) from error
    except RepositoryNotFoundError as error:
        raise EncoderError(
            f"the Hugging Face hub has no {repo!r}, or hides it without the right HF_TOKEN; check the name at "
            f"{constants.ENDPOINT}"
        ) from error
    except Exception as error:  # of whichever HTTP library this release of huggingface_hub uses
        if here := _on_disk(part, cached_repositories()):
            return here.folder, _files_to_fetch(list(here.files), part, code)
        where = f"{family}:FOLDER"
        raise EncoderError(
            f"{repo} cannot be fetched from {constants.ENDPOINT} ({first_line(error)}); without a network, run this "
            f"elsewhere: hf download {repo} --local-dir FOLDER, bring FOLDER here and load it as {where}"
        ) from error


def _on_disk(part: HubRepository, cached: dict[str, CachedRepository]) -> CachedRepository | None:
    found = cached.get(part.repo)
    whole = found is not None and bool(weights_among(found.files, part) if part.weights else found.files)
    return found if whole else None


def _files_to_fetch(files: Sequence[str], part: HubRepository, code: bool) -> list[str]:
    weights = weights_among(files, part)
    if part.weights and not weights:
        raise EncoderError(f"{part.repo} holds none of the weights that can be loaded here: {', '.join(part.weights)}")
    small = [file for file in files if "/" not in file and file.endswith(SMALL_FILES)]
    return [*weights, *small, *(file for file in files if code and file.endswith(".py"))]


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Without the hub's log lines and, where nobody is watching, without its progress bars."""
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
