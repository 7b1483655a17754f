"""How many spans a span stands for: its sender may have sampled.

Source: wire contract, 17.2; https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracestore.services.generator.reading import SpanBatch
from tracestore.services.generator.vocabulary import Numbers, Vocabulary

Floats = npt.NDArray[np.float64]

_THRESHOLD = r"(?:^|,)\s*ot=(?:[^,]*;)?th:(?P<th>[0-9a-f]{1,14})(?:[;,]|$)"
_DIGITS = 14


class SpanWeights:
    """Reads the multipliers of spans, remembering what it has read of trace states."""

    def __init__(self, *, ratio_key: str, use_trace_state: bool) -> None:
        """Args:
        ratio_key: attribute of the ratio at which a sender sampled; empty: none.
        use_trace_state: whether the threshold in the trace state counts, before the attribute.
        """
        self._ratio_key = ratio_key
        self._use_trace_state = use_trace_state
        self._of_states = np.empty(0)

    def of(self, batch: SpanBatch) -> Floats | None:
        """Get the multiplier of each span, None if all are 1."""
        found: Floats | None = None
        if self._ratio_key:
            ratios = batch.ratios(self._ratio_key)
            with np.errstate(divide="ignore", invalid="ignore"):
                found = np.where(ratios > 0, 1.0 / ratios, 1.0)
        if self._use_trace_state:
            states = self._of_texts(batch.vocabulary, batch.text("trace_state"))
            known = ~np.isnan(states)
            if known.any():
                found = np.where(known, states, 1.0 if found is None else found)
        return found

    def forget(self) -> None:
        """Forget what numbers of texts meant."""
        self._of_states = np.empty(0)

    def _of_texts(self, vocabulary: Vocabulary, numbers: Numbers) -> Floats:
        known = len(self._of_states)
        if known < len(vocabulary):
            self._of_states = np.concatenate(
                [self._of_states, multipliers(vocabulary.texts(known))]
            )
        return self._of_states[numbers]


def multipliers(states: pa.StringArray) -> Floats:
    """Read the thresholds of trace states: (n,) multipliers, NaN without a threshold."""
    found = pc.struct_field(pc.extract_regex(states, _THRESHOLD), "th").dictionary_encode()
    if found.type == pa.null():
        return np.full(len(states), np.nan)
    of_text = [multiplier(text) for text in found.dictionary.to_pylist()]
    codes = found.indices.fill_null(len(of_text)).to_numpy(zero_copy_only=False)
    return np.array([*of_text, np.nan])[codes]


def multiplier(threshold: str) -> float:
    """Get what a span of a rejection threshold stands for: ``8`` rejects half of all, so 2."""
    rejected = int(threshold.ljust(_DIGITS, "0"), 16)
    return float(16**_DIGITS / (16**_DIGITS - rejected))
