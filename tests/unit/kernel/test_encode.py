"""The form of what ``encode`` writes, and tables that contradict themselves."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from support.naive_tables import naive_tables
from support.otlp import event, link, request, request_of, resource_spans, scope_spans, span
from tracestore.kernel.encode import encode

from tracestore.errors import CorruptionError
from tracestore.model.tables import OVERFLOW, SpanTables

SHOP = {"service.name": "shop"}


def full_span(number: int, **changes: Any) -> Any:
    fields: dict[str, Any] = {
        "name": f"span {number}",
        "kind": "server",
        "status": "error",
        "status_message": "bad",
        "trace_state": "a=b",
        "flags": 257,
        "dropped_attributes_count": 300,
        "dropped_events_count": 1,
        "dropped_links_count": 2,
        "attributes": {"a": 1, "list": [1, -2], "b": "x" * 200, "c": None, "any": [1, "x"]},
        "events": [event("e", at_ms=1, attributes={"k": b"raw"}, dropped_attributes_count=3)],
        "links": [link(9, 9, attributes={"k": 0.5}, trace_state="s")],
    }
    return span(trace=1, id=number, parent=number - 1, **(fields | changes))


def with_column(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    place = table.schema.get_field_index(name)
    field = table.schema.field(place)
    return table.set_column(place, field, pa.array(values, field.type))


def tables_of(*spans: Any) -> SpanTables:
    return naive_tables([request(resource=SHOP, spans=spans)])


def test_canonical_request_comes_back_byte_for_byte() -> None:
    spans = [full_span(1), full_span(2, status=None, status_message=""), full_span(3)]
    data = request(resource=SHOP, spans=spans, scope_version="1", scope_attributes={"x": True})
    assert encode(naive_tables([data])) == data


def test_spans_share_the_message_of_their_resource_and_scope() -> None:
    def one(number: int) -> Any:
        return span(trace=1, id=number, parent=0 if number == 1 else 1, start_ms=number)

    shop = [scope_spans([one(1), one(2)], scope="a"), scope_spans([one(3)], scope="b")]
    bank = [scope_spans([one(4)], scope="b")]
    data = request_of(
        [
            resource_spans(shop, resource=SHOP, schema_url="u"),
            resource_spans(bank, resource={"service.name": "bank"}),
        ]
    )
    assert encode(naive_tables([data])) == data


def test_absent_resource_and_scope_are_not_empty_ones() -> None:
    absent = request(resource=None, scope=None, spans=[span(trace=1, id=1)])
    empty = request(resource=(), scope="", spans=[span(trace=1, id=1)])
    assert absent != empty
    assert encode(naive_tables([absent])) == absent
    assert encode(naive_tables([empty])) == empty


def test_overflow_entries_may_stand_in_another_order_than_sent() -> None:
    """As after a merge in which a key lost its column."""
    sent = [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")]
    data = request(resource=SHOP, spans=[span(trace=1, id=1, attributes=sent)])
    tables = naive_tables([data], attribute_columns_max=0)
    entries = tables.spans["span.*"].to_pylist()[0]
    for order in ([1, 0, 2, 3], [3, 1, 0, 2], [0, 2, 1, 3]):
        moved = pa.array([[entries[place] for place in order]], OVERFLOW)
        place = tables.spans.schema.get_field_index("span.*")
        spans = tables.spans.set_column(place, tables.spans.schema.field(place), moved)
        assert encode(replace(tables, spans=spans)) == data


def test_no_spans_encode_to_nothing() -> None:
    assert encode(naive_tables([])) == b""


def test_attribute_without_a_value_is_corruption() -> None:
    tables = tables_of(span(trace=1, id=1, attributes={"a": 1, "b": 2}))
    lost = replace(tables, spans=tables.spans.drop_columns("span.b"))
    with pytest.raises(CorruptionError, match="row 0 lacks the value of attribute 'b'"):
        encode(lost)


@pytest.mark.parametrize("target", [-1, 1])
@pytest.mark.parametrize("pointer", ["resource", "scope"])
def test_row_that_does_not_exist_is_corruption(pointer: str, target: int) -> None:
    tables = tables_of(span(trace=1, id=1))
    spans = with_column(tables.spans, pointer, [target])
    with pytest.raises(CorruptionError, match=f"span 0 has {pointer} {target} of 1"):
        encode(replace(tables, spans=spans))


@pytest.mark.parametrize("rows", [[1, 0], [0, 2], [-1, 0]])
def test_event_that_would_be_left_out_is_corruption(rows: list[int]) -> None:
    tables = tables_of(
        span(trace=1, id=1, events=[event("x")]),
        span(trace=1, id=2, parent=1, events=[event("y")]),
    )
    events = with_column(tables.events, "span", rows)
    with pytest.raises(CorruptionError, match="belongs to span"):
        encode(replace(tables, events=events))


def test_null_where_none_may_be_is_corruption() -> None:
    tables = tables_of(span(trace=1, id=1))
    place = tables.spans.schema.get_field_index("kind")
    spans = tables.spans.set_column(place, "kind", pa.array([None], pa.int32()))
    with pytest.raises(CorruptionError, match="1 nulls in kind"):
        encode(replace(tables, spans=spans))


def test_null_in_a_list_is_corruption() -> None:
    tables = tables_of(span(trace=1, id=1, attributes={"list": [1, 2]}))
    spans = with_column(tables.spans, "span.list", [[1, None]])
    with pytest.raises(CorruptionError, match="null in a list"):
        encode(replace(tables, spans=spans))
