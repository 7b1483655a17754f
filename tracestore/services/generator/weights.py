"""How many spans a span stands for: its sender may have sampled.

Source: wire contract, 17.2; https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracestore.services.generator.reading import SpanBatch

Floats = npt.NDArray[np.float64]

_THRESHOLD = r"(?:^|,)\s*ot=(?:[^,]*;)?th:(?P<th>[0-9a-f]{1,14})(?:[;,]|$)"
_DIGITS = 14


class SpanWeights:
    """Reads the multipliers of spans."""

    def __init__(self, *, ratio_key: str, use_trace_state: bool) -> None:
        """Args:
        ratio_key: attribute of the ratio at which a sender sampled; empty: none.
        use_trace_state: whether the threshold in the trace state counts, before the attribute.
        """
        self._ratio_key = ratio_key
        self._use_trace_state = use_trace_state

    def of(self, batch: SpanBatch) -> Floats | None:
        """Get the multiplier of each span, None if all are 1."""
        found: Floats | None = None
        if self._ratio_key:
            ratios = batch.ratios(self._ratio_key)
            with np.errstate(divide="ignore", invalid="ignore"):
                found = np.where(ratios > 0, 1.0 / ratios, 1.0)
        if self._use_trace_state:
            states = batch.derived("trace_state", multipliers)
            known = ~np.isnan(states)
            if known.any():
                found = np.where(known, states, 1.0 if found is None else found)
        return found


def multipliers(states: pa.StringArray) -> Floats:
    """Read the thresholds of trace states: (n,) multipliers, NaN without a threshold."""
    coded = pc.struct_field(pc.extract_regex(states, _THRESHOLD), "th").dictionary_encode()
    of_text = [multiplier(text) for text in coded.dictionary.to_pylist()]
    codes = coded.indices.fill_null(len(of_text)).to_numpy(zero_copy_only=False)
    found: Floats = np.array([*of_text, np.nan])[codes]
    return found


def multiplier(threshold: str) -> float:
    """Get what a span of a rejection threshold stands for: ``8`` rejects half of all, so 2."""
    rejected = int(threshold.ljust(_DIGITS, "0"), 16)
    return float(16**_DIGITS / (16**_DIGITS - rejected))
