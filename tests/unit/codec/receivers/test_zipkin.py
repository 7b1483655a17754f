"""Zipkin spans become OTLP, one peculiarity at a time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.flat_requests import read_request, whole, yes
from support.wire import fixed64, message, number

from tracestore.codec.proto import zipkin_pb2
from tracestore.codec.receivers import zipkin
from tracestore.errors import InvalidRequestError, MalformedError

NOW_NS = 1_800_000_000_000_000_000
US = 1_700_000_000_000_000
TRACE = "463ac35c9f6413ad48485a3953bb6124"


def sent(**members: Any) -> dict[str, Any]:
    return {"traceId": TRACE, "id": "0000000000000001", "timestamp": US, **members}


def translate(*spans: dict[str, Any] | None) -> list[dict[str, Any]]:
    return read_request(zipkin.translate_json(json.dumps(spans).encode(), received_ns=NOW_NS))


def translate_one(**members: Any) -> dict[str, Any]:
    (span,) = translate(sent(**members))
    return span


def test_a_span_with_everything() -> None:
    span = translate_one(
        parentId="0000000000000002",
        name="get /api",
        kind="CLIENT",
        duration=1500,
        localEndpoint={"serviceName": "shop", "ipv4": "10.0.0.1", "port": 8080},
        remoteEndpoint={"serviceName": "bank", "ipv6": "2001:db8::1", "port": 443},
        annotations=[{"timestamp": US + 7, "value": "ws"}],
        tags={"http.method": "GET", "k8s.pod.name": "shop-1"},
        debug=True,
        shared=False,
    )

    assert span == {
        "resource": {"service.name": "shop", "k8s.pod.name": "shop-1"},
        "scope": ("", ""),
        "trace": TRACE,
        "id": "0000000000000001",
        "parent": "0000000000000002",
        "state": "",
        "name": "get /api",
        "kind": "client",
        "start": US * 1000,
        "end": US * 1000 + 1_500_000,
        "status": ("unset", ""),
        "attributes": {
            "http.method": "GET",
            "net.host.ip": "10.0.0.1",
            "net.host.port": whole(8080),
            "peer.service": "bank",
            "net.peer.ip": "2001:db8::1",
            "net.peer.port": whole(443),
        },
        "events": [((US + 7) * 1000, "ws", {})],
        "links": [],
    }


def test_short_ids_are_padded() -> None:
    span = translate_one(traceId="48485A3953BB6124", id="1", parentId="ab")

    assert span["trace"] == "0" * 16 + "48485a3953bb6124"
    assert (span["id"], span["parent"]) == ("0" * 15 + "1", "0" * 14 + "ab")


@pytest.mark.parametrize("parent", ["", "0", "0000000000000000", None, "0000000000000001"])
def test_no_parent(parent: str | None) -> None:
    assert translate_one(parentId=parent)["parent"] == ""


@pytest.mark.parametrize(
    ("tags", "status", "left"),
    [
        ({}, ("unset", ""), {}),
        ({"error": "true"}, ("error", ""), {}),
        ({"error": ""}, ("error", ""), {}),
        ({"error": "boom"}, ("error", "boom"), {"error": "boom"}),
        ({"error": "false"}, ("unset", ""), {"error": "false"}),
        ({"otel.status_code": "OK"}, ("ok", ""), {}),
        ({"otel.status_code": "Error", "otel.status_description": "x"}, ("error", "x"), {}),
        ({"otel.status_code": "ERROR", "error": "x"}, ("error", "x"), {"error": "x"}),
        ({"otel.status_code": "?"}, ("unset", ""), {"otel.status_code": "?"}),
    ],
)
def test_status(tags: dict[str, str], status: tuple[str, str], left: dict[str, str]) -> None:
    span = translate_one(tags=tags)

    assert (span["status"], span["attributes"]) == (status, left)


def test_kind_may_be_a_tag_because_zipkin_knows_no_internal() -> None:
    internal = translate_one(tags={"span.kind": "internal"})
    odd = translate_one(tags={"span.kind": "?"})

    assert (internal["kind"], internal["attributes"]) == ("internal", {})
    assert (odd["kind"], odd["attributes"]) == ("unspecified", {"span.kind": "?"})


def test_shared_spans_keep_their_id() -> None:
    client, server = translate(sent(kind="CLIENT"), sent(kind="SERVER", shared=True))

    assert (client["id"], client["kind"]) == (server["id"], "client")
    assert server["kind"] == "server"


def test_without_a_time_a_span_begins_at_its_first_annotation_or_now() -> None:
    notes = [{"timestamp": US + 9, "value": "b"}, {"timestamp": US + 5, "value": "a"}]
    noted = translate_one(timestamp=None, duration=4, annotations=notes)
    bare = translate_one(timestamp=0)

    assert (noted["start"], noted["end"]) == ((US + 5) * 1000, (US + 9) * 1000)
    assert (bare["start"], bare["end"]) == (NOW_NS, NOW_NS)
    assert noted["attributes"] == bare["attributes"] == {zipkin.START_ABSENT: yes(True)}


def test_what_a_collector_wrote_into_tags_is_read_back() -> None:
    span = translate_one(
        tags={
            "otel.library.name": "lib",
            "otel.library.version": "1",
            "w3c.tracestate": "a=b",
            "otlp.service.name.source": "faas.name",
            "otlp.link.0": f'{TRACE}|00000000000000ff|s=t|{{"k":"v","n":1}}|0',
            "otlp.link.1": "no link",
        },
        localEndpoint={"serviceName": "job"},
        annotations=[
            {"timestamp": 1, "value": 'said|{"a":true}|0'},
            {"timestamp": 2, "value": "one|two|three"},
            {"timestamp": 3, "value": 'nested|{"a":[1]}|0'},
            {"timestamp": 4, "value": '{"by an sdk": {"n": 1}}'},
            {"timestamp": 5, "value": '{"no": "event"}'},
            {"timestamp": 6, "value": '{"neither": {}, "this": {}}'},
        ],
    )

    assert (span["scope"], span["state"]) == (("lib", "1"), "a=b")
    assert span["resource"] == {"faas.name": "job"}
    assert span["links"] == [(TRACE, "00000000000000ff", {"k": "v", "n": whole(1)})]
    assert span["attributes"] == {"otlp.link.1": "no link"}
    assert span["events"] == [
        (1000, "said", {"a": yes(True)}),
        (2000, "one|two|three", {}),
        (3000, 'nested|{"a":[1]}|0', {}),
        (4000, "by an sdk", {"n": whole(1)}),
        (5000, '{"no": "event"}', {}),
        (6000, '{"neither": {}, "this": {}}', {}),
    ]


def test_resources_that_differ_stay_apart() -> None:
    shop = {"serviceName": "shop"}
    spans = translate(
        *(sent(localEndpoint=shop, tags={"host.name": host}) for host in ("a", "b", "a")),
        sent(tags={"service.name": "tagged"}),
        sent(localEndpoint=shop, tags={"service.name": "another"}),
    )

    assert sorted(list(span["resource"].items()) for span in spans) == [
        [("host.name", "a"), ("service.name", "shop")],
        [("host.name", "a"), ("service.name", "shop")],
        [("host.name", "b"), ("service.name", "shop")],
        [("service.name", "shop")],
        [("service.name", "tagged")],
    ]
    (kept,) = (s for s in spans if s["resource"] == {"service.name": "shop"})
    assert kept["attributes"] == {"service.name": "another"}


def test_both_addresses_of_an_endpoint_are_kept() -> None:
    span = translate_one(localEndpoint={"ipv4": "10.0.0.1", "ipv6": "::1"})

    assert span["attributes"] == {"net.host.ip": "::1", "net.host.ipv4": "10.0.0.1"}


def test_nothing_sent_is_nothing_stored() -> None:
    assert translate() == translate(None) == []


BAD = {
    "no json": (b"{", "body is no list of zipkin spans: "),
    "no list": (b"{}", "Expected `array`, got `object`"),
    "no object": (b"[1]", "Expected `object | null`, got `int` - at `$[0]`"),
    "no id": (b'[{"traceId": "1"}]', "missing required field `id` - at `$[0]`"),
    "a number as tag": (
        b'[{"traceId": "1", "id": "1", "tags": {"a": 1}}]',
        "Expected `str | null`, got `int` - at `$[0].tags[...]`",
    ),
    "no utf-8": (b'[{"traceId": "\xff", "id": "1"}]', "body is no list of zipkin spans"),
    "half a pair": (rb'[{"traceId": "1", "id": "1", "name": "\ud800"}]', "zipkin spans"),
    "deep": (b'[{"traceId": "1", "id": "1", "x": ' + b"[" * 100_000, "recursion"),
    "zero trace": (b'[{"traceId": "0", "id": "1"}]', "zipkin span 0: traceId is zero"),
    "empty trace": (b'[{"traceId": "", "id": "1"}]', "zipkin span 0: traceId is not 1 to 32 hex"),
    "blanks": (b'[{"traceId": "1", "id": " 1"}]', "zipkin span 0: id is not 1 to 16 hex digits"),
    "long id": (b'[{"traceId": "1", "id": "00000000000000001"}]', "id is not 1 to 16 hex digits"),
    "zero id": (b'[null, {"traceId": "1", "id": "1"}, {"traceId": "1", "id": "0"}]', "span 1: id"),
    "bad parent": (b'[{"traceId": "1", "id": "1", "parentId": "g"}]', "parentId is not"),
    "bad kind": (b'[{"traceId": "1", "id": "1", "kind": "BOSS"}]', "kind is 'BOSS', not CLIENT"),
    "late": (b'[{"traceId": "1", "id": "1", "timestamp": 1e99}]', "got `float`"),
    "later": (
        b'[{"traceId": "1", "id": "1", "timestamp": 99999999999999999999999}]',
        "timestamp is 99999999999999999999999, not 0 to 9223372036854775 microseconds",
    ),
    "early": (b'[{"traceId": "1", "id": "1", "timestamp": -1}]', "timestamp is -1, not 0 to"),
    "backwards": (b'[{"traceId": "1", "id": "1", "duration": -1}]', "duration is -1, not 0 to"),
    "big port": (
        b'[{"traceId":"1","id":"1","localEndpoint":{"port":99999999999999999999}}]',
        "zipkin span 0: ",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_json_is_refused_with_the_place(name: str) -> None:
    body, reason = BAD[name]

    with pytest.raises(InvalidRequestError) as refused:
        zipkin.translate_json(body, received_ns=NOW_NS)

    assert reason in str(refused.value)


def test_protobuf_means_what_json_means() -> None:
    spans = zipkin_pb2.ListOfSpans(
        spans=[
            zipkin_pb2.Span(
                trace_id=bytes.fromhex(TRACE),
                id=b"\0\0\0\0\0\0\0\1",
                parent_id=b"\0\0\0\0\0\0\0\2",
                kind=zipkin_pb2.Span.CONSUMER,
                name="poll",
                timestamp=US,
                duration=3,
                local_endpoint=zipkin_pb2.Endpoint(
                    service_name="shop", ipv4=bytes([10, 0, 0, 1]), ipv6=bytes(15) + b"\1", port=1
                ),
                remote_endpoint=zipkin_pb2.Endpoint(service_name="bank"),
                annotations=[zipkin_pb2.Annotation(timestamp=US, value="x")],
                tags={"a": "b", "error": "no"},
                shared=True,
            )
        ]
    )
    same = sent(
        parentId="2",
        kind="CONSUMER",
        name="poll",
        duration=3,
        localEndpoint={"serviceName": "shop", "ipv4": "10.0.0.1", "ipv6": "::1", "port": 1},
        remoteEndpoint={"serviceName": "bank"},
        annotations=[{"timestamp": US, "value": "x"}],
        tags={"a": "b", "error": "no"},
    )

    request = zipkin.translate_protobuf(spans.SerializeToString(), received_ns=NOW_NS)

    assert read_request(request) == translate(same)


BAD_MESSAGES = {
    "cut off": (b"\x0a\x05abc", "protobuf field of 5 bytes is cut off at byte 0"),
    "endless number": (b"\x0a" + b"\xff" * 11, "protobuf number has more than 10 bytes at byte"),
    "a group": (b"\x0b", "protobuf field has the wire type 3 at byte 0"),
    "field zero": (b"\x02\x00", "protobuf field has the number 0 at byte 0"),
    "no message": (number(9, 1) + message(1, b"\xff"), "zipkin span is no protobuf message"),
    "no utf-8": (message(1, message(5, b"\xff")), "zipkin span is no protobuf message"),
    "an empty span": (message(1), "zipkin span 0: traceId is not 1 to 32 hex digits: ''"),
    "half a fixed": (fixed64(7, 1)[:-1], "protobuf field is cut off at byte 0"),
    "too large": (
        message(1, b"\x52\x00" * (2 << 20) + b"\x52\x00"),
        "zipkin span has 4194306 bytes, the limit is 4194304, at byte",
    ),
}


@pytest.mark.parametrize("name", BAD_MESSAGES)
def test_bad_protobuf_is_refused_with_the_place(name: str) -> None:
    body, reason = BAD_MESSAGES[name]

    with pytest.raises(InvalidRequestError) as refused:
        zipkin.translate_protobuf(body, received_ns=NOW_NS)

    assert reason in str(refused.value)
    assert "span 0" in reason or isinstance(refused.value, MalformedError)


def test_many_spans_are_all_there() -> None:
    spans = [sent(id=f"{n:x}", localEndpoint={"serviceName": f"s{n % 3}"}) for n in range(1, 5001)]

    ids = [int(span["id"], 16) for span in translate(*spans)]

    assert sorted(ids) == list(range(1, 5001))
