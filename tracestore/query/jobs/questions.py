"""The questions by name, as they are sent."""

from __future__ import annotations

from tracestore.errors import CorruptionError
from tracestore.query.jobs.metrics import ComputeMetrics
from tracestore.query.jobs.search import SearchTraces
from tracestore.query.jobs.several_series import CountSeveralSeries
from tracestore.query.jobs.span_series import CountSeries
from tracestore.query.jobs.tags import ListNames, ListValues
from tracestore.query.jobs.trace import GetTrace
from tracestore.query.jobs.wire import open_envelope, read_value

AnyOperation = (
    GetTrace
    | SearchTraces
    | ComputeMetrics
    | CountSeries
    | CountSeveralSeries
    | ListNames
    | ListValues
)


def operation_from_wire(data: bytes) -> AnyOperation:
    """Read what ``to_wire`` wrote. Raises: CorruptionError."""
    name, value = open_envelope(data)
    match name:
        case GetTrace.NAME:
            return read_value(name, value, GetTrace)
        case SearchTraces.NAME:
            return read_value(name, value, SearchTraces)
        case ComputeMetrics.NAME:
            return read_value(name, value, ComputeMetrics)
        case CountSeries.NAME:
            return read_value(name, value, CountSeries)
        case CountSeveralSeries.NAME:
            return read_value(name, value, CountSeveralSeries)
        case ListNames.NAME:
            return read_value(name, value, ListNames)
        case ListValues.NAME:
            return read_value(name, value, ListValues)
    raise CorruptionError(f"a {name!r} where a question was expected", key="wire")
