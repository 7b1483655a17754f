"""Names and addresses of members."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tracestore.errors import UnavailableError
from tracestore.services.members.addresses import (
    address_for_others,
    join,
    look_up,
    name_of_instance,
    split,
)
from tracestore.settings.members_tree import MembersSettings


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("peers", "peers", 9095),
        ("peers.ns.svc:7000", "peers.ns.svc", 7000),
        ("[::1]:7000", "::1", 7000),
        ("[::1]", "::1", 9095),
        ("10.0.0.1:1", "10.0.0.1", 1),
    ],
)
def test_a_name_may_say_its_port(text: str, host: str, port: int) -> None:
    assert split(text, 9095) == (host, port)


def test_addresses_are_written_as_grpc_takes_them() -> None:
    assert join("10.0.0.1", 1) == "10.0.0.1:1"
    assert join("::1", 1) == "[::1]:1"


def test_the_resolver_of_the_machine_is_asked() -> None:
    assert "127.0.0.1:7000" in asyncio.run(look_up("localhost", 7000))
    with pytest.raises(UnavailableError, match=r"cannot look up nobody\.invalid"):
        asyncio.run(look_up("nobody.invalid", 7000))


def test_several_on_one_host_have_names_of_their_own() -> None:
    host = socket.gethostname()

    assert name_of_instance(MembersSettings(), 9095) == host
    assert name_of_instance(MembersSettings(), 7000) == f"{host}:7000"
    assert name_of_instance(MembersSettings(instance="pod-0"), 7000) == "pod-0"


def test_the_address_for_others_is_as_set_or_found() -> None:
    assert address_for_others(MembersSettings(advertise="10.0.0.9:1"), "", 7000) == "10.0.0.9:1"
    assert address_for_others(MembersSettings(), "127.0.0.1", 7000) == "127.0.0.1:7000"
    assert address_for_others(MembersSettings(), "[::1]", 7000) == "[::1]:7000"
    for wildcard in ("", "0.0.0.0", "::"):
        found, port = split(address_for_others(MembersSettings(), wildcard, 7000), 0)
        assert port == 7000
        assert socket.inet_aton(found)
