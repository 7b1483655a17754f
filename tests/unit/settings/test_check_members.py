"""Addresses of members in the settings."""

from __future__ import annotations

import pytest

from tracestore.settings.check import wrong


@pytest.mark.parametrize("address", ["a:1", "10.0.0.1:9095", "[::1]:65535", "a.b-c.svc:80"])
def test_addresses_that_can_be_called(address: str) -> None:
    assert wrong("members.static", (address,)) is None
    assert wrong("members.advertise", address) is None
    assert wrong("members.dns", address) is None


@pytest.mark.parametrize("address", ["a", "a:", "a:0", "a:65536", ":1", "a b:1", "http://a:1"])
def test_addresses_that_cannot(address: str) -> None:
    assert wrong("members.static", ("ok:1", address)) == (
        f"expected host:port for each member, not {address!r}"
    )
    assert wrong("members.advertise", address) == "expected host:port"


def test_a_name_needs_no_port() -> None:
    assert wrong("members.dns", "tracestore-members") is None
    assert wrong("members.dns", "") is None
    assert wrong("members.dns", "a:b") == "expected a host name, with or without :port"
