"""The service of remote write: takes collections of all tenants, and sends them to all receivers.

``offer`` returns once a collection is in the queue on disk; a receiver that is down never holds up
whoever makes the metrics.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracestore.clock import Clock
from tracestore.codec.remote_write.outgoing import Counts
from tracestore.codec.remote_write.relabel import relabel_by
from tracestore.errors import InvalidRequestError
from tracestore.model.collection import Collection
from tracestore.model.ids import SINGLE_TENANT, TenantId, parse_tenant_id
from tracestore.services.blocking import BlockingPool
from tracestore.services.generator.remote_write.remote import QuietLog, Remote, RemoteSeries
from tracestore.services.generator.remote_write.sender import Sender, SenderParts
from tracestore.services.generator.remote_write.tenant import TenantQueue, queue_tenants
from tracestore.services.tenant_labels import TenantLabels
from tracestore.settings.generator_storage import GeneratorStorageSettings
from tracestore.settings.remote_write import RemoteWriteSettings
from tracestore.storage.metrics_queue.queue import QueueBounds
from tracestore.storage.wal.lock import DirectoryLock
from tracestore.telemetry import Metrics
from tracestore.version import package_version

UNWRITABLE = "queue_unwritable"
"""Reason: the disk did not take a collection."""
TENANT_HEADER = "X-Scope-OrgID"

TenantHeaders = Callable[[TenantId], Mapping[str, str]]
"""The override ``remote_write_headers`` of a tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterParts:
    """What the service works with."""

    settings: GeneratorStorageSettings
    headers_of: TenantHeaders
    metrics: Metrics
    labels: TenantLabels
    clock: Clock
    rng: random.Random


class RemoteWriter:
    """See the module. Used from one event loop."""

    name = "remote-write"

    def __init__(self, parts: WriterParts) -> None:
        self._parts = parts
        queue = parts.settings.remote_write_queue
        self._path = Path(parts.settings.path)
        self._bounds = QueueBounds(bytes_max=queue.bytes_max, segment_bytes=queue.segment_bytes)
        self._relabel = {
            remote.name: relabel_by(remote.write_relabel_rules)
            if remote.write_relabel_rules
            else None
            for remote in parts.settings.remote_write
        }
        self._quiet = QuietLog(parts.clock)
        self._remotes: list[Remote] = []
        self._tenants: dict[TenantId, TenantQueue] = {}
        self._senders: dict[TenantId, list[Sender]] = {}
        self._opening = asyncio.Lock()
        self._new: asyncio.Queue[Sender] = asyncio.Queue()
        self._lock: DirectoryLock | None = None
        self._pool: BlockingPool | None = None
        self._is_open = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Take up what an earlier process left unsent.

        Raises: SettingsError if the directory cannot be used or another process has it.
        """
        if not (self._parts.settings.remote_write and self._parts.settings.path):
            return
        self._loop = asyncio.get_running_loop()
        queue = self._parts.settings.remote_write_queue
        self._pool = BlockingPool(
            "metrics-queue", threads=2, waiting_max=100_000, refusal="metrics queue is busy"
        )
        self._lock = await self._pool.run(DirectoryLock, self._path)
        self._remotes = [
            Remote.of(
                remote, self._parts.clock,
                concurrency=queue.concurrency, protocol_retry_s=queue.protocol_retry_s,
            )
            for remote in self._parts.settings.remote_write
        ]  # fmt: skip
        self._is_open = True
        for name in await self._pool.run(queue_tenants, self._path):
            try:
                tenant = parse_tenant_id(name)
            except InvalidRequestError:
                self._quiet.warn("directory beside the metrics queues is no tenant", name=name)
                continue
            await self._queue_of(tenant)

    async def run(self) -> None:
        """Send until cancelled."""
        await self._run_senders(new=True)

    async def offer(self, collection: Collection) -> None:
        """Queue a collection for all receivers; returns once it is there.

        What the disk does not take is counted as dropped, and logged. Without receivers, or before
        ``start``, nothing is queued.
        """
        if not self._is_open or self._pool is None:
            return
        tenant = collection.tenant
        try:
            queue = await self._queue_of(tenant)
            counts = await self._pool.run(queue.offer, collection)
        except OSError as error:
            self._quiet.warn(
                "metrics could not be queued, and are dropped", tenant=tenant, error=str(error)
            )
            counts = _counts(collection)
            for remote in self._remotes:
                self._series(tenant, remote.settings).dropped(UNWRITABLE, counts)
            return
        self._show_offered(tenant, collection, counts, queue.queue.size)
        headers = self._headers(tenant)
        for sender in self._senders[tenant]:
            sender.headers = headers[sender.parts.remote.settings.name]
            sender.wake.set()

    def offer_waiting(self, collection: Collection) -> None:
        """Do as ``offer``, from a thread that is not the event loop's."""
        if self._is_open and self._loop is not None:
            asyncio.run_coroutine_threadsafe(self.offer(collection), self._loop).result()

    async def drain(self) -> None:
        """Send what is queued, as long as the deadline allows; the rest stays on disk."""
        if not self._is_open or self._pool is None:
            return
        self._is_open = False
        try:
            async with asyncio.timeout(self._parts.settings.remote_write_flush_deadline_s):
                await self._run_senders(new=False)
        except TimeoutError:
            left = sum(q.queue.size for q in self._tenants.values())
            self._quiet.warn("remote write did not send everything in time", bytes_left=left)
        for remote in self._remotes:
            await asyncio.to_thread(remote.close)
        for queue in self._tenants.values():
            await self._pool.run(queue.queue.close)
        self._pool.close()
        if self._lock is not None:
            self._lock.release()

    async def _run_senders(self, *, new: bool) -> None:
        """Run all senders.

        Args:
            new: go on for ever, with senders of tenants to come; else until all is sent.
        """
        async with asyncio.TaskGroup() as tasks:
            while not self._new.empty():
                self._new.get_nowait()
            senders = [sender for each in self._senders.values() for sender in each]
            running = [tasks.create_task(sender.run()) for sender in senders]
            if new:
                while True:
                    running.append(tasks.create_task((await self._new.get()).run()))
            for sender in senders:
                sender.idle.clear()
                sender.wake.set()
            for sender in senders:
                await sender.idle.wait()
            for task in running:
                task.cancel()

    async def _queue_of(self, tenant: TenantId) -> TenantQueue:
        """Get the queue of a tenant, made at the first call. Raises: OSError."""
        assert self._pool is not None
        async with self._opening:
            found = self._tenants.get(tenant)
            if found is not None:
                return found
            label = self._parts.labels.of(tenant)
            damages = self._parts.metrics.remote_write.queue_damages
            queue = TenantQueue(
                tenant,
                self._path,
                {r.settings.name: self._series(tenant, r.settings) for r in self._remotes},
                self._relabel,
                self._bounds,
                lambda torn: damages.labels(label, "torn" if torn else "corrupt").inc(),
            )
            await self._pool.run(queue.open)
            headers = self._headers(tenant)
            senders = [
                Sender(
                    SenderParts(
                        tenant=queue, remote=remote, series=self._series(tenant, remote.settings),
                        pool=self._pool, clock=self._parts.clock, rng=self._parts.rng,
                        user_agent=f"tracestore/{package_version()}",
                        age_max_s=self._parts.settings.remote_write_queue.age_max_s,
                    ),
                    headers[remote.settings.name],
                )
                for remote in self._remotes
            ]  # fmt: skip
            for sender in senders:
                self._show_sender(sender)
                self._new.put_nowait(sender)
            self._senders[tenant] = senders
            self._tenants[tenant] = queue
            return queue

    def _headers(self, tenant: TenantId) -> dict[str, dict[str, str]]:
        """Get the headers of requests of a tenant, by name of the receiver."""
        own = dict(self._parts.headers_of(tenant))
        add = self._parts.settings.remote_write_add_org_id_header and tenant != SINGLE_TENANT
        return {
            remote.settings.name: tenant_headers(
                remote.settings.headers, own, tenant if add else None
            )
            for remote in self._remotes
        }

    def _series(self, tenant: TenantId, remote: RemoteWriteSettings) -> RemoteSeries:
        return RemoteSeries(
            metrics=self._parts.metrics.remote_write,
            labels=(self._parts.labels.of(tenant), remote.name, remote.shown_url),
        )

    def _show_sender(self, sender: Sender) -> None:
        series, settings = sender.parts.series, sender.parts.remote.settings
        metrics, labels = series.metrics, series.labels
        metrics.shards.labels(*labels).set(0)
        metrics.shards_max.labels(*labels).set(settings.queue.max_shards)
        metrics.max_samples_per_send.labels(*labels).set(settings.queue.max_samples_per_send)
        series.show_pending(sender.parts.tenant.queue.pending(settings.name))

    def _show_offered(
        self, tenant: TenantId, collection: Collection, counts: Counts, size: int
    ) -> None:
        metrics = self._parts.metrics.remote_write
        metrics.queue_bytes.labels(self._parts.labels.of(tenant)).set(size)
        for sender in self._senders[tenant]:
            series = sender.parts.series
            series.count(metrics.taken, counts)
            series.show_pending(
                sender.parts.tenant.queue.pending(sender.parts.remote.settings.name)
            )
            metrics.highest_taken.labels(*series.labels).set(collection.time_ms / 1000)


def tenant_headers(
    entry: Sequence[tuple[str, str]], own: Mapping[str, str], org_id: str | None
) -> dict[str, str]:
    """Put together the headers of a receiver's entry, of a tenant, and the one that names it.

    A header of the tenant replaces one of the entry; either replaces the one that names the
    tenant. The case of names does not matter.
    """
    found: dict[str, tuple[str, str]] = {}
    if org_id is not None:
        found[TENANT_HEADER.lower()] = (TENANT_HEADER, org_id)
    for name, value in (*entry, *own.items()):
        found[name.lower()] = (name, value)
    return dict(found.values())


def _counts(collection: Collection) -> Counts:
    exemplars, histograms = collection.exemplars, collection.histograms
    return Counts(
        samples=len(collection.series),
        exemplars=0 if exemplars is None else len(exemplars.series),
        histograms=0 if histograms is None else len(histograms.series),
    )
