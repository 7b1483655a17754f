import base64
import json

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.otlp import event, link, request, span

from tracestore.codec.otlp import encode_json_request
from tracestore.errors import InvalidRequestError

TRACE = "5b8efff798038103d269b633813fc60c"


def one_span(**members: object) -> bytes:
    body = {"traceId": TRACE, "spanId": "eee19b7ec3c1b174", **members}
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [body]}]}]}).encode()


def read_span(body: bytes) -> object:
    message = ExportTraceServiceRequest.FromString(encode_json_request(body))
    return message.resource_spans[0].scope_spans[0].spans[0]


def as_otlp_json(message: ExportTraceServiceRequest, *, snake_case: bool) -> str:
    """Write a message as OTLP/JSON, by protobuf's own printer and a walk over the IDs."""
    content = json_format.MessageToDict(message, preserving_proto_field_name=snake_case)

    def with_hex_ids(node: object) -> object:
        if isinstance(node, list):
            return [with_hex_ids(item) for item in node]
        if not isinstance(node, dict):
            return node
        names = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")
        return {
            key: _hex(value) if key in names else with_hex_ids(value) for key, value in node.items()
        }

    return json.dumps(with_hex_ids(content))


def _hex(base64_text: object) -> str:
    assert isinstance(base64_text, str)
    return base64.b64decode(base64_text).hex().upper()


@pytest.mark.parametrize("snake_case", [False, True])
def test_json_means_what_protobuf_means(snake_case: bool) -> None:
    sent = request(
        resource={"service.name": "shop", "n": -(2**63), "list": [1, "two", 3.5, True]},
        spans=[
            span(
                trace=1,
                id=2,
                parent=3,
                name="GET /",
                kind="server",
                status="error",
                status_message="boom",
                attributes={"bytes": b"\x00\xff", "map": {"a": {"b": None}}, "nan": float("nan")},
                events=[event("exception", at_ms=1, attributes={"k": "v"})],
                links=[link(4, 5, trace_state="a=b")],
            )
        ],
    )
    message = ExportTraceServiceRequest.FromString(sent)

    read = encode_json_request(as_otlp_json(message, snake_case=snake_case).encode())

    assert read == sent


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("traceId", TRACE[:-1]),
        ("traceId", TRACE + "0"),
        ("traceId", "zz" * 16),
        ("traceId", " ".join([TRACE[:16], TRACE[17:]])),
        ("spanId", "eee19b7ec3c1b1"),
        ("parentSpanId", "eee19b7ec3c1b17400"),
        ("traceId", 17),
        ("spanId", ["ee"]),
    ],
)
def test_an_id_of_another_form_is_refused(name: str, text: object) -> None:
    with pytest.raises(InvalidRequestError, match=name):
        encode_json_request(one_span(**{name: text}))


def test_enums_are_numbers_or_names_and_64_bit_numbers_texts_or_numbers() -> None:
    by_name = read_span(one_span(kind="SPAN_KIND_CLIENT", startTimeUnixNano="1544712660000000000"))
    by_number = read_span(one_span(kind=3, start_time_unix_nano=1544712660000000000))

    assert by_name == by_number


@pytest.mark.parametrize(
    "members",
    [
        {"kind": "SERVER"},
        {"kind": "span_kind_server"},
        {"kind": "2.5"},
        {"status": {"code": "ERROR"}},
        {"attributes": [{"key": "a", "value": {"bytesValue": "***"}}]},
        {"attributes": [{"key": "a", "value": {"bytes_value": "A"}}]},
        {"events": [{"attributes": [{"key": "a", "value": {"bytesValue": "AA=A"}}]}]},
    ],
)
def test_what_would_be_read_as_something_else_is_refused(members: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError):
        encode_json_request(one_span(**members))


@pytest.mark.parametrize("text", ["+/8=", "-_8=", "+/8", ""])
def test_bytes_in_either_alphabet_padded_or_not(text: str) -> None:
    body = one_span(attributes=[{"key": "a", "value": {"bytesValue": text}}])

    for encoding in ("utf-8", "utf-16"):
        read = ExportTraceServiceRequest.FromString(
            encode_json_request(body.decode().encode(encoding))
        )
        (attribute,) = read.resource_spans[0].scope_spans[0].spans[0].attributes
        assert attribute.value.bytes_value == (b"\xfb\xff" if text else b"")


def test_unknown_fields_are_ignored() -> None:
    assert read_span(one_span(nobodyKnows={"a": 1})) == read_span(one_span())


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"7", b'{"resourceSpans":7}', b"\xff", b"[" * 100_000]
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        encode_json_request(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=3) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["resourceSpans", "scopeSpans", "spans", "links", "traceId", "kind"]
                ),
                inner,
            )
        ),
    )
)
def test_any_json_is_an_answer_not_a_crash(value: object) -> None:
    try:
        content = encode_json_request(json.dumps(value).encode())
    except InvalidRequestError:
        return
    ExportTraceServiceRequest.FromString(content)
