"""The encoder of the vectors that are not in force, which index runs write too."""

from __future__ import annotations

from firstsight.api.connection import Connection
from firstsight.encoders.base import Encoder
from firstsight.errors import EncoderError
from firstsight.storage.store import Store


def load_standby(connection: Connection, store: Store) -> tuple[Encoder | None, str]:
    """Load the encoder of the vector set that is not in force; None without one, with the reason if it cannot be used.

    Returns:
        The encoder, and a sentence for the user if items get no vectors of it.
    """
    standby = store.standby
    if standby is None:
        return None, ""
    try:
        return connection.encoder_of(standby.spec), ""
    except EncoderError as error:
        return None, (
            f"items of this run get no vectors of {standby.spec.name}, which is not in force ({error}); later: "
            f"firstsight reindex --encoder {standby.spec.name}"
        )
