"""Where members may be: names and lists of the settings -> addresses, and the own address."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

from tracestore.errors import UnavailableError
from tracestore.settings.members_tree import MembersSettings

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port -> the addresses, host:port each. Raises: UnavailableError."""

DEFAULT_PORT = 9095
_ELSEWHERE = ("192.0.2.1", 9)
"""An address for documentation (RFC 5737), behind the default route; nothing is sent to it."""


async def look_up(host: str, port: int) -> Sequence[str]:
    """Ask the resolver of the machine for all addresses of a name."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UnavailableError(f"cannot look up {host}: {error}") from error
    return sorted({join(str(target[0]), port) for *_, target in found})


def split(text: str, default_port: int) -> tuple[str, int]:
    """Take ``host``, ``host:port`` or ``[v6]:port`` apart; the settings are checked."""
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        return text.strip("[]"), default_port
    return host.strip("[]"), int(port)


def join(host: str, port: int) -> str:
    """Write host and port as gRPC takes them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def name_of_instance(settings: MembersSettings, port: int) -> str:
    """Get the name of this process: as set, or the host's, with the port if it is a special one."""
    if settings.instance:
        return settings.instance
    host = socket.gethostname()
    return host if port == DEFAULT_PORT else f"{host}:{port}"


def address_for_others(settings: MembersSettings, host: str, port: int) -> str:
    """Find where others reach this process.

    Args:
        host: what gRPC listens on; empty or a wildcard: all interfaces.
    """
    if settings.advertise:
        return settings.advertise
    if host not in ("", "0.0.0.0", "::"):
        return join(host.strip("[]"), port)
    return join(_address_of_host(), port)


def _address_of_host() -> str:
    """Get the address that this host would call others from; 127.0.0.1 if it has no network."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
