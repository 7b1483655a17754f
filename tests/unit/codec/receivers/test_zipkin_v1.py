"""Zipkin spans of version 1 become OTLP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.flat_requests import read_request, whole

from tracestore.codec.receivers import zipkin_v1
from tracestore.errors import InvalidRequestError
from tracestore.kernel import check

NOW_NS = 1_800_000_000_000_000_000
US = 1_700_000_000_000_000
SHOP = {"serviceName": "shop", "ipv4": "10.0.0.1", "port": 80}
BANK = {"serviceName": "bank", "port": 443}


def translate_one(**members: Any) -> dict[str, Any]:
    body = json.dumps([None, {"traceId": "ab", "id": "1", **members}]).encode()
    (span,) = read_request(zipkin_v1.translate_json(body, received_ns=NOW_NS))
    return span


def test_annotations_make_the_span_what_it_is() -> None:
    span = translate_one(
        parentId="2",
        name="get",
        annotations=[
            {"timestamp": US, "value": "cs", "endpoint": SHOP},
            {"timestamp": US + 5, "value": "retry", "endpoint": BANK},
            {"timestamp": US + 9, "value": "cr", "endpoint": SHOP},
        ],
        binaryAnnotations=[
            {"key": "sa", "value": True, "endpoint": BANK},
            {"key": "http.path", "value": "/x", "endpoint": SHOP},
            {"key": "error", "value": "boom"},
            {"key": "yes", "value": True},
            {"key": "n", "value": 7},
            {"key": "none"},
        ],
    )

    assert (span["trace"], span["id"], span["parent"]) == (
        "0" * 30 + "ab",
        "0" * 15 + "1",
        "0" * 15 + "2",
    )
    assert (span["name"], span["kind"], span["status"]) == ("get", "client", ("error", "boom"))
    assert span["resource"] == {"service.name": "shop"}
    assert (span["start"], span["end"]) == (US * 1000, (US + 9) * 1000)
    assert span["events"] == [
        (US * 1000, "cs", {}),
        ((US + 5) * 1000, "retry", {}),
        ((US + 9) * 1000, "cr", {}),
    ]
    attributes = span["attributes"]
    del attributes["otel.zipkin.absentField.startTime"]
    assert attributes == {
        "http.path": "/x",
        "error": "boom",
        "yes": "true",
        "n": "7",
        "none": "",
        "net.host.ip": "10.0.0.1",
        "net.host.port": whole(80),
        "peer.service": "bank",
        "net.peer.port": whole(443),
    }


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("cs", "client"),
        ("cr", "client"),
        ("sr", "server"),
        ("ss", "server"),
        ("ms", "producer"),
        ("mr", "consumer"),
        ("other", "unspecified"),
    ],
)
def test_kind(value: str, kind: str) -> None:
    assert translate_one(annotations=[{"timestamp": US, "value": value}])["kind"] == kind


def test_what_a_span_says_of_its_time_wins() -> None:
    notes = [{"timestamp": US + 1, "value": "sr"}, {"timestamp": US + 2, "value": "ss"}]

    span = translate_one(timestamp=US, duration=5, annotations=notes)

    assert (span["start"], span["end"]) == (US * 1000, (US + 5) * 1000)
    assert span["attributes"] == {}


def test_a_local_span_is_of_who_tagged_it() -> None:
    span = translate_one(binaryAnnotations=[{"key": "lc", "value": "db", "endpoint": SHOP}])

    assert span["resource"] == {"service.name": "shop"}
    assert span["attributes"]["lc"] == "db"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{}", "body is no list of zipkin v1 spans: Expected `array`"),
        (b'[{"traceId": "1"}]', "missing required field `id` - at `$[0]`"),
        (b'[{"traceId": "1", "id": "0"}]', "zipkin span 0: id is zero"),
        (b'[{"traceId": "1", "id": "1", "annotations": [7]}]', "at `$[0].annotations[0]`"),
        (b'[{"traceId": "1", "id": "1", "annotations": [{"timestamp": -1}]}]', "timestamp is -1"),
    ],
)
def test_what_is_bad_is_refused_with_the_place(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        zipkin_v1.translate_json(body, received_ns=NOW_NS)

    assert reason in str(refused.value)


keys = st.sampled_from(
    ["traceId", "id", "annotations", "binaryAnnotations", "value", "key", "endpoint", "timestamp"]
)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["cs", "sa", "1", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=20,
)
span_like = st.fixed_dictionaries(
    {"traceId": st.just("1"), "id": st.just("1")},
    optional={"annotations": any_json, "binaryAnnotations": any_json, "duration": any_json},
)


@settings(deadline=None)
@given(st.lists(span_like, max_size=3) | any_json)
def test_any_json_is_translated_or_refused(value: object) -> None:
    try:
        request = zipkin_v1.translate_json(json.dumps(value).encode(), received_ns=NOW_NS)
    except InvalidRequestError:
        return
    check(request)
