"""What operators and probes ask: readiness, metrics, versions, effective settings, flush.

Source: wire contract, sections 11.1-11.5 and 11.7.
"""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from fastapi import Request

from tracestore.api.app import READ, Answer, Routes, text
from tracestore.instruments import CONTENT_TYPE
from tracestore.model.ids import TenantId, parse_tenant_id
from tracestore.services.lifecycle import State, Supervisor
from tracestore.telemetry import Metrics
from tracestore.version import package_version

TEMPO_VERSION = "3.0.0"
"""The API that is spoken: Grafana switches features on by this number (2.7.0 and later)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ops:
    """The handlers, and what they tell of."""

    supervisor: Supervisor
    metrics: Metrics
    routes: Routes
    flush_all: Callable[[TenantId | None], Awaitable[None]] | None
    """Writes what is live, of one tenant or of all, to blocks; returns when that is done. None if
    nothing is live in this process."""
    render_config: Callable[[str], str]
    """Mode (empty, ``diff`` or ``defaults``) -> YAML of the settings."""
    render_limits: Callable[[str], str]
    """The same for the limits of tenants, but for ``defaults``."""
    pages: Mapping[str, Callable[[], str]]
    """Further sections of ``/status``, by name."""
    lacking: Callable[[], str]
    """What the process needs of others and has not, in a few words; empty: nothing."""

    def add_to_routes(self, prefix: str) -> None:
        """Serve all of them; only the API's own are under the prefix."""
        add = self.routes.add
        add(f"{prefix}/api/echo", self.echo)
        add(f"{prefix}/api/status/buildinfo", self.buildinfo, methods=READ)
        add("/ready", self.ready)
        add("/metrics", self.render_metrics, methods=READ)
        if self.flush_all is not None:
            add("/flush", self.flush)
        add("/status", self.status, methods=READ)
        own = ("version", "services", "endpoints", "config", "runtime_config")
        for section in (*own, *self.pages):
            add(f"/status/{section}", self.status, methods=READ)

    async def echo(self, _request: Request) -> Answer:
        """Say that somebody is there: Grafana's health check."""
        return Answer(body=b"echo\n", headers={"X-Content-Type-Options": "nosniff"})

    async def buildinfo(self, _request: Request) -> Answer:
        """Name the version of the API, and ours beside it."""
        body = {
            "version": TEMPO_VERSION,
            "revision": "",
            "branch": "",
            "buildDate": "",
            "buildUser": "",
            "goVersion": "",
            "tracestoreVersion": package_version(),
            "pythonVersion": platform.python_version(),
        }
        content = json.dumps(body, separators=(",", ":")).encode() + b"\n"
        return Answer(body=content, media_type="application/json")

    async def ready(self, _request: Request) -> Answer:
        """Tell whether this process should be asked."""
        if self.supervisor.stopping:
            return _plain(503, "Application is stopping\n")
        if not self.supervisor.ready:
            states = Counter(s for s in self.supervisor.states.values() if s is not State.RUNNING)
            lines = "".join(f"{state}: {count}\n" for state, count in sorted(states.items()))
            return _plain(503, f"Some services are not Running:\n{lines}")
        if lacking := self.lacking():
            return _plain(503, f"{lacking}\n")
        return _plain(200, "ready\n")

    async def render_metrics(self, _request: Request) -> Answer:
        """Expose every series."""
        return Answer(body=self.metrics.render(), media_type=CONTENT_TYPE)

    async def flush(self, request: Request) -> Answer:
        """Write what is live to blocks, of one tenant with ``?tenant=``; 204 when it is done."""
        name = request.query_params.get("tenant", "")
        assert self.flush_all is not None
        await self.flush_all(parse_tenant_id(name) if name else None)
        return Answer(status=204, media_type=None)

    async def status(self, request: Request) -> Answer:
        """Show one section, or all of them with a heading each."""
        section = request.url.path.removeprefix("/status").strip("/")
        mode = request.query_params.get("mode", "")
        sections: dict[str, Callable[[], str]] = {
            "version": self._version,
            "services": lambda: table(("service", "state"), list(self.supervisor.states.items())),
            "endpoints": lambda: table(("path", "methods"), self.routes.listed),
            "config": lambda: "---\n" + self.render_config(mode),
            "runtime_config": lambda: self.render_limits(mode),
            **self.pages,
        }
        if section:
            return text(sections[section]())
        return text("\n".join(f"GET /status/{n}\n{body()}" for n, body in sections.items()))

    def _version(self) -> str:
        return (
            f"tracestore, version {package_version()}\n"
            f"  api version: {TEMPO_VERSION}\n"
            f"  python version: {platform.python_version()}\n"
            f"  platform: {platform.system().lower()}/{platform.machine()}\n"
        )


def _plain(status: int, body: str) -> Answer:
    return Answer(status=status, body=body.encode(), compress=False)


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table with columns as wide as their longest cell."""
    lines = [tuple(heading), *rows]
    widths = [max(len(str(line[i])) for line in lines) for i in range(len(heading))]
    return "".join(
        "  ".join(str(c).ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() + "\n"
        for line in lines
    )
