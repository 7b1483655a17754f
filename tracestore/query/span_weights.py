"""How many spans each stored span stands for, where its sender sampled.

Source: wire contract, section 17.2 (sampling); W3C trace state, ``ot=th``.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from traceql.attributes import Scope
from traceql.values import ValueType
from tracestore.query.bind import Binder
from tracestore.query.columns import texts
from tracestore.query.masks import mask_and, to_array
from tracestore.query.parts import Domain, Numbers, Operand
from tracestore.query.scan import ChunkScan

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
_THRESHOLD = re.compile(r"(?:^|,)\s*ot=(?:[^,]*;)?th:([0-9a-f]{1,14})(?:[;,]|\s|$)")
_DIGITS = 14


class SpanWeights:
    """Weights of the spans of one source."""

    def __init__(self, binder: Binder, key: str, *, of_trace_state: bool) -> None:
        """Take what says the ratio.

        Args:
            key: of the attribute with the ratio, a double; empty: none.
            of_trace_state: whether the trace state says it, too; it goes before.
        """
        scopes = (Scope.RESOURCE, Scope.SPAN) if key else ()
        bound = [binder.attribute(scope, key) for scope in scopes]
        self._ratios = [one for one in bound if not one.is_nil]
        self._of_trace_state = of_trace_state

    def of(self, scan: ChunkScan) -> Floats | None:
        """Get the weight of each span of a chunk; None: each is one."""
        if not self._ratios and not self._of_trace_state:
            return None
        weights = np.ones(scan.chunk.spans)
        for ratio in self._ratios:  # that of the span comes last, and stays
            _put_ratios(weights, scan.operand(ratio, Domain.SPAN))
        if self._of_trace_state:
            _put_thresholds(weights, scan.column(Domain.SPAN, "trace_state"))
        return weights


def _put_ratios(weights: Floats, operand: Operand) -> None:
    for part in operand.parts:
        if isinstance(part, Numbers) and part.type is ValueType.FLOAT:
            values = part.values.astype(np.float64, copy=False)
            valid = mask_and(part.valid, values > 0)
            rows = np.flatnonzero(to_array(valid, len(weights)))
            weights[rows] = 1 / values[rows]


def _put_thresholds(weights: Floats, column: pa.Array) -> None:
    part = texts(column)
    known = [trace_state_weight(text) for text in part.dictionary.to_pylist()]
    table = np.array([*known, 0.0])
    found = table[part.codes]
    rows = np.flatnonzero((found > 0) & to_array(part.valid, len(weights)))
    weights[rows] = found[rows]


def trace_state_weight(text: str | None) -> float:
    """Read how many spans a threshold stands for; 0: it says nothing."""
    match = _THRESHOLD.search(text or "")
    if match is None:
        return 0.0
    rejected = int(match[1].ljust(_DIGITS, "0"), 16) / 16**_DIGITS
    return float(1 / (1 - rejected))
