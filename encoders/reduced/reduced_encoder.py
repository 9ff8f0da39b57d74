"""An encoder whose vectors have fewer dimensions, by the matrix of a database."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from firstsight.encoders.base import Encoder, EncoderSpec, ImageInput, Vectors
from firstsight.encoders.reduced.reduction import Reduction
from firstsight.errors import StoreError
from firstsight.storage.reduction_table import read_reduction_row
from firstsight.storage.side_tables import TableLocation


class ReducedEncoder:
    """The vectors of an encoder times a matrix, at length 1.

    Its fingerprint is made of that of the encoder and of the matrix: vectors of another matrix do not compare.
    """

    def __init__(self, encoder: Encoder, reduction: Reduction) -> None:
        self.whole: Encoder = encoder  # without the matrix
        self.reduction = reduction
        self._spec = reduced_spec(encoder.spec, reduction)

    @property
    def spec(self) -> EncoderSpec:
        """The name of the encoder inside, with fewer dimensions and a fingerprint of its own."""
        return self._spec

    @property
    def runtime(self) -> str:
        """The runtime of the encoder inside, for the record of an index run; empty if it has none."""
        return str(getattr(self.whole, "runtime", ""))

    def encode_images(self, images: Sequence[ImageInput]) -> Vectors:
        """(n, k) float32 unit rows; see `Encoder.encode_images`."""
        return self.reduction.apply(self.whole.encode_images(images))

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """(n, k) float32 unit rows; see `Encoder.encode_texts`."""
        return self.reduction.apply(self.whole.encode_texts(texts))


def reduced_spec(spec: EncoderSpec, reduction: Reduction) -> EncoderSpec:
    """The specification of an encoder behind a matrix."""
    fingerprint = hashlib.sha256(f"{spec.fingerprint} {reduction.digest}".encode()).hexdigest()
    return replace(spec, dim=reduction.matrix.shape[1], fingerprint=fingerprint)


def wrap_for_database(store: TableLocation, stored: EncoderSpec, encoder: Encoder) -> Encoder:
    """Put the matrix of a database behind an encoder; without a matrix that fits, return the encoder.

    A matrix belongs to one vector set: an encoder stays whole for the other set of the database.

    Args:
        store: the database.
        stored: the specification of a vector set.
        encoder: the loaded encoder.

    Raises:
        StoreError: the stored matrix is damaged.
    """
    if encoder.spec.fingerprint == stored.fingerprint:
        return encoder
    row = read_reduction_row(store)
    made_by = None if row is None else (row["base_fingerprint"], row["fingerprint"])
    if row is None or made_by != (encoder.spec.fingerprint, stored.fingerprint):
        return encoder
    try:
        reduction = Reduction.from_bytes(row["method"], bytes(row["matrix"]), encoder.spec.dim, stored.dim)
    except ValueError as error:
        raise StoreError(
            f"the matrix that reduces the vectors of {store.uri} is damaged ({error}); restore it from a copy"
        ) from None
    wrapped = ReducedEncoder(encoder, reduction)
    if wrapped.spec.fingerprint != stored.fingerprint:
        raise StoreError(
            f"the matrix that reduces the vectors of {store.uri} is not the one that made them; restore it from a copy"
        )
    return wrapped
