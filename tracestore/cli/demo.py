"""``tracestore demo``: the server, and a simulated shop that sends it traces."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tracestore.cli.running import check_directories, run_foreground
from tracestore.errors import SettingsError, UnavailableError
from tracestore.settings import units
from tracestore.settings.flags import Arguments, parse_arguments
from tracestore.settings.load import DEFAULT_ORIGIN, LoadedSettings, load_settings

if TYPE_CHECKING:
    from tracestore.api.process import Endpoints

USAGE = """\
usage: tracestore demo [--rate N] [--history TIME] [--seed N] [--send-to ADDR] [--KEY=VALUE ...]

Starts the server and sends it the traffic of a simulated shop through the OpenTelemetry SDK.

  --rate N         traces a second [30]
  --history TIME   how far back the first traces lie [5m]
  --seed N         the same traces in every run
  --send-to ADDR   the traffic alone: start no server, send by OTLP/gRPC to host:port

All flags of `tracestore serve` work too, for example --server.http-listen-port=3300.
"""
QUERIES = (
    ("errors", "{ status = error }"),
    ("payments that failed", '{ resource.service.name = "payment" && status = error }'),
    ("slow pages", "{ kind = server && duration > 1s }"),
    ("slow SQL", '{ span.db.system = "postgresql" && duration > 100ms }'),
    (
        "API calls answered with 5xx",
        '{ span.http.route =~ "/api/.*" && span.http.response.status_code >= 500 }',
    ),
)
_TRAFFIC_STOP_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What the shop is asked to do."""

    rate: float = 30.0
    history_s: float = 300.0
    seed: int | None = None
    send_to: str | None = None
    """host:port of another server's OTLP/gRPC; None: the demo's own."""


def run_demo(argv: Sequence[str]) -> int:
    """Run the command. Returns: the exit code. Raises: SettingsError."""
    arguments = parse_arguments(argv, extra=frozenset({"rate", "history", "seed", "send-to"}))
    if "help" in arguments.switches:
        print(USAGE, end="")
        return 0
    traffic = parse_traffic(arguments)
    loaded = _with_quiet_logs(load_settings(arguments))
    if traffic.send_to is not None:
        return run_foreground(loaded, lambda stop: send_traffic(traffic, stop))
    if not loaded.settings.distributor.receivers.grpc.enabled:
        raise SettingsError("the demo sends by OTLP/gRPC, and that receiver is switched off")
    check_directories(loaded.settings)
    prefix = loaded.settings.server.http_api_prefix.rstrip("/")

    async def run(stop: asyncio.Event) -> None:
        await serve_with_traffic(loaded, traffic, stop, lambda e: print_guide(e, prefix))

    return run_foreground(loaded, run)


def parse_traffic(arguments: Arguments) -> Traffic:
    """Read the demo's own flags. Raises: SettingsError."""
    traffic = Traffic()
    flags: dict[str, Callable[[str], Traffic]] = {
        "rate": lambda text: replace(traffic, rate=units.parse_number(text)),
        "history": lambda text: replace(traffic, history_s=units.parse_duration(text)),
        "seed": lambda text: replace(traffic, seed=units.parse_integer(text)),
        "send-to": lambda text: replace(traffic, send_to=text),
    }
    for name, text in arguments.extra.items():
        try:
            traffic = flags[name](text)
        except ValueError as error:
            raise SettingsError(f"flag --{name}: {error}, got {text!r}") from error
    if traffic.rate < 0 or traffic.history_s < 0:
        raise SettingsError("flags --rate and --history: expected no negative value")
    return traffic


def _with_quiet_logs(loaded: LoadedSettings) -> LoadedSettings:
    """Log warnings only, unless a level was asked for: the guide should stay readable."""
    if loaded.origins["server.log_level"] != DEFAULT_ORIGIN:
        return loaded
    server = replace(loaded.settings.server, log_level="warn")
    origins = {**loaded.origins, "server.log_level": "demo"}
    return replace(loaded, settings=replace(loaded.settings, server=server), origins=origins)


async def serve_with_traffic(
    loaded: LoadedSettings,
    traffic: Traffic,
    stop: asyncio.Event,
    on_ready: Callable[[Endpoints], None],
) -> None:
    """Run server and shop until ``stop``; the shop ends first, so that all it sent is taken."""
    # The server's parts take half a second to import; other commands need none of them.
    from tracestore.api.process import serve

    ready: asyncio.Future[Endpoints] = asyncio.get_running_loop().create_future()
    server_stop = asyncio.Event()

    async def run_shop() -> int | None:
        try:
            endpoints = await _first(ready, stop)
            if endpoints is None:
                return None
            assert endpoints.otlp_grpc is not None
            shop = await _start_shop(endpoints.otlp_grpc, traffic)
            on_ready(endpoints)
            return await _until_stopped(shop, stop)
        finally:
            server_stop.set()

    async with asyncio.TaskGroup() as tasks:
        shop_task = tasks.create_task(run_shop())
        await serve(loaded, on_ready=ready.set_result, stop=server_stop)
        stop.set()
    if shop_task.result() is not None:
        raise UnavailableError(f"the demo traffic ended by itself with code {shop_task.result()}")


async def send_traffic(traffic: Traffic, stop: asyncio.Event) -> None:
    """Run the shop alone until ``stop``. Raises: UnavailableError if it ends by itself."""
    assert traffic.send_to is not None
    shop = await _start_shop(traffic.send_to, traffic)
    print(f"a simulated shop sends its traces to {traffic.send_to}; Ctrl-C stops", flush=True)
    if (code := await _until_stopped(shop, stop)) is not None:
        raise UnavailableError(f"the demo traffic ended by itself with code {code}")


async def _first(ready: asyncio.Future[Endpoints], stop: asyncio.Event) -> Endpoints | None:
    """Wait for the server; None if ``stop`` came first."""
    async with asyncio.TaskGroup() as tasks:
        stopped = tasks.create_task(stop.wait())
        await asyncio.wait((ready, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
    return ready.result() if ready.done() else None


async def _start_shop(endpoint: str, traffic: Traffic) -> Process:
    # -P: a clone in the working directory must not hide the package that is installed.
    command = [sys.executable, "-P", "-m", "tracestore.cli.shop_traffic"]
    command += [f"--endpoint={endpoint}", f"--rate={traffic.rate}"]
    command += [f"--history-s={traffic.history_s}"]
    command += [] if traffic.seed is None else [f"--seed={traffic.seed}"]
    # A session of its own: Ctrl-C reaches the server, which says when it is the shop's turn.
    return await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=DEVNULL, start_new_session=True
    )


async def _until_stopped(shop: Process, stop: asyncio.Event) -> int | None:
    """Wait for ``stop``, then let the shop send what it has and end.

    Returns: None, or the exit code of a shop that ended by itself.
    """
    assert shop.stdin is not None
    try:
        async with asyncio.TaskGroup() as tasks:
            stopped = tasks.create_task(stop.wait())
            ended = tasks.create_task(shop.wait())
            await asyncio.wait((stopped, ended), return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                stopped.cancel()
                return shop.returncode
            shop.stdin.close()
            await asyncio.wait((ended,), timeout=_TRAFFIC_STOP_TIMEOUT_S)
            ended.cancel()
    finally:
        if shop.returncode is None:
            shop.kill()
            await shop.wait()
    return None


def print_guide(endpoints: Endpoints, prefix: str) -> None:
    """Say where to look and what to ask."""
    url = endpoints.api_url + prefix
    lines = [
        "",
        "tracestore is running, and a simulated shop of 10 services sends it traces.",
        "",
        f"  API           {url}",
        f"  Grafana       add a data source of type Tempo with the URL {url}",
        f"  streaming     {endpoints.grpc}, and the port of the API",
        f"  OTLP/gRPC     {endpoints.otlp_grpc}",
        f"  OTLP/HTTP     {endpoints.otlp_http or 'off'}",
        f"  state         {endpoints.api_url}/status/config  {endpoints.api_url}/metrics",
        "",
        "Ask it:",
    ]
    for title, query in QUERIES:
        lines += ["", f"  # {title}", f"  {curl(url, query)}"]
    lines += ["", f"A whole trace: curl {url}/api/traces/<traceID>", "Ctrl-C stops.", ""]
    print("\n".join(lines), flush=True)


def curl(url: str, query: str) -> str:
    """Write a search as a command for a shell."""
    return f"curl -sG {url}/api/search --data-urlencode 'q={query}'"
