"""The intrinsics of a span, its trace and scope, of events and links: which columns they are, and
what null reads as.

Source: TraceQL reference, 4.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from traceql.attributes import Attribute, Field, Intrinsic
from traceql.values import ValueType
from tracestore import kernel
from tracestore.query.columns import fixed_bytes, ids, numbers, texts, validity
from tracestore.query.parts import Domain, Ids, Numbers, Part, Texts


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredIntrinsic:
    """Where an intrinsic is stored.

    ``default`` is what null reads as. ``has_bounds``: the statistics of its column say what it may
    be. ``of_span``: a column of the span that ``load`` gets behind those of the event.
    """

    domain: Domain
    columns: tuple[str, ...]
    load: Callable[..., Part]
    cost: int = 4
    default: str | int | None = None
    has_bounds: bool = False
    of_span: str | None = None


def _texts(array: pa.Array) -> Texts:
    """View a column of texts; null reads as the empty text."""
    found = texts(array)
    if found.valid is True:
        return found
    codes = np.where(found.valid, found.codes, np.int32(len(found.dictionary)))
    return Texts(codes, pa.concat_arrays([found.dictionary, pa.array([""], pa.string())]), True)


def _numbers(kind: ValueType) -> Callable[[pa.Array], Numbers]:
    def load(array: pa.Array) -> Numbers:
        values, valid = numbers(array), validity(array)
        if not isinstance(valid, bool):
            values = kernel.or_zero(values, valid)
        return Numbers(kind, values if valid is not False else np.zeros_like(values), True)

    return load


def _trace_duration(start: pa.Array, end: pa.Array) -> Numbers:
    with np.errstate(over="ignore"):
        return Numbers(ValueType.DURATION, numbers(end) - numbers(start), True)


def _trace_ids(array: pa.Array) -> Ids:
    return ids(array, stripped=True)


def _span_ids(array: pa.Array) -> Ids:
    return ids(array, stripped=False)


def _since_start(time: pa.Array, start: pa.Array) -> Numbers:
    with np.errstate(over="ignore"):
        return Numbers(ValueType.DURATION, numbers(time) - numbers(start), validity(time))


def _sent_ids(width: int) -> Callable[[pa.Array], Ids]:
    """IDs of links, which may have been sent without one: that reads as zeros."""

    def load(array: pa.Array) -> Ids:
        blank = b"\0" * width
        sent = pc.if_else(pc.equal(pc.binary_length(array), width), array, blank)
        return Ids(fixed_bytes(sent.cast(pa.binary(width))), width == 16, validity(array))

    return load


def _text(domain: Domain, column: str, default: str | None = None) -> StoredIntrinsic:
    return StoredIntrinsic(domain=domain, columns=(column,), load=_texts, cost=6, default=default)


def _number(column: str, kind: ValueType, default: int | None = None) -> StoredIntrinsic:
    return StoredIntrinsic(
        domain=Domain.SPAN,
        columns=(column,),
        load=_numbers(kind),
        default=default,
        has_bounds=default is None,
    )


STORED: dict[Intrinsic, StoredIntrinsic] = {
    Intrinsic.NAME: _text(Domain.SPAN, "name"),
    Intrinsic.DURATION: _number("duration", ValueType.DURATION),
    Intrinsic.STATUS: _number("status_code", ValueType.STATUS, default=0),
    Intrinsic.STATUS_MESSAGE: _text(Domain.SPAN, "status_message"),
    Intrinsic.KIND: _number("kind", ValueType.KIND),
    Intrinsic.SPAN_ID: StoredIntrinsic(
        domain=Domain.SPAN, columns=("span_id",), load=_span_ids, cost=8
    ),
    Intrinsic.PARENT_ID: StoredIntrinsic(
        domain=Domain.SPAN, columns=("parent_span_id",), load=_span_ids, cost=8
    ),
    Intrinsic.CHILD_COUNT: _number("child_count", ValueType.INT),
    Intrinsic.NESTED_SET_LEFT: _number("nested_left", ValueType.INT),
    Intrinsic.NESTED_SET_RIGHT: _number("nested_right", ValueType.INT),
    Intrinsic.NESTED_SET_PARENT: _number("nested_parent", ValueType.INT),
    Intrinsic.TRACE_ID: StoredIntrinsic(
        domain=Domain.TRACE, columns=("trace_id",), load=_trace_ids, cost=1
    ),
    Intrinsic.TRACE_DURATION: StoredIntrinsic(
        domain=Domain.TRACE, columns=("start_time", "end_time"), load=_trace_duration, cost=1
    ),
    Intrinsic.ROOT_NAME: _text(Domain.TRACE, "root_name", default=""),
    Intrinsic.ROOT_SERVICE_NAME: _text(Domain.TRACE, "root_service_name", default=""),
    Intrinsic.EVENT_NAME: StoredIntrinsic(
        domain=Domain.EVENT, columns=("name",), load=texts, cost=6
    ),
    Intrinsic.EVENT_TIME_SINCE_START: StoredIntrinsic(
        domain=Domain.EVENT, columns=("time",), load=_since_start, of_span="start_time"
    ),
    Intrinsic.LINK_TRACE_ID: StoredIntrinsic(
        domain=Domain.LINK, columns=("trace_id",), load=_sent_ids(16), cost=8
    ),
    Intrinsic.LINK_SPAN_ID: StoredIntrinsic(
        domain=Domain.LINK, columns=("span_id",), load=_sent_ids(8), cost=8
    ),
    Intrinsic.SCOPE_NAME: _text(Domain.SCOPE, "name", default=""),
    Intrinsic.SCOPE_VERSION: _text(Domain.SCOPE, "version", default=""),
}
"""What the tables say as it is. ``parent`` and ``any`` are not among them: they are conditions."""

NEEDS_WHOLE_TRACE = frozenset(
    {
        Intrinsic.CHILD_COUNT,
        Intrinsic.NESTED_SET_LEFT,
        Intrinsic.NESTED_SET_RIGHT,
        Intrinsic.NESTED_SET_PARENT,
        Intrinsic.TRACE_DURATION,
        Intrinsic.ROOT_NAME,
        Intrinsic.ROOT_SERVICE_NAME,
    }
)
"""What is another thing of a fragment than of the whole trace."""


def needs_whole_trace(field: Field) -> bool:
    """Tell whether a field may be another thing of a fragment than of the whole trace."""
    if isinstance(field, Attribute):
        return field.of_parent
    return field in NEEDS_WHOLE_TRACE or field is Intrinsic.PARENT
