"""Download of a model's files into the Hugging Face cache."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from firstsight.encoders.encoder_options import EncoderOptions
from firstsight.encoders.families.hub import HubRepository, NeededRepositories, fetch_all, no_further_repositories
from firstsight.encoders.registry import families, load_with_options, names_a_file
from firstsight.records import Record


@dataclass(frozen=True)
class DownloadReport(Record):
    """The files that a model needs, on disk."""

    name: str
    folders: tuple[str, ...]  # folders with the files; the weights' folder first
    files: int
    bytes: int  # total size of the files
    note: str  # the reason for no download; empty if the model has files on the hub


def download(name: str, *, trust_remote_code: bool = False) -> DownloadReport:
    """Fetch a model's weights, configuration and tokeniser into the Hugging Face cache.

    Prefers safetensors; otherwise the weights are a pickle, which is later read with `weights_only`.

    Args:
        name: as for `load_encoder`.
        trust_remote_code: fetch the Python files of the repository too.

    Raises:
        EncoderError: if `load_encoder` refuses the name, the hub is not reachable, or the repository does not exist,
            requires a login, or has no usable weights.
    """
    needed = needed_repositories(name)
    if not needed.repositories:
        return DownloadReport(name, (needed.place,) if needed.place else (), 0, 0, needed.note)
    family, _, _ = name.partition(":")
    fetched = fetch_all(
        family,
        needed.repositories,
        trust_remote_code=trust_remote_code,
        further=_open_clip_text_repositories if family == "open_clip" else no_further_repositories,
    )
    sizes = [(repository.folder / file).stat().st_size for repository in fetched for file in repository.files]
    folders = tuple(str(repository.folder) for repository in fetched)
    return DownloadReport(name, folders, len(sizes), sum(sizes), "")


def needed_repositories(name: str) -> NeededRepositories:
    """Return the repositories that a model of any family needs.

    Raises:
        EncoderError: if `load_encoder` refuses the name.
    """
    family, _, model = name.partition(":")
    if family not in families() or (family == "starter" and model):
        load_with_options(name, EncoderOptions())  # raises the error for this name
    if family == "starter":
        place = f"{model} is a folder" if model and names_a_file(name) else f"{name} is installed with firstsight"
        return NeededRepositories(note=f"{place}; there is nothing to download")
    if family == "open_clip":
        from firstsight.encoders.families import open_clip_names

        return open_clip_names.needed_repositories(model)
    if family == "transformers":
        from firstsight.encoders.families import transformers_names

        return transformers_names.needed_repositories(model)
    return NeededRepositories(
        note=f"{name} belongs to another package, which has its own weights; nothing was downloaded"
    )


def _open_clip_text_repositories(folder: Path) -> Iterable[HubRepository]:
    from firstsight.encoders.families.open_clip_repositories import text_repositories_of_folder

    return text_repositories_of_folder(folder)
