"""Settings of a cluster: who is in it, and how spans go from one process to another."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersSettings:
    """How the processes of a cluster find one another. With neither name nor list, one is alone."""

    dns: str = ""
    """Name whose addresses are the members, such as that of a headless Service, with the port of
    their gRPC behind a colon if it is not that of this process."""
    static: tuple[str, ...] = ()
    """Addresses of the members, host:port of their gRPC; this process may be among them."""
    instance: str = ""
    """Name of this process, the same after a restart and nobody else's; traces are placed by it.
    Empty: the host's name, with the port of gRPC if that is not 9095."""
    advertise: str = ""
    """Where others reach the gRPC of this process, host:port; empty: the address that it listens
    on, or that of this host."""
    dns_interval_s: float = 5.0
    """How often the name is looked up."""
    hello_interval_s: float = 1.0
    """How often each member is asked who it is and how it is."""
    hello_timeout_s: float = 1.0
    """How long it may take to answer."""
    dead_after_s: float = 3.0
    """Who has not answered for so long is dead: its share of the traces goes to the others.
    Shorter: replaced sooner, but also after a short pause."""
    members_max: int = 1000
    """Addresses that are asked; further ones are left out, and the log says so."""

    @property
    def configured(self) -> bool:
        """Whether there are others to look for."""
        return bool(self.dns or self.static)


@dataclass(frozen=True, slots=True, kw_only=True)
class PushSettings:
    """Spans on their way from a distributor to the ingesters of other processes."""

    timeout_s: float = 15.0
    """How long an ingester may take to make a request durable; then the next in order is asked.
    Longer than ``ingester.room_wait_s``, so that one that is busy can say so."""
    attempts_max: int = 3
    """Ingesters that are tried in turn for a trace; then the sender is asked to retry."""
    inflight_bytes_max: int = 64 * MIB
    """Bytes on their way to one ingester; further requests wait."""
    waiting_max: int = 1024
    """Requests that wait for one ingester; more are refused as retryable."""
    wait_s: float = 5.0
    """How long a request waits, then it is refused as retryable."""
    leave_s: float = 2.0
    """How long an ingester that is told to stop still takes spans, until others have noticed.
    With nobody there to notice it does not wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorPushSettings:
    """Acknowledged spans on their way from a distributor to metrics-generators. Senders do not wait
    for them: what does not get there is missing in metrics from spans, and counted."""

    queue_bytes_max: int = 64 * MIB
    """Requests that wait or are on their way; further ones are dropped."""
    batch_bytes_max: int = 4 * MIB
    """Requests of a tenant that wait are sent together, up to this size."""
    concurrency: int = 4
    """Batches on their way at a time."""
    timeout_s: float = 5.0
    """How long a generator may take to take a batch; then the next in order is asked."""
    attempts_max: int = 3
    """Generators that are tried in turn for a trace."""
    retry_s: float = 0.25
    """Wait before a generator is asked again that has no room."""
    age_max_s: float = 25.0
    """What could not be sent for so long is dropped. A generator does not count what is older than
    ``metrics_generator.metrics_ingestion_time_range_slack`` anyway."""
    log_interval_s: float = 60.0
    """How often the log says that spans were dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveReadSettings:
    """How queries read the spans that are still in the memory of other processes."""

    open_timeout_s: float = 2.0
    """How long a process may take to say what it has; then its log is read from the bucket, or the
    answer says that its spans are missing."""
    read_timeout_s: float = 15.0
    """How long a column may take to come."""
    silent_s: float = 3.0
    """A process that did not answer is not asked again for so long."""
    index_age_max_s: float = 2.5
    """A query of a cluster does not rely on an index that was not looked at for so long, as by a
    process that was paused, and looks first. A process that starts waits as long before it takes
    spans, so that every query knows of it; the same in all processes."""
    attempts_max: int = 3
    """Snapshots that a query tries, if a process goes away under it."""
    pins_max: int = 256
    """Queries of other processes that may read the live tables of this one at a time."""
    pin_s: float = 120.0
    """How long live tables are kept for a query of another process that does not let go."""
    read_threads: int = 2
    """Threads that serve such queries."""
