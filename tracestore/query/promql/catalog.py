"""The metrics that can be asked for, and what of the counted spans each of them is.

Source: wire contract, section 17.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from tracestore.model import span_metrics as names
from tracestore.query.promql.matching import matches
from tracestore.query.promql.parse import unsupported
from tracestore.query.promql.values import NAME
from tracestore.query.span_series import (
    CLIENT_SIDE,
    MESSAGING_SIDE,
    SERVER_SIDE,
    SPAN_SIDE,
    Family,
    Matcher,
    MatchOperator,
)


class Part(Enum):
    """What of a family a metric shows."""

    COUNT = "count"
    FAILED = "failed"
    INFO = "info"
    """1 where there is something."""
    BUCKET = "bucket"
    SUM = "sum"
    OBSERVATIONS = "observations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric by its name."""

    name: str
    family: Family
    part: Part
    side: str = ""
    """Whose seconds; empty: no histogram."""
    type: str = "counter"
    help: str
    base: str
    """Name of the metric that metadata describe: of a histogram without ``_bucket`` and so on."""

    @property
    def has_buckets(self) -> bool:
        """Whether the distribution of seconds is needed for it."""
        return self.part is Part.BUCKET or self.side == MESSAGING_SIDE

    @property
    def is_additive(self) -> bool:
        """Whether the sum of two series is that of what they count together."""
        return self.part is not Part.INFO


def _plain(name: str, family: Family, part: Part, text: str, kind: str = "counter") -> Metric:
    return Metric(name=name, family=family, part=part, help=text, base=name, type=kind)


def _histogram(base: str, family: Family, side: str, text: str) -> tuple[Metric, ...]:
    parts = {"_bucket": Part.BUCKET, "_sum": Part.SUM, "_count": Part.OBSERVATIONS}
    return tuple(
        Metric(
            name=base + suffix,
            family=family,
            part=part,
            side=side,
            type="histogram",
            help=text,
            base=base,
        )
        for suffix, part in parts.items()
    )


METRICS: Final = (
    _plain(names.CALLS, Family.CALLS, Part.COUNT, "Spans."),
    *_histogram(names.LATENCY, Family.LATENCY, SPAN_SIDE, "Duration of spans in seconds."),
    _plain(names.REQUESTS, Family.EDGES, Part.COUNT, "Requests between two services."),
    _plain(names.FAILED_REQUESTS, Family.EDGES, Part.FAILED, "Those of them that failed."),
    *_histogram(
        names.SERVER_SECONDS, Family.EDGES, SERVER_SIDE, "Duration at the server in seconds."
    ),
    *_histogram(
        names.CLIENT_SECONDS, Family.EDGES, CLIENT_SIDE, "Duration at the client in seconds."
    ),
    *_histogram(
        names.MESSAGING_SECONDS,
        Family.EDGES,
        MESSAGING_SIDE,
        "Time from a producer to a consumer in seconds.",
    ),
    _plain(names.CONNECTION_INFO, Family.EDGES, Part.INFO, "Two services that talk.", "gauge"),
)
_REFUSED: Final = {
    names.SIZE: "how large a span was when it came in is not stored",
    names.TARGET_INFO: "attributes of resources are asked for with TraceQL",
    names.HOST_INFO: "attributes of resources are asked for with TraceQL",
}
"""Metrics of the generator that stored spans do not give, with the reason."""


def find(matchers: Iterable[Matcher]) -> tuple[Metric, ...]:
    """Find the metrics that a selector is about; none for a name that is none of them.

    Raises: InvalidRequestError for one that only the generator makes, if it is named.
    """
    about = [one for one in matchers if one.label == NAME]
    for one in about:
        if one.op is MatchOperator.EQUAL and one.value in _REFUSED:
            raise unsupported(
                f"{one.value}: {_REFUSED[one.value]}; the metrics-generator makes this metric"
            )
    return tuple(metric for metric in METRICS if all(matches(one, metric.name) for one in about))
