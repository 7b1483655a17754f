"""A query -> the questions that it needs answered -> its value. Pure: who asks is not here.

Source: Prometheus, promql/engine.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tracestore.errors import InvalidRequestError
from tracestore.query.promql import functions
from tracestore.query.promql.aggregation import aggregate
from tracestore.query.promql.binary import combine
from tracestore.query.promql.functions import RANGE_FUNCTIONS
from tracestore.query.promql.nodes import (
    Aggregation,
    Binary,
    Call,
    Expression,
    Negation,
    Number,
    Selector,
    Text,
    Type,
    children,
    type_of,
    walk,
)
from tracestore.query.promql.quantiles import histogram_quantile
from tracestore.query.promql.readings import (
    Ask,
    Meaning,
    Reading,
    read,
    readings_of,
    shared,
)
from tracestore.query.promql.samples import read_samples, sample_readings
from tracestore.query.promql.values import NAME, Scalar, String, Value, Vector, renamed
from tracestore.query.promql.windows import Times
from tracestore.query.span_series import MatchOperator, SeriesCells, SeriesQuestion

Answers = Mapping[SeriesQuestion, SeriesCells]
_PUSHED = frozenset({"sum", "group"})
"""Aggregations that it makes no difference to if series are added up before them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A query over some times, and what must be known to answer it."""

    expression: Expression
    times: Times
    meaning: Meaning
    readings: Mapping[Ask, tuple[Reading, ...]]

    @property
    def questions(self) -> tuple[SeriesQuestion, ...]:
        """Each once."""
        found = (one.question for readings in self.readings.values() for one in readings)
        return tuple(dict.fromkeys(found))

    def evaluate(self, answers: Answers) -> Value:
        """Compute the value.

        Raises: EvaluationError if there is none; LimitExceededError if it is too large;
        InvalidRequestError for a pattern that is none.
        """
        return _Evaluation(self, answers).value(self.expression)


def plan(expression: Expression, times: Times, meaning: Meaning, *, is_range: bool) -> Plan:
    """Find out what a query needs.

    Args:
        is_range: whether it is one over a range, which range selectors alone cannot be.

    Raises: InvalidRequestError for what cannot be answered.
    """
    kind = type_of(expression)
    if is_range and kind in (Type.MATRIX, Type.STRING):
        words = "range vector" if kind is Type.MATRIX else "string"
        raise InvalidRequestError(
            f'invalid expression type "{words}" for range query, must be Scalar or instant Vector'
        )
    readings = {
        ask: (
            sample_readings(ask, times, meaning)
            if ask.selector.range_ms and not ask.function
            else readings_of(ask, times, meaning)
        )
        for ask in _asks(expression, None)
    }
    found = iter(shared([one for some in readings.values() for one in some]))
    readings = {ask: tuple(next(found) for _ in some) for ask, some in readings.items()}
    return Plan(expression=expression, times=times, meaning=meaning, readings=readings)


def _asks(node: Expression, by: frozenset[str] | None) -> Iterator[Ask]:
    ask = _ask(node, by)
    if ask is not None:
        yield ask
    elif isinstance(node, Aggregation):
        if node.parameter is not None:
            yield from _asks(node.parameter, None)
        yield from _asks(node.operand, _pushed_by(node))
    else:
        for child in children(node):
            yield from _asks(child, None)


def _ask(node: Expression, by: frozenset[str] | None) -> Ask | None:
    """Get what a selector, or a function over its range, asks for; None for other expressions."""
    if isinstance(node, Selector):
        return Ask(selector=node, by=by)
    if isinstance(node, Call) and node.function in RANGE_FUNCTIONS:
        (selector,) = node.arguments
        assert isinstance(selector, Selector)
        if node.function == "present_over_time":
            by = None
        return Ask(selector=selector, function=node.function, by=by)
    return None


def _pushed_by(node: Aggregation) -> frozenset[str] | None:
    if node.operator not in _PUSHED or node.is_without:
        return None
    return node.grouping


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """The walk over a query that makes its value."""

    plan: Plan
    answers: Answers

    def value(self, node: Expression, by: frozenset[str] | None = None) -> Value:
        points = self.plan.times.points
        match node:
            case Number():
                return Scalar(values=np.full(points, node.value))
            case Text():
                return String(value=node.value)
            case Selector():
                return self._read(node, by)
            case Negation():
                return _negated(self.value(node.operand))
            case Call():
                if node.function in RANGE_FUNCTIONS:
                    return self._read(node, by)
                return self._call(node)
            case Aggregation():
                return self._aggregate(node)
            case Binary():
                left, right = self.value(node.left), self.value(node.right)
                assert isinstance(left, Scalar | Vector)
                assert isinstance(right, Scalar | Vector)
                return combine(node, left, right)

    def _read(self, node: Expression, by: frozenset[str] | None) -> Value:
        plan, ask = self.plan, _ask(node, by)
        assert ask is not None
        readings = plan.readings[ask]
        if ask.selector.range_ms and not ask.function:
            return read_samples(readings, self.answers.__getitem__, plan.meaning)
        return read(readings, self.answers.__getitem__, plan.times.points, plan.meaning)

    def _aggregate(self, node: Aggregation) -> Vector:
        parameter = None if node.parameter is None else self.value(node.parameter)
        operand = self.value(node.operand, _pushed_by(node))
        assert isinstance(operand, Vector)
        assert parameter is None or isinstance(parameter, Scalar)
        return aggregate(
            node.operator, operand, parameter, node.grouping, is_without=node.is_without
        )

    def _call(self, node: Call) -> Value:
        points = self.plan.times.points
        if node.function == "time":
            return Scalar(values=self.plan.times.all_ms / 1000)
        if node.function == "pi":
            return Scalar(values=np.full(points, np.pi))
        arguments = [self.value(one) for one in node.arguments]
        match node.function, arguments:
            case "vector", [Scalar() as scalar]:
                return functions.vector_of(scalar)
            case "scalar", [Vector() as vector]:
                return functions.scalar_of(vector)
            case "absent", [Vector() as vector]:
                return functions.absent(vector, _sought(node.arguments[0]))
            case "histogram_quantile", [Scalar() as quantile, Vector() as vector]:
                return histogram_quantile(quantile.values, vector)
        return functions.call(node.function, arguments)


def _negated(value: Value) -> Value:
    if isinstance(value, Scalar):
        return Scalar(values=-value.values)
    assert isinstance(value, Vector)
    return renamed(value, -value.values)


def _sought(node: Expression) -> list[tuple[str, str]]:
    """Get the labels that a selector names a value of, each but once."""
    if not isinstance(node, Selector):
        return []
    found: dict[str, str] = {}
    twice = set()
    for one in node.matchers:
        if one.label == NAME:
            continue
        if one.op is not MatchOperator.EQUAL or one.label in found:
            twice.add(one.label)
        else:
            found[one.label] = one.value
    return [pair for pair in found.items() if pair[0] not in twice and pair[1]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPlan:
    """Selectors of which only the series are wanted, and what must be known of them."""

    readings: tuple[Reading, ...]
    meaning: Meaning

    @property
    def questions(self) -> tuple[SeriesQuestion, ...]:
        """Each once."""
        return tuple(dict.fromkeys(one.question for one in self.readings))

    def evaluate(self, answers: Answers) -> Vector:
        """Find the series, each once."""
        vectors = [one.vector(answers[one.question], self.meaning) for one in self.readings]
        found = {
            labels
            for one in vectors
            for labels, is_there in zip(one.labels, one.present[:, 0], strict=True)
            if is_there
        }
        shape = (len(found), 1)
        return Vector(
            labels=tuple(sorted(found)),
            values=np.ones(shape),
            present=np.ones(shape, dtype=np.bool_),
        )


def plan_series(
    selectors: Sequence[Selector],
    start_ms: int,
    end_ms: int,
    by: frozenset[str] | None,
    meaning: Meaning,
) -> SeriesPlan:
    """Find out what must be known of the series that selectors are about.

    Args:
        by: labels that are wanted; None: all.

    Raises: InvalidRequestError for what cannot be answered.
    """
    times = Times(start_ms=end_ms, step_ms=1, points=1)
    looking = replace(meaning, lookback_ms=max(1, end_ms - start_ms))
    wanted = selectors or (Selector(matchers=()),)
    found = (readings_of(Ask(selector=one, by=by), times, looking) for one in wanted)
    readings = shared([one for some in found for one in some])
    return SeriesPlan(readings=tuple(readings), meaning=meaning)


def reach_ms(expression: Expression, times: Times, meaning: Meaning) -> int:
    """Tell over how much time a query looks: the longest of its range and its selectors'."""
    selectors = [node for node in walk(expression) if isinstance(node, Selector)]
    ranges = [one.range_ms or meaning.lookback_ms for one in selectors]
    return max(times.end_ms - times.start_ms, *ranges, 0)
