"""Autocomplete as streams of a real server: the end is the answer of HTTP, on both ports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from support.otlp import request, span
from support.server import Server, running_server
from support.tempopb import message, method

START_S = 1_700_000_040


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A block and the live tables, with names and values of their own."""
    with running_server(tmp_path_factory.mktemp("data") / "store") as server:
        for part in ("old", "new"):
            spans = [
                span(trace=t, id=1, name=f"{part} {t}", attributes={part: t, "both": t % 2 == 0})
                for t in range(1, 6)
            ]
            body = request(resource={"service.name": part}, spans=spans)
            headers = {"Content-Type": "application/x-protobuf"}
            url = f"{server.otlp_http}/v1/traces"
            assert httpx.post(url, content=body, headers=headers).is_success
            server.wait_until_decoded()
            if part == "old":
                assert httpx.post(f"{server.api_url}/flush", timeout=60).status_code == 204
        yield server


@pytest.fixture(params=["own port", "port of the API"])
def channel(server: Server, request: pytest.FixtureRequest) -> Iterator[Any]:
    own = request.param == "own port"
    target = server.grpc if own else server.api_url.removeprefix("http://")
    with grpc.insecure_channel(target) as channel:
        yield channel


def last_of(channel: Any, name: str, request_name: str, fields: dict[str, Any]) -> Any:
    *_, last = method(channel, name)(message(request_name)(**fields), timeout=30)
    assert last.HasField("metrics")
    assert last.metrics.totalJobs >= last.metrics.completedJobs >= 1
    return without_bytes(MessageToDict(last))


def without_bytes(body: Any) -> Any:
    """Leave out what depends on the cache. A stream shows no job as one job of one."""
    body["metrics"].pop("inspectedBytes", None)
    return body | {"metrics": {"totalJobs": 1, "completedJobs": 1} | body["metrics"]}


NAMES = [
    ({}, {}),
    ({"scope": "span"}, {"scope": "span"}),
    ({"scope": "intrinsic", "maxTagsPerScope": 3}, {"scope": "intrinsic", "limit": 3}),
    ({"query": "{ span.old = 3 }"}, {"q": "{ span.old = 3 }"}),
    ({"start": START_S, "end": START_S + 9}, {"start": START_S, "end": START_S + 9}),
]


@pytest.mark.parametrize(("fields", "params"), NAMES)
@pytest.mark.parametrize("version", ["", "v2/"])
def test_names_end_as_over_http(
    server: Server, channel: Any, version: str, fields: dict[str, Any], params: dict[str, Any]
) -> None:
    name = "SearchTagsV2" if version else "SearchTags"
    url = f"{server.api_url}/api/{version}search/tags"

    answer = without_bytes(httpx.get(url, params=params).json())

    assert last_of(channel, name, "SearchTagsRequest", fields) == answer


VALUES = [
    ({"tagName": "service.name"}, "service.name", {}),
    ({"tagName": "name", "maxTagValues": 4}, "name", {"limit": 4}),
    ({"tagName": "both"}, "both", {}),
    ({"tagName": "old"}, "old", {}),
    ({"tagName": "nowhere"}, "nowhere", {}),
]


@pytest.mark.parametrize(("fields", "tag", "params"), VALUES)
@pytest.mark.parametrize("version", ["", "v2/"])
def test_values_end_as_over_http(
    server: Server,
    channel: Any,
    version: str,
    fields: dict[str, Any],
    tag: str,
    params: dict[str, Any],
) -> None:
    is_attribute = version and tag != "name"
    if is_attribute:
        tag, fields = f".{tag}", fields | {"tagName": f".{tag}"}
    url = f"{server.api_url}/api/{version}search/tag/{tag}/values"
    answer = httpx.get(url, params=params).json()
    asked = last_of(
        channel,
        "SearchTagValuesV2" if version else "SearchTagValues",
        "SearchTagValuesRequest",
        fields,
    )

    assert asked.get("tagValues", []) == answer["tagValues"]
    assert asked["metrics"] == without_bytes(answer)["metrics"]


def test_fixed_values_are_one_job_of_one(channel: Any) -> None:
    answer = last_of(channel, "SearchTagValuesV2", "SearchTagValuesRequest", {"tagName": "status"})

    assert [one["value"] for one in answer["tagValues"]] == ["ok", "error", "unset"]
    assert answer["metrics"] == {"totalJobs": 1, "completedJobs": 1}


@pytest.mark.parametrize(
    ("name", "kind", "fields", "text"),
    [
        ("SearchTags", "SearchTagsRequest", {"scope": "moon"}, "invalid scope: moon"),
        ("SearchTagsV2", "SearchTagsRequest", {"start": 5, "end": 4}, "start must be before end"),
        ("SearchTagValues", "SearchTagValuesRequest", {}, "please provide a non-empty tagName"),
        (
            "SearchTagValuesV2",
            "SearchTagValuesRequest",
            {"tagName": "moon"},
            "please provide a valid tagName: failed to parse identifier moon",
        ),
    ],
)
def test_a_bad_request_is_an_invalid_argument(
    channel: Any, name: str, kind: str, fields: dict[str, Any], text: str
) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        list(method(channel, name)(message(kind)(**fields), timeout=30))

    assert failure.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert text in failure.value.details()


def test_a_text_that_quotes_a_long_request_is_cut(channel: Any) -> None:
    asked = message("SearchTagValuesRequest")(tagName="a" * 3000 + "é" * 3000)
    with pytest.raises(grpc.RpcError) as failure:
        list(method(channel, "SearchTagValuesV2")(asked, timeout=30))

    assert failure.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.value.details().startswith("please provide a valid tagName: failed to parse")
    assert failure.value.details().endswith(" ...")
