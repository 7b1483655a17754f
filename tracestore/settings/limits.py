"""The limits of a tenant: names and places as Tempo's users know them, ours among them.

They stand under ``overrides.defaults`` and, tenant by tenant, in the file that
``overrides.per_tenant_override_config`` names (``overrides.py``). What a block does not say is as
in the classes here, which is what Tempo has for it: no limit, or the limit of the component.

Source: wire contract, section 18.1; decisions/0010.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tracestore.settings.generator_limits import GeneratorLimits

BUCKET_BYTES = 30_000_000
"""Rate and burst of Tempo: what one of the two is if only the other is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestionLimits:
    """What a tenant may send. What is refused or cut is counted by reason and tenant."""

    rate_limit_bytes: int | None = None
    """Bytes a second; more is refused with 429 and a delay. Null: no limit; 0: nothing may come."""
    burst_size_bytes: int | None = None
    """Bytes that may come at once. Null: no limit, or 30 MB if a rate is given."""
    max_request_bytes: int = 0
    """Largest request, uncompressed; more is refused with 413. 0: that of the receiver."""
    max_traces_per_user: int = 0
    """Live traces; spans of further ones are dropped. 0: any number."""
    max_global_traces_per_user: int = 0
    """The same of all processes together; there is one. 0: any number."""
    max_attribute_bytes: int = 0
    """Longest key or text of an attribute; more is cut, and marked. 0: that of the distributor."""
    retry_info_enabled: bool = True
    """Whether what is refused by rate tells when to try again, without which SDKs give up."""

    @property
    def bucket(self) -> tuple[int, int] | None:
        """Rate and burst; None: no limit."""
        if self.rate_limit_bytes is None and self.burst_size_bytes is None:
            return None
        rate, burst = self.rate_limit_bytes, self.burst_size_bytes
        return BUCKET_BYTES if rate is None else rate, BUCKET_BYTES if burst is None else burst

    @property
    def traces_max(self) -> int:
        """Live traces, 0: any number."""
        bounds = (self.max_traces_per_user, self.max_global_traces_per_user)
        return min((bound for bound in bounds if bound), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """What a query of a tenant may ask. Of several tenants in one query the strictest holds."""

    max_search_duration_s: float = 0.0
    """Longest time window of a search; 0: ``query.max_duration_s``."""
    max_metrics_duration_s: float = 0.0
    """Longest time window of a metrics query; 0: ``query.max_metrics_duration_s``."""
    max_bytes_per_tag_values_query: int | None = None
    """Text in an answer of autocomplete, 0 is unlimited. Null: the setting of that name in
    ``query``."""
    max_blocks_per_tag_values_query: int = 0
    """Blocks that autocomplete looks at, newest first; 0: all."""
    max_bytes_read: int = 0
    """Bytes of columns that a query may look at; 0: ``query.max_bytes_read``."""
    query_timeout_s: float = 0.0
    """How long a query may take; 0: ``query.query_timeout_s``."""
    unsafe_query_hints: bool = False
    """Whether queries may use hints that Tempo calls unsafe."""
    left_pad_trace_ids: bool = False
    """Whether trace IDs of a search have all 32 digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalLimits:
    """Of traces, in sending and asking."""

    max_bytes_per_trace: int = 0
    """Bytes of the spans of a trace; what comes beyond is dropped, and no larger answer is given.
    0: any, and ``query.max_trace_bytes``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionLimits:
    """How long blocks stay, and which traces longer or shorter."""

    block_retention_s: float = 0.0
    """Age at which blocks go; 0: that of the store."""
    compaction_window_s: float = 0.0
    """Time range of blocks that are compacted together; 0: that of the store."""
    compaction_disabled: bool = False
    """Whether blocks are not merged; they still go in time."""
    retention_rules: tuple[str, ...] = ()
    """Traces that stay longer or shorter, by TraceQL: ``'{status=error}': 90d``. Of the rules that
    match a trace the longest holds, in place of ``block_retention``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantLimits:
    """All limits of one tenant."""

    ingestion: IngestionLimits = field(default_factory=IngestionLimits)
    read: ReadLimits = field(default_factory=ReadLimits)
    global_: GlobalLimits = field(default_factory=GlobalLimits)
    compaction: CompactionLimits = field(default_factory=CompactionLimits)
    metrics_generator: GeneratorLimits = field(default_factory=GeneratorLimits)
    sampling: tuple[str, ...] = ()
    """Which traces are stored, by TraceQL, in order: ``keep: '{status=error}'``, ``drop: '{...}'``,
    and ``keep_ratio: 0.1`` for what nothing else decides. Empty: all. See docs/sampling.md."""
    drop: tuple[str, ...] = ()
    """Traces that are not stored, whatever ``sampling`` says of them, by TraceQL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserApiSettings:
    """What the API of overrides looks at."""

    check_for_conflicting_runtime_overrides: bool = False
    """Whether a tenant that has a block in the file may not set anything by the API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserOverridesSettings:
    """Overrides that tenants set themselves by ``/api/overrides``, kept in the store."""

    enabled: bool = False
    """Whether the API is there."""
    poll_interval_s: float = 60.0
    """How often what other processes wrote is looked for."""
    api: UserApiSettings = field(default_factory=UserApiSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverridesSettings:
    """Limits, and where those of single tenants are; see docs/tenants.md."""

    defaults: TenantLimits = field(default_factory=TenantLimits)
    per_tenant_override_config: str = ""
    """File with a block per tenant, ``*`` for those without one; empty: none."""
    per_tenant_override_period_s: float = 10.0
    """How often the file is read again."""
    user_configurable_overrides: UserOverridesSettings = field(
        default_factory=UserOverridesSettings
    )
