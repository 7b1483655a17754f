"""The receivers of formats other than OTLP: which of them run, and where they listen.

They are on by default, and a default port that is taken is passed over with a warning: who runs a
Zipkin or Jaeger of their own on this machine can start a tracestore all the same. A receiver that
was asked for by name must get its port.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from tracestore.api.servers import HttpServer
from tracestore.api.sockets import bind, bound_address, parse_address
from tracestore.api.tenant import Intake
from tracestore.api.translating import Translating
from tracestore.api.zipkin import ZIPKIN, ZipkinReceiver, make_zipkin_app
from tracestore.clock import Clock
from tracestore.errors import SettingsError
from tracestore.services.blocking import BlockingPool
from tracestore.services.distributor.service import Source
from tracestore.services.lifecycle import Service
from tracestore.settings.tree import ReceiverSettings, ZipkinSettings
from tracestore.telemetry import Metrics
from tracestore.tracing import Tracing

log = logging.getLogger(__name__)

_SECTION = "distributor.receivers"


class _Listener(Protocol):
    """The settings of a receiver with a port of its own."""

    @property
    def enabled(self) -> bool | None: ...
    @property
    def endpoint(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the receivers are made of."""

    intake: Intake
    pool: BlockingPool
    metrics: Metrics
    tracing: Tracing
    clock: Clock
    drain_timeout_s: float


class OtherReceivers:
    """The receivers of a process beside OTLP; their ports are taken when this is made."""

    def __init__(self, settings: ReceiverSettings, held: ExitStack) -> None:
        """Args:
        held: closes the sockets if making the rest of the process fails.
        """
        self._settings = settings
        self._zipkin = _take_port(settings.zipkin, ZipkinSettings(), "zipkin", held)

    @property
    def zipkin(self) -> str | None:
        """URL of the Zipkin receiver without path; None if it is off."""
        return None if self._zipkin is None else f"http://{bound_address(self._zipkin).reachable}"

    def services(self, parts: Parts) -> Iterator[Service]:
        """Make the servers."""
        if self._zipkin is not None:
            limit = self._settings.zipkin.request_bytes_max
            receiver = ZipkinReceiver(translating=_translating(parts, limit, ZIPKIN))
            app = make_zipkin_app(receiver)
            drain_s = parts.drain_timeout_s
            yield HttpServer("zipkin", app, self._zipkin, drain_timeout_s=drain_s)


def _translating(parts: Parts, request_bytes_max: int, source: Source) -> Translating:
    return Translating(
        intake=parts.intake,
        pool=parts.pool,
        metrics=parts.metrics,
        tracing=parts.tracing,
        clock=parts.clock,
        request_bytes_max=request_bytes_max,
        source=source,
    )


def _take_port(
    settings: _Listener, default: _Listener, name: str, held: ExitStack
) -> socket.socket | None:
    """Bind the port of a receiver that is on.

    Raises: SettingsError if the port cannot be had, unless nobody asked for it.
    """
    if settings.enabled is False:
        return None
    setting = f"{_SECTION}.{name}.endpoint"
    address = parse_address(settings.endpoint, setting=setting)
    asked_for = settings.enabled or settings.endpoint != default.endpoint
    try:
        bound = bind(address, setting=setting)
    except SettingsError as error:
        if asked_for:
            raise
        _warn_taken(name, error)
        return None
    held.callback(bound.close)
    if not asked_for:
        try:
            bound.listen()  # two that are only bound to one port do not get in each other's way
        except OSError as error:
            _warn_taken(name, error)
            return None
    return bound


def _warn_taken(name: str, error: Exception) -> None:
    log.warning(
        "receiver is off, its default port cannot be had",
        extra={"receiver": name, "error": str(error)},
    )
