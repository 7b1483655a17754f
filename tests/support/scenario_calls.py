"""Asks what a scenario asks, by HTTP or gRPC, and yields what is not as expected.

Messages are those of ``support.tempopb``: made from the text of the contract, not from our code.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
from google.protobuf import json_format
from support.scenarios import METHODS, mismatch
from support.tempopb import METHODS as CALLS
from support.tempopb import message, method

TIMEOUT_S = 60


def ask_http(url: str, content: dict[str, Any]) -> Iterator[str]:
    """Send the request of a scenario."""
    verb = next(verb for verb in METHODS if verb in content)
    reply = httpx.request(
        verb.upper(),
        url + content[verb],
        params=content.get("query"),
        headers={"Accept": "*/*"} | content.get("headers", {}),
        content=_body(content.get("body")),
        timeout=TIMEOUT_S,
    )
    expect = dict(content["expect"])
    yield from _check_head(reply, expect)
    yield from _check_text(reply.text, expect)
    assert not expect, f"unknown expectations: {expect}"


def _body(body: Any) -> bytes | str | None:
    if isinstance(body, str | None):
        return body
    if isinstance(body, dict) and body.keys() == {"base64"}:
        return base64.b64decode(body["base64"])
    return json.dumps(body)


def _check_head(reply: httpx.Response, expect: dict[str, Any]) -> Iterator[str]:
    """What was looked at leaves ``expect``."""
    if (status := expect.pop("status", 200)) != reply.status_code:
        yield f"expected status {status}, got {reply.status_code}: {reply.text[:500]}"
    for name, value in expect.pop("headers", {}).items():
        if problem := mismatch({name.lower(): value}, dict(reply.headers), "headers"):
            yield problem
    if (wanted := expect.pop("json", None)) is not None:
        yield from filter(None, [mismatch(wanted, reply.json())])
    if (wanted := expect.pop("protobuf", None)) is not None:
        decoded = message(wanted["message"]).FromString(reply.content)
        yield from filter(None, [mismatch(wanted["json"], json_format.MessageToDict(decoded))])


def _check_text(text: str, expect: dict[str, Any]) -> Iterator[str]:
    if (wanted := expect.pop("text", None)) not in (None, text):
        yield f"expected {wanted!r}, got {text!r}"
    if not text.startswith(wanted := expect.pop("starts", "")):
        yield f"expected {wanted!r} at the begin of {text!r}"
    for wanted in expect.pop("contains", ()):
        if wanted not in text:
            yield f"expected {wanted!r} in {text!r}"
    for unwanted in expect.pop("lacks", ()):
        if unwanted in text:
            yield f"expected no {unwanted!r} in {text!r}"


def ask_grpc(target: str, content: dict[str, Any]) -> Iterator[str]:
    """Make the call of a scenario.

    Args:
        target: host:port.
    """
    name, expect = content["grpc"], dict(content["expect"])
    request = json_format.ParseDict(content.get("request", {}), message(CALLS[name][0])())
    code, details, replies = "OK", "", []
    with grpc.insecure_channel(target) as channel:
        call = method(channel, name)(
            request, metadata=tuple(content.get("metadata", {}).items()), timeout=TIMEOUT_S
        )
        try:
            replies = [json_format.MessageToDict(reply) for reply in call]
        except grpc.RpcError as error:
            code, details = error.code().name, error.details()
    if (wanted := expect.pop("code", "OK")) != code:
        yield f"expected {wanted}, got {code}: {details}"
    yield from _check_text(details, expect)
    last = expect.pop("last", None)
    if code == "OK" and not replies:
        yield "expected a message at least"
    for reply in replies:
        if "metrics" not in reply:
            yield f"a message without metrics: {reply}"
    if last is not None and replies:
        yield from filter(None, [mismatch(last, replies[-1])])
    assert not expect, f"unknown expectations: {expect}"
