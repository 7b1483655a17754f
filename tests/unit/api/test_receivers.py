"""A default port that is taken is in nobody's way; one that was asked for is."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from tracestore.api import receivers
from tracestore.api.receivers import OtherReceivers
from tracestore.errors import SettingsError
from tracestore.settings.tree import (
    JaegerGrpcSettings,
    JaegerSettings,
    JaegerThriftHttpSettings,
    ReceiverSettings,
    ZipkinSettings,
)


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as held:
        yield held


def settings(name: str, endpoint: str, enabled: bool | None) -> ReceiverSettings:
    """One receiver as given, the others off."""
    jaeger = JaegerSettings(
        grpc=JaegerGrpcSettings(enabled=False), thrift_http=JaegerThriftHttpSettings(enabled=False)
    )
    off = ReceiverSettings(zipkin=ZipkinSettings(enabled=False), jaeger=jaeger)
    match name:
        case "zipkin":
            return replace(off, zipkin=ZipkinSettings(endpoint=endpoint, enabled=enabled))
        case "jaeger.grpc":
            grpc = JaegerGrpcSettings(endpoint=endpoint, enabled=enabled)
            return replace(off, jaeger=replace(jaeger, grpc=grpc))
    http = JaegerThriftHttpSettings(endpoint=endpoint, enabled=enabled)
    return replace(off, jaeger=replace(jaeger, thrift_http=http))


NAMES = ["zipkin", "jaeger.grpc", "jaeger.thrift_http"]


@pytest.mark.parametrize("name", NAMES)
def test_a_default_port_that_is_taken_is_passed_over(
    name: str,
    taken: str,
    held: ExitStack,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    given = settings(name, taken, None)
    monkeypatch.setattr(receivers, "ReceiverSettings", lambda: given)

    made = OtherReceivers(given, held)

    assert (made.zipkin, made.jaeger_grpc, made.jaeger_http) == (None, None, None)
    (record,) = caplog.records
    assert "default port cannot be had" in record.message
    assert record.receiver == name


@pytest.mark.parametrize("enabled", [True, None])
@pytest.mark.parametrize("name", NAMES)
def test_a_port_that_was_asked_for_must_be_had(
    name: str, taken: str, held: ExitStack, enabled: bool | None
) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"distributor.receivers.{name}.endpoint")):
        OtherReceivers(settings(name, taken, enabled), held)


@pytest.mark.parametrize("name", NAMES)
def test_a_receiver_may_be_off(name: str, taken: str, held: ExitStack) -> None:
    made = OtherReceivers(settings(name, taken, False), held)

    assert (made.zipkin, made.jaeger_grpc, made.jaeger_http) == (None, None, None)


def test_a_free_port_is_taken(held: ExitStack) -> None:
    found = [OtherReceivers(settings(name, "127.0.0.1:0", None), held) for name in NAMES]

    assert str(found[0].zipkin).startswith("http://127.0.0.1:")
    assert str(found[1].jaeger_grpc).startswith("127.0.0.1:")
    assert str(found[2].jaeger_http).startswith("http://127.0.0.1:")
