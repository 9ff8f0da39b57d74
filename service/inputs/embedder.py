"""Encode the texts and pictures of a request: child processes decode pictures, the batching encoder makes vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

import numpy as np
from anyio.to_thread import run_sync
from fastapi import Request
from PIL import Image

from firstsight.encoders.base import Vectors, unit
from firstsight.errors import FirstsightError, InputError, MediaError
from firstsight.service.batching.batching_encoder import BatchingEncoder, time_limit
from firstsight.service.batching.cancellation import run_until_cancelled
from firstsight.service.database_pool import DatabasePool
from firstsight.service.inputs.request_pictures import PictureReader
from firstsight.service.json_responses import strip_local_folders
from firstsight.service.service_errors import ServiceError, describe_error


class BadInputsError(ServiceError):
    """Some inputs of a request cannot be used, so the request gets no vectors.

    Attributes:
        errors: (index, error) of each unusable input, ordered by index.
    """

    status, code = 400, "bad_inputs"

    def __init__(self, name: str, errors: Sequence[tuple[int, FirstsightError]]) -> None:
        index, first = errors[0]
        others = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"{name}[{index}]: {first}{others}")
        self.errors = list(errors)
        self.name = name

    def errors_as_json(self) -> list[dict[str, object]]:
        """The errors as JSON."""
        return [
            {"index": index, "code": describe_error(error)[1], "detail": str(error)} for index, error in self.errors
        ]


class Embedder:
    """Encodes inputs of embedding requests; one for each application, used only in its event loop."""

    def __init__(self, databases: DatabasePool, pictures: PictureReader) -> None:
        self._databases = databases
        self._pictures = pictures
        self._pending_pictures = 0  # pictures of requests that are not answered yet

    async def encoder(self) -> BatchingEncoder:
        """Return the encoder; the first call loads it."""
        if self._databases.knows_encoder:
            return self._databases.batching
        return await run_sync(lambda: self._databases.batching)

    async def embed(self, request: Request, texts: Sequence[str], pictures: Sequence[str], name: str) -> Vectors:
        """Encode texts and pictures.

        Args:
            request: the request; the work is cancelled when its client disconnects.
            texts: texts to encode.
            pictures: http(s) addresses, data URIs, or base64.
            name: name of the list of inputs, for messages.

        Returns:
            (texts + pictures, dim) unit rows, texts first.

        Raises:
            BadInputsError: some texts or pictures cannot be used; `errors` has their rows.
            QueueFullError: too many texts or pictures wait.
            DeadlineError: the encoder did not answer in time.
            StoppedError: the service is stopping.
            ClientGoneError: the client disconnected.
        """
        encoder = await self.encoder()

        async def encode() -> Vectors:
            waiting: list[tuple[int, Future[Vectors]]] = []  # first row and future of each part
            try:
                if texts:
                    waiting.append((0, encoder.submit_texts(texts)))
                if pictures:
                    opened = await self._open(pictures, encoder.spec.min_side, len(texts), name)
                    waiting.append((len(texts), encoder.submit_pictures(opened)))
                return np.concatenate([await _await_vectors(future, first, name) for first, future in waiting])
            finally:
                for _, future in waiting:
                    future.cancel()

        with self._reserve_pictures(encoder, len(pictures)), time_limit(encoder.settings.timeout_s):
            return await run_until_cancelled(request, encoder.remaining(), encode)

    @contextmanager
    def _reserve_pictures(self, encoder: BatchingEncoder, pictures: int) -> Iterator[None]:
        # Pictures count before decoding: decoding is most of the work, and a full queue should avoid it.
        if pictures and self._pending_pictures and self._pending_pictures + pictures > encoder.settings.picture_queue:
            raise encoder.picture_queue_full_error(self._pending_pictures)
        self._pending_pictures += pictures
        try:
            yield
        finally:
            self._pending_pictures -= pictures

    async def _open(self, pictures: Sequence[str], min_side: int, first: int, name: str) -> list[Image.Image]:
        opened = await self._pictures.open_all(pictures, min_side=min_side)
        errors = [(row, error) for row, error in enumerate(opened, first) if isinstance(error, FirstsightError)]
        if errors:
            raise BadInputsError(name, errors)
        return [picture for picture in opened if isinstance(picture, Image.Image)]


async def _await_vectors(future: Future[Vectors], first: int, name: str) -> Vectors:
    try:
        return await asyncio.wrap_future(future)
    except InputError as error:
        errors = [
            (first + row, MediaError(reason.reason, strip_local_folders(str(reason)))) for row, reason in error.errors
        ]
        raise BadInputsError(name, errors) from error


def average_parts(vectors: Vectors, groups: Sequence[Sequence[int]], name: str) -> Vectors:
    """Average the vectors of each group, and normalise the means.

    Args:
        vectors: (n, dim) unit rows.
        groups: rows of `vectors` in each group.
        name: name of the list of groups, for messages.

    Returns:
        (groups, dim) unit rows.

    Raises:
        BadInputsError: the mean of a group is zero, so it has no direction.
    """
    means = np.stack([vectors[list(rows)].mean(axis=0) for rows in groups])
    zero = np.flatnonzero(np.linalg.norm(means, axis=1) < 1e-6)
    if len(zero):
        error = ServiceError("the vectors of its parts cancel each other out; leave one part out")
        raise BadInputsError(name, [(int(index), error) for index in zero])
    return unit(means)
