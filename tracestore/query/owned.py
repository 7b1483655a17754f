"""Events and links of the spans of a chunk: whose they are, and the row that stands for none.

No I/O, no state.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.query.parts import IntArray

Rows = npt.NDArray[np.int64]


class OwnedRows:
    """The events (or links) of the spans of a chunk; behind them the row of spans without any."""

    def __init__(self, owners: IntArray, spans: int) -> None:
        """Take (E,) the span of each event, ascending, counted from the chunk's first."""
        self.owners = owners
        self._spans = spans

    @cached_property
    def counts(self) -> Rows:
        """(N,) how many each span has."""
        return np.bincount(self.owners, minlength=self._spans)

    @cached_property
    def first(self) -> Rows:
        """(N,) first event of each span, E where it has none."""
        starts = np.cumsum(self.counts) - self.counts
        found: Rows = np.where(self.counts > 0, starts, len(self.owners))
        return found

    def __len__(self) -> int:
        """Count the rows, the one of spans without any among them."""
        return len(self.owners) + 1

    @property
    def bare(self) -> Rows:
        """Spans that have none."""
        return np.flatnonzero(self.counts == 0)


def with_nil_row(array: pa.Array) -> pa.Array:
    """Put a null behind a column. A dictionary stays the same memory."""
    if pa.types.is_dictionary(array.type):
        indices = pa.concat_arrays([array.indices, pa.nulls(1, array.indices.type)])
        return pa.DictionaryArray.from_arrays(indices, array.dictionary, safe=False)
    return pa.concat_arrays([array, pa.nulls(1, array.type)])
