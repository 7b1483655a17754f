"""A default port that is taken is in nobody's way; one that was asked for is."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from tracestore.api import receivers
from tracestore.api.receivers import OtherReceivers
from tracestore.errors import SettingsError
from tracestore.settings.tree import ReceiverSettings, ZipkinSettings


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


def zipkin(endpoint: str, enabled: bool | None) -> ReceiverSettings:
    return replace(ReceiverSettings(), zipkin=ZipkinSettings(endpoint=endpoint, enabled=enabled))


def test_a_default_port_that_is_taken_is_passed_over(
    taken: str, held: ExitStack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(receivers, "ZipkinSettings", lambda: ZipkinSettings(endpoint=taken))

    made = OtherReceivers(zipkin(taken, None), held)

    assert made.zipkin is None
    assert "default port cannot be had" in caplog.text


@pytest.mark.parametrize("enabled", [True, None])
def test_a_port_that_was_asked_for_must_be_had(
    taken: str, held: ExitStack, enabled: bool | None
) -> None:
    with pytest.raises(SettingsError, match=r"distributor\.receivers\.zipkin\.endpoint"):
        OtherReceivers(zipkin(taken, enabled), held)


def test_a_receiver_may_be_off(taken: str, held: ExitStack) -> None:
    assert OtherReceivers(zipkin(taken, False), held).zipkin is None


def test_a_free_port_is_taken(held: ExitStack) -> None:
    url = OtherReceivers(zipkin("127.0.0.1:0", None), held).zipkin

    assert url is not None
    assert url.startswith("http://127.0.0.1:")
