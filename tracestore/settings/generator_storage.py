"""Where the generator keeps what is to be sent to Prometheus, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracestore.settings.remote_write import RemoteWriteSettings

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteWriteQueueSettings:
    """The queue on disk of a tenant, which all receivers of its metrics read."""

    bytes_max: int = 512 * MIB
    """Bytes that the queue of a tenant may take on disk; beyond it the oldest goes, counted."""
    age_max_s: float = 7200.0
    """Samples that could not be sent for so long are dropped, counted; receivers refuse old ones
    anyway."""
    segment_bytes: int = 8 * MIB
    """Size of a file of the queue; what goes, goes by files."""
    concurrency: int = 8
    """Requests to a receiver, of all tenants, that are on their way at a time."""
    protocol_retry_s: float = 3600.0
    """How often a receiver that did not take remote write 2.0 is asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorStorageSettings:
    """Where the metrics go."""

    path: str = ""
    """Directory of the queues, one below it for each tenant. Empty: metrics are not made, and a
    process that does nothing else does not start."""
    remote_write: tuple[RemoteWriteSettings, ...] = ()
    """Receivers, each with the keys of Prometheus' ``remote_write``. None: the metrics are there to
    be scraped."""
    remote_write_add_org_id_header: bool = True
    """Whether requests name the tenant in X-Scope-OrgID; the tenant of a server without tenants
    is never named, and a header of that name in an entry wins."""
    remote_write_flush_deadline_s: float = 60.0
    """How long a process that stops goes on sending; the rest is sent after its next start."""
    remote_write_queue: RemoteWriteQueueSettings = field(default_factory=RemoteWriteQueueSettings)
