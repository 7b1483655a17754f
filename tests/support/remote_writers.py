"""The service of remote write in a test: started, fed, and drained."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tracestore.clock import Clock, SystemClock
from tracestore.services.generator.remote_write.writer import RemoteWriter, WriterParts
from tracestore.services.tenant_labels import TenantLabels
from tracestore.settings.generator_storage import (
    GeneratorStorageSettings,
    RemoteWriteQueueSettings,
)
from tracestore.settings.remote_write import RemoteWriteSettings, parse_remote_write
from tracestore.telemetry import Metrics


def remote(url: str, **config: object) -> RemoteWriteSettings:
    """Make an entry; failures are tried again soon."""
    queue = {"min_backoff": "5ms", "max_backoff": "50ms"} | dict(config.pop("queue_config", {}))  # type: ignore[call-overload]
    return parse_remote_write({"url": url, "queue_config": queue} | config, "test")


def make_writer(
    path: Path,
    *remotes: RemoteWriteSettings,
    metrics: Metrics | None = None,
    headers: Mapping[str, Mapping[str, str]] | None = None,
    clock: Clock | None = None,
    flush_deadline_s: float = 10.0,
    **queue: object,
) -> RemoteWriter:
    """Make the service.

    Args:
        headers: of tenants.
        queue: fields of ``RemoteWriteQueueSettings``.
    """
    settings = GeneratorStorageSettings(
        path=str(path),
        remote_write=remotes,
        remote_write_flush_deadline_s=flush_deadline_s,
        remote_write_queue=RemoteWriteQueueSettings(**queue),  # type: ignore[arg-type]
    )
    return RemoteWriter(
        WriterParts(
            settings=settings,
            headers_of=lambda tenant: (headers or {}).get(tenant, {}),
            metrics=metrics or Metrics(version=""),
            labels=TenantLabels(100),
            clock=clock or SystemClock(),
            rng=random.Random(7),
        )
    )


@asynccontextmanager
async def running(writer: RemoteWriter) -> AsyncIterator[RemoteWriter]:
    """Start, run and drain, as the supervisor does."""
    await writer.start()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(writer.run())
        try:
            yield writer
        finally:
            task.cancel()
    await writer.drain()


async def until(condition, timeout_s: float = 20.0) -> None:  # type: ignore[no-untyped-def]
    """Poll a condition."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)
