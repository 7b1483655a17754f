"""Jaeger spans become OTLP, one peculiarity at a time, by Thrift and by protobuf."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from support.flat_requests import read_request, real, whole, yes
from support.jaeger import post_spans, thrift_batch
from support.wire import message

from tracestore.codec.receivers.jaeger_protobuf import translate_request
from tracestore.codec.receivers.jaeger_thrift import translate_batch
from tracestore.errors import InvalidRequestError

US = 1_700_000_000_000_000
TRACE = 0x463AC35C9F6413AD48485A3953BB6124
OTHER = 0x99
HEX = f"{TRACE:032x}"


def both(*spans: dict[str, Any], **process: Any) -> list[dict[str, Any]]:
    """Translate a batch both ways, which must agree."""
    batch = {"process": {"service_name": "shop", **process}, "spans": spans}
    by_thrift = read_request(translate_batch(thrift_batch(batch)))
    assert read_request(translate_request(post_spans(batch))) == by_thrift
    return by_thrift


def one(**fields: Any) -> dict[str, Any]:
    (span,) = both({"trace": TRACE, "id": 1, "start_us": US, **fields})
    return span


def test_a_span_with_everything() -> None:
    (span,) = both(
        {
            "trace": TRACE,
            "id": 0xFEDCBA9876543210,
            "parent": 2,
            "name": "GET /",
            "start_us": US,
            "duration_us": 1500,
            "tags": {
                "s": "x",
                "b": True,
                "i": -5,
                "f": 0.5,
                "raw": b"\0\xff",
                "span.kind": "server",
            },
            "logs": [
                (US + 3, {"event": "retry", "n": 2}),
                (US + 4, {"message": "m"}),
                (US + 5, {}),
            ],
            "references": [(1, OTHER, 7)],
        },
        tags={"hostname": "h", "ip": "10.0.0.1", "jaeger.version": "Go-2"},
    )

    assert span == {
        "resource": {
            "service.name": "shop",
            "ip": "10.0.0.1",
            "host.name": "h",
            "opencensus.exporterversion": "Jaeger-Go-2",
        },
        "scope": ("", ""),
        "trace": HEX,
        "id": "fedcba9876543210",
        "parent": "0000000000000002",
        "state": "",
        "name": "GET /",
        "kind": "server",
        "start": US * 1000,
        "end": US * 1000 + 1_500_000,
        "status": ("unset", ""),
        "attributes": {"s": "x", "b": yes(True), "i": whole(-5), "f": real(0.5), "raw": b"\0\xff"},
        "events": [
            ((US + 3) * 1000, "retry", {"n": whole(2)}),
            ((US + 4) * 1000, "", {"message": "m"}),
            ((US + 5) * 1000, "", {}),
        ],
        "links": [(f"{OTHER:032x}", "0000000000000007", {"opentracing.ref_type": "follows_from"})],
    }


@pytest.mark.parametrize(
    ("tags", "status", "left"),
    [
        ({"error": True}, ("error", ""), []),
        ({"error": "true"}, ("error", ""), []),
        ({"error": False}, ("unset", ""), ["error"]),
        ({"error": "timeout"}, ("unset", ""), ["error"]),
        ({"error": True, "otel.status_description": "d"}, ("error", "d"), []),
        ({"error": True, "http.status_message": "m"}, ("error", "m"), ["http.status_message"]),
        ({"error": True, "otel.status_code": "OK"}, ("error", ""), []),
        ({"otel.status_code": "OK"}, ("ok", ""), []),
        ({"otel.status_code": "Error", "otel.status_description": "d"}, ("error", "d"), []),
        ({"otel.status_code": "?"}, ("unset", ""), ["otel.status_code"]),
        ({"http.status_code": 500}, ("error", ""), ["http.status_code"]),
        ({"http.status_code": "503"}, ("error", ""), ["http.status_code"]),
        ({"http.status_code": 404}, ("error", ""), ["http.status_code"]),
        ({"http.status_code": 404, "span.kind": "server"}, ("unset", ""), ["http.status_code"]),
        ({"http.status_code": 200}, ("unset", ""), ["http.status_code"]),
        ({"http.status_code": "many"}, ("unset", ""), ["http.status_code"]),
        ({"http.status_code": 1e300}, ("unset", ""), ["http.status_code"]),
        ({"http.status_code": 500, "otel.status_code": "OK"}, ("ok", ""), ["http.status_code"]),
    ],
)
def test_status(tags: dict[str, Any], status: tuple[str, str], left: list[str]) -> None:
    span = one(tags=tags)

    assert (span["status"], sorted(span["attributes"])) == (status, left)


@pytest.mark.parametrize("kind", ["client", "server", "producer", "consumer", "internal"])
def test_kind(kind: str) -> None:
    assert one(tags={"span.kind": kind})["kind"] == kind


def test_a_kind_that_is_none_stays_a_tag() -> None:
    span = one(tags={"span.kind": "boss"})

    assert (span["kind"], span["attributes"]) == ("unspecified", {"span.kind": "boss"})


def link(trace: int, id: int, kind: str) -> tuple[str, str, dict[str, str]]:
    return (f"{trace:032x}", f"{id:016x}", {"opentracing.ref_type": kind})


CASES: dict[str, tuple[list[tuple[int, int, int]], int, list[Any]]] = {
    "child of": ([(0, TRACE, 5)], 5, []),
    "child of another trace": ([(0, OTHER, 5)], 0, [link(OTHER, 5, "child_of")]),
    "follows": ([(1, TRACE, 5)], 5, [link(TRACE, 5, "follows_from")]),
    "child after follows": (
        [(1, TRACE, 4), (0, TRACE, 5)],
        5,
        [link(TRACE, 4, "follows_from")],
    ),
    "two parents": ([(0, TRACE, 5), (0, TRACE, 6)], 5, [link(TRACE, 6, "child_of")]),
}


@pytest.mark.parametrize("name", CASES)
def test_references_are_the_parent_and_links(name: str) -> None:
    references, parent, links = CASES[name]

    span = one(references=references)

    assert span["parent"] == (f"{parent:016x}" if parent else "")
    assert span["links"] == links


def test_what_an_sdk_wrote_into_tags_is_read_back() -> None:
    span = one(
        tags={"otel.library.name": "lib", "otel.scope.version": "1", "w3c.tracestate": "a=b"}
    )

    assert (span["scope"], span["state"], span["attributes"]) == (("lib", "1"), "a=b", {})


def test_a_trace_id_of_64_bits_is_padded() -> None:
    (span,) = both({"trace": 5, "id": 1})

    assert span["trace"] == f"{5:032x}"


def test_a_process_without_a_name_has_no_service() -> None:
    batch = {"process": {"service_name": "", "tags": {"a": "b"}}, "spans": [{"trace": 1, "id": 1}]}

    (span,) = read_request(translate_batch(thrift_batch(batch)))

    assert span["resource"] == {"a": "b"}


def test_the_process_of_a_span_wins_over_that_of_the_batch() -> None:
    spans = [
        {"trace": 1, "id": 1, "process": {"service_name": "bank"}},
        {"trace": 1, "id": 2},
    ]
    request = post_spans({"process": {"service_name": "shop"}, "spans": spans})

    found = {
        s["id"][-1]: s["resource"]["service.name"] for s in read_request(translate_request(request))
    }

    assert found == {"1": "bank", "2": "shop"}


def test_a_clock_set_back_is_stored_as_it_is() -> None:
    span = one(duration_us=-5)

    assert span["start"] - span["end"] == 5000


BAD_SPANS = {
    "zero trace": ({"trace": 0, "id": 1}, "jaeger span 0: trace id is zero"),
    "zero span": ({"trace": 1, "id": 0}, "jaeger span 0: span id is zero"),
    "early": ({"trace": 1, "id": 1, "start_us": -1}, "start time is -1000, not 0 to"),
    "ends early": ({"trace": 1, "id": 1, "duration_us": -1}, "end time is -1000, not 0 to"),
    "early log": ({"trace": 1, "id": 1, "logs": [(-1, {})]}, "log timestamp is -1000"),
}


@pytest.mark.parametrize("name", BAD_SPANS)
def test_a_bad_span_is_named(name: str) -> None:
    span, reason = BAD_SPANS[name]
    batch = {"process": {"service_name": "shop"}, "spans": [span]}

    for translate, body in (
        (translate_batch, thrift_batch(batch)),
        (translate_request, post_spans(batch)),
    ):
        with pytest.raises(InvalidRequestError, match=reason):
            translate(body)


def test_a_late_span_is_named() -> None:
    batch = {"process": {"service_name": ""}, "spans": [{"trace": 1, "id": 1, "start_us": 2**62}]}

    with pytest.raises(InvalidRequestError, match="start time is"):
        translate_batch(thrift_batch(batch))


def list_of(kind: int, count: int) -> bytes:
    return struct.pack(">bhbi", 15, 9, kind, count)


GOOD = thrift_batch({"process": {"service_name": "shop"}, "spans": [{"trace": 1, "id": 1}]})
BAD_THRIFT = {
    "nothing": (b"", "thrift struct is cut off at byte 0"),
    "cut off": (GOOD[:-3], "at byte"),
    "no process": (b"\0", "jaeger batch without process ends at byte 1"),
    "no utf-8": (
        struct.pack(">bhbhi", 12, 1, 11, 1, 1) + b"\xff\0",
        "text is not UTF-8 at byte 10",
    ),
    "negative length": (
        struct.pack(">bhbhi", 12, 1, 11, 1, -1),
        "text has the length -1 at byte 6",
    ),
    "a list of numbers": (struct.pack(">bhbi", 15, 2, 10, 1) + bytes(8), "holds values of type 10"),
    "a list too long": (
        struct.pack(">bhbi", 15, 2, 12, 2**31 - 1),
        "2147483647 elements is cut off",
    ),
    "a negative list": (struct.pack(">bhbi", 15, 2, 12, -1), "list of -1 elements"),
    "empty structs": (
        struct.pack(">bhbi", 15, 2, 12, 9) + bytes(9),
        "span without traceIdLow ends",
    ),
    "unknown type": (struct.pack(">bh", 99, 9), "thrift value has the type 99"),
    "deep": (struct.pack(">bh", 12, 9) * 100_000, "nested deeper than 16"),
    "deep lists": (list_of(15, 1) + struct.pack(">bi", 15, 1) * 100_000, "nested deeper than 16"),
    "many unknown": (list_of(12, 100_000) + bytes(100_000), "over 65536 unknown values"),
    "many unknown fields": (struct.pack(">bhb", 3, 9, 0) * 100_000, "over 65536 unknown values"),
}


@pytest.mark.parametrize("name", BAD_THRIFT)
def test_bad_thrift_is_refused_with_the_place(name: str) -> None:
    body, reason = BAD_THRIFT[name]

    with pytest.raises(InvalidRequestError) as refused:
        translate_batch(body)

    assert reason in str(refused.value)


def test_unknown_fields_are_passed_over() -> None:
    unknown = (
        struct.pack(">bhb", 2, 90, 1)
        + struct.pack(">bhbhhb", 12, 91, 6, 1, 5, 0)
        + struct.pack(">bhbii", 15, 92, 8, 1, 7)
        + struct.pack(">bhbbi", 13, 93, 11, 8, 1)
        + struct.pack(">ici", 1, b"k", 7)
        + struct.pack(">bhd", 4, 94, 0.5)
        + struct.pack(">bhq", 10, 1, 5)  # a known number with another type
    )

    assert translate_batch(unknown + GOOD) == translate_batch(GOOD)


BAD_MESSAGES = {
    "cut off": (b"\x0a\x05abc", "protobuf field of 5 bytes is cut off at byte 0"),
    "no span": (message(1, message(1, b"\xff")), "jaeger span is no protobuf message"),
    "no process": (message(1, message(2, b"\xff")), "jaeger process is no protobuf message"),
    "an empty span": (message(1, message(1)), "jaeger span 0: trace id has 0 bytes, not 16"),
    "a short id": (
        message(1, message(1, message(1, bytes(16)), message(2, b"abc"))),
        "jaeger span 0: span id has 3 bytes, not 8",
    ),
    "too large": (
        message(1, message(1, b"\x42\x00" * (2 << 20) + b"\x42\x00")),
        "jaeger span has 4194306 bytes, the limit is 4194304, at byte",
    ),
}


@pytest.mark.parametrize("name", BAD_MESSAGES)
def test_bad_protobuf_is_refused_with_the_place(name: str) -> None:
    body, reason = BAD_MESSAGES[name]

    with pytest.raises(InvalidRequestError) as refused:
        translate_request(body)

    assert reason in str(refused.value)


def test_nothing_sent_is_nothing_stored() -> None:
    assert translate_request(b"") == b""
    assert both() == []
