"""Series of a metrics query: a request -> parameters of the API, a body -> values.

Source: wire contract, sections 10.1 and 10.2.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from traceql import nodes
from tracestore.client.request import read_query
from tracestore.client.window import Duration, Moment, resolve_window
from tracestore.errors import InvalidRequestError, UnavailableError

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsRequest:
    """What is computed over; None leaves the choice to who answers."""

    query: str
    last: Duration | None = None
    start: Moment | None = None
    end: Moment | None = None
    step: str | None = None
    """Seconds or a duration, such as 15s."""
    exemplars: int | None = None

    def parameters(self, *, now_ns: int) -> dict[str, str]:
        """Make the query string's parameters. Raises: QueryError, InvalidRequestError."""
        if isinstance(read_query(self.query).body, nodes.Pipeline):
            raise InvalidRequestError(
                "not a metrics query: end it with a function, such as | rate()"
            )
        found = {"q": self.query}
        window = resolve_window(last=self.last, start=self.start, end=self.end, now_ns=now_ns)
        if window is not None:
            found["start"], found["end"] = map(str, window)
        if self.step is not None:
            found["step"] = self.step
        if self.exemplars is not None:
            found["exemplars"] = str(self.exemplars)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A value at a time: what begins in the step before it was counted."""

    time_ms: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One series; times without a sample are left out."""

    labels: dict[str, Scalar]
    samples: tuple[Sample, ...]
    traces: tuple[str, ...]
    """IDs of the traces that its exemplars are of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSeries:
    """The answer of a metrics query."""

    series: tuple[Measured, ...]
    message: str
    """What the answer lacks; empty if it is complete."""

    def __iter__(self) -> Iterator[Measured]:
        return iter(self.series)

    def __len__(self) -> int:
        return len(self.series)

    def rows(self) -> list[dict[str, Any]]:
        """Make a row of every sample: its labels, ``time_ms`` and ``value``; for a data frame."""
        return [
            {**one.labels, "time_ms": sample.time_ms, "value": sample.value}
            for one in self.series
            for sample in one.samples
        ]


def read_measured(content: bytes, *, source: str) -> MeasuredSeries:
    """Read the body of ``/api/metrics/query_range``. Raises: UnavailableError if it is none."""
    try:
        body = json.loads(content)
        series = tuple(_series(one) for one in body.get("series") or [])
        return MeasuredSeries(series=series, message=body.get("message", ""))
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise UnavailableError(f"{source} answers with something else than series") from error


def _series(body: dict[str, Any]) -> Measured:
    samples = (
        Sample(time_ms=int(one.get("timestampMs", 0)), value=float(one.get("value", 0)))
        for one in body.get("samples", [])
    )
    exemplars = (_labels(one["labels"]).get("trace:id") for one in body.get("exemplars", []))
    return Measured(
        labels=_labels(body.get("labels", [])),
        samples=tuple(samples),
        traces=tuple(str(one) for one in exemplars if one is not None),
    )


def _labels(pairs: list[dict[str, Any]]) -> dict[str, Scalar]:
    return {pair["key"]: _value(pair["value"]) for pair in pairs}


def _value(value: dict[str, Any]) -> Scalar:
    """Read an AnyValue: 64-bit ints are texts, and so are doubles that JSON has no number for."""
    ((kind, content),) = value.items()
    if kind == "intValue":
        return int(content)
    if kind == "doubleValue":
        return float(content)
    return content if isinstance(content, str | bool) else json.dumps(content)
