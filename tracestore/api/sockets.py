"""Addresses of settings -> listening sockets, with one clear line if that does not work."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from grpc import aio

from tracestore.errors import SettingsError

ANY = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class Address:
    """Host and port; an empty host means all interfaces, port 0 any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = self.host or ANY
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @property
    def reachable(self) -> Address:
        """Where a client on this machine finds it."""
        wildcards = {"": "127.0.0.1", ANY: "127.0.0.1", "::": "::1"}
        return Address(wildcards.get(self.host, self.host), self.port)


def parse_address(text: str, *, setting: str) -> Address:
    """Read ``host:port``. Raises: SettingsError naming the setting."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise SettingsError(f"{setting} is {text!r}, not host:port")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


def bind(
    address: Address, *, setting: str, kind: socket.SocketKind = socket.SOCK_STREAM
) -> socket.socket:
    """Bind a socket, not yet listening. Raises: SettingsError naming address and setting."""
    host = address.host or ANY
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            host, address.port, type=kind, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SettingsError(f"cannot listen on {address} ({setting}): {error}") from error
    try:
        if kind == socket.SOCK_STREAM:  # of UDP it would let two processes share the port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(target)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"address {address} is already in use: stop what listens there, or set {setting}"
            ) from error
        raise SettingsError(f"cannot listen on {address} ({setting}): {error}") from error
    return bound


def bind_grpc(server: aio.Server, address: Address, *, setting: str) -> Address:
    """Have a gRPC server take a port. Raises: SettingsError naming address and setting."""
    bind(address, setting=setting).close()  # gRPC would not say why it cannot
    try:
        port = server.add_insecure_port(str(address))
    except RuntimeError as error:
        raise SettingsError(f"cannot listen on {address} ({setting}): {error}") from error
    return Address(address.host, port)


def bound_address(bound: socket.socket) -> Address:
    """Get the address with the port that was taken."""
    host, port = bound.getsockname()[:2]
    return Address(str(host), int(port))
