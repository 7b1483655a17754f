"""Jaeger spans, whatever they say, become what an independent reading of them expects."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.flat_requests import read_request, real, whole, yes
from support.jaeger import post_spans, thrift_batch, thrift_message
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TCompactProtocol import TCompactProtocol

from tracestore.codec.receivers.jaeger_agent import translate_binary, translate_compact
from tracestore.codec.receivers.jaeger_protobuf import translate_request
from tracestore.codec.receivers.jaeger_thrift import translate_batch
from tracestore.errors import InvalidRequestError
from tracestore.kernel import check

REF_TYPES = ("child_of", "follows_from")

texts = st.sampled_from(["", "x", "GET /", "ошибка", "\0"]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=8
)
values = (
    texts
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=5)
)
tags = st.dictionaries(st.sampled_from(["a", "", "ключ", "event", "hostname", "ip"]), values)
trace_ids = st.sampled_from([1, 2**64, 2**127 + 5]) | st.integers(1, 2**128 - 1)
span_ids = st.sampled_from([1, 2, 2**63]) | st.integers(1, 2**64 - 1)
micros = st.integers(2**41, 2**52)
spans = st.fixed_dictionaries(
    {"trace": trace_ids, "id": span_ids, "start_us": micros},
    optional={
        "parent": span_ids,
        "name": texts,
        "duration_us": st.integers(-(2**40), 2**50),
        "references": st.lists(st.tuples(st.sampled_from([0, 1]), trace_ids, span_ids), max_size=3),
        "tags": tags,
        "logs": st.lists(st.tuples(micros, tags), max_size=3),
    },
)
kinds = st.none() | st.sampled_from(["client", "server", "producer", "consumer", "internal"])
batches = st.fixed_dictionaries(
    {
        "process": st.fixed_dictionaries({"service_name": texts, "tags": tags}),
        "spans": st.lists(spans, max_size=5),
    }
)


def plain(value: Any) -> Any:
    """A value as ``read_request`` shows it."""
    if isinstance(value, bool):
        return yes(value)
    if isinstance(value, int):
        return whole(value)
    return real(value) if isinstance(value, float) else value


def plain_tags(tags: dict[str, Any], *but: str) -> dict[str, Any]:
    return {key: plain(value) for key, value in tags.items() if key not in but}


def expected(span: dict[str, Any], process: dict[str, Any]) -> dict[str, Any]:
    """Read a span as the contract has it, without a look at the translation."""
    references = span.get("references", [])
    within = [(kind, id) for kind, trace, id in references if trace == span["trace"]]
    parent = (
        [span["parent"]]
        if "parent" in span
        else [id for wanted in (0, 1) for kind, id in within if kind == wanted]
    )[:1]
    name = process["service_name"]
    resource = {"service.name": name} if name else {}
    resource |= plain_tags(process["tags"], "hostname")
    if "hostname" in process["tags"]:
        resource["host.name"] = plain(process["tags"]["hostname"])
    own = dict(span.get("tags", {}))
    error, kind = own.pop("error", None), own.pop("span.kind", "unspecified")
    events = []
    for at, fields in span.get("logs", []):
        named = fields.get("event") if isinstance(fields.get("event"), str) else None
        left = plain_tags(fields) if named is None else plain_tags(fields, "event")
        events.append((at * 1000, named or "", left))
    return {
        "resource": resource,
        "scope": ("", ""),
        "trace": f"{span['trace']:032x}",
        "id": f"{span['id']:016x}",
        "parent": f"{parent[0]:016x}" if parent else "",
        "state": "",
        "name": span.get("name", ""),
        "kind": kind,
        "start": span["start_us"] * 1000,
        "end": (span["start_us"] + span.get("duration_us", 0)) * 1000,
        "status": ("error" if error else "unset", ""),
        "attributes": plain_tags(own) | ({"error": yes(False)} if error is False else {}),
        "events": events,
        "links": [
            (f"{trace:032x}", f"{id:016x}", {"opentracing.ref_type": REF_TYPES[kind]})
            for kind, trace, id in references
            if (kind, id) != (0, parent[0] if parent else None)
        ],
    }


@settings(deadline=None)
@given(batches, st.data())
def test_what_arrives_is_what_was_sent(batch: dict[str, Any], data: st.DataObject) -> None:
    for span in batch["spans"]:
        kind, error = data.draw(kinds), data.draw(st.none() | st.booleans())
        extra = {} if kind is None else {"span.kind": kind}
        extra |= {} if error is None else {"error": error}
        span["tags"] = {**span.get("tags", {}), **extra}

    by_thrift = read_request(translate_batch(thrift_batch(batch)))
    by_protobuf = read_request(translate_request(post_spans(batch)))

    assert by_thrift == by_protobuf
    assert read_request(translate_compact(thrift_message(batch, TCompactProtocol))) == by_thrift
    assert read_request(translate_binary(thrift_message(batch, TBinaryProtocol))) == by_thrift
    assert by_thrift == [expected(span, batch["process"]) for span in batch["spans"]]


def translates_or_refuses(body: bytes) -> None:
    for translate in (translate_batch, translate_request, translate_compact, translate_binary):
        try:
            request = translate(body)
        except InvalidRequestError:
            continue
        check(request)


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_translated_or_refused(body: bytes) -> None:
    translates_or_refuses(body)


@settings(deadline=None)
@given(batches, st.data())
def test_damaged_bodies_are_translated_or_refused(
    batch: dict[str, Any], data: st.DataObject
) -> None:
    messages = (thrift_message(batch, kind) for kind in (TCompactProtocol, TBinaryProtocol))
    for body in (thrift_batch(batch), post_spans(batch), *messages):
        if not body:
            continue
        at = data.draw(st.integers(0, len(body) - 1))
        damaged = bytearray(body)
        damaged[at] = data.draw(st.integers(0, 255))
        translates_or_refuses(bytes(damaged))
        translates_or_refuses(body[:at])


def test_infinity_is_a_number() -> None:
    span = {"trace": 1, "id": 1, "tags": {"a": math.inf}}
    batch = {"process": {"service_name": "", "tags": {}}, "spans": [span]}

    (found,) = read_request(translate_batch(thrift_batch(batch)))

    assert found["attributes"] == {"a": real(math.inf)}
