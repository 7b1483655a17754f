"""Answers over the reference data set, written as the golden cases write them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from support.reference_dataset import TRACE_IDS, TRACES, label_of

from tracestore.model.results import AttributeValue, SpanSet, TraceSummary

SPANS = sum(len(scoped.spans) for t in TRACES.values() for r in t for scoped in r.scope_spans)


def answer_text(traces: Sequence[TraceSummary]) -> str:
    """Write the matched spans of each trace, and what is said of its spansets."""
    letters = {trace_id: letter for letter, trace_id in TRACE_IDS.items()}
    texts = {letters[trace.trace_id]: _trace_text(letters, trace) for trace in traces}
    span_sets = [one for trace in traces for one in trace.span_sets]
    if sum(one.matched for one in span_sets) == SPANS and not any(o.attributes for o in span_sets):
        return "all"
    return "; ".join(texts[letter] for letter in sorted(texts)) or "none"


def shown_lines(traces: Sequence[TraceSummary]) -> list[str]:
    """Write what is shown of spansets and spans, traces by letter, spans by label."""
    lines = []
    letters = {trace_id: letter for letter, trace_id in TRACE_IDS.items()}
    for trace in sorted(traces, key=lambda trace: letters[trace.trace_id]):
        for one in trace.span_sets:
            if one.attributes:
                lines.append(f"{letters[trace.trace_id]}{_shown(one.attributes)}")
            spans = [
                label_of(trace.trace_id, s.span_id, s.duration_ns) + _shown(s.attributes)
                for s in one.spans
            ]
            lines.extend(sorted(spans))
    return lines


def _shown(attributes: Iterable[tuple[str, AttributeValue]]) -> str:
    return "".join(f" {name}={json.dumps(value)}" for name, value in attributes)


def _trace_text(letters: dict[bytes, str], trace: TraceSummary) -> str:
    sets = [_labels(trace, one) for one in trace.span_sets]
    if len(sets) == 1 and not trace.span_sets[0].attributes:
        return sets[0]
    texts = []
    for labels, one in zip(sets, trace.span_sets, strict=True):
        said = ", ".join(f"{name}={_value_text(value)}" for name, value in one.attributes)
        texts.append(f"[{labels}] {{{said}}}")
    return f"{letters[trace.trace_id]}:{' '.join(texts)}"


def _labels(trace: TraceSummary, span_set: SpanSet) -> str:
    assert span_set.matched == len(span_set.spans)
    labels = [label_of(trace.trace_id, s.span_id, s.duration_ns) for s in span_set.spans]
    return " ".join(sorted(labels))


def _value_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
