"""``tracestore serve``: the server, until a signal."""

from __future__ import annotations

import asyncio
import http.client
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence

from tracestore.cli.running import check_directories, run_foreground
from tracestore.settings.flags import Arguments, parse_arguments
from tracestore.settings.leaves import leaves
from tracestore.settings.load import load_settings, read_overrides
from tracestore.settings.render import render_value
from tracestore.version import package_version

USAGE = """\
usage: tracestore serve [--config FILE] [--KEY=VALUE ...]

Takes OTLP on 4317 (gRPC) and 4318 (HTTP), Zipkin on 9411, Jaeger on 14250 (gRPC) and 14268 (HTTP),
and answers queries on 3200. Ctrl-C or SIGTERM drains and flushes, a second one stops at once.
Tempo's flags and configuration files work too.

  --target=ROLE                      all (default), distributor, ingester, querier, query-frontend
  --config FILE, -config.file=FILE   settings in YAML
  -config.expand-env                 replace ${VAR} in the file
  -config.verify                     check the settings and stop
  -health, -health.url=URL           ask a running server whether it is ready
  -version                           print the version
"""
_HEALTH_TIMEOUT_S = 5.0


def run_serve(argv: Sequence[str]) -> int:
    """Run the command. Returns: the exit code. Raises: SettingsError."""
    arguments = parse_arguments(argv)
    if "help" in arguments.switches:
        print(USAGE + "\n" + render_flags())
        return 0
    if "version" in arguments.switches:
        print(f"tracestore {package_version()}")
        return 0
    if "health" in arguments.switches:
        return _probe(arguments)
    loaded = load_settings(arguments)
    if "config.verify" in arguments.switches:
        from tracestore.services.overrides import check_tenants

        overrides = read_overrides(loaded)
        check_tenants(overrides, source=loaded.settings.overrides.per_tenant_override_config)
        for warning in (*loaded.warnings, *overrides.warnings):
            print(f"tracestore: warning: {warning}", file=sys.stderr)
        return 0
    check_directories(loaded.settings)
    # The server's parts take half a second to import; other commands need none of them.
    from tracestore.api.process import serve

    async def run(stop: asyncio.Event) -> None:
        await serve(loaded, stop=stop)

    return run_foreground(loaded, run)


def render_flags() -> str:
    """List the flags of the settings with their defaults and effects."""
    lines = ["settings (docs/configuration.md; also TRACESTORE_... and YAML):"]
    for leaf in leaves().values():
        default = (
            "" if leaf.default in ("", None) else f" [{render_value(leaf.path, leaf.default)}]"
        )
        lines += [f"  {leaf.flag}{default}", f"      {leaf.doc}"]
    return "\n".join(lines)


def _probe(arguments: Arguments) -> int:
    """Ask ``/ready``; the exit code is 0 if it is."""
    url = arguments.health_url
    if url is None:
        server = load_settings(arguments).settings.server
        url = f"http://localhost:{server.http_listen_port}/ready"
    try:
        with urllib.request.urlopen(url, timeout=_HEALTH_TIMEOUT_S):
            return 0
    except (OSError, ValueError, http.client.HTTPException) as error:
        print(f"tracestore: {url} is not ready: {error}", file=sys.stderr)
        return 1
