"""``any``: a text anywhere in a span and what belongs to it, rare keys too."""

from __future__ import annotations

import pytest
from support.filter_rows import matched_names
from support.naive_tables import naive_tables
from support.otlp import event, link, request_of, resource_spans, scope_spans, span
from support.written_blocks import write_block

from tracestore.query.block_source import BlockSource
from tracestore.query.source import SpanSource
from tracestore.query.tables_source import TablesSource
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.objects.local import LocalObjectStore

HERE, THERE = "ORD-7731", "other"
REPEATED = [("twice", THERE), ("twice", HERE)]
SPANS = [
    span(trace=1, id=1, name=HERE),
    span(trace=1, id=2, name="message", status="error", status_message=HERE),
    span(trace=1, id=3, name="value", attributes={"a": HERE}),
    span(trace=1, id=4, name="element", attributes={"a": [THERE, HERE]}),
    span(trace=1, id=5, name="event", events=[event("e"), event("f", attributes={"b": HERE})]),
    span(trace=1, id=6, name="link", links=[link(2, 2, attributes={"c": [HERE, HERE]})]),
    span(trace=1, id=7, name="event name", events=[event(HERE)]),
    span(trace=1, id=8, name="number", attributes={"a": 7731, "b": {"k": HERE}}),
    span(trace=1, id=9, name="second of a key", attributes=REPEATED),
    span(trace=1, id=10, name="key", attributes={HERE: THERE}),
]
EXPECTED = [HERE, "message", "value", "element", "event", "link", "of resource", "of scope"]


def _source(kind: str, directory: str) -> SpanSource:
    columns = 0 if kind == "all keys rare" else 512
    of_resource = span(trace=2, id=1, name="of resource")
    of_scope = span(trace=2, id=2, name="of scope")
    groups = [
        resource_spans([scope_spans(SPANS)]),
        resource_spans([scope_spans([of_resource])], resource={"r": HERE}),
        resource_spans([scope_spans([of_scope], attributes={"s": HERE})]),
    ]
    tables = naive_tables([request_of(groups)], attribute_columns_max=columns)
    if kind != "block":
        return TablesSource(tables, "s")
    store = LocalObjectStore(directory)
    return BlockSource(store, write_block(store, tables), BlockCache(1 << 24))


@pytest.fixture(scope="module", params=["live", "all keys rare", "block"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SpanSource:
    return _source(request.param, str(tmp_path_factory.mktemp("any")))


@pytest.mark.parametrize(
    "text",
    [
        f'any = "{HERE}"',
        f'"{HERE}" = any',
        'any =~ "ORD-.*"',
        'any =~ ".*D-7[0-9]+1"',
        f'any = "{HERE}" || any = "nowhere"',
        'any =~ "ORD.*" || any =~ "X+"',
    ],
)
def test_a_text_is_found_wherever_it_is(source: SpanSource, text: str) -> None:
    assert sorted(matched_names(source, text)) == sorted(EXPECTED)


@pytest.mark.parametrize("text", [f'any != "{HERE}"', 'any !~ "ORD-.*"', 'any !~ "ORD.+|Y"'])
def test_what_is_negative_holds_if_no_text_is_it(source: SpanSource, text: str) -> None:
    rest = {"event name", "number", "second of a key", "key"}

    assert set(matched_names(source, text)) == rest


def test_the_first_of_a_repeated_key_counts(source: SpanSource) -> None:
    found = matched_names(source, f'any = "{THERE}"')

    assert set(found) == {"element", "second of a key", "key"}


def test_texts_that_are_empty_are_texts(source: SpanSource) -> None:
    assert (
        len(matched_names(source, 'any = ""')) == len(SPANS) + 1
    )  # all but the one with a message
    assert matched_names(source, 'any = "" && name = "message"') == []
