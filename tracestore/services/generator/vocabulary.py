"""The texts that labels of a tenant have, each known by a number.

Spans bring numbers of their head's texts; they are translated once, and from then on a label is a
number. Number 0 is the empty text, which is no label at all.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracestore.kernel import TextTable

Numbers = npt.NDArray[np.int32]
EMPTY = 0
ABSENT = -1
"""In place of a number: there is no such attribute."""


class Vocabulary:
    """Texts by number. Grows only; when most of it is unused its owner makes a new one."""

    def __init__(self, *, bytes_max: int) -> None:
        """Args:
        bytes_max: longer texts are cut, between two characters.
        """
        self._bytes_max = bytes_max
        self._table = TextTable()
        self.number("")

    def __len__(self) -> int:
        return len(self._table)

    @property
    def memory_bytes(self) -> int:
        """Bytes held."""
        return self._table.memory_bytes

    def number(self, text: str) -> int:
        """Get the number of one text."""
        return int(self.numbers(pa.array([text], pa.string()))[0])

    def numbers(self, texts: pa.Array) -> Numbers:
        """Get the number of each text, ``ABSENT`` of nulls: (n,).

        Args:
            texts: of type string.
        """
        if len(texts) == 0:
            return np.empty(0, np.int32)
        found = self._intern(self._cut(texts))
        if texts.null_count:
            found[pc.is_null(texts).to_numpy(zero_copy_only=False)] = ABSENT
        return found

    def _intern(self, texts: pa.StringArray) -> Numbers:
        _, offsets, data = texts.buffers()
        ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
        letters = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
        return self._table.intern(letters, ends)

    def _cut(self, texts: pa.StringArray) -> pa.StringArray:
        sizes = pc.binary_length(texts)
        if (pc.max(sizes).as_py() or 0) <= self._bytes_max:
            return texts
        cut = [
            None if text is None else text.encode()[: self._bytes_max].decode(errors="ignore")
            for text in texts.to_pylist()
        ]
        return pa.array(cut, pa.string())

    def text(self, number: int) -> str:
        """Get the text of a number."""
        return self._table.text(number).decode()

    def texts(self, start: int = 0) -> pa.StringArray:
        """Copy the texts from a number on."""
        return self._table.array(start)

    def take(self, numbers: Numbers) -> pa.StringArray:
        """Get the text of each number; null for ``ABSENT``."""
        if len(numbers) == 0:
            return pa.array([], pa.string())
        texts = self._table.take(np.maximum(numbers, EMPTY).astype(np.int32))
        is_absent = numbers < 0
        return pc.if_else(pa.array(is_absent), None, texts) if is_absent.any() else texts
