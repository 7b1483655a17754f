"""How many spans each stored span stands for in the metrics that spans make.

The generator counts every span, also those of traces that a sampling policy then leaves out: so the
weight of a kept trace always counts. What senders left out counts where the settings say so.

Source: wire contract, section 17.2 (sampling); ``extrapolation.py``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from traceql.attributes import Scope
from traceql.values import ValueType
from tracestore.query.bind import Binder
from tracestore.query.extrapolation import product, state_weights, trace_weights
from tracestore.query.masks import mask_and, to_array
from tracestore.query.parts import Domain, Numbers, Operand
from tracestore.query.scan import ChunkScan

Floats = npt.NDArray[np.float64]


class SpanWeights:
    """Weights of the spans of one source."""

    def __init__(self, binder: Binder, key: str, *, of_trace_state: bool) -> None:
        """Take what says the ratio at which the sender of a span sampled.

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
        return product(trace_weights(scan), self._of_senders(scan))

    def _of_senders(self, scan: ChunkScan) -> Floats | None:
        states = state_weights(scan) if self._of_trace_state else None
        if not self._ratios:
            return states
        weights = np.ones(scan.chunk.spans)
        for ratio in self._ratios:  # that of the span comes last, and stays
            _put_ratios(weights, scan.operand(ratio, Domain.SPAN))
        return weights if states is None else np.where(states != 1, states, weights)


def _put_ratios(weights: Floats, operand: Operand) -> None:
    for part in operand.parts:
        if isinstance(part, Numbers) and part.type is ValueType.FLOAT:
            values = part.values.astype(np.float64, copy=False)
            valid = mask_and(part.valid, values > 0)
            rows = np.flatnonzero(to_array(valid, len(weights)))
            weights[rows] = 1 / values[rows]
