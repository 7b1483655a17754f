"""Series of metrics queries over plain Python objects: every interval of every series is a list.

Written from the TraceQL reference, section 6; it shares nothing with the product but the syntax
tree. Where the reference leaves a choice open it is named at the function that makes it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from support.naive_numbers import NIL, NUMERIC, Value
from support.naive_pipelines import SpanSetOf, run_pipeline
from support.naive_spans import VALUELESS, SpanOf, TraceOf
from support.naive_texts import duration_text
from support.naive_traceql import evaluate, first_seen, holds

from traceql import nodes
from traceql.attributes import Attribute, Intrinsic, Scope
from traceql.nodes import MetricsFunction

Label = tuple[str, Any]
Labels = tuple[Label, ...]
Samples = list[float | None]
Found = dict[Any, tuple[Labels, Samples]]
"""Series by what tells their labels apart."""
NAME = "__name__"


@dataclass(frozen=True)
class Intervals:
    """(origin + k * step, one step on], k from 0."""

    origin_ns: int
    step_ns: int
    count: int

    @property
    def end_ns(self) -> int:
        """The last nanosecond of the last interval."""
        return self.origin_ns + self.count * self.step_ns

    def of(self, start_ns: int) -> int | None:
        """Find the interval by looking at each."""
        for point in range(self.count):
            left = self.origin_ns + point * self.step_ns
            if left < start_ns <= left + self.step_ns:
                return point
        return None


Weigh = Callable[[SpanOf, TraceOf], float]
"""For how many spans one stands."""


def _once(span: SpanOf, trace: TraceOf) -> float:
    return 1


def compute(
    traces: Sequence[TraceOf],
    node: nodes.MathOperand,
    intervals: Intervals,
    weigh: Weigh = _once,
) -> list[tuple[Labels, Samples]]:
    """Answer a metrics query; series without a sample are none."""
    found = _compute(traces, node, intervals, weigh)
    assert not isinstance(found, float)
    return list(_alive(found).values())


def _compute(
    traces: Sequence[TraceOf], node: nodes.MathOperand, intervals: Intervals, weigh: Weigh
) -> Found | float:
    if isinstance(node, nodes.Literal):
        return float(node.value.value)  # type: ignore[arg-type]  # a number, by the grammar
    if isinstance(node, nodes.MetricsMath):
        left = _compute(traces, node.left, intervals, weigh)
        right = _compute(traces, node.right, intervals, weigh)
        found = _math(left, node.operator.value, right)
    else:
        spans = list(_spans(traces, node.pipeline, intervals))
        if isinstance(node.function, nodes.Compare):
            found = _comparison(spans, node.function, intervals, weigh)
        else:
            found = _function(spans, node.function, intervals, weigh)
    for stage in node.second:
        found = _second(_alive(found), stage)
    return found


def _alive(found: Found) -> Found:
    return {
        key: (labels, samples)
        for key, (labels, samples) in found.items()
        if any(sample is not None for sample in samples)
    }


Counted = tuple[SpanOf, TraceOf, int]


def _spans(
    traces: Sequence[TraceOf], pipeline: nodes.Pipeline, intervals: Intervals
) -> Iterator[Counted]:
    """Reference 6.2. Traces without a time in the range are not looked at."""
    first, last = intervals.origin_ns + 1, intervals.end_ns
    for trace in traces:
        if trace.end_ns < first or trace.start_ns > last:
            continue
        for span_set in run_pipeline(pipeline.stages, [SpanSetOf(tuple(trace.spans))], trace):
            for span in span_set.spans:
                point = intervals.of(span.start_ns)
                if point is not None:
                    yield span, trace, point


# --- functions -----------------------------------------------------------------------------------


def _function(
    spans: list[Counted], node: nodes.MetricsAggregate, intervals: Intervals, weigh: Weigh
) -> Found:
    """Reference 6.3. Choice: NaN is no number that could be measured."""
    function = node.function
    is_bucketed = function in (
        MetricsFunction.HISTOGRAM_OVER_TIME,
        MetricsFunction.QUANTILE_OVER_TIME,
    )
    cells: dict[Any, tuple[Labels, list[list[Any]]]] = {}
    for span, trace, point in spans:
        value: Value | None = None
        if node.measured is not None:
            value = evaluate(node.measured, first_seen(span, trace))
            if not _is_measured(value, is_bucketed):
                continue
        labels = _labels(span, trace, node.by, keeps_one=not is_bucketed)
        made = cells.setdefault(_key(labels), (labels, [[] for _ in range(intervals.count)]))
        made[1][point].append((1 if value is None else value.value, weigh(span, trace)))
    if not node.by and function in (MetricsFunction.RATE, MetricsFunction.COUNT_OVER_TIME):
        cells.setdefault(_key(()), ((), [[] for _ in range(intervals.count)]))
    if is_bucketed:
        return _bucketed(cells, node)
    scale = 1e9 if node.measured and node.measured.field is Intrinsic.DURATION else 1.0
    found: Found = {}
    for labels, points in cells.values():
        named = labels or ((NAME, function.value),)
        samples = [_aggregate(function, values, intervals, scale) for values in points]
        found[_key(named)] = named, samples
    return found


def _is_measured(value: Value, is_bucketed: bool) -> bool:
    if is_bucketed:
        return value.type in ("int", "duration") and value.value >= 2
    return value.type in NUMERIC and not math.isnan(value.value)


def _aggregate(
    function: MetricsFunction, values: list[Any], intervals: Intervals, scale: float
) -> float | None:
    match function:
        case MetricsFunction.COUNT_OVER_TIME:
            return float(sum(weight for _, weight in values))
        case MetricsFunction.RATE:
            return sum(weight for _, weight in values) / (intervals.step_ns / 1e9)
    if not values:
        return None
    numbers = [float(value) for value, _ in values]
    weighted = [float(value) * weight for value, weight in values]
    match function:
        case MetricsFunction.MIN_OVER_TIME:
            return min(numbers) / scale
        case MetricsFunction.MAX_OVER_TIME:
            return max(numbers) / scale
        case MetricsFunction.SUM_OVER_TIME:
            total = sum(weighted) / scale
        case _:
            total = sum(weighted) / sum(weight for _, weight in values) / scale
    return None if math.isnan(total) else total


def _bucketed(
    cells: dict[Any, tuple[Labels, list[list[Any]]]], node: nodes.MetricsAggregate
) -> Found:
    """Reference 6.5: counts by power of two, and quantiles by walking over them."""
    assert node.measured is not None
    unit = 1e9 if node.measured.field.type.value == "duration" else 1.0
    found: Found = {}
    for labels, points in cells.values():
        counted = [_buckets(values) for values in points]
        if node.function is MetricsFunction.HISTOGRAM_OVER_TIME:
            for power in sorted({power for counts in counted for power in counts}):
                own = (*labels, ("__bucket", 2.0**power / unit))
                found[_key(own)] = own, [float(counts.get(power, 0)) for counts in counted]
        for quantile in node.quantiles:
            own = (*labels, ("p", float(quantile)))
            found[_key(own)] = own, [_quantile(counts, quantile, unit) for counts in counted]
    return found


def _buckets(values: Iterable[tuple[int, float]]) -> dict[int, float]:
    counts: dict[int, float] = {}
    for value, weight in values:
        power = 1
        while 2**power < value:
            power += 1
        counts[power] = counts.get(power, 0) + weight
    return counts


def _quantile(counts: dict[int, float], quantile: float, unit: float) -> float:
    if not counts:
        return 0.0
    total = sum(counts.values())
    target = min(math.ceil(quantile * total) or 1, total)
    passed, before = 0, None
    for power in sorted(counts):
        if passed + counts[power] > target:
            break
        passed += counts[power]
        if passed == target:
            return 2.0**power / unit
        before = power
    fraction = (target - passed) / counts[power]
    high = math.log2(2.0**power / unit)
    low = high - 1 if before is None else math.log2(2.0**before / unit)
    return float(2 ** (low + (high - low) * fraction))


# --- labels --------------------------------------------------------------------------------------


def _labels(
    span: SpanOf, trace: TraceOf, by: Sequence[nodes.Reference], *, keeps_one: bool
) -> Labels:
    """Reference 6.4."""
    pairs = [
        (
            reference.field.text,
            None
            if reference.field is Intrinsic.PARENT
            else _shown(evaluate(reference, first_seen(span, trace))),
        )
        for reference in by
    ]
    labels = tuple((name, value) for name, value in pairs if value is not None)
    if pairs and not labels and keeps_one:
        return ((pairs[0][0], "nil"),)
    return labels


def _shown(value: Value) -> Any:
    """Show a value as a label: arrays and what has no value are nil."""
    if value in (NIL, VALUELESS) or value.type == "list":
        return None
    if value.type == "duration":
        return duration_text(value.value)
    return value.value + 0.0 if value.type == "float" else value.value


def _key(labels: Labels) -> Any:
    return tuple((name, type(value).__name__, repr(value)) for name, value in labels)


# --- compare -------------------------------------------------------------------------------------


def _comparison(
    spans: list[Counted], node: nodes.Compare, intervals: Intervals, weigh: Weigh
) -> Found:
    """Reference 6.6. Values beyond the most frequent are cut off, ties by their text."""
    counts: dict[tuple[str, str], dict[Any, tuple[Any, Samples]]] = {}
    totals: Found = {}
    for span, trace, point in spans:
        is_inside = not node.end_ns or node.start_ns < span.start_ns <= node.end_ns
        is_selected = is_inside and holds(node.selection.expression, span, trace)
        group = "selection" if is_selected else "baseline"
        for name, value in _everything(span, trace):
            shown = _shown(value)
            shown = "nil" if shown is None else shown
            own = counts.setdefault((group, name), {})
            made = own.setdefault(_key(((name, shown),)), (shown, [0.0] * intervals.count))
            made[1][point] += weigh(span, trace)  # type: ignore[operator]  # never missing
            total = (("__meta_type", f"{group}_total"), (name, "nil"))
            summed = totals.setdefault(_key(total), (total, [0.0] * intervals.count))
            summed[1][point] += weigh(span, trace)  # type: ignore[operator]  # never missing
    found = totals
    for (group, name), values in counts.items():
        ranked = sorted(values.values(), key=lambda one: (-_sum(one[1]), str(one[0])))
        for shown, samples in ranked[: node.top_n]:
            labels = (("__meta_type", group), (name, shown))
            found[_key(labels)] = labels, samples
    return found


def _sum(samples: Samples) -> float:
    return sum(sample for sample in samples if sample is not None)


def _everything(span: SpanOf, trace: TraceOf) -> Iterator[tuple[str, Value]]:
    for scope, attributes in (
        (Scope.SPAN, span.attributes),
        (Scope.RESOURCE, span.resource),
        (Scope.INSTRUMENTATION, span.scope),
    ):
        for key, value in attributes.items():
            yield Attribute(scope, key).text, value
    if "service.name" not in span.resource:
        yield "resource.service.name", Value("string", "")
    for intrinsic in (
        Intrinsic.NAME,
        Intrinsic.STATUS,
        Intrinsic.STATUS_MESSAGE,
        Intrinsic.KIND,
        Intrinsic.CHILD_COUNT,
        Intrinsic.ROOT_NAME,
        Intrinsic.ROOT_SERVICE_NAME,
        Intrinsic.SCOPE_NAME,
        Intrinsic.SCOPE_VERSION,
    ):
        yield intrinsic.text, evaluate(nodes.Reference(intrinsic), first_seen(span, trace))


# --- second stages and math ----------------------------------------------------------------------

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


def _second(found: Found, stage: nodes.SecondStage) -> Found:
    """Reference 6.7."""
    if isinstance(stage, nodes.Threshold):
        keeps = _COMPARE[stage.operator.value]
        bound = float(stage.value.value)
        return {
            key: (labels, [s if s is not None and keeps(s, bound) else None for s in samples])
            for key, (labels, samples) in found.items()
        }
    if len(found) <= stage.count:
        return found
    made = {key: (labels, list(samples)) for key, (labels, samples) in found.items()}
    points = len(next(iter(made.values()))[1])
    for point in range(points):
        there = [one for one in made.values() if one[1][point] is not None]
        there.sort(key=functools.cmp_to_key(functools.partial(_is_before, point, stage.smallest)))
        for _, samples in there[stage.count :]:
            samples[point] = None
    return made


def _is_before(
    point: int, smallest: bool, one: tuple[Labels, Samples], other: tuple[Labels, Samples]
) -> int:
    """Choice: at equal texts the type's name decides, then the larger number wins in ``topk``."""
    values = one[1][point], other[1][point]
    if values[0] != values[1]:
        is_less = values[0] < values[1]  # type: ignore[operator]  # both are there
        return -1 if is_less == smallest else 1
    wins = _ties(_unnamed(one[0]), _unnamed(other[0]))
    return -wins if smallest else wins


def _ties(one: Labels, other: Labels) -> int:
    texts = [
        [(value if isinstance(value, str) else "", name) for name, value in labels]
        for labels in (one, other)
    ]
    if texts[0] != texts[1]:
        return -1 if texts[0] < texts[1] else 1
    words = {"bool": "bool", "float": "double", "int": "int", "str": "string"}
    for (_, value), (_, against) in zip(one, other, strict=True):
        types = words[type(value).__name__], words[type(against).__name__]
        if types[0] != types[1]:
            return -1 if types[0] < types[1] else 1
        if value != against and not isinstance(value, str):
            return -1 if value > against else 1
    return 0


def _unnamed(labels: Labels) -> Labels:
    return tuple(label for label in labels if label[0] != NAME)


def _math(left: Found | float, operator: str, right: Found | float) -> Found:
    """Reference 6.8."""
    if isinstance(left, float):
        assert not isinstance(right, float)
        number = left
        return _mapped(_alive(right), lambda sample: _operate(number, operator, sample))
    if isinstance(right, float):
        divisor = right
        return _mapped(_alive(left), lambda sample: _operate(sample, operator, divisor))
    sides = [list(_alive(side).values()) for side in (left, right)]
    found: Found = {}
    for labels, samples in sides[0]:
        for other_labels, others in sides[1]:
            is_wide = any(len(s) == 1 and not _unnamed(s[0][0]) for s in sides)
            if not is_wide and _key(_unnamed(labels)) != _key(_unnamed(other_labels)):
                continue
            made = _joined(labels, operator, other_labels)
            pairs = zip(samples, others, strict=True)
            found[_key(made)] = made, [_operate(one, operator, two) for one, two in pairs]
    return found


def _mapped(found: Found, change: Callable[[float | None], float | None]) -> Found:
    return {
        key: (labels, [change(sample) for sample in samples])
        for key, (labels, samples) in found.items()
    }


def _joined(left: Labels, operator: str, right: Labels) -> Labels:
    names = [dict(labels).get(NAME) for labels in (left, right)]
    known = {name for name, _ in left}
    rest = tuple(label for label in _unnamed(right) if label[0] not in known)
    both = _unnamed(left) + rest
    return ((NAME, f"({names[0]} {operator} {names[1]})"), *both) if all(names) else both


def _operate(left: float | None, operator: str, right: float | None) -> float | None:
    if left is None or right is None or (operator == "/" and right == 0):
        return None
    operations: dict[str, Callable[[float, float], float]] = {
        "+": lambda one, other: one + other,
        "-": lambda one, other: one - other,
        "*": lambda one, other: one * other,
        "/": lambda one, other: one / other,
    }
    value = operations[operator](left, right)
    return None if math.isnan(value) else value
