"""Zipkin spans, whatever they say, become what an independent reading of them expects."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.flat_requests import read_request, whole, yes

from tracestore.codec.proto import zipkin_pb2
from tracestore.codec.receivers import zipkin
from tracestore.errors import InvalidRequestError
from tracestore.kernel import check

NOW_NS = 1_800_000_000_000_000_000
RESOURCE_TAGS = ("host.name", "service.version", "k8s.pod.name")

texts = st.sampled_from(["", "x", "GET /", "ошибка", "a|b", "\0"]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=8
)
tag_keys = st.sampled_from(["http.method", "a", "", "ключ", *RESOURCE_TAGS])
micros = st.integers(1, 2**52)


def hex_ids(digits: int) -> st.SearchStrategy[str]:
    return st.integers(1, 16**digits - 1).map(lambda n: f"{n:x}")


endpoints = st.fixed_dictionaries(
    {},
    optional={
        "serviceName": st.sampled_from(["", "shop", "bank"]),
        "ipv4": st.sampled_from(["10.0.0.1", "192.168.1.2"]),
        "ipv6": st.just("2001:db8::1"),
        "port": st.integers(0, 65535),
    },
)
spans = st.fixed_dictionaries(
    {"traceId": hex_ids(32), "id": hex_ids(16)},
    optional={
        "parentId": hex_ids(16),
        "name": texts,
        "kind": st.sampled_from(["CLIENT", "SERVER", "PRODUCER", "CONSUMER"]),
        "timestamp": micros,
        "duration": st.integers(0, 2**50),
        "localEndpoint": endpoints,
        "remoteEndpoint": endpoints,
        "annotations": st.lists(
            st.fixed_dictionaries({"timestamp": micros, "value": texts}), max_size=3
        ),
        "tags": st.dictionaries(tag_keys, texts, max_size=5),
        "shared": st.booleans(),
        "debug": st.booleans(),
        "unknown": st.just([{"x": None}]),
    },
)
errors = st.none() | st.sampled_from(["", "true", "false", "boom"])


def expected(span: dict[str, Any]) -> dict[str, Any]:
    """Read a span as the contract has it, without a look at the translation."""
    local, remote = span.get("localEndpoint", {}), span.get("remoteEndpoint", {})
    tags = span.get("tags", {})
    notes = span.get("annotations", [])
    begin = span.get("timestamp") or min((n["timestamp"] for n in notes), default=NOW_NS // 1000)
    name = local.get("serviceName")
    resource = {key: tags[key] for key in RESOURCE_TAGS if key in tags}
    error = tags.get("error")
    attributes = {key: v for key, v in tags.items() if key not in resource}
    if error in ("", "true"):
        del attributes["error"]
    for where, endpoint in (("host", local), ("peer", remote)):
        addresses = [endpoint[key] for key in ("ipv4", "ipv6") if key in endpoint]
        attributes |= {f"net.{where}.ip": address for address in addresses[-1:]}
        attributes |= {f"net.{where}.ipv4": addresses[0]} if len(addresses) == 2 else {}
        attributes |= {f"net.{where}.port": whole(p) for p in [endpoint.get("port")] if p}
    attributes |= {"peer.service": remote["serviceName"]} if remote.get("serviceName") else {}
    attributes |= {} if "timestamp" in span else {zipkin.START_ABSENT: yes(True)}
    return {
        "resource": resource | ({"service.name": name} if name else {}),
        "scope": ("", ""),
        "trace": span["traceId"].zfill(32),
        "id": span["id"].zfill(16),
        "parent": span["parentId"].zfill(16)
        if span.get("parentId", span["id"]) != span["id"]
        else "",
        "state": "",
        "name": span.get("name", ""),
        "kind": span.get("kind", "unspecified").lower(),
        "start": begin * 1000,
        "end": (begin + span.get("duration", 0)) * 1000,
        "status": ("unset", "")
        if error in (None, "false")
        else ("error", error if error == "boom" else ""),
        "attributes": attributes,
        "events": [(n["timestamp"] * 1000, n["value"], {}) for n in notes],
        "links": [],
    }


def as_message(span: dict[str, Any]) -> zipkin_pb2.Span:
    def endpoint(parts: dict[str, Any]) -> zipkin_pb2.Endpoint:
        return zipkin_pb2.Endpoint(
            service_name=parts.get("serviceName", ""),
            ipv4=bytes(int(n) for n in parts["ipv4"].split(".")) if "ipv4" in parts else b"",
            ipv6=bytes.fromhex("20010db8000000000000000000000001") if "ipv6" in parts else b"",
            port=parts.get("port", 0),
        )

    return zipkin_pb2.Span(
        trace_id=bytes.fromhex(span["traceId"].zfill(32)),
        id=bytes.fromhex(span["id"].zfill(16)),
        parent_id=bytes.fromhex(span.get("parentId", "").zfill(16)),
        kind=zipkin_pb2.Span.Kind.Value(span.get("kind", "SPAN_KIND_UNSPECIFIED")),
        name=span.get("name", ""),
        timestamp=span.get("timestamp", 0),
        duration=span.get("duration", 0),
        local_endpoint=endpoint(span.get("localEndpoint", {})),
        remote_endpoint=endpoint(span.get("remoteEndpoint", {})),
        annotations=[zipkin_pb2.Annotation(**note) for note in span.get("annotations", [])],
        tags=span.get("tags", {}),
        shared=span.get("shared", False),
        debug=span.get("debug", False),
    )


def in_order(spans: list[dict[str, Any]]) -> list[str]:
    """Make lists of spans comparable: a request groups them by resource."""
    return sorted(map(repr, (dict(s, resource=sorted(s["resource"].items())) for s in spans)))


def with_same_order(spans: list[dict[str, Any]]) -> list[str]:
    """As ``in_order``, with the attributes of each span sorted."""
    return in_order([dict(s, attributes=sorted(map(repr, s["attributes"].items()))) for s in spans])


@settings(deadline=None)
@given(st.lists(st.tuples(spans, errors), max_size=6))
def test_what_arrives_is_what_was_sent(sent: list[tuple[dict[str, Any], str | None]]) -> None:
    for span, error in sent:
        if error is not None:
            span["tags"] = {**span.get("tags", {}), "error": error}
    bodies = [span for span, _ in sent]

    by_json = zipkin.translate_json(json.dumps(bodies).encode(), received_ns=NOW_NS)
    listed = zipkin_pb2.ListOfSpans(spans=map(as_message, bodies)).SerializeToString()
    by_protobuf = zipkin.translate_protobuf(listed, received_ns=NOW_NS)

    wanted = with_same_order([expected(span) for span in bodies])
    assert with_same_order(read_request(by_json)) == wanted
    assert with_same_order(read_request(by_protobuf)) == wanted


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["traceId", "id", "tags", "annotations", "localEndpoint", "timestamp"])
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def translates_or_refuses(body: bytes) -> None:
    for translate in (zipkin.translate_json, zipkin.translate_protobuf):
        try:
            request = translate(body, received_ns=NOW_NS)
        except InvalidRequestError:
            continue
        check(request)


@settings(deadline=None)
@given(any_json)
@example([{"traceId": "1", "id": "1", "tags": {"a": "\ud800"}}])
def test_any_json_is_translated_or_refused(value: object) -> None:
    translates_or_refuses(json.dumps(value).encode())


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_translated_or_refused(body: bytes) -> None:
    translates_or_refuses(body)


@settings(deadline=None)
@given(st.lists(spans, min_size=1, max_size=3), st.data())
def test_damaged_bodies_are_translated_or_refused(
    sent: list[dict[str, Any]], data: st.DataObject
) -> None:
    as_json = json.dumps(sent).encode()
    as_protobuf = zipkin_pb2.ListOfSpans(spans=map(as_message, sent)).SerializeToString()
    for whole_body in (as_json, as_protobuf):
        at = data.draw(st.integers(0, len(whole_body) - 1))
        damaged = bytearray(whole_body)
        damaged[at] = data.draw(st.integers(0, 255))
        translates_or_refuses(bytes(damaged))
        translates_or_refuses(whole_body[:at])
