"""How many spans a stored span stands for, where others like it were left out by chance.

Two say so: the store, which kept its trace by a ratio (``sampling_weight``), and the SDK or
Collector that sent it, in the trace state (``ot=th:…``). Both together multiply.

Source: docs/sampling.md; OpenTelemetry, "TraceState: Probability Sampling"; W3C Trace Context, 3.3;
TraceQL reference, 6.12.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from tracestore.query.columns import numbers
from tracestore.query.parts import Domain
from tracestore.query.scan import ChunkScan

Weights = npt.NDArray[np.float64]
_MEMO = "span weights"
_THRESHOLD = re.compile(r"[0-9a-f]{1,14}")
_DIGITS, _ALL = 14, 1 << 56
"""A threshold has up to 14 digits, of which zeros at the end are left out; it is out of 2^56."""


def span_weights(scan: ChunkScan) -> Weights | None:
    """Get what each span of a chunk counts: (N,), at least 1; None: each counts once.

    Cost: once per chunk; the trace state is looked at once per distinct text.
    """
    if _MEMO not in scan.memo:
        scan.memo[_MEMO] = product(trace_weights(scan), state_weights(scan))
    found: Weights | None = scan.memo[_MEMO]
    return found


def trace_weights(scan: ChunkScan) -> Weights | None:
    """Get for how many each span of a chunk stands whose trace was kept by a ratio; None: one."""
    weights = scan.of_source.weights
    if weights is None:
        return None
    own = weights[scan.trace_slice]
    return np.repeat(own, scan.span_counts) if np.any(own != 1) else None


def state_weights(scan: ChunkScan) -> Weights | None:
    """Get for how many each span of a chunk stands by its trace state; None: one."""
    column = scan.column(Domain.SPAN, "trace_state")
    texts = column.dictionary.to_pylist()
    table = np.array([state_weight(text) for text in texts])
    if not np.any(table != 1):
        return None
    codes: npt.NDArray[Any] = numbers(column.indices)
    found: Weights = table[codes]
    return found


def product(one: Weights | None, other: Weights | None) -> Weights | None:
    """Multiply weights."""
    if one is None or other is None:
        return other if one is None else one
    return one * other


def state_weight(text: str | None) -> float:
    """Read from a trace state for how many spans its span stands; 1 where it says nothing."""
    for member in (text or "").split(","):
        key, _, value = member.strip().partition("=")
        if key != "ot":
            continue
        for part in value.split(";"):
            name, _, threshold = part.partition(":")
            if name == "th" and _THRESHOLD.fullmatch(threshold):
                rejected = int(threshold.ljust(_DIGITS, "0"), 16)
                return _ALL / (_ALL - rejected)
    return 1.0
