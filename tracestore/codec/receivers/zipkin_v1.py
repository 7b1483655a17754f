"""Zipkin spans of version 1 in JSON -> those of version 2.

Version 1 has no kind and no endpoints of its own: annotations say both (``cs`` client send, ``sr``
server receive, ``sa`` server address …). They stay events too, so nothing of them is lost.

Source: Zipkin API v1; Zipkin, "Converting v1 to v2 spans".
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tracestore.codec.receivers.messages import Body
from tracestore.codec.receivers.zipkin import Annotation, Endpoint, ZipkinSpan, translate_spans
from tracestore.errors import InvalidRequestError

_KINDS = {
    **dict.fromkeys(("cs", "cr"), "CLIENT"),
    **dict.fromkeys(("sr", "ss"), "SERVER"),
    "ms": "PRODUCER",
    "mr": "CONSUMER",
}
_ADDRESSES = ("sa", "ca", "ma")


class V1Annotation(msgspec.Struct, gc=False):
    """Something that happened, and where."""

    timestamp: int | None = None
    value: str | None = None
    endpoint: Endpoint | None = None


class BinaryAnnotation(msgspec.Struct, gc=False):
    """A tag, and where it was set; of an address the endpoint alone counts."""

    key: str
    value: str | bool | int | float | None = None
    endpoint: Endpoint | None = None


class V1Span(msgspec.Struct):
    """A span of version 1."""

    traceId: str  # noqa: N815 - the name of the format
    id: str
    parentId: str | None = None  # noqa: N815
    name: str | None = None
    timestamp: int | None = None
    duration: int | None = None
    annotations: list[V1Annotation] | None = None
    binaryAnnotations: list[BinaryAnnotation] | None = None  # noqa: N815


_DECODER = msgspec.json.Decoder(list[V1Span | None])


def translate_json(body: Body, *, received_ns: int) -> bytes:
    """Turn a JSON list of spans of version 1 into a request.

    Args:
        received_ns: now; the start of spans that have no time at all.

    Raises: InvalidRequestError saying what is wrong, and with which span.
    """
    try:
        spans = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequestError(f"body is no list of zipkin v1 spans: {error}") from error
    return translate_v1_spans((span for span in spans if span is not None), received_ns=received_ns)


def translate_v1_spans(spans: Iterable[V1Span], *, received_ns: int) -> bytes:
    """Turn spans into a request; arguments and errors as for JSON."""
    return translate_spans(map(_convert, spans), received_ns=received_ns)


def _convert(span: V1Span) -> ZipkinSpan:
    annotations = span.annotations or []
    kind = next((_KINDS[a.value] for a in annotations if a.value in _KINDS), None)
    duration = span.duration
    if duration is None:
        times = [a.timestamp or 0 for a in annotations if a.value in _KINDS]
        duration = max(times, default=0) - min(times, default=0)
    tags: dict[str, str | None] = {}
    remote = None
    for binary in span.binaryAnnotations or ():
        if binary.key in _ADDRESSES and binary.value in (True, "true"):
            remote = binary.endpoint
        else:
            tags[binary.key] = _text(binary.value)
    return ZipkinSpan(
        traceId=span.traceId,
        id=span.id,
        parentId=span.parentId,
        name=span.name,
        kind=kind,
        timestamp=span.timestamp,
        duration=duration,
        localEndpoint=_local(span),
        remoteEndpoint=remote,
        annotations=[Annotation(a.timestamp, a.value) for a in annotations],
        tags=tags,
    )


def _local(span: V1Span) -> Endpoint | None:
    """Find who made a span: whoever set the annotation that makes its kind, else any other."""
    annotations = span.annotations or []
    telling = [a.endpoint for a in annotations if a.value in _KINDS]
    others = [a.endpoint for a in annotations]
    tagged = [b.endpoint for b in span.binaryAnnotations or () if b.key not in _ADDRESSES]
    return next((e for e in [*telling, *others, *tagged] if e is not None), None)


def _text(value: str | bool | float | None) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
