"""Sampling weights of traces: a column of ``traces`` that is there only if a trace has one.

The kernel makes tables out of spans, and a weight is of no span: so whoever has tables built anew
carries it over. A trace whose parts have different weights, which happens only if a part came after
its decision was forgotten, has the largest of them from then on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracestore.model.tables import SAMPLING_WEIGHT, SpanTables
from tracestore.storage.block.dictionaries import one_array

Weights = npt.NDArray[np.float64]
_ID_BYTES = 16


def has_weights(schema: pa.Schema) -> bool:
    """Tell whether traces have weights. Args: schema: of ``traces``."""
    return bool(schema.get_field_index(SAMPLING_WEIGHT.name) >= 0)


def read_weights(column: pa.Array) -> Weights:
    """Get the numbers of the column: (T,), 1 where nothing is said."""
    weights: Weights = column.fill_null(1.0).to_numpy(zero_copy_only=False)
    return weights


def with_weights(tables: SpanTables, weights: Weights) -> SpanTables:
    """Give traces their weights. Args: weights: (T,)."""
    traces = tables.traces
    if has_weights(traces.schema):
        traces = traces.drop_columns([SAMPLING_WEIGHT.name])
    traces = traces.append_column(SAMPLING_WEIGHT, pa.array(weights, pa.float64()))
    return replace(tables, traces=traces)


class CarriedWeights:
    """The weights of traces whose tables are built anew. Not thread-safe."""

    def __init__(self) -> None:
        self._ids: list[npt.NDArray[np.bytes_]] = []
        self._weights: list[Weights] = []

    def note(self, traces: pa.Table) -> None:
        """Remember the weights of a table ``traces``, if it has any."""
        if len(traces) and has_weights(traces.schema):
            self._ids.append(_ids(traces))
            self._weights.append(read_weights(one_array(traces[SAMPLING_WEIGHT.name])))

    def give(self, tables: SpanTables, *, always: bool = False) -> SpanTables:
        """Put what was noted of its traces on tables, and forget it.

        Args:
            always: whether there has to be a column if nothing was noted.
        """
        if not self._ids and not always:
            return tables
        weights = np.ones(len(tables.traces))
        if self._ids:
            noted, of_noted = np.concatenate(self._ids), np.concatenate(self._weights)
            known = _ids(tables.traces)
            places = np.minimum(np.searchsorted(known, noted), len(known) - 1)
            is_there = known[places] == noted
            np.maximum.at(weights, places[is_there], of_noted[is_there])
            self._ids, self._weights = [], []
        return with_weights(tables, weights)


def carry(parts: Iterable[SpanTables], built: SpanTables) -> SpanTables:
    """Give tables that were built of the spans of others the weights of these."""
    carried = CarriedWeights()
    for part in parts:
        carried.note(part.traces)
    return carried.give(built)


def _ids(traces: pa.Table) -> npt.NDArray[np.bytes_]:
    """Copy the IDs of traces as S16."""
    column = one_array(traces["trace_id"])
    content = np.frombuffer(column.buffers()[1], f"S{_ID_BYTES}")
    ids: npt.NDArray[np.bytes_] = content[column.offset : column.offset + len(column)].copy()
    return ids
