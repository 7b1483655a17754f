"""Requests that wait in a file for their turn, by the piece of the trace that they belong to.

The file is nameless, so nothing of it stays whatever happens to the process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.errors import UnavailableError

CODEC = "lz4_raw"

Positions = npt.NDArray[np.int32]


class Spool:
    """A file that grows, and is then read again, piece by piece. A context. Not thread-safe."""

    def __init__(self, directory: str | None) -> None:
        """Begin. Raises: UnavailableError."""
        self._directory = directory
        try:
            self._file: IO[bytes] = tempfile.TemporaryFile(  # noqa: SIM115 - closed on exit
                dir=directory, prefix="trace-"
            )
        except OSError as error:
            raise self._failed(error) from error
        self._end = 0
        self._entries: dict[int, list[tuple[int, int, int, Positions]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def put(self, piece: int, request: bytes, positions: Positions) -> None:
        """Keep a request.

        Args:
            positions: a number of each of its spans, which is given back with them.

        Raises: UnavailableError if the disk is full.
        """
        content = pa.compress(request, codec=CODEC, asbytes=True)
        try:
            self._file.write(content)
        except OSError as error:
            raise self._failed(error) from error
        entry = self._end, len(content), len(request), positions
        self._entries.setdefault(piece, []).append(entry)
        self._end += len(content)

    def read(self, piece: int) -> Iterator[tuple[bytes, Positions]]:
        """Get the requests of a piece, in the order in which they were put."""
        for start, stored, size, positions in self._entries.get(piece, []):
            try:
                self._file.seek(start)
                content = self._file.read(stored)
            except OSError as error:
                raise self._failed(error) from error
            yield pa.decompress(content, size, codec=CODEC, asbytes=True), positions

    def _failed(self, error: OSError) -> UnavailableError:
        return UnavailableError(f"cannot spool in {self._directory or 'TMPDIR'}: {error}")
